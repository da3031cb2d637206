"""The images of notebooks: what they start with is there, and their sizes."""

import json
import os
import stat
import subprocess
import tarfile

import pytest

from deploy.mirror.places import Places, default_folder
from deploy.mirror.registry import blob_path, stored_digest
from deploy.mirror.versions import load_versions

COMPONENTS = load_versions().components
PLACES = Places(default_folder())
PYTHON = ("/usr/bin/python3.11", "-B", "-W", "ignore", "-c")
PROGRAMS = {
    "hub": (
        *PYTHON,
        "import jupyterhub.app, hepspark_hub.spawner, oauthenticator.generic, hepspark_hub.configure; print('ok')",
    ),
    "notebook": (
        *PYTHON,
        "import ipykernel.kernelapp, jupyterlab.labapp, jupyterhub.singleuser, jupyter_server_proxy, uproot\n"
        "import sklearn.ensemble, scipy.stats, scipy.optimize, xgboost, tqdm.auto\n"
        "import hepspark.notebook.extension, hepspark.notebook.server, hepspark.notebook.pictures; print('ok')",
    ),
    "proxy": (
        "/usr/bin/node",
        "-e",
        "require('/usr/local/lib/proxy/node_modules/configurable-http-proxy'); console.log('ok')",
    ),
}
TERMINAL = "python --version && pip --version && git --version && hepspark --help"
# The notebook's: scikit-learn, scipy and xgboost are 165 of it, git with Perl 100.
MEGABYTES = {"hub": 400, "notebook": 1300, "proxy": 300}


@pytest.fixture(scope="module", params=PROGRAMS)
def image(request, tmp_path_factory):
    """Name, configuration, and files of an image."""
    reference = COMPONENTS[request.param].references()[request.param]
    digest = stored_digest(PLACES.registry, reference)
    if digest is None:
        pytest.fail(f"{reference} is not in the mirror: run `make images`")
    manifest = json.loads(blob_path(PLACES.registry, digest).read_bytes())
    root = tmp_path_factory.mktemp(request.param)
    root.chmod(0o755)  # which the image's user has to enter
    for layer in manifest["layers"]:
        with tarfile.open(blob_path(PLACES.registry, layer["digest"])) as archive:
            archive.extractall(root, filter="fully_trusted")
    (root / "dev").mkdir(exist_ok=True)
    os.mknod(root / "dev/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    (root / "dev/null").chmod(0o666)
    config = json.loads(blob_path(PLACES.registry, manifest["config"]["digest"]).read_bytes())["config"]
    return request.param, config, root


def test_it_has_what_it_starts_with(image):
    name, config, root = image
    assert os.geteuid() == 0, "chroot needs root"
    done = subprocess.run(
        ["/usr/sbin/chroot", "--userspec", config["User"], root, *PROGRAMS[name]],
        env=dict(variable.split("=", 1) for variable in config["Env"]),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "ok\n", done.stderr


def test_it_is_small_and_nobody_special(image):
    name, config, root = image
    size = sum(path.lstat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    assert size / 1e6 <= MEGABYTES[name]
    assert config["User"].split(":")[0] not in ("", "0", "root")


@pytest.mark.parametrize("image", ["notebook"], indirect=True)
def test_a_terminal_of_a_server_finds_its_programs(image):
    _, config, root = image
    done = subprocess.run(
        ["/usr/sbin/chroot", "--userspec", config["User"], root, "/bin/sh", "-c", TERMINAL],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", **dict(variable.split("=", 1) for variable in config["Env"])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert [line.split()[0] for line in told[:3]] == ["Python", "pip", "git"]
    assert "Usage: hepspark" in done.stdout
