"""`versions.yaml`: what the mirror holds, in which version, and how each component is obtained."""

from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from deploy.errors import InputError

VERSIONS_FILE = Path(__file__).with_name("versions.yaml")
# The entry, and its file, that stores the images of all others.
REGISTRY = "registry"
RECIPES = Path(__file__).with_name("go")
REPOSITORY = Path(__file__).parents[2]

# A path below the mirror: it can neither leave it nor be absolute.
RelativePath = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_{][A-Za-z0-9._{}#+-]*(/[A-Za-z0-9_{][A-Za-z0-9._{}#+-]*)*$")
]
Repository = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+([._/-][a-z0-9]+)*(:[A-Za-z0-9._-]+)?$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*$")]


class Model(BaseModel):
    """Read once, never changed, and closed: a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Go(Model):
    """Programs built from Go modules that `go/<component>/go.mod` and `go.sum` pin."""

    binaries: dict[Name, str]
    """Name of the program, and its package."""
    variables: dict[str, str] = {}
    """Values that the linker sets (`-X`), such as the version a program tells."""
    cgo: bool = False


class CSource(Model):
    """One C file of a Go module, linked statically."""

    component: Name
    """Whose go.mod pins the module."""
    module: str
    source: RelativePath


class DebianFile(Model):
    """One file out of a Debian package."""

    release: str
    package: str
    path: RelativePath


class DebianRoot(Model):
    """Packages, with what they depend on, unpacked as the root of an image."""

    release: str
    packages: tuple[str, ...]


class PythonTree(Model):
    """Locked Python requirements, installed into a folder and pruned."""

    requirements: tuple[RelativePath, ...]
    """Locked files, below the repository."""
    prune: RelativePath | None = None
    """Rules for what is left out; see deploy/images/README.md."""


class JavaTree(Model):
    """A Java runtime with the named modules of a Debian package's JDK."""

    release: str
    package: str
    modules: tuple[str, ...]


class MavenTree(Model):
    """Jars that a lock file names, with their checksums."""

    lock: RelativePath


class NodeTree(Model):
    """Packages of Node that a package-lock.json names, with their checksums."""

    lock: RelativePath
    """A folder with package.json and package-lock.json."""


class KernelsTree(Model):
    """Functions that numba compiles, as a module that needs no numba."""

    source: RelativePath


class PackageTree(Model):
    """This repository's own Python package."""

    sources: tuple[RelativePath, ...]


class CopyTree(Model):
    """A folder of the repository, as it is."""

    source: RelativePath


class Tree(Model):
    """A folder of an image; exactly one of these says how it is made."""

    python: PythonTree | None = None
    java: JavaTree | None = None
    maven: MavenTree | None = None
    node: NodeTree | None = None
    kernels: KernelsTree | None = None
    package: PackageTree | None = None
    copied: Annotated[CopyTree | None, Field(alias="copy")] = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError(f"one of {', '.join(type(self).model_fields)} must say how it is made")
        return self

    def inputs(self) -> tuple[str, ...]:
        """What of the repository it is made from."""
        match self:
            case Tree(python=PythonTree() as python):
                return (*python.requirements, *([python.prune] if python.prune else []))
            case Tree(maven=MavenTree() as maven):
                return (maven.lock,)
            case Tree(node=NodeTree() as node):
                return (node.lock,)
            case Tree(kernels=KernelsTree() as kernels):
                return (kernels.source,)
            case Tree(package=PackageTree() as package):
                return package.sources
            case Tree(copied=CopyTree() as copied):
                return (copied.source,)
        return ()


class Image(Model):
    """What an image consists of."""

    base: str | None = None
    """`component/image` that this one adds a layer to."""
    binaries: dict[RelativePath, str] = {}
    """Path in the image, and which program goes there."""
    trees: dict[RelativePath, Name] = {}
    """Path in the image, and which tree goes there, each in a layer of its own, in this order."""
    files: dict[RelativePath, RelativePath] = {}
    """Path in the image, and which file of the repository goes there, to be executed."""
    environment: dict[str, str] = {}
    debian: DebianRoot | None = None
    applets: RelativePath | None = None
    """A BusyBox in the image, whose commands become links to it."""
    bind_low_ports: tuple[RelativePath, ...] = ()
    """Programs that may open ports below 1024 without being root."""
    user: str = "0:0"
    account: Name | None = None
    """Name of that user, for programs that ask for one."""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()


