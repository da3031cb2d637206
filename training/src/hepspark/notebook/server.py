"""Starts the server of a user: tutorials are put into a new workspace, then JupyterLab is run."""

import os
import sys
from pathlib import Path

from hepspark.notebook.workspace import copy_notebooks

NOTEBOOKS = Path("/usr/local/share/hepspark/notebooks")


def main() -> int:
    """Become JupyterHub's single-user server; returns only where that is not possible."""
    try:
        copy_notebooks(NOTEBOOKS, Path.home())
    except OSError as error:  # a full volume must not keep its user from making room
        print(f"the tutorials were not copied: {error}", file=sys.stderr)
    program = [sys.executable, "-m", "jupyterhub.singleuser", *sys.argv[1:]]
    return os.execv(program[0], program)


if __name__ == "__main__":
    sys.exit(main())
