"""The lab as a whole: made, looked at, changed; `cleanup` removes it."""

from __future__ import annotations

import contextlib
import fcntl
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from deploy.errors import DeployError, InputError
from deploy.lab import base, checks, host, keys, limits, machine, model, network, podman
from deploy.lab.model import Host, Lab, Places

T = TypeVar("T")

NETWORK = "10.89.77.0/24"
WORKERS = 2
CPUS = 2.0
MEMORY = "5g"


def say(text: str) -> None:
    """Tells the operator how it goes."""
    sys.stderr.write(f"lab: {text}\n")


@contextlib.contextmanager
def locked(where: Places) -> Iterator[None]:
    """One command at a time on a lab."""
    path = where.cache / "lab" / f"{where.name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DeployError(
                f"another command works on the lab `{where.name}`: wait until that command ends"
            ) from None
        yield


def existing(where: Places) -> Lab:
    """The lab that is there."""
    lab = model.load(where)
    if lab is None:
        raise InputError(f"there is no lab `{where.name}`: make it with `make lab`")
    return lab


def plan(
    where: Places,
    *,
    workers: int | None,
    cpus: float | None,
    memory: str | None,
    network: str | None,
    way_out: bool | None,
) -> Lab:
    """The lab as it shall be: a new one, or the one that is there with what may change of it."""
    size = None if memory is None else model.memory(memory)
    lab = model.load(where)
    if lab is None:
        return model.new(
            where.name,
            network=network or NETWORK,
            workers=WORKERS if workers is None else workers,
            cpus=cpus or CPUS,
            memory=size or model.memory(MEMORY),
            way_out=bool(way_out),
        )
    for option, given, there in (
        ("cpus", cpus, lab.cpus),
        ("memory", size, lab.memory),
        ("network", network, lab.network),
    ):
        if given is not None and given != there:
            raise InputError(
                f"--{option} cannot change in a lab that exists: remove the lab first with `make lab-down`"
            )
    while workers is not None and len(lab.of("workers")) < workers:
        lab = model.with_worker(lab, model.free_worker(lab))
    if workers is not None and len(lab.of("workers")) > workers:
        raise InputError(
            f"--workers {workers}: the lab has {len(lab.of('workers'))}; remove one from the cluster first, then run "
            "`python -m deploy.lab remove HOST`"
        )
    return lab if way_out is None else lab.model_copy(update={"open": way_out})


def up(where: Places, lab: Lab) -> None:
    """Brings the lab to what it shall be; what is there already stays as it is."""
    began = time.monotonic()
    checks.programs()
    there = podman.containers(where) if model.load(where) else {}
    coming = [one for one in lab.hosts if one.name not in there]
    missing = _without_base(where, {one.release for one in coming})
    checks.everything(where.cache, lab, coming, len(missing))
    model.save(where, lab)
    machine.record(machine.KERNEL, machine.SETTINGS)
    where.run.mkdir(exist_ok=True)  # from here on this lab counts
    where.mirror.mkdir(parents=True, exist_ok=True)
    _make_bases(where, missing)
    keys.ssh_key(where)
    keys.certificates(where, lab.of("mirror")[0].address)
    keys.known_hosts(where, lab)
    network.up(where, lab)
    started = _together(lab.hosts, lambda one: _start(where, lab, one))
    _rename(where, lab)
    changed = [one.name for one, did in zip(lab.hosts, started, strict=True) if did]
    if changed:
        say(f"{', '.join(changed)} ready after {time.monotonic() - began:.0f} s")
    else:
        say("all hosts run already")


def prepare(where: Places) -> None:
    """Brings about what the first lab of a machine begins with: the programs, and the base images of all hosts."""
    checks.programs()
    missing = _without_base(where, base.SUITES)
    checks.disk(where.cache, (), len(missing))
    _make_bases(where, missing)


def _without_base(where: Places, releases: Iterable[str]) -> list[str]:
    return [release for release in sorted(releases) if not base.present(where, release)]


def _make_bases(where: Places, releases: Collection[str]) -> None:
    base.clean(where.base)
    _together(releases, lambda release: base.load(where, release, say))


def _start(where: Places, lab: Lab, one: Host) -> bool:
    did = host.start(where, lab, one, base.name(where.base, one.release))
    host.ready(where, one, fresh=did)
    return did


def _rename(where: Places, lab: Lab) -> None:
    known = podman.containers(where)
    _together(
        [one for one in lab.hosts if one.name in known and known[one.name].running],
        lambda one: host.rename(where, lab, one),
    )


def _together(things: Collection[T], work: Callable[[T], object]) -> list[object]:
    with ThreadPoolExecutor(max_workers=max(1, len(things))) as pool:
        return list(pool.map(work, things))


def add(where: Places, name: str) -> None:
    """Makes one more worker."""
    lab = existing(where)
    up(where, lab if name in {one.name for one in lab.of("workers")} else model.with_worker(lab, name))


def remove(where: Places, name: str) -> None:
    """Removes a worker."""
    lab = existing(where)
    rest = model.without(lab, name)
    host.remove(where, lab, lab.host(name))
    model.save(where, rest)
    keys.known_hosts(where, rest)
    _rename(where, rest)


def stop(where: Places, name: str, *, cut: bool) -> None:
    """Shuts a host down, or cuts its power."""
    lab = existing(where)
    one = lab.host(name)
    host.stop(where, one, cut=cut)
    network.detach(where, lab, one)


def start(where: Places, name: str) -> None:
    """Starts a host."""
    lab = existing(where)
    network.up(where, lab)
    _start(where, lab, lab.host(name))
    _rename(where, lab)


def status(where: Places) -> dict[str, object]:
    """The lab, its hosts and the machine's limits, for people and programs."""
    lab = existing(where)
    known = podman.containers(where)
    hosts = []
    for one in lab.hosts:
        container = known.get(one.name)
        state = "missing" if container is None else "running" if container.running else "stopped"
        used = podman.memory_used(where, container) if container else None
        hosts.append({**one.model_dump(), "state": state, "memory_used": used})
    found = limits.limits(limits.detect(), cpus=lab.cpus, memory=lab.memory)
    return {
        "name": lab.name,
        "network": lab.network,
        "open": lab.open,
        "hosts": hosts,
        "limits": [one.model_dump() for one in found],
    }


def table(where: Places) -> str:
    """The same for people."""
    found = status(where)
    assert isinstance(found["hosts"], list)  # noqa: S101
    lines = [f"lab `{found['name']}` on {found['network']}, {'open' if found['open'] else 'closed'}"]
    for one in found["hosts"]:
        used = "" if one["memory_used"] is None else f"{one['memory_used'] >> 20} of "
        lines.append(
            f"  {one['name']:8} {one['address']:15} Debian {one['release']}  {one['state']:8}"
            f" {one['cpus']:g} CPUs, {used}{one['memory'] >> 20} MB"
        )
    return "\n".join(lines) + "\n"
