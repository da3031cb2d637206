"""What a lab is: its hosts, their addresses and sizes, and where its things lie."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from deploy.errors import DeployError, InputError

DOMAIN = "lab.internal"
# cp1, w1, w2, … alternate, so that every lab tests both.
RELEASES = ("12", "13")
MIRROR_MEMORY = 1 << 30

Role = Literal["control_plane", "workers", "mirror"]


class Host(BaseModel):
    """One host; `memory` is in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    role: Role
    release: str
    address: str
    cpus: float
    memory: int


class Lab(BaseModel):
    """A lab as it shall be; kept in its state folder as long as it exists."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    network: str
    open: bool
    cpus: float
    memory: int
    hosts: tuple[Host, ...]

    @property
    def bridge(self) -> str:
        """The lab's one interface on this machine; the hosts' ends begin with it too."""
        return f"hl-{self.name}"

    @property
    def gateway(self) -> str:
        """This machine's address in the lab's network."""
        return str(ipaddress.ip_network(self.network)[1])

    def host(self, name: str) -> Host:
        """The host of that name."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise InputError(f"the lab `{self.name}` has no host `{name}`: it has {', '.join(h.name for h in self.hosts)}")

    def of(self, role: Role) -> tuple[Host, ...]:
        """The hosts of one role."""
        return tuple(host for host in self.hosts if host.role == role)


class Places(BaseModel):
    """Where one lab's things lie; `base` and `images` are every lab's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    cache: Path
    state: Path
    run: Path

    @property
    def base(self) -> Path:
        """Base images being made."""
        return self.cache / "lab" / "base"

    @property
    def images(self) -> Path:
        """Podman's store of base images, which the labs only read."""
        return self.cache / "lab" / "images"

    @property
    def storage(self) -> Path:
        """Podman's store of this lab: its hosts' disks."""
        return self.cache / "lab" / f"storage-{self.name}"

    @property
    def mirror(self) -> Path:
        """The mirror that the host `mirror` serves."""
        return self.cache / "mirror"

    @property
    def lab(self) -> Path:
        """The lab as it shall be."""
        return self.state / "state.json"

    def namespace(self, host: str) -> Path:
        """The network namespace of a host."""
        return self.run / "netns" / host


def places(name: str) -> Places:
    """Where the lab of that name lies."""
    home = Path.home()
    return Places(
        name=name,
        cache=Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "hepspark",
        state=Path(os.environ.get("XDG_STATE_HOME") or home / ".local/state") / "hepspark" / name,
        run=Path("/run") / f"hepspark-{name}",
    )


def load(where: Places) -> Lab | None:
    """The lab that was made or begun, if any."""
    try:
        return Lab.model_validate_json(where.lab.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise DeployError(
            f"{where.lab} is not the state of a lab of this version; remove that lab with `make lab-down`: {error}"
        ) from None


def save(where: Places, lab: Lab) -> None:
    """Writes the lab's state; readers see the old or the new one."""
    where.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    where.state.chmod(0o700)
    new = where.lab.with_suffix(".new")
    new.write_text(lab.model_dump_json(indent=2) + "\n")
    new.replace(where.lab)


def free_address(network: str, taken: Iterable[str], start: int) -> str:
    """The first free address from the `start`-th on."""
    addresses = ipaddress.ip_network(network)
    used = set(taken)
    for number in range(start, addresses.num_addresses - 1):
        if str(addresses[number]) not in used:
            return str(addresses[number])
    raise InputError(f"no address is left in {network}: give a larger --network")


def with_worker(lab: Lab, name: str) -> Lab:
    """The lab with one more worker, of the lab's flavour."""
    workers = lab.of("workers")
    host = Host(
        name=name,
        role="workers",
        release=RELEASES[(len(workers) + 1) % 2],
        address=free_address(lab.network, (h.address for h in lab.hosts), 21),
        cpus=lab.cpus,
        memory=lab.memory,
    )
    return lab.model_copy(update={"hosts": (*lab.hosts, host)})


def free_worker(lab: Lab) -> str:
    """The first of w1, w2, … that the lab does not have."""
    names = {one.name for one in lab.hosts}
    return next(name for number in range(1, len(names) + 2) if (name := f"w{number}") not in names)


def without(lab: Lab, name: str) -> Lab:
    """The lab without one of its workers."""
    host = lab.host(name)
    if host.role != "workers":
        raise InputError(
            f"`{name}` is not a worker, and only workers can be removed: `make lab-down` removes the whole lab"
        )
    return lab.model_copy(update={"hosts": tuple(h for h in lab.hosts if h.name != name)})


def new(name: str, *, network: str, workers: int, cpus: float, memory: int, way_out: bool) -> Lab:
    """A lab of one control plane, workers and a mirror."""
    addresses = ipaddress.ip_network(network)
    fixed = (
        Host(name="mirror", role="mirror", release="12", address=str(addresses[2]), cpus=cpus, memory=MIRROR_MEMORY),
        Host(name="cp1", role="control_plane", release="12", address=str(addresses[11]), cpus=cpus, memory=memory),
    )
    lab = Lab(name=name, network=network, open=way_out, cpus=cpus, memory=memory, hosts=fixed)
    for number in range(1, workers + 1):
        lab = with_worker(lab, f"w{number}")
    return lab


def memory(text: str) -> int:
    """A size such as `4g` or `512m`, in bytes."""
    found = re.fullmatch(r"(\d+)([mg])", text.lower())
    if not found:
        raise InputError(f"`{text}` is not a size of memory: give for instance 4g or 1500m")
    return int(found[1]) << {"m": 20, "g": 30}[found[2]]
