"""What is free now: what a user's quota leaves and what the nodes have, for the form that asks for a flavor."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from hepspark.cluster import capacity
from hepspark.cluster.capacity import RESOURCES, Quota, quantity
from hepspark.kubernetes_spark import memory_of
from hepspark_hub.settings import Executors, Flavor


@dataclass(frozen=True)
class Room:
    """What is left; None where nothing bounds it."""

    cores: Decimal | None = None
    """Of the user's quota."""
    memory: Decimal | None = None
    """Of the user's quota, in bytes."""
    pods: Decimal | None = None
    """Of the user's quota."""
    limits: Mapping[str, Decimal] = field(default_factory=dict)
    """Of what pods may use at most, which a quota can bound by itself: cores and memory."""
    nodes: Sequence[capacity.Room] | None = None
    """What each node has left; None where nodes cannot be looked at."""
    whole: Sequence[capacity.Room] | None = None
    """What each node would have if nothing else ran; None likewise."""

    def told(self) -> str:
        """In a few words, for people."""
        yours = _amounts(self.cores, self.memory, self.pods)
        parts = [f"{yours} of your quota"] if yours else []
        if self.nodes:
            free = {key: sum((node.free[key] for node in self.nodes), Decimal(0)) for key in ("cpu", "memory")}
            parts.append(f"{_amounts(free['cpu'], free['memory'], None)} of the cluster")
        return "; ".join(parts)

    def lacks(self, flavor: Flavor) -> str:
        """What a server of a flavor would want beyond it; empty where it fits."""
        wanted = _server(flavor)
        most = wanted | {"cpu": Decimal(str(flavor.cores))}
        free = {"cpu": self.cores, "memory": self.memory, "pods": self.pods}
        lacking = [
            name
            for name, amount in wanted.items()
            if ((left := free[name]) is not None and amount > left)
            or ((limit := self.limits.get(name)) is not None and most[name] > limit)
        ]
        if lacking:
            named = {"cpu": "cores"}
            return f"your quota has too few {' and '.join(named.get(name, name) for name in lacking)} left"
        return "" if _one_holds(self.nodes, wanted) else "no node has that much free"

    def never_holds(self, flavor: Flavor) -> str:
        """What of a flavor is too large for every node, whatever runs there; empty where all of it can be started."""
        if not _one_holds(self.whole, _server(flavor)):
            return "no node is large enough for its server"
        if flavor.executors.instances and not _one_holds(self.whole, _executor(flavor.executors)):
            return "no node is large enough for one of its executors"
        return ""


def _server(flavor: Flavor) -> dict[str, Decimal]:
    """What the server of a flavor is sure of."""
    return {"cpu": Decimal(str(flavor.requested_cores)), "memory": quantity(flavor.memory), "pods": Decimal(1)}


def _executor(executors: Executors) -> dict[str, Decimal]:
    """What an executor is sure of."""
    cores = Decimal(str(executors.requested_cores or executors.cores))
    return {"cpu": cores, "memory": Decimal(memory_of(executors.memory).total_bytes), "pods": Decimal(1)}


def _one_holds(nodes: Sequence[capacity.Room] | None, wanted: Mapping[str, Decimal]) -> bool:
    """Whether there is a node for a pod, as far as nodes can be looked at."""
    return nodes is None or any(all(node.free[key] >= amount for key, amount in wanted.items()) for node in nodes)


def room(
    quotas: Iterable[Quota],
    nodes: Sequence[capacity.Room] | None = None,
    whole: Sequence[capacity.Room] | None = None,
) -> Room:
    """What the quotas of a namespace leave, the narrowest of them for each resource, and the nodes."""
    left: dict[str, Decimal] = {}
    limits: dict[str, Decimal] = {}
    for quota in quotas:
        for key, free in quota.free.items():
            if resource := RESOURCES.get(key):
                of = limits if key.startswith("limits.") else left
                of[resource] = max(min(of.get(resource, free), free), Decimal(0))
    return Room(left.get("cpu"), left.get("memory"), left.get("pods"), limits, nodes, whole)


def _amounts(cores: Decimal | None, memory: Decimal | None, pods: Decimal | None) -> str:
    parts = []
    if cores is not None:
        parts.append(f"{float(max(cores, Decimal(0))):.3g} cores")
    if memory is not None:
        parts.append(f"{max(memory, Decimal(0)) / 2**30:.1f} GiB")
    if pods is not None:
        parts.append(f"{pods.normalize():f} pods")
    return ", ".join(parts)
