"""Base images of the lab's hosts: Debian as an installer leaves it, made by debootstrap, kept in the cache."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from deploy.errors import DeployError, InputError
from deploy.lab import podman, shell
from deploy.lab.model import Places

_KEYRINGS = Path("/usr/share/keyrings")
# Namespaces of its own: when this process dies, the whole making dies with it and its mounts vanish.
_APART = ("unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc")
# Podman keeps a record of images there, whatever its configuration says.
_PODMAN_FOLDERS = (Path("/var/lib/containers"), Path("/var/lib/containers/cache"))
_TELL_SECONDS = 20
SUITES = {"12": "bookworm", "13": "trixie"}

# What a freshly installed Debian server has; whatever Kubernetes needs besides comes from the mirror, by the roles.
PACKAGES = (
    "ca-certificates",
    "dbus",
    "dnsmasq-base",  # a program, no service: the host `mirror` is the lab's name server too, as a site has one
    "iproute2",
    "iputils-ping",
    "kmod",
    "less",
    "lsb-release",
    "netbase",
    "openssh-server",
    "procps",
    "python3",
    "python3-apt",
    "sudo",
    "systemd",
    "systemd-sysv",
)
# Masked is what a host of this kind does not have of its own: devices, consoles, modules, formats of programs; and
# the timers that would hold apt's lock when Ansible wants it.
_RECIPE = r"""
set -euo pipefail
root="$OUTPUT.root"
# In memory: dpkg waits for the disk after every file, which makes a minute's work three.
mkdir "$root"
mount -t tmpfs -o mode=755,size=2g tmpfs "$root"
debootstrap --variant=minbase --keyring="$KEYRING" --include="$PACKAGES" "$SUITE" "$root" "$URI"
rm -f "$root"/etc/ssh/ssh_host_* "$root"/etc/machine-id "$root"/var/lib/dbus/machine-id
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
: > "$root/etc/machine-id"
chroot "$root" usermod --password '*' root
chroot "$root" useradd --create-home --shell /bin/bash --gid users --password '*' operator
echo 'operator ALL=(ALL:ALL) NOPASSWD: ALL' > "$root/etc/sudoers.d/operator"
chmod 0440 "$root/etc/sudoers.d/operator"
mkdir -p "$root/etc/ssh/sshd_config.d"
printf '%s\n' 'PermitRootLogin no' 'PasswordAuthentication no' 'KbdInteractiveAuthentication no' \
  'AllowUsers operator' 'UseDNS no' > "$root/etc/ssh/sshd_config.d/lab.conf"
for unit in systemd-udevd.service systemd-udevd-kernel.socket systemd-udevd-control.socket \
  systemd-udev-trigger.service systemd-logind.service getty.target console-getty.service \
  systemd-modules-load.service sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
  systemd-firstboot.service systemd-networkd.service systemd-journald-audit.socket systemd-pcrphase.service \
  systemd-binfmt.service proc-sys-fs-binfmt_misc.automount e2scrub_reap.service \
  apt-daily.timer apt-daily-upgrade.timer; do
  ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
