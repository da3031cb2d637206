"""Starts the server of a user: tutorials are put into a new home folder, then JupyterLab is run."""

import os
import sys
import tempfile
from pathlib import Path

from hepspark.notebook import packages
from hepspark.notebook.home import copy_notebooks

NOTEBOOKS = Path("/usr/local/share/hepspark/notebooks")
_APART = Path(tempfile.gettempdir()) / "jupyter"
_PROBE = bytes(1 << 16)


def prepare(notebooks: Path, home: Path) -> dict[str, str]:
    """Put the notebooks into a home folder, and choose where Jupyter keeps files of its own.

    Those are in the home folder, too, unless it is full: a server has to start, or nobody could make room.

    Args:
        notebooks: Folder with the image's.
        home: The user's.

    Returns:
        Variables of the server.
    """
    apart = ["JUPYTER_RUNTIME_DIR"]
    try:
        for path in copy_notebooks(notebooks, home):
            sys.stderr.write(f"{path}: new\n")
        with tempfile.TemporaryFile(dir=home) as probe:
            probe.write(_PROBE)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        sys.stderr.write(
            f"{home} cannot store files: {error}; delete some files there. Until then notebooks cannot be saved, and "
            "settings of JupyterLab are gone when the server stops\n"
        )
        apart += ["JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"]
    return {name: str(_APART / name.lower()) for name in apart}


def main() -> int:
    """Become JupyterHub's single-user server; returns only where that is not possible."""
    variables = prepare(NOTEBOOKS, Path.home())
    try:
        variables |= packages.environment(_APART)
    except OSError as error:
        sys.stderr.write(f"packages cannot be installed: {error}\n")
    # Without the user's packages (-s): one that does not fit breaks a kernel, but the server starts.
    program = [sys.executable, "-s", "-m", "jupyterhub.singleuser", *sys.argv[1:]]
    return os.execve(program[0], program, {**os.environ, **variables})  # noqa: S606


if __name__ == "__main__":
    sys.exit(main())
