"""The images of notebooks: what they start with is there, and their sizes."""

import subprocess

import pytest

from tests.integration.deploy.unpacked import Image, unpacked

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
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Image:
    return unpacked(request.param, tmp_path_factory.mktemp(request.param))


def ran(image: Image, *program: str) -> "subprocess.CompletedProcess[str]":
    """A program of an image that has ended."""
    command = image.command(*program)
    return subprocess.run(command, env=image.environment, capture_output=True, text=True, check=False)


def test_it_has_what_it_starts_with(image: Image) -> None:
    done = ran(image, *PROGRAMS[image.name])
    assert done.stdout == "ok\n", done.stderr


def test_it_is_small_and_nobody_special(image: Image) -> None:
    size = sum(path.lstat().st_size for path in image.root.rglob("*") if path.is_file() and not path.is_symlink())
    assert size / 1e6 <= MEGABYTES[image.name]
    assert image.config["User"].split(":")[0] not in ("", "0", "root")


@pytest.mark.parametrize("image", ["notebook"], indirect=True)
def test_a_terminal_of_a_server_finds_its_programs(image: Image) -> None:
    done = ran(image, "/bin/sh", "-c", TERMINAL)
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert [line.split()[0] for line in told[:3]] == ["Python", "pip", "git"]
    assert "Usage: hepspark" in done.stdout
