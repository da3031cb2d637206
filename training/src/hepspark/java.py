"""Finds a Java that Spark can use."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from hepspark.errors import InputError
from hepspark.progress import say

READ_BY_JAVA = ("JDK_JAVA_OPTIONS", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "LD_LIBRARY_PATH", "LD_PRELOAD")
"""Variables that may keep Java from starting."""

_VERSION = 17
_NOT_THE_REASON = ("NOTE: Picked", "Picked up", "Error occurred during")


def java_home() -> Path:
    """The folder of a Java 17.

    Raises:
        InputError: none is installed, or it does not start with the variables that are set.
    """
    named = os.environ.get("JAVA_HOME")
    on_path = shutil.which("java")
    places = [Path(named)] if named else []
    places += sorted(Path("/usr/lib/jvm").glob(f"*{_VERSION}*"))
    places += [Path(on_path).resolve().parent.parent] if on_path else []
    for place in places:
        if _version(place / "bin" / "java") == _VERSION:
            if named and place != places[0]:
                say(f"JAVA_HOME is {named}, which contains no Java {_VERSION}; hepspark uses {place}")
            return place
    wrong = f" (JAVA_HOME is {named}, which contains none)" if named else ""
    raise InputError(
        f"no Java {_VERSION} found{wrong}: install openjdk-{_VERSION}-jre-headless, or set JAVA_HOME to one"
    )


def _version(java: Path) -> int:
    """The version of a Java; 0 where there is none.

    Raises:
        InputError: it starts only without a variable that is set.
    """
    if not java.is_file():
        return 0
    version, problem = _asked(java, os.environ)
    if problem:
        without = {name: value for name, value in os.environ.items() if name not in READ_BY_JAVA}
        version, _ = _asked(java, without)
        for name in READ_BY_JAVA:
            if version == _VERSION and name in os.environ:
                _, own = _asked(java, without | {name: os.environ[name]})
                if own:
                    raise InputError(
                        f"{name} is {os.environ[name]!r}, and Java does not start with it ({own}); correct or unset it"
                    )
    return version


def refusal(home: Path, options: Sequence[str]) -> str:
    """Why Java does not start with some options; empty where it does."""
    return _asked(home / "bin" / "java", os.environ, options)[1]


def _asked(java: Path, environment: Mapping[str, str], options: Sequence[str] = ()) -> tuple[int, str]:
    """A Java's version, and what it says where it does not start."""
    command: list[str | Path] = [java, *options, "-version"]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, check=False)  # noqa: S603 (a program that the user chose)
    except OSError as error:
        return 0, error.strerror or str(error)
    told = (done.stderr + done.stdout).decode(errors="replace").splitlines()
    match = next(filter(None, (re.search(r'version "(\d+)', line) for line in told)), None)
    reasons = [line for line in told if line and not line.startswith(_NOT_THE_REASON)]
    return int(match[1]) if match else 0, (reasons or [f"exit code {done.returncode}"])[0] if done.returncode else ""
