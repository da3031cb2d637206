"""Images of the mirror, unpacked: their programs run in their own files, as in a container."""

import json
import os
import signal
import socket
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.mirror.places import Places, default_folder
from deploy.mirror.registry import blob_path, stored_digest
from deploy.mirror.versions import load_versions

DEVICES = {"null": 3, "zero": 5, "random": 8, "urandom": 9}
"""Name to minor number."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Image:
    """An image whose files are in a folder."""

    name: str
    config: dict[str, Any]
    """What the image says of itself, as `User`, `Env` and `Entrypoint`."""
    root: Path

    @property
    def environment(self) -> dict[str, str]:
        """Variables of a container."""
        return {"PATH": PATH, **dict(variable.split("=", 1) for variable in self.config["Env"])}

    def command(self, *program: str, root: Path | str | None = None) -> list[str | Path]:
        """What runs a program as the image's user."""
        return ["/usr/sbin/chroot", "--userspec", self.config["User"], root or self.root, *program]

    @contextmanager
    def container(self, *arguments: str, variables: dict[str, str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
        """A container of the image on the network of this machine; all its processes end with the block."""
        init, _, *entrypoint = self.config["Entrypoint"]
        separate = ["unshare", "--mount", "--pid", "--fork", "--kill-child", f"--root={self.root}", "--mount-proc"]
        # The first process stays root's: another user's would outlive the one that started it.
        own = [*separate, init, "--", *self.command(*entrypoint, *arguments, root="/")]
        with log.open("wb") as output:
            process = subprocess.Popen(
                own, env=self.environment | variables, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                first = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
                os.kill(int(first), signal.SIGKILL)  # and all others of the container
                process.wait()


def unpacked(name: str, root: Path) -> Image:
    """Unpack an image into a folder that is there."""
    assert os.geteuid() == 0, "chroot needs root"
    places = Places(default_folder())
    reference = load_versions().components[name].references()[name]
    digest = stored_digest(places.registry, reference)
    if digest is None:
        pytest.fail(f"{reference} is not in the mirror: run `make images`", pytrace=False)
    manifest = json.loads(blob_path(places.registry, digest).read_bytes())
    for layer in manifest["layers"]:
        with tarfile.open(blob_path(places.registry, layer["digest"])) as archive:
            archive.extractall(root, filter="fully_trusted")
    root.chmod(0o755)  # which the image's user has to enter
    for folder in ("dev", "etc", "proc"):
        (root / folder).mkdir(exist_ok=True)
    for device, minor in DEVICES.items():
        (root / "dev" / device).unlink(missing_ok=True)
        os.mknod(root / "dev" / device, stat.S_IFCHR | 0o666, os.makedev(1, minor))
        (root / "dev" / device).chmod(0o666)
    (root / "dev/fd").symlink_to("/proc/self/fd")  # for bash
    (root / "etc/hosts").write_text(f"127.0.0.1 localhost {socket.gethostname()}\n")
    about = json.loads(blob_path(places.registry, manifest["config"]["digest"]).read_bytes())
    return Image(name, about["config"], root)
