"""Versions of what made a result."""

import platform
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = (
    "hepspark",
    "pyspark",
    "bigdl-dllib-spark3",
    "numpy",
    "pyarrow",
    "uproot",
    "awkward",
    "numba",
    "pythia8mc",
    "fastjet",
)


def versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
