"""`hepspark data`: files to and from a store, and the published data sets."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from hepspark.config import Config
from hepspark.errors import InputError
from hepspark.place import address, argument, local_path
from hepspark.progress import say
from hepspark.storage import s3
from hepspark.transfer import copy
from hepspark.transfer import public as published


def put(config: Config, source: str | PathLike[str] | Sequence[Path], target_url: str) -> dict[str, Any]:
    """Bring files and folders into S3; see `hepspark.transfer.copy.put`."""
    sources = [source] if isinstance(source, str | PathLike) else source
    paths = [Path(argument("data put", path, local_path)) for path in sources]
    return copy.put(config, paths, argument("data put", target_url, address))


def get(config: Config, source_url: str, target: str | PathLike[str]) -> dict[str, Any]:
    """Bring an object or a folder from S3; see `hepspark.transfer.copy.get`."""
    path = Path(argument("data get", target, local_path))
    return copy.get(config, argument("data get", source_url, address), path)


def ls(config: Config, url: str) -> dict[str, Any]:
    """Tell what is stored below a URL; see `hepspark.transfer.copy.ls`."""
    found = copy.ls(config, argument("data ls", url, address))
    for entry in found["entries"]:
        say(f"{entry['bytes']:>16,}  {entry['url']}")
    say(f"{found['bytes']:>16,}  bytes in {found['files']:,} files")
    return found


def url(config: Config, object_url: str, hours: int) -> dict[str, Any]:
    """Make a link that needs no credentials; see `hepspark.storage.s3.link`."""
    object_url = argument("data url", object_url, address)
    link, end = s3.link(object_url, hours, config.storage)
    say(f"{link}\nvalid until {end}, for everybody who has the link")
    return {"url": object_url, "link": link, "until": end}


def public(config: Config, name: str | None = None, target: str | None = None) -> dict[str, Any]:
    """Without a name what is published, otherwise one data set into a folder or bucket.

    See `hepspark.transfer.public`.
    """
    if name is None:
        listing = published.catalog(config)
        for entry in listing["datasets"]:
            about = "about " if entry["bytes_are_rounded"] else ""
            say(f"{entry['name']}\n    {entry['about']}; {about}{entry['bytes'] / 1e6:,.0f} MB, {entry['checksum']}")
        return listing
    if target is None:
        raise InputError(f"{name}: give a target, a folder or s3a://bucket/folder")
    return published.load(config, name, argument("data public", target))
