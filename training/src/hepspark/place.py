"""One spelling for each place, made once: where a path or URL enters, and nowhere below."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from hepspark.errors import InputError

S3 = "s3a://"
"""How the URL of every object begins."""

_S3_LIKE = re.compile(r"s3[an]?:", re.IGNORECASE)
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):/", re.IGNORECASE)
_FILE = re.compile(r"file:(?://([^/]*))?(/.*)", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_EITHER = "give a path of this machine, or s3a://bucket/key"


def without_password(url: str) -> str:
    """A URL as it may be shown: without the name and the password before its host."""
    try:
        parts = urlsplit(url)
    except ValueError:  # of a bracket that is not closed
        return url.rpartition("@")[2]
    if "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def place(text: str) -> str:
    """The one spelling of a file, a folder or a pattern: an absolute path, or s3a://bucket/key.

    A path is taken from the working folder, `~` is a home folder, `file:` URLs are paths, and empty parts, `.` and
    `..` are worked out. Links are not followed, but for a `..` behind one, which means what the system means by it.
    `s3://` and `s3n://` are `s3a://`. A key stays as it is, but for slashes at its end: in S3 a `%20`, a `..` or two
    slashes in a row name other objects. Variables of the environment are not put in.

    Raises:
        ValueError: it is neither; the message goes on from the name of what was given.
    """
    if _CONTROL.search(text):
        raise ValueError("contains a line break or another control character; remove it")
    found = address(text)
    return found.rstrip("/") if found.startswith(S3) else found


def address(text: str) -> str:
    """The same for `hepspark data`, where a slash at the end of a URL means that it is a folder.

    Raises:
        ValueError: see `place`.
    """
    if not text.strip():
        raise ValueError(f"is empty; {_EITHER}")
    if _S3_LIKE.match(text):
        _, separator, name = text.partition("://")
        if not separator or not name.partition("/")[0]:
            raise ValueError("names no bucket; write s3a://bucket/key")
        return S3 + name
    if file := _FILE.fullmatch(text):
        host, path = file.groups()
        if host is None and path.startswith("//"):
            raise ValueError(f"names no file; {_EITHER}")
        if host not in (None, "", "localhost"):
            raise ValueError(f"names a file on the machine {host!r}; {_EITHER}")
        return _absolute(unquote(path))
    if scheme := _SCHEME.match(text):
        raise ValueError(f"{scheme[1]}:// cannot be read or written; {_EITHER}, or ./{text} for a file of that name")
    return _absolute(text)


def local_path(text: str) -> str:
    """The one spelling of a file of this machine; see `place`.

    Raises:
        ValueError: it is none.
    """
    found = place(text)
    if found.startswith(S3):
        raise ValueError("is in S3; give a file of this machine")
    return found


def argument(name: str, text: str | os.PathLike[str], spelling: Callable[[str], str] = place) -> str:
    """The one spelling of a place that is given as an argument.

    Args:
        name: What the argument is called, for the message.
        text: As it was given.
        spelling: `place`, `address` or `local_path`.

    Raises:
        InputError: it is no place.
    """
    text = os.fspath(text)
    try:
        return spelling(text)
    except ValueError as error:
        raise InputError(f"{name}: {error} (got {text!r})") from None


def _absolute(path: str) -> str:
    if "\0" in path:
        raise ValueError("contains a zero byte, which no path can have; remove it")
    if path.startswith("~"):
        path = _at_home(path)
    found = Path("/")
    for part in (path if path.startswith("/") else f"{_working_folder()}/{path}").split("/"):
        found = _above(found) if part == ".." else found / part
    return str(found)


def _at_home(path: str) -> str:
    expanded = os.path.expanduser(path)  # noqa: PTH111 (Path.expanduser would lose what it cannot expand)
    if not expanded.startswith("/"):
        user = path.partition("/")[0]
        raise ValueError(f"the home folder of {user} is not known; for a file of that name write ./{user}")
    return expanded


def _working_folder() -> str:
    """As the shell calls it: `$PWD/x` and `x` are the same also behind a link."""
    try:
        here = os.getcwd()  # noqa: PTH109 (a text is wanted)
    except FileNotFoundError:
        raise ValueError("is relative, but the working folder was removed; change to another folder") from None
    named = os.environ.get("PWD", "")
    try:
        return named if named.startswith("/") and os.path.samefile(named, here) else here  # noqa: PTH121
    except OSError:
        return here


def _above(folder: Path) -> Path:
    try:
        return (folder.resolve() if folder.is_symlink() else folder).parent
    except OSError:  # nobody may look at it: taken by its name
        return folder.parent
