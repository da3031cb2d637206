"""The Spark image as the mirror has it: its size, what is in it, and that nothing it needs was left out."""

import json
import os
import subprocess
import tarfile

import pytest

from deploy.mirror.places import Places, default_folder
from deploy.mirror.registry import blob_path, stored_digest
from deploy.mirror.sbom import file_name
from deploy.mirror.versions import load_versions

COMPONENTS = load_versions().components
REFERENCE = COMPONENTS["spark"].references()["spark"]
PLACES = Places(default_folder())
IMPORTS = """
import importlib, pkgutil, sys
import hepspark, hepspark_kernels
import bigdl.dllib.estimator.estimator, bigdl.dllib.keras.models, bigdl.dllib.nncontext, kubernetes.client, minio
import pandas, pyarrow.compute, pyarrow.dataset, pyarrow.parquet, pyspark.ml, pyspark.pandas, pyspark.sql
names = [m.name for m in pkgutil.walk_packages(hepspark.__path__, 'hepspark.')]
# The loops that numba compiles have been compiled; events are simulated elsewhere.
absent = ('features.kernels', 'simulation', 'steps.simulate', '__main__')
for name in names:
    if not name.removeprefix('hepspark.').startswith(absent):
        importlib.import_module(name)
assert 'numba' not in sys.modules
print(len(names))
"""
NOT_COMPILED = """
import json, numpy, os, pyspark, hepspark.config
print([m.__name__ for m in (json, numpy, pyspark, hepspark.config) if not os.path.exists(m.__cached__)])
"""


@pytest.fixture(scope="module")
def manifest():
    digest = stored_digest(PLACES.registry, REFERENCE)
    if digest is None:
        pytest.fail(f"{REFERENCE} is not in the mirror: run `make images`")
    return json.loads(blob_path(PLACES.registry, digest).read_bytes())


@pytest.fixture(scope="module")
def root(manifest, tmp_path_factory):
    """The image's files; each test of it runs as root, as chroot asks."""
    folder = tmp_path_factory.mktemp("image")
    folder.chmod(0o755)  # its root, which the image's user has to enter
    for layer in manifest["layers"]:
        with tarfile.open(blob_path(PLACES.registry, layer["digest"])) as archive:
            archive.extractall(folder, filter="fully_trusted")
    return folder


@pytest.fixture(scope="module")
def config(manifest):
    return json.loads(blob_path(PLACES.registry, manifest["config"]["digest"]).read_bytes())["config"]


@pytest.fixture(scope="module")
def within(root, config):
    """Runs a program in the image, as the user and with the variables that it names."""
    assert os.geteuid() == 0, "chroot needs root"

    def call(*command):
        done = subprocess.run(
            ["/usr/sbin/chroot", "--userspec", config["User"], root, *command],
            env=dict(variable.split("=", 1) for variable in config["Env"]),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    return call


def test_the_image_is_small(root):
    size = sum(path.lstat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    assert 500e6 < size <= 800e6, f"{size / 1e6:.0f} MB"


def test_it_runs_as_nobody_special_and_says_what_it_is(config):
    assert config["User"] == "185:185"
    assert config["Entrypoint"] == ["/usr/bin/tini", "--", "/usr/local/bin/entrypoint"]
    assert config["Labels"]["org.opencontainers.image.version"] == COMPONENTS["spark"].version


def test_no_compiler_package_manager_or_cache_is_in_it(root):
    found = {
        path.name
        for folder in ("usr/bin", "usr/sbin", "usr/local/bin", "opt/java/bin")
        for path in (root / folder).iterdir()
    }
    assert not found & {"gcc", "cc", "ld", "javac", "apt", "apt-get", "pip", "pip3", "uv"}
    assert not list((root / "var").glob("cache/apt/*")) + list(root.glob("root/.cache")) + list(root.glob("tmp/*"))
    special = [
        path for path in root.rglob("*") if not path.is_symlink() and path.lstat().st_mode & 0o6000 and path.is_file()
    ]
    assert not special, "set-user-id programs"


PYTHON = ("/usr/bin/python3.11", "-B", "-W", "ignore", "-c")
# Without /proc the linker does not know where a program lies.
JAVA = ("/usr/bin/env", "LD_LIBRARY_PATH=/opt/java/lib", "/opt/java/bin/java")


def test_nothing_that_is_needed_was_left_out(within):
    assert int(within(*PYTHON, IMPORTS).split()[0]) > 50
    assert 'version "17' in within(*JAVA, "-version")
    assert within("/usr/local/bin/entrypoint", "--version").strip() == COMPONENTS["spark"].version


def test_what_starts_often_is_compiled_ahead(within):
    assert within(*PYTHON, NOT_COMPILED) == "[]\n"
    assert "sharing" in within(*JAVA, "-Xshare:on", "-version")


def test_its_bill_of_materials_names_what_matters():
    bill = json.loads((PLACES.www / "sbom" / file_name(REFERENCE)).read_text())
    purls = {component["purl"].partition("@")[0]: component["version"] for component in bill["components"]}
    for purl, version in {
        "pkg:pypi/pyspark": "3.5.8",
        "pkg:pypi/hepspark": COMPONENTS["spark"].version,
        "pkg:maven/hadoop-aws": "3.3.4",
        "pkg:maven/spark-core_2.12": "3.5.8",
    }.items():
        assert purls[purl] == version
    assert purls["pkg:generic/openjdk"].startswith("17.")
    assert {"pkg:pypi/bigdl-dllib-spark3", "pkg:deb/debian/libc6", "pkg:pypi/numpy"} <= purls.keys()
