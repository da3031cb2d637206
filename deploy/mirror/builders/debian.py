"""Debian packages: resolved and fetched by apt in a private state folder, so that the machine's own stays as it is."""

import gzip
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from deploy.errors import DeployError, InputError
from deploy.mirror.process import run
from deploy.mirror.workshop import Task, Workshop

APT_FOLDER = Path("/etc/apt")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# The suites of a release: itself, its point updates, its security updates.
SUFFIXES = ("", "-updates", "-security")


def build_debian(task: Task) -> dict[str, Path]:
    """The programs of a component that are taken out of Debian packages."""
    output = task.folder("programs", task.name)
    for name, spec in task.component.build.debian.items():
        packages = download(task, spec.release, [spec.package])
        package = next(path for path in packages if path.name.startswith(f"{spec.package}_"))
        version = re.sub(r"^\d+:", "", _field(package, "Version", task.log))
        if not re.match(rf"{re.escape(task.component.version)}(?![0-9.])", version):
            raise DeployError(
                f"{task.name}: versions.yaml says {task.component.version}, but Debian {spec.release} has "
                f"{spec.package} {version}; change the version in versions.yaml"
            )
        unpacked = unpack(task, [package], f"{task.name}-{name}")
        shutil.copy2(unpacked / spec.path, output / name)
    return {name: output / name for name in task.component.build.debian}


def download(shop: Workshop, release: str, packages: Iterable[str]) -> list[Path]:
    """The named packages of a release and all that they depend on, down to the C library, as .deb files.

    They are resolved against an empty system: so they can be installed on any host of that release, whichever of
    them it has already.
    """
    state = shop.folder("apt", release)
    options = _apt_options(state)
    if not (state / "ready").exists():
        for folder in ("lists/partial", "archives/partial", "parts", "cache"):
            (state / folder).mkdir(parents=True, exist_ok=True)
        (state / "status").touch()
        suite = shop.versions.debian[release].suite
        lines = sources(suite, shop.apt_sources or APT_FOLDER)
        (state / "sources.list").write_text("".join(f"{line}\n" for line in lines))
        run(["apt-get", *options, "-qq", "-o", "APT::Update::Error-Mode=any", "update"], shop.log)
        (state / "ready").touch()
    install = ["apt-get", *options, "-qq", "--yes", "--no-install-recommends", "install", *packages]
    listing = run([*install, "--print-uris"], shop.log)
    names = [line.split()[1] for line in listing.splitlines() if line.startswith("'")]
    run([*install, "--download-only"], shop.log)
    # What an earlier call has fetched already is not among the addresses that apt prints.
    simulated = run([*install, "--simulate"], shop.log)
    wanted = re.findall(r"^Inst (\S+) \((\S+) .*?\[(\w+)\]\)", simulated, re.MULTILINE)
    files = [f"{name}_{version.replace(':', '%3a')}_{arch}.deb" for name, version, arch in wanted]
    if missing := sorted({*names} - {*files}):
        raise DeployError(f"apt fetches {', '.join(missing)}, which its own simulation does not install")
    return sorted(state / "archives" / name for name in files)


def sources(suite: str, apt_folder: Path) -> list[str]:
    """Lines for a sources.list of one Debian release, with the archives and keys that a machine's apt uses itself.

    Raises:
        InputError: The machine's apt knows no archive of Debian.
    """
    archives: dict[str, tuple[str, str]] = {}
    for line in _one_line_sources(apt_folder):
        address, own_suite, key = line
        base = own_suite.partition("-")[2]
        # Only what holds a Debian release is Debian's archive: bookworm, bookworm-security, stable-updates ...
        if re.fullmatch(r"(bookworm|trixie|forky|stable|testing)(-updates|-security)?", own_suite):
            archives.setdefault(f"-{base}" if base else "", (address, key))
    if "" not in archives:
        raise InputError(
            f"{apt_folder} names no Debian archive, from which the hosts' packages are taken; run `make mirror` on "
            "Debian, or give --apt-sources a folder with a sources.list of Debian"
        )
    archives.setdefault("-updates", archives[""])
    lines = []
    for suffix in SUFFIXES:
        if suffix in archives:
            address, key = archives[suffix]
            lines.append(f"deb [arch=amd64 signed-by={key}] {address} {suite}{suffix} main")
    return lines


def unpack(shop: Workshop, packages: Iterable[Path], name: str) -> Path:
    """A folder with the contents of packages; their scripts do not run."""
    root = shop.folder("roots", name)
    shutil.rmtree(root)
    for folder in ("bin", "lib", "sbin", "lib64"):
        (root / "usr" / folder).mkdir(parents=True)
        (root / folder).symlink_to(f"usr/{folder}")
    for package in packages:
        # Through tar, because dpkg-deb would replace the links of a merged /usr by folders.
        archive = shop.folder("tmp") / "data.tar"
        run(["sh", "-c", 'dpkg-deb --fsys-tarfile "$0" >"$1"', package, archive], shop.log)
        extract = ["tar", "--extract", "--keep-directory-symlink", "--no-same-owner"]
        run([*extract, "--file", archive, "--directory", root], shop.log)
        archive.unlink()
    return root


