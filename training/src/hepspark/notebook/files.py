"""Files between the server and the workspace, where executors find them."""

import shutil
from pathlib import Path
from typing import Any

from hepspark.config import Config
from hepspark.errors import InputError
from hepspark.notebook.facility import storage
from hepspark.notebook.places import workspace
from hepspark.place import address, argument, local_path
from hepspark.progress import say
from hepspark.storage import is_s3, join, name_of, store_for
from hepspark.storage.s3_client import split
from hepspark.transfer import copy


def upload(source: str | Path, name: str = "") -> str:
    """Copy a file or folder of this server into the workspace; what is there with the same content is left.

    Executors are other machines: they read the workspace, but not this server's home folder.

    Args:
        source: A file, or a folder with all that is below it.
        name: Where it goes, below the workspace; under its own name where this is left out.

    Returns:
        Its URL, for `ingest` and others.

    Raises:
        InputError: there is no such file or folder, or the workspace cannot be written to.
        RunError: the store failed on the way; the same call continues.
    """
    path = Path(argument("upload", source, local_path))
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; relative paths start at {Path.cwd()}")
    url = join(workspace(), name or path.name)
    if is_s3(url):
        copy.put(_config(), [path], url)
    else:
        _copy(path, Path(url))
    return url


def download(url: str, target: str | Path = ".") -> str:
    """Copy a file or folder of a store onto this server, from where the browser takes it.

    Args:
        url: A file, or a folder with all that is below it.
        target: For a file its name here, or a folder that exists; for a folder the folder.

    Returns:
        Where it is now.

    Raises:
        InputError: there is nothing, or the target cannot be used.
        RunError: the store or the disk failed on the way; the same call continues.
    """
    url, path = argument("download", url), Path(argument("download", target, local_path))
    if is_s3(url):
        files = copy.get(_config(), url, path)["files"]
        return str(files[0]["path"] if split(files[0]["url"]) == split(url) else path)
    if not Path(url).exists():
        raise InputError(f"{url}: no such file or folder")
    if Path(url).is_file() and path.is_dir():
        path /= name_of(url)
    _copy(Path(url), path)
    return str(path)


def ls(url: str = "") -> dict[str, Any]:
    """Tell what is stored at a URL, or in the workspace; returns it as `hepspark data ls` prints it.

    Raises:
        InputError: there is nothing, and it is not the workspace.
    """
    url = argument("ls", url, address) if url else workspace()
    if url.rstrip("/") == workspace() and not store_for(url, storage()).walk(url):
        say(f"{workspace()}: the workspace is empty; upload() copies files into it")
        return copy.listing(url, [])
    found = copy.ls(_config(), url)
    for entry in found["entries"]:
        say(f"{entry['bytes']:>12,}  {entry['url']}")
    return found


def _copy(source: Path, target: Path) -> None:
    """Copy the content of a file or folder; what was read-only can be changed then."""
    if source.is_dir():
        shutil.copytree(source, target, copy_function=shutil.copyfile, dirs_exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _config() -> Config:
    return Config(storage=storage())