tar -C "$root" --one-file-system --numeric-owner --xattrs --xattrs-include=security.capability -cf "$OUTPUT" .
"""


def path(folder: Path, release: str) -> Path:
    """The archive of one base image; its name tells everything that went into it."""
    text = "\n".join((release, *PACKAGES, _RECIPE))
    return folder / f"debian-{release}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.tar"


def debian_uri() -> str:
    """The address of Debian's packages, from HEPSPARK_DEBIAN_URI or this machine's own apt configuration."""
    given = os.environ.get("HEPSPARK_DEBIAN_URI")
    if given:
        return given
    found = shell.output(
        [
            "apt-get",
            "indextargets",
            "--format",
            "$(REPO_URI) $(ORIGIN) $(COMPONENT) $(CODENAME)",
            "Identifier: Packages",
        ]
    )
    for line in found.splitlines():
        match line.split():
            case [uri, "Debian", "main", suite] if "-" not in suite:
                return uri
    raise DeployError(
        "apt on this machine has no source of Debian (main), and the lab makes its hosts from one: "
        "run `apt-get update`, or set HEPSPARK_DEBIAN_URI to the address of an archive"
    )


def _ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(timeout=_TELL_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


def _keyring(release: str) -> Path:
    """The keys of Debian's archive; a release that is newer than this machine's keys is refused."""
    keyring = _KEYRINGS / "debian-archive-keyring.gpg"
    if not keyring.exists() or not list(_KEYRINGS.glob(f"debian-archive-{SUITES[release]}-stable.*")):
        raise InputError(
            f"{_KEYRINGS} has no key of Debian {release} ({SUITES[release]}): bring the package "
            "debian-archive-keyring up to date"
        )
    return keyring


def clean(folder: Path) -> None:
    """Removes what processes that are no more left of base images they were making."""
    for rest in folder.glob("*.partial"):
        if not Path("/proc", rest.suffixes[-2].removeprefix(".")).exists():
            _remove(rest)


def _remove(partial: Path) -> None:
    partial.unlink(missing_ok=True)
    root = Path(f"{partial}.root")
    if root.exists():
        shutil.rmtree(root)  # what was mounted on it went with the process that mounted it


def make(folder: Path, release: str, tell: Callable[[str], None]) -> Path:
    """Makes one base image's archive unless it is there already.

    Returns:
        The archive, complete: it gets its name last.
    """
    archive = path(folder, release)
    if archive.exists():
        return archive
    folder.mkdir(parents=True, exist_ok=True)
    partial = archive.with_suffix(f".{os.getpid()}.partial")
    log = archive.with_suffix(".log")
    partial.touch()  # marks the work as begun
    tell(f"making the base image of Debian {release}, once: about two minutes")
    began = time.monotonic()
    try:
        with log.open("wb") as out:
            making = subprocess.Popen(  # noqa: S603 - nothing in it comes from outside
                [*shell.MORTAL, *_APART, "bash", "-c", _RECIPE],
                env={
                    **os.environ,
                    "KEYRING": str(_keyring(release)),
                    "PACKAGES": ",".join(PACKAGES),
                    "SUITE": SUITES[release],
                    "URI": debian_uri(),
                    "OUTPUT": str(partial),
                },
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        while not _ended(making):
            steps = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("I: ")]
            tell(f"Debian {release}, {time.monotonic() - began:.0f} s: {steps[-1][3:] if steps else 'begins'}")
        if making.returncode:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
            raise DeployError(f"the base image of Debian {release} could not be made (all of it in {log}):\n{tail}")
        partial.rename(archive)
        log.unlink()
    finally:
        _remove(partial)
    return archive


def name(folder: Path, release: str) -> str:
    """The name of a base image in podman's store, which tells its content as the archive's does."""
    return f"localhost/hepspark-lab/debian:{path(folder, release).stem.removeprefix('debian-')}"


def load(where: Places, release: str, tell: Callable[[str], None]) -> None:
    """Makes a base image and puts it into the store that all labs read."""
    archive = make(where.base, release, tell)
    partial = archive.with_suffix(f".{os.getpid()}.partial")
    work = Path(f"{partial}.root")
    kept = [folder for folder in _PODMAN_FOLDERS if folder.exists()]
    with (where.cache / "lab" / "images.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        partial.touch()
        work.mkdir()
        env = podman.images_environment(where) | {"TMPDIR": str(work)}
        shell.run(["podman", "import", "--quiet", str(archive), name(where.base, release)], env=env)
        podman.close_images(where)
        _remove(partial)
        for folder in _PODMAN_FOLDERS:
            if folder not in kept and folder.exists():
                shutil.rmtree(folder)
    archive.unlink()


def present(where: Places, release: str) -> bool:
    """Whether a base image is in the store."""
    return podman.has_image(where, name(where.base, release))
