"""Starts the server of a user: tutorials are put into a new home folder, then JupyterLab is run."""

import os
import sys
from pathlib import Path

from hepspark.notebook.home import main as copy_notebooks

NOTEBOOKS = "/usr/local/share/hepspark/notebooks"


def main() -> int:
    """Become JupyterHub's single-user server; returns only where that is not possible."""
    copy_notebooks([NOTEBOOKS, str(Path.home())])
    program = [sys.executable, "-m", "jupyterhub.singleuser", *sys.argv[1:]]
    return os.execv(program[0], program)  # noqa: S606


if __name__ == "__main__":
    sys.exit(main())
