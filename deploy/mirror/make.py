"""Making one entry: its programs, then the files and images that consist of them."""

import gzip
import io
import shutil
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

from deploy.errors import DeployError, InputError
from deploy.mirror import bom, entries, registry
from deploy.mirror.builders import debian, go, image, trees
from deploy.mirror.entries import Artefact, Entry
from deploy.mirror.order import Order
from deploy.mirror.places import Places
from deploy.mirror.upstream import fetch_files, fetch_images
from deploy.mirror.workshop import Task, Workshop

# Each makes the programs that its part of `build` names, and none where there is no such part.
BUILDERS: tuple[Callable[[Task], dict[str, Path]], ...] = (
    go.build_go,
    go.build_c,
    debian.build_debian,
    trees.build_trees,
)


def make(order: Order, name: str, work: Path, serve: Callable[[], str], tell: Callable[[str], None]) -> None:
    """Make an entry and keep it.

    Args:
        order: What to make it from.
        name: Its name.
        work: Temporary folder.
        serve: Gives the address of the running registry, and starts it at its first use.
        tell: Receives lines of progress.
    """
    begin = time.monotonic()
    log = order.places.logs / f"{name}.log"
    log.unlink(missing_ok=True)
    component = order.versions.components.get(name)
    if component:
        tell(f"{name} {component.version}: {'fetching' if order.is_fetched(component) else 'building'}")
        task = Task(work, log, order.versions, order.apt_sources, name, component)
        version, licence = component.version, component.licence
        source, artefacts = _make_component(order, task, serve)
    else:
        release = name.removeprefix("debian-")
        spec = order.versions.debian[release]
        tell(f"{name}: fetching packages")
        artefacts = _make_release(order, Workshop(work, log, order.versions, order.apt_sources), release)
        version, source = spec.suite, f"Debian {release} ({spec.suite})"
        licence = "in each package: /usr/share/doc/*/copyright"
    seconds = time.monotonic() - begin
    entry = Entry(
        name=name,
        version=version,
        licence=licence,
        source=source,
        key=order.key(name),
        seconds=round(seconds, 1),
        artefacts=tuple(artefacts),
    )
    entries.write(order.places, entry)
    bom.write(order.places, order.versions)
    tell(f"{name}: done in {seconds:.0f} s")


def _make_component(order: Order, task: Task, serve: Callable[[], str]) -> tuple[str, list[Artefact]]:
    """What the component is made from, and its artefacts, in their places."""
    name, component = task.name, task.component
    for reference in component.references().values():
        digest = registry.stored_digest(order.places.registry, reference)
        for damaged in registry.lacking(order.places.registry, digest) if digest else ():
            damaged.unlink(missing_ok=True)  # the registry would take it for good, because it is there
    files: dict[str, Path] = {}
    if order.is_fetched(component):
        if order.sources is None:
            raise InputError("--mode upstream needs --sources FILE")
        files = fetch_files(name, component, order.sources, task.folder("fetched"))
        if component.images:
            fetch_images(name, component, order.sources, serve(), task.log)
        source = f"upstream: {', '.join(order.sources.of(component))}"
    else:
        programs = {program: path for build in BUILDERS for program, path in build(task).items()}
        for file, path in component.paths().items():
            members = component.build.archives.get(file)
            files[path] = _archive(task, file, members, programs) if members else programs[file]
        for file, reference in component.references().items():
            layout = image.assemble(task, file, programs, _base(order, component.build.images[file].base))
            registry.push(layout, serve(), reference, task.log)
            shutil.rmtree(layout)
            shutil.rmtree(task.folder("layers"))
        source = image.origin(component)
    artefacts = [
        _image_artefact(order.places, file, component.version, reference)
        for file, reference in component.references().items()
    ]
    artefacts += [_publish(order.places, content, path, component.version) for path, content in files.items()]
    shutil.rmtree(task.folder("programs", name))  # room for the next one's
    return source, artefacts


def _base(order: Order, name: str | None) -> image.Base | None:
    """The image that another one adds to: `component/image`, which is finished."""
    if name is None:
        return None
    component, _, own = name.partition("/")
    return image.Base.stored(order.places.registry, order.versions.components[component].references()[own])


def _archive(task: Task, name: str, members: dict[str, str], programs: dict[str, Path]) -> Path:
    """A tar.gz of programs, the same bytes for the same programs."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, program in sorted(members.items()):
            member = tarfile.TarInfo(path)
            member.mode, member.size = 0o755, programs[program].stat().st_size
            with programs[program].open("rb") as source:
                archive.addfile(member, source)
    target = task.folder("archives") / f"{task.name}-{name}.tar.gz"
    target.write_bytes(gzip.compress(content.getvalue(), 6, mtime=0))
    return target


def _publish(places: Places, content: Path, path: str, version: str) -> Artefact:
    """Put a file into its place, whole, with its checksum beside it."""
    target = places.www / path
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f".{target.name}.new")
    shutil.copyfile(content, new)
    new.chmod(0o644)
    checksum, size = entries.file_checksum(new), new.stat().st_size
    target.with_name(f"{target.name}.sha256").write_text(checksum.removeprefix("sha256:") + "\n")
    new.replace(target)
    return Artefact(kind="file", name=target.name, version=version, place=path, checksum=checksum, size=size)


def _image_artefact(places: Places, name: str, version: str, reference: str) -> Artefact:
    digest = registry.stored_digest(places.registry, reference)
    if digest is None:
        raise DeployError(f"{reference} was pushed, but the registry's folder {places.registry} does not have it")
    size = registry.image_size(places.registry, digest)
    return Artefact(kind="image", name=name, version=version, place=reference, checksum=digest, size=size)


def _make_release(order: Order, shop: Workshop, release: str) -> list[Artefact]:
    """The packages of a Debian release, in their signed repository."""
    spec = order.versions.debian[release]
    folder = order.places.www / "debian" / release
    staged = folder.with_name(f".{release}.new")
    shutil.rmtree(staged, ignore_errors=True)
    debian.write_repository(debian.download(shop, release, spec.packages), staged, spec.suite, shop.log)
    shutil.rmtree(folder, ignore_errors=True)
    staged.rename(folder)
    debian.sign([path.parent for path in folder.parent.glob("*/Release")], folder.parent / "key.asc", shop.log)
    artefacts = []
    for path in sorted((folder / "pool").iterdir()):
        name, version = debian.package_version(path, shop.log)
        artefacts.append(
            Artefact(
                kind="package",
                name=name,
                version=version,
                place=path.relative_to(order.places.www).as_posix(),
                checksum=entries.file_checksum(path),
                size=path.stat().st_size,
            )
        )
    return artefacts
