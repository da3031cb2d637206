"""Python files compiled ahead, for images whose files nobody can write."""

import sys
from pathlib import Path

from deploy.mirror.process import run
from deploy.mirror.workshop import Workshop


def compile_ahead(shop: Workshop, folder: Path, below: Path) -> None:
    """Compile the Python files of a folder to bytecode that names them by their place below `below`.

    It is taken unchecked, because nothing changes in an image.
    """
    command: list[str | Path] = [sys.executable, "-m", "compileall", "-q", "-j", "0", "-s", below]
    run([*command, "--invalidation-mode", "unchecked-hash", folder], shop.log)
