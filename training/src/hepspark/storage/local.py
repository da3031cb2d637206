"""Files on this machine."""

import errno
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from hepspark.errors import InputError, RunError
from hepspark.storage.base import Entry


class LocalStore:
    """A store on the local file system; what it wrote survives a power cut once the call has returned."""

    def open(self, url: str) -> BinaryIO:
        """See `Store.open`."""
        with _told(url, "read"):
            return _path(url).open("rb")

    def read(self, url: str) -> bytes:
        """See `Store.read`."""
        with _told(url, "read"):
            return _path(url).read_bytes()

    def write(self, url: str, data: bytes) -> None:
        """See `Store.write`."""
        target = _path(url)
        with _told(url, "written"), _temporary(target, data) as temporary:
            temporary.replace(target)
            _sync_folder(target.parent)

    def create(self, url: str, data: bytes) -> bool:
        """See `Store.create`: a hard link is the one operation that fails where the name is taken."""
        target = _path(url)
        with _told(url, "written"), _temporary(target, data) as temporary:
            try:
                os.link(temporary, target)
            except FileExistsError:
                return False
            _sync_folder(target.parent)
            return True

    def upload(self, path: Path, url: str) -> None:
        """See `Store.upload`."""
        target = _path(url)
        with _told(url, "written"):
            _make_folder(target.parent)
            temporary = _unused_name(target)
            try:
                shutil.move(path, temporary)
                _sync(temporary)
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)
            _sync_folder(target.parent)

    def exists(self, url: str) -> bool:
        """See `Store.exists`."""
        return _path(url).is_file()

    def walk(self, url: str) -> list[Entry]:
        """See `Store.walk`."""
        root = _path(url)
        with _told(url, "listed"):
            found = [
                Entry(str(Path(folder) / name), (Path(folder) / name).stat().st_size)
                for folder, _, names in os.walk(root, onerror=_raise_unless_missing)
                for name in names
                if not name.startswith(_TEMPORARY)
            ]
        return sorted(found, key=lambda entry: entry.url)

    def glob(self, pattern: str) -> list[Entry]:
        """See `Store.glob`."""
        paths = (Path(name) for name in glob.glob(str(_path(pattern)), recursive=True))  # noqa: PTH207 (Path.glob takes no absolute pattern)
        return [Entry(str(path), path.stat().st_size) for path in sorted(paths) if path.is_file()]

    def delete(self, url: str) -> None:
        """See `Store.delete`."""
        with _told(url, "deleted"):
            _path(url).unlink(missing_ok=True)


_TEMPORARY = ".hepspark-"


def _path(url: str) -> Path:
    return Path(url).expanduser()


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def _make_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)


def _unused_name(target: Path) -> Path:
    handle, name = tempfile.mkstemp(prefix=_TEMPORARY, dir=target.parent)
    os.close(handle)
    return Path(name)


@contextmanager
def _temporary(target: Path, data: bytes) -> Iterator[Path]:
    _make_folder(target.parent)
    temporary = _unused_name(target)
    try:
        temporary.write_bytes(data)
        _sync(temporary)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _told(url: str, verb: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{url}: no such file") from None
    except PermissionError as error:
        raise InputError(f"{url}: cannot be {verb}: permission denied; check its owner and mode") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RunError(f"{url}: cannot be {verb}: the disk is full; free some space and run again") from error
        raise InputError(f"{url}: cannot be {verb}: {error.strerror or error}") from error
