"""Versions of what made a result, and of the layout that it is in."""

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydantic import ValidationError

from hepspark.errors import InputError

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


def first_fault(error: ValidationError) -> str:
    """The first thing that is wrong in what was read, with its key, in one line."""
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def check_schema(url: str, kind: str, content: Mapping[str, Any], known: int, remedy: str) -> None:
    """Refuse what is in another layout than this hepspark reads.

    Args:
        url: What is read.
        kind: What it is: "data set", "model".
        content: What stands in it, with its `schema_version`.
        known: The version that this hepspark reads.
        remedy: What helps where the layout is too old.

    Raises:
        InputError: a newer or an older hepspark made it, or something else.
    """
    found = content.get("schema_version")
    if type(found) is not int:  # true is an int, too
        raise InputError(f"{url}: not a {kind} of hepspark: its schema_version is {found!r}, not a number")
    if found == known:
        return
    told = f"{url}: the {kind} has schema version {found}, and this hepspark reads version {known}"
    if found > known:
        raise InputError(f"{told}: a newer hepspark made it; use that one")
    raise InputError(f"{told}: an older hepspark made it; {remedy}, or use the hepspark that made it")
