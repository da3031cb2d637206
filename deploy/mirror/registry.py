"""The image registry while the mirror is filled: a process on the loopback address only."""

import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.errors import DeployError
from deploy.mirror.process import run, running

START_SECONDS = 30


@contextmanager
def serve(binary: Path, storage: Path, work: Path, log: Path) -> Iterator[str]:
    """Run a registry on a folder; the value is its address.

    Raises:
        DeployError: It did not answer in time.
    """
    storage.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"127.0.0.1:{port}"
    configuration = write_configuration(work / f"registry-{port}.yaml", storage, address)
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("a") as output,
        running(
            [_executable(binary, work), "serve", configuration], output.fileno(), stdout=output.fileno()
        ) as process,
    ):
        _wait(address, process, log)
        yield address


def write_configuration(path: Path, storage: Path, address: str) -> Path:
    """A configuration for `registry`."""
    path.write_text(
        f"version: 0.1\nlog: {{level: warn, accesslog: {{disabled: true}}}}\n"
        f"storage:\n  filesystem: {{rootdirectory: {storage}}}\n  delete: {{enabled: true}}\n"
        f"http: {{addr: '{address}'}}\n"
    )
    return path


def _wait(address: str, process: subprocess.Popen[str], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://{address}/v2/", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise DeployError(f"the registry does not answer on {address}; see {log}")


def push(layout: Path, address: str, reference: str, log: Path) -> None:
    """Put an image, given as an OCI layout, into the registry."""
    copy(f"oci:{layout}", f"docker://{address}/{reference}", log, "--dest-tls-verify=false")


def copy(source: str, destination: str, log: Path, *options: str) -> None:
    """Copy an image as it is: the digest stays."""
    # No policy file is needed (Debian's skopeo does not bring one), because the digests are what is trusted.
    run(["skopeo", "--insecure-policy", "copy", "--quiet", "--preserve-digests", *options, source, destination], log)


def stored_digest(storage: Path, reference: str) -> str | None:
    """The digest that a tag stands for in a registry's folder; None if it is not there."""
    repository, _, tag = reference.rpartition(":")
    link = _tag_folder(storage, repository, tag) / "current" / "link"
    return link.read_text().strip() if link.is_file() else None


def blob_path(storage: Path, digest: str) -> Path:
    """Where a registry's folder has the content of a digest."""
    algorithm, _, value = digest.partition(":")
    return storage / "docker" / "registry" / "v2" / "blobs" / algorithm / value[:2] / value / "data"


def references(storage: Path) -> set[str]:
    """`repository:tag` of every image in a registry's folder."""
    repositories = storage / "docker" / "registry" / "v2" / "repositories"
    return {
        f"{tag.parents[2].relative_to(repositories).as_posix()}:{tag.name}"
        for tag in repositories.glob("**/_manifests/tags/*")
    }


def _tag_folder(storage: Path, repository: str, tag: str) -> Path:
    return storage / "docker" / "registry" / "v2" / "repositories" / repository / "_manifests" / "tags" / tag


def image_size(storage: Path, digest: str) -> int:
    """Bytes that are transferred to pull an image: manifests, configurations and layers."""
    return blob_path(storage, digest).stat().st_size + sum(size for _, size in _parts(storage, digest))


def blobs(storage: Path, digest: str) -> set[str]:
    """Digests of everything an image consists of."""
    return {digest, *(part for part, _ in _parts(storage, digest))}


def lacking(storage: Path, digest: str) -> list[Path]:
    """Where a part of an image should be, but is not, or has another size."""
    manifest = blob_path(storage, digest)
    if not manifest.is_file():
        return [manifest]
    try:
        parts = [(blob_path(storage, part), size) for part, size in _parts(storage, digest)]
    except (OSError, ValueError, KeyError):  # a manifest that is damaged, or lacks a part that is a manifest itself
        return [manifest]
    return [path for path, size in parts if not path.is_file() or path.stat().st_size != size]


def _parts(storage: Path, digest: str) -> Iterator[tuple[str, int]]:
    """Digest and size of what a manifest names, and of what that names."""
    manifest = json.loads(blob_path(storage, digest).read_bytes())
    for part in manifest.get("manifests", ()):  # an image for several kinds of machine
        yield part["digest"], part["size"]
        yield from _parts(storage, part["digest"])
    if "manifests" not in manifest:
        yield from ((part["digest"], part["size"]) for part in [manifest["config"], *manifest["layers"]])


def forget(storage: Path, reference: str) -> None:
    """Remove a tag; `collect` then frees what only it needed."""
    repository, _, tag = reference.rpartition(":")
    shutil.rmtree(_tag_folder(storage, repository, tag))


def collect(binary: Path, storage: Path, log: Path) -> None:
    """Delete what no tag needs any more."""
    with tempfile.TemporaryDirectory(prefix="hepspark-registry-") as folder:
        configuration = write_configuration(Path(folder) / "config.yaml", storage, "127.0.0.1:0")
        run([_executable(binary, Path(folder)), "garbage-collect", "--delete-untagged", configuration], log)


def _executable(binary: Path, folder: Path) -> Path:
    """A copy that can be run: files of the mirror are data."""
    copy_of_it = folder / "registry"
    shutil.copyfile(binary, copy_of_it)
    copy_of_it.chmod(0o755)
    return copy_of_it