def write_repository(packages: Iterable[Path], folder: Path, suite: str, log: Path) -> None:
    """Make `folder` an apt repository (a flat one) of these packages, not signed yet."""
    (folder / "pool").mkdir(parents=True)
    index = []
    for package in packages:
        # apt's archives have a version's epoch in their names ("1%3a"), pools do not: it would have to be quoted twice.
        name = re.sub(r"_\d+%3a", "_", package.name)
        shutil.copy2(package, folder / "pool" / name)
        control = run(["dpkg-deb", "--field", package], log).rstrip()
        content = package.read_bytes()
        index.append(
            f"{control}\nFilename: pool/{name}\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n"
        )
    text = "\n".join(index).encode()
    indices = {"Packages": text, "Packages.gz": gzip.compress(text, mtime=0)}
    for name, content in indices.items():
        (folder / name).write_bytes(content)
    sums = "".join(f" {hashlib.sha256(c).hexdigest()} {len(c)} {name}\n" for name, c in indices.items())
    (folder / "Release").write_text(
        f"Origin: hepspark\nLabel: hepspark mirror\nSuite: {suite}\nCodename: {suite}\nArchitectures: amd64 all\n"
        f"Date: {datetime.now(UTC):%a, %d %b %Y %H:%M:%S} UTC\nSHA256:\n{sums}"
    )


def sign(repositories: Iterable[Path], public_key: Path, log: Path) -> None:
    """Sign repositories with a key made for this; only its public half is kept, in `public_key`.

    Each change of the packages makes a new key, which hosts take from the mirror (over TLS) together with them: there
    is no private key that could be lost or stolen.
    """
    # A short path, because gpg's agent listens on a socket in it.
    with tempfile.TemporaryDirectory(prefix="hepspark-gpg-") as home:
        gpg = ["gpg", "--batch", "--yes", "--homedir", home, "--pinentry-mode", "loopback", "--passphrase", ""]
        try:
            run([*gpg, "--quick-generate-key", "hepspark mirror", "ed25519", "sign", "never"], log)
            for folder in repositories:
                new = folder / ".InRelease.new"
                run([*gpg, "--clearsign", "--output", new, folder / "Release"], log)
                new.replace(folder / "InRelease")
            public_key.write_text(run([*gpg, "--armor", "--export"], log))
        finally:
            run(["gpgconf", "--homedir", home, "--kill", "all"], log)


def package_version(package: Path, log: Path) -> tuple[str, str]:
    """Name and version of a package file."""
    return _field(package, "Package", log), _field(package, "Version", log)


def _field(package: Path, field: str, log: Path) -> str:
    return run(["dpkg-deb", "--field", package, field], log).strip()


def _apt_options(state: Path) -> list[str]:
    options = {
        "Dir::State": state,
        "Dir::State::lists": state / "lists",
        "Dir::State::status": state / "status",
        "Dir::Cache": state / "cache",
        "Dir::Cache::archives": state / "archives",
        "Dir::Etc::sourcelist": state / "sources.list",
        "Dir::Etc::sourceparts": state / "parts",
        "Dir::Etc::preferences": state / "none",
        "Dir::Etc::preferencesparts": state / "parts",
        "APT::Architecture": "amd64",
        "APT::Sandbox::User": "root" if os.geteuid() == 0 else "",
        "Acquire::Languages": "none",
        "APT::Keep-Downloaded-Packages": "true",
    }
    return [argument for key, value in options.items() for argument in ("-o", f"{key}={value}")]


def _one_line_sources(apt_folder: Path) -> Iterable[tuple[str, str, str]]:
    """(address, suite, key) of each source of apt, from both forms of its files."""
    parts = apt_folder / "sources.list.d"
    for file in (apt_folder / "sources.list", *sorted(parts.glob("*.list"))):
        for line in file.read_text().splitlines() if file.is_file() else ():
            match = re.match(
                r"deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<address>\S+)\s+(?P<suite>\S+)\s+(?P<components>.*)", line
            )
            if match and "main" in match["components"].split():
                key = re.search(r"signed-by=(\S+)", match["options"] or "", re.IGNORECASE)
                yield match["address"], match["suite"], key[1] if key else str(KEYRING)
    for file in sorted(parts.glob("*.sources")):
        for paragraph in re.split(r"\n\s*\n", file.read_text()):
            text = "\n".join(line for line in paragraph.splitlines() if not line.startswith("#"))
            fields = {
                k.lower(): v.split()
                for k, v in re.findall(r"^([A-Za-z-]+):[ \t]*(.*(?:\n[ \t]+.*)*)", text, re.MULTILINE)
            }
            if fields.get("enabled", ["yes"])[0] == "no" or "deb" not in fields.get("types", []):
                continue
            key_file = next((k for k in fields.get("signed-by", []) if k.startswith("/")), str(KEYRING))
            for address in fields.get("uris", []):
                for suite in fields.get("suites", []):
                    if "main" in fields.get("components", []):
                        yield address, suite, key_file
