"""Files on this machine."""

import errno
import glob
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from hepspark.errors import InputError, RunError
from hepspark.storage.base import TEMPORARY, Entry, with_literals


class LocalStore:
    """A store on the local file system; what it wrote survives a power cut once the call has returned."""

    def open(self, url: str) -> BinaryIO:
        """See `Store.open`."""
        with told(url, "read"):
            return _path(url).open("rb")

    def read(self, url: str) -> bytes:
        """See `Store.read`."""
        with told(url, "read"):
            return _path(url).read_bytes()

    def write(self, url: str, data: bytes) -> None:
        """See `Store.write`."""
        target = _path(url)
        with told(url, "written"), _temporary(target, data) as temporary:
            temporary.replace(target)
            sync_folder(target.parent)

    def create(self, url: str, data: bytes) -> bool:
        """See `Store.create`: a hard link is the one operation that fails where the name is taken."""
        target = _path(url)
        with told(url, "written"), _temporary(target, data) as temporary:
            try:
                os.link(temporary, target)
            except FileExistsError:
                return False
            sync_folder(target.parent)
            return True

    def upload(self, path: Path, url: str) -> None:
        """See `Store.upload`."""
        target = _path(url)
        with told(url, "written"):
            _make_folder(target.parent)
            temporary = _unused_name(target)
            try:
                shutil.move(path, temporary)
                sync(temporary)
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)
            sync_folder(target.parent)

    def exists(self, url: str) -> bool:
        """See `Store.exists`."""
        return _path(url).is_file()

    def walk(self, url: str) -> list[Entry]:
        """See `Store.walk`."""
        root = _path(url)
        with told(url, "listed"):
            found = [
                Entry(str(Path(folder) / name), (Path(folder) / name).stat().st_size)
                for folder, _, names in os.walk(root, onerror=_raise_unless_missing)
                for name in names
                if not _passing(name)
            ]
        return sorted(found, key=lambda entry: entry.url)

    def glob(self, pattern: str) -> list[Entry]:
        """See `Store.glob`."""
        with told(pattern, "listed"):
            own = with_literals(pattern, os.path.exists)
            names = glob.glob(own, recursive=True)  # noqa: PTH207 (Path.glob takes no absolute pattern)
            # a/** gives "a/" where a is a file, though nothing is below it.
            files = sorted(
                {name for name in names if not name.endswith("/") and Path(name).is_file() and not _passing(name)}
            )
            return [Entry(name, Path(name).stat().st_size) for name in files]

    def delete(self, url: str) -> None:
        """See `Store.delete`."""
        with told(url, "deleted"):
            _path(url).unlink(missing_ok=True)


def _path(url: str) -> Path:
    return Path(url)


def _passing(name: str) -> bool:
    return Path(name).name.startswith(TEMPORARY)


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def _make_folder(folder: Path) -> None:
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in reversed(missing):
        sync_folder(made.parent)


def _unused_name(target: Path) -> Path:
    return target.parent / f"{TEMPORARY}{uuid.uuid4().hex}"


@contextmanager
def _temporary(target: Path, data: bytes) -> Iterator[Path]:
    _make_folder(target.parent)
    temporary = _unused_name(target)  # made with the mode that the user's umask gives, which mkstemp would not
    try:
        temporary.write_bytes(data)
        sync(temporary)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Have the content of a file on the disk itself."""
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk itself."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def told(url: str, verb: str) -> Iterator[None]:
    """Turn an error of the file system into a message that names the file and the remedy."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{error.filename or url}: no such file") from None
    except PermissionError as error:
        raise InputError(f"{url}: cannot be {verb}: permission denied; check its owner and mode") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RunError(f"{url}: cannot be {verb}: the disk is full; free some space and run again") from error
        raise InputError(f"{url}: cannot be {verb}: {error.strerror or error}") from error