class Build(Model):
    """How a component is made here."""

    go: Go | None = None
    c: dict[Name, CSource] = {}
    debian: dict[Name, DebianFile] = {}
    trees: dict[Name, Tree] = {}
    archives: dict[Name, dict[RelativePath, str]] = {}
    """Files that are a tar.gz: the path of each member, and which program it is."""
    images: dict[Name, Image] = {}


class Upstream(Model):
    """Names of the sources that files and images are fetched from; the operator gives their addresses."""

    files: Name | None = None
    images: Name | None = None


class Component(Model):
    """One entry of the mirror."""

    version: Annotated[str, StringConstraints(pattern=r"^v?[0-9][A-Za-z0-9._-]*$")]
    licence: str
    files: dict[Name, RelativePath] = {}
    images: dict[Name, Repository] = {}
    build: Build
    upstream: Upstream | None = None

    def resolve(self, text: str) -> str:
        """Text with the version put in."""
        return text.replace("{version#v}", self.version.removeprefix("v")).replace("{version}", self.version)

    def paths(self) -> dict[str, str]:
        """Where each file is below the mirror's base URL."""
        return {name: self.resolve(path) for name, path in self.files.items()}

    def references(self) -> dict[str, str]:
        """`repository:tag` of each image; the tag is the version where none is given."""
        resolved = {name: self.resolve(image) for name, image in self.images.items()}
        return {name: image if ":" in image else f"{image}:{self.version}" for name, image in resolved.items()}

    @model_validator(mode="after")
    def _is_made(self) -> Self:
        made = {*(self.build.go.binaries if self.build.go else {}), *self.build.c, *self.build.debian}
        wanted = {name for name in self.files if name not in self.build.archives}
        wanted |= {program for members in self.build.archives.values() for program in members.values()}
        wanted |= {program for image in self.build.images.values() for program in image.binaries.values()}
        made |= self.build.trees.keys()
        wanted |= {tree for image in self.build.images.values() for tree in image.trees.values()}
        if missing := sorted(wanted - made):
            raise ValueError(f"nothing in `build` makes {', '.join(missing)}")
        if missing := sorted(self.images.keys() ^ self.build.images.keys()):
            raise ValueError(
                f"`images` and `build.images` must name the same images; they differ in {', '.join(missing)}"
            )
        if stray := sorted(self.build.archives.keys() - self.files.keys()):
            raise ValueError(f"`build.archives` names {', '.join(stray)}, which `files` does not")
        return self


_NOTHING = Component(version="0", licence="", build=Build())


class DebianRelease(Model):
    """The host packages of one Debian release."""

    suite: Name
    packages: Annotated[tuple[str, ...], Field(min_length=1)]


class Versions(Model):
    """The whole file."""

    components: dict[Name, Component]
    debian: dict[Annotated[str, StringConstraints(pattern=r"^[0-9]+$")], DebianRelease]

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        outputs = [o for c in self.components.values() for o in (*c.paths().values(), *c.references().values())]
        if twice := sorted({output for output in outputs if outputs.count(output) > 1}):
            raise ValueError(f"two entries make {', '.join(twice)}")
        stored = [name for name, component in self.components.items() if component.images]
        if stored and REGISTRY not in self.components.get(REGISTRY, _NOTHING).files:
            raise ValueError(
                f"{', '.join(stored)} have images: that needs a component {REGISTRY} with a file {REGISTRY}"
            )
        finished: set[str] = set()
        for name, component in self.components.items():
            for image in component.build.images.values():
                if image.base and image.base not in finished:
                    raise ValueError(f"{name} has the base {image.base}, which is not an image of an entry before it")
            finished |= {f"{name}/{image}" for image in component.images}
            roots = [image.debian.release for image in component.build.images.values() if image.debian]
            for release in (*roots, *(file.release for file in component.build.debian.values())):
                if release not in self.debian:
                    raise ValueError(f"{name} needs Debian {release}, which `debian` does not have")
        return self


def load_versions(path: Path = VERSIONS_FILE) -> Versions:
    """The entries of a versions file.

    Raises:
        InputError: The file cannot be read, is not YAML, or has an unknown or missing key.
    """
    try:
        return Versions.model_validate(yaml.safe_load(path.read_text()))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not YAML: {error}") from None
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, e['loc'])) or 'the file'}: {e['msg']}" for e in error.errors()]
        raise InputError(f"{path} is wrong:\n  " + "\n  ".join(faults)) from None
