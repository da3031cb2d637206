"""`%pip` in a kernel, with a real pip and a home folder of its own."""

import os
import subprocess
import sys
import sysconfig
import zipfile

import numpy as np
import pytest

CELLS = """
import os, site, sys
from pathlib import Path
from IPython.core.interactiveshell import InteractiveShell
from hepspark.notebook import packages

os.environ |= packages.environment(Path("notes"))
site.addsitedir(site.getusersitepackages())  # which a kernel does when it begins, and the server has made it before
shell = InteractiveShell.instance()
packages.Pip(shell)
for line in sys.argv[1:]:
    shell.run_cell(line)
"""


def wheel(folder, name, version="1.0", needs=""):
    """A package of one module, as its author would publish it."""
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as content:
        content.writestr(f"{name}.py", "VALUE = 'found'\n")
        requires = f"Requires-Dist: {needs}\n" if needs else ""
        content.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}")
        content.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        content.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


@pytest.fixture
def cells(tmp_path):
    """Runs cells in a Python that has a folder for a user's packages; that of a virtual environment has none."""
    index = tmp_path / "index"
    index.mkdir()
    wheel(index, "hepspark_tiny")
    wheel(index, "hepspark_greedy", needs="numpy<1")
    wheel(index, "numpy", version="0.9")
    environment = os.environ | {
        "HOME": str(tmp_path),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "PYTHONPATH": os.pathsep.join(
            [sysconfig.get_path("purelib"), *(path for path in sys.path if path.endswith("src"))]
        ),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(index),
        "PIP_USER": "1",  # for who runs the tests as root, to whom Python's own folder is open
    }

    def run(*lines):
        program = [sys._base_executable, "-c", CELLS, *lines]
        ended = subprocess.run(program, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=240)
        return ended.stdout + ended.stderr

    return run


def test_a_package_is_there_at_once_and_in_the_next_kernel(cells, tmp_path):
    shown = "import hepspark_tiny; print(hepspark_tiny.VALUE, hepspark_tiny.__file__)"
    for lines in (["%pip install hepspark_tiny", shown], [shown]):
        told = cells(*lines)
        assert f"found {tmp_path}/.local/lib/python3.11/site-packages/hepspark_tiny.py" in told, told
        assert "pip failed" not in told


def test_what_the_image_brings_keeps_its_version(cells, tmp_path):
    told = cells("%pip install hepspark_greedy", "import numpy; print(numpy.__version__)")
    assert "pip failed; its last lines tell why. The operator has named no package index" in told
    assert np.__version__ in told
    assert f"numpy=={np.__version__}" in (tmp_path / "notes" / "constraints.txt").read_text().splitlines()
    assert not [*tmp_path.glob(".local/lib/python3.11/site-packages/*")]
