"""Puts the image's notebooks into a home folder, when a server starts.

What a user has stays as it is: a notebook whose name is taken is left alone, whether it was changed or not.
"""

import os
import shutil
import uuid
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
