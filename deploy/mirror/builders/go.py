"""Programs from Go modules, and C files that Go modules contain."""

import json
import os
from pathlib import Path

from deploy.errors import DeployError
from deploy.mirror.process import run
from deploy.mirror.versions import RECIPES
from deploy.mirror.workshop import Task

REPOSITORY = Path(__file__).parents[3]


def build_go(task: Task) -> dict[str, Path]:
    """The Go programs of a component; the committed go.mod and go.sum say from which sources."""
    spec = task.component.build.go
    if spec is None:
        return {}
    output = task.folder("programs", task.name)
    flags = ["-s", "-w", *(f"-X {name}={task.component.resolve(value)}" for name, value in spec.variables.items())]
    if spec.cgo:
        flags.append('-extldflags "-static"')
    program = _go(task)
    environment = {**_environment(task), "CGO_ENABLED": "1" if spec.cgo else "0"}
    recipe = RECIPES / task.name
    arguments = ["build", "-trimpath", "-ldflags", " ".join(flags)]
    if len({package.rsplit("/", 1)[-1] for package in spec.binaries.values()} ^ set(spec.binaries)) == 0:
        # One call links programs that share most of their packages side by side.
        run([program, *arguments, "-o", f"{output}/", *spec.binaries.values()], task.log, cwd=recipe, env=environment)
    else:
        for name, package in spec.binaries.items():
            run([program, *arguments, "-o", output / name, package], task.log, cwd=recipe, env=environment)
    return {name: output / name for name in spec.binaries}


def build_c(task: Task) -> dict[str, Path]:
    """The C programs of a component, each of one file and linked statically."""
    output = task.folder("programs", task.name)
    for name, spec in task.component.build.c.items():
        answer = run(
            [_go(task), "mod", "download", "-json", spec.module],
            task.log,
            cwd=RECIPES / spec.component,
            env=_environment(task),
        )
        source = Path(json.loads(answer)["Dir"]) / spec.source
        if not source.is_file():
            raise DeployError(f"{task.name}: module {spec.module} has no {spec.source}")
        define = f"-DVERSION=v{task.component.version.removeprefix('v')}"
        run(["gcc", "-Os", "-Wall", "-Werror", "-static", "-s", define, "-o", output / name, source], task.log)
    return {name: output / name for name in task.component.build.c}


def _go(task: Task) -> str:
    return run([REPOSITORY / "tools" / "go.sh"], task.log).strip()


def _environment(task: Task) -> dict[str, str]:
    # The gate names a folder for what Go has fetched and compiled, which its other builds use, too.
    kept = os.environ.get("HEPSPARK_GO") or str(task.folder("go"))
    return {
        "GOPATH": f"{kept}/path",
        "GOCACHE": f"{kept}/cache",
        "GOTMPDIR": str(task.folder("tmp")),
        # Without -modcacherw the modules could not be deleted afterwards; there is no repository to ask for a commit.
        "GOFLAGS": "-modcacherw -buildvcs=false -mod=readonly",
        "GOTOOLCHAIN": "auto",
        "GOWORK": "off",
        "GOARCH": "amd64",
        "GOOS": "linux",
        # A GOROOT left in the environment would pair one Go with another's library; Go takes an empty one as none.
        "GOROOT": "",
        "GOMODCACHE": "",
        "HOME": os.environ.get("HOME", str(task.work)),
    }
