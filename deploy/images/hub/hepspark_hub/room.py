"""What is free now: what a user's quota leaves and what the nodes have, for the form that asks for a flavor."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from hepspark.cluster import capacity
from hepspark.cluster.capacity import RESOURCES, Amounts, Quota, quantity
from hepspark.kubernetes_spark import memory_of
from hepspark_hub.settings import Executors, Flavor

_RESOURCES = ("cpu", "memory", "pods")
_UNITS = {"cpu": "core", "memory": "GiB", "pods": "pod"}
_STEPS = {"cpu": Decimal("0.01"), "memory": Decimal("0.1"), "pods": Decimal(1)}


@dataclass(frozen=True)
class Room:
    """What is left of cpu (cores), memory (bytes) and pods; what nothing bounds is not there."""

    quota: Amounts = field(default_factory=dict)
    """Of the user's quota."""
    limits: Amounts = field(default_factory=dict)
    """Of what pods may use at most, which a quota can bound by itself."""
    nodes: Sequence[capacity.Room] | None = None
    """What each node has left; None where nodes cannot be looked at."""
    whole: "Room | None" = None
    """What there would be if no pod ran but those that every node has; None where that is not asked."""

    def told(self) -> str:
        """In a few words, for people."""
        parts = [f"{', '.join(_told(self.quota))} of your quota"] if self.quota else []
        if self.nodes:
            free = {key: sum((node.free[key] for node in self.nodes), Decimal(0)) for key in ("cpu", "memory")}
            parts.append(f"{', '.join(_told(free))} of the cluster")
        return "; ".join(parts)

    def lacks(self, flavor: Flavor) -> str:
        """What a server of a flavor would want beyond it; empty where it fits."""
        if over := self._over_quota(flavor):
            return f"your quota has too few {' and '.join({'cpu': 'cores'}.get(key, key) for key in over)} left"
        return "" if _one_holds(self.nodes, _server(flavor)) else "no node has that much free"

    def never_holds(self, flavor: Flavor) -> str:
        """What of a flavor is too large, whatever else runs: what it needs and what there is; empty where all fits."""
        if self.whole is None:
            return ""
        if over := self.whole._over_quota(flavor):
            needed, there = ({key: pair[which] for key, pair in over.items()} for which in (0, 1))
            return f"its server needs {_needed(needed)}, and your quota is {' and '.join(_told(there))}"
        pods = {"its server": _server(flavor)}
        if flavor.executors.instances:
            pods["each of its executors"] = _executor(flavor.executors)
        for what, wanted in pods.items():
            if not _one_holds(self.whole.nodes, wanted):
                return f"{what} needs {_needed(wanted)}, and {_largest(self.whole.nodes or ())}"
        return ""

    def _over_quota(self, flavor: Flavor) -> dict[str, tuple[Decimal, Decimal]]:
        """Of which resources a server wants more than the quota has: how much it wants, and how much there is."""
        sure = _server(flavor)
        most = sure | {"cpu": Decimal(str(flavor.cores))}
        return {
            key: (wanted[key], bounds[key])
            for key in _RESOURCES
            for wanted, bounds in ((most, self.limits), (sure, self.quota))
            if key in bounds and wanted[key] > bounds[key]
        }


def room(
    quotas: Iterable[Quota],
    nodes: Sequence[capacity.Room] | None = None,
    whole: Sequence[capacity.Room] | None = None,
) -> Room:
    """What is left.

    Args:
        quotas: Of a namespace; the narrowest of them counts, for each resource.
        nodes: What each node has left; None where nodes cannot be looked at.
        whole: What each node would have if no pod ran but those that every node has; None likewise.
    """
    quotas = list(quotas)
    return replace(_left([each.free for each in quotas], nodes), whole=_left([each.hard for each in quotas], whole))


def _left(quotas: Iterable[Amounts], nodes: Sequence[capacity.Room] | None) -> Room:
    left: dict[str, Decimal] = {}
    limits: dict[str, Decimal] = {}
    for quota in quotas:
        for key, free in quota.items():
            if resource := RESOURCES.get(key):
                of = limits if key.startswith("limits.") else left
                of[resource] = max(min(of.get(resource, free), free), Decimal(0))
    return Room({key: left[key] for key in _RESOURCES if key in left}, limits, nodes)


def _server(flavor: Flavor) -> dict[str, Decimal]:
    """What the server of a flavor is sure of."""
    return {"cpu": Decimal(str(flavor.requested_cores)), "memory": quantity(flavor.memory), "pods": Decimal(1)}


def _executor(executors: Executors) -> dict[str, Decimal]:
    """What an executor is sure of."""
    cores = Decimal(str(executors.requested_cores or executors.cores))
    return {"cpu": cores, "memory": Decimal(memory_of(executors.memory).total_bytes), "pods": Decimal(1)}


def _one_holds(nodes: Sequence[capacity.Room] | None, wanted: Amounts) -> bool:
    """Whether there is a node for a pod, as far as nodes can be looked at."""
    return nodes is None or any(all(node.free[key] >= amount for key, amount in wanted.items()) for node in nodes)


def _largest(nodes: Sequence[capacity.Room]) -> str:
    """What the largest node has; several where one has the cores and another one the memory."""
    sizes = {(node.free["cpu"], node.free["memory"]) for node in nodes if node.free["pods"] >= 1}
    best = [
        (cpu, memory)
        for cpu, memory in sorted(sizes)
        if not any((cpu, memory) != other and cpu <= other[0] and memory <= other[1] for other in sizes)
    ]
    told = dict.fromkeys(" and ".join(_told({"cpu": cpu, "memory": memory})) for cpu, memory in best)
    if not told:
        return "no node takes servers"
    return f"the largest node{'s have' if len(told) > 1 else ' has'} {', or '.join(told)}"


def _needed(amounts: Amounts) -> str:
    """Amounts that are not there: rounded up, while what is there is rounded down, so that they read as more."""
    # Each pod is one: that needs no word, where it is not what lacks.
    shown = {key: amount for key, amount in amounts.items() if key != "pods" or len(amounts) == 1}
    return " and ".join(_told(shown, ROUND_CEILING))


def _told(amounts: Amounts, rounding: str = ROUND_FLOOR) -> list[str]:
    """Amounts for people, such as "3.5 cores" or "6.5 GiB"."""
    told = []
    for key, amount in amounts.items():
        exact = max(amount, Decimal(0)) / (1 << 30 if key == "memory" else 1)
        text = f"{exact.quantize(_STEPS[key], rounding).normalize():f}"
        told.append(f"{text} {_UNITS[key]}{'s' * (key != 'memory' and text != '1')}")
    return told
