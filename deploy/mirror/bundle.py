"""Packing the mirror into one archive that a site without internet unpacks and serves."""

import io
import shutil
import tarfile
from pathlib import Path

from deploy.errors import InputError
from deploy.mirror.check import SUMS, write_sums
from deploy.mirror.places import Places

SERVE = Path(__file__).with_name("SERVE.md")
FOLDERS = ("entries", "registry", "www")


def write_bundle(places: Places, target: Path) -> int:
    """Write the archive; the value is its size in bytes.

    Raises:
        InputError: There is no folder or not room enough for it.
    """
    files = sorted(path for name in FOLDERS for path in (places.root / name).rglob("*") if path.is_file())
    size = sum(path.stat().st_size for path in files)
    if not target.parent.is_dir():
        raise InputError(f"{target.parent} is not a folder; give a file in one that exists")
    if shutil.disk_usage(target.parent).free < size * 1.01:
        raise InputError(f"{target.parent} has too little free disk for {target.name}, which has {size / 1e9:.1f} GB")
    new = target.with_name(f".{target.name}.new")
    try:
        with tarfile.open(new, "w", format=tarfile.PAX_FORMAT) as archive:
            _add_text(archive, SERVE.name, SERVE.read_text())
            _add_text(archive, SUMS, f"{write_sums(SERVE.parent, [SERVE])}{write_sums(places.root, files)}")
            for path in files:
                archive.add(path, path.relative_to(places.root).as_posix(), filter=_anonymous)
        new.replace(target)
    finally:
        new.unlink(missing_ok=True)
    return target.stat().st_size


def _add_text(archive: tarfile.TarFile, name: str, text: str) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(text.encode()), 0o644
    archive.addfile(member, io.BytesIO(text.encode()))


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Who made the mirror is nobody's business, and no user of the site that unpacks it."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o644
    return member
