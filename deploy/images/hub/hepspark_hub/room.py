"""What is free in the namespace now: what its quotas leave, for the form that asks for a flavor."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from hepspark.cluster.capacity import RESOURCES, Quota, quantity
from hepspark_hub.settings import Flavor


@dataclass(frozen=True)
class Room:
    """What is left; None where nothing bounds it."""

    cores: Decimal | None = None
    memory: Decimal | None = None
    """In bytes."""
    pods: Decimal | None = None

    def told(self) -> str:
        """In a few words, for people."""
        parts = []
        if self.cores is not None:
            parts.append(f"{self.cores.normalize():f} cores")
        if self.memory is not None:
            parts.append(f"{self.memory / 2**30:.1f} GiB")
        if self.pods is not None:
            parts.append(f"{self.pods.normalize():f} pods")
        return ", ".join(parts)

    def lacks(self, flavor: Flavor) -> str:
        """What a server of a flavor would want beyond it; empty where it fits."""
        wanted = {"cores": Decimal(str(flavor.requested_cores)), "memory": quantity(flavor.memory), "pods": Decimal(1)}
        free = {"cores": self.cores, "memory": self.memory, "pods": self.pods}
        return ", ".join(name for name, amount in wanted.items() if (left := free[name]) is not None and amount > left)


def room(quotas: Iterable[Quota]) -> Room:
    """What the quotas of a namespace leave, the narrowest of them for each resource."""
    left: dict[str, Decimal] = {}
    for quota in quotas:
        for key, free in quota.free.items():
            resource = None if key.startswith("limits.") else RESOURCES.get(key)
            if resource:
                left[resource] = max(min(left.get(resource, free), free), Decimal(0))
    return Room(left.get("cpu"), left.get("memory"), left.get("pods"))
