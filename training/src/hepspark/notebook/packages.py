"""Python packages that a user installs by `%pip install`: in the home folder, for kernels and executors alike.

They lie in Python's own folder for a user's packages, below the home folder. What the image brings keeps its version,
since hepspark was tested with it. Executors get a copy of that folder as an archive of Spark.
"""

import hashlib
import importlib
import os
import shlex
import site
import sys
import zipfile
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import certifi

from hepspark.place import without_password
from hepspark.progress import say

if TYPE_CHECKING:
    from pyspark import SparkContext

_PREFIX = "hepspark-packages-"
_CHANGING = ("install", "uninstall")


def folder() -> Path:
    """Where a user's packages lie."""
    return Path(site.getusersitepackages())


def environment(notes: Path) -> dict[str, str]:
    """What pip has to know in a server; makes the folder of the packages.

    Args:
        notes: Folder that receives the list of the image's packages.

    Returns:
        Variables of the server.

    Raises:
        OSError: a folder cannot be written to.
    """
    folder().mkdir(parents=True, exist_ok=True)  # a kernel looks there only if it was there when the kernel began
    notes.mkdir(parents=True, exist_ok=True)
    fixed = notes / "constraints.txt"
    fixed.write_text("".join(f"{line}\n" for line in _installed(path for path in sys.path if path != str(folder()))))
    variables = {
        "PIP_CONSTRAINT": str(fixed),
        "PIP_BREAK_SYSTEM_PACKAGES": "1",  # Debian's pip would refuse the home folder, too
        "PIP_NO_CACHE_DIR": "1",  # the home folder is small
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        # Where there is no index, pip is to say so in seconds.
        "PIP_RETRIES": "1",
        "PIP_DEFAULT_TIMEOUT": "10",
    }
    if authority := os.environ.get("HEPSPARK_CA_FILE"):
        trusted = notes / "authorities.pem"
        trusted.write_text(f"{Path(certifi.where()).read_text()}\n{Path(authority).read_text()}")
        variables["PIP_CERT"] = str(trusted)
    return variables


def _installed(path: Iterable[str]) -> list[str]:
    found = {found.name.lower(): found.version for found in metadata.distributions(path=[*path]) if found.name}
    return [f"{name}=={version}" for name, version in sorted(found.items())]


def share(context: "SparkContext", packages: Path, archives: Callable[[], Path]) -> None:
    """Give the executors of a Spark the user's packages, for all tasks from now on.

    Args:
        context: The Spark.
        packages: Folder of the packages; nothing happens where there are none, or where they have not changed.
        archives: Makes the folder of the archive, to stay as long as the Spark.
    """
    files = sorted(file for file in packages.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    if not files:
        return
    state = [(str(file.relative_to(packages)), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    name = _PREFIX + hashlib.sha256(repr(state).encode()).hexdigest()[:16]
    own: list[str] = context._python_includes or []
    if name in own:
        return
    archive = archives() / f"{name}.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as content:
        for file in files:
            content.write(file, file.relative_to(packages))
    context.addArchive(f"{archive}#{name}")
    # Tasks look for modules in these folders, which lie below that of Spark's files.
    context._python_includes = [name, *(entry for entry in own if not entry.startswith(_PREFIX))]


class Pip:
    """`%pip` of a facility: what it installs is there at once, for the kernel and for its executors."""

    def __init__(self, shell: Any) -> None:
        """Take the place of IPython's own.

        Args:
            shell: IPython's, of a kernel.
        """
        self._shell, self._own = shell, shell.find_line_magic("pip")
        shell.register_magic_function(self, "line", "pip")

    def __call__(self, line: str) -> None:
        """Run pip.

        Args:
            line: What stands behind `%pip`.
        """
        self._own(line)
        if not any(word in _CHANGING for word in shlex.split(line)[:1]):
            return
        if self._shell.user_ns.get("_exit_code"):
            say(self._refused())
            return
        importlib.invalidate_caches()
        from hepspark.notebook.application import share_packages

        share_packages()

    @staticmethod
    def _refused() -> str:
        index = without_password(os.environ.get("PIP_INDEX_URL", ""))
        where = f"The site's package index is {index}" if index else "The operator has named no package index"
        return (
            f"pip failed; the last lines say why. {where}. Packages that the facility brings keep their versions; "
            "`%pip list` shows them"
        )
