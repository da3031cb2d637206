"""Puts the image's notebooks into a home folder, when a server starts: `python -m hepspark.notebook.home FROM TO`.

What a user has stays as it is: a notebook whose name is taken is left alone, whether it was changed or not.
"""

import os
import shutil
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path


def copy_notebooks(source: Path, home: Path) -> list[Path]:
    """Copy the notebooks of a folder to another, but those whose name is taken there.

    Args:
        source: Folder whose *.ipynb are copied.
        home: Folder that receives them; made where it is not there.

    Returns:
        What was written.

    Raises:
        OSError: the folder cannot be written to, or its disk is full.
    """
    home.mkdir(parents=True, exist_ok=True)
    made = []
    for notebook in sorted(source.glob("*.ipynb")):
        target = home / notebook.name
        if not os.path.lexists(target) and _copy_whole(notebook, target):
            made.append(target)
    return made


def _copy_whole(notebook: Path, target: Path) -> bool:
    """Copy a file so that it appears whole or not at all; False where the name was taken meanwhile."""
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        # The content alone: the image's files may be read-only, and belong to somebody else.
        shutil.copyfile(notebook, temporary)
        # Unlike a renaming, a link does not replace what is there.
        os.link(temporary, target)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def main(arguments: Sequence[str]) -> int:
    """Copy, and say what; a server starts without its notebooks, too, so what fails is told and no more.

    Args:
        arguments: The folder to copy from, and the one to copy to.

    Returns:
        The exit code: 2 where the arguments are wrong, otherwise 0.
    """
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m hepspark.notebook.home FROM TO\n")
        return 2
    source, home = map(Path, arguments)
    try:
        for path in copy_notebooks(source, home):
            sys.stderr.write(f"{path}: new\n")
    except OSError as error:
        sys.stderr.write(f"{home}: the notebooks cannot be copied: {error}; free some space in your home folder\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
