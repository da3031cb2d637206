"""Flavors of servers, as KubeSpawner takes them: what the form shows, and what the pod gets."""

from collections.abc import Collection
from typing import Any

from hepspark_hub.room import Room
from hepspark_hub.settings import Flavor, Settings


def allowed(settings: Settings, groups: Collection[str]) -> list[Flavor]:
    """The flavors that a user of some groups may choose from."""
    return [flavor for flavor in settings.flavors if not flavor.groups or set(flavor.groups) & set(groups)]


def proposed(flavors: Collection[Flavor], free: Room) -> Flavor:
    """The flavor of who names none: the first that has room now, else the first that may have room later.

    Args:
        flavors: That the user may choose from, one or more.
        free: What is left.
    """
    return min(flavors, key=lambda each: (bool(free.never_holds(each)), bool(free.lacks(each))))


def profiles(flavors: Collection[Flavor], free: Room) -> list[dict[str, Any]]:
    """The choices of a user, with what is free now; what has no room says so.

    Args:
        flavors: That the user may choose from, one or more.
        free: What is left.
    """
    default = proposed(flavors, free)
    return [
        {
            "slug": flavor.name,
            "display_name": flavor.title,
            "description": describe(flavor, free),
            "default": flavor == default,
            "never": bool(free.never_holds(flavor)),  # for flavors.html
            "kubespawner_override": override(flavor),
        }
        for flavor in flavors
    ]


def describe(flavor: Flavor, free: Room) -> str:
    """What a flavor gives, and what stands in its way now."""
    executors = flavor.executors
    text = f"{_counted(flavor.cores, 'core')}, {flavor.memory}"
    if executors.instances:
        each = f"{_counted(executors.cores, 'core')} and {executors.memory}"
        text += f"; up to {_counted(executors.instances, 'executor')} of {each} each"
    if never := free.never_holds(flavor):
        return f"{text}. It cannot be started on this cluster: {never}"
    lacking, told = free.lacks(flavor), free.told()
    if lacking:
        text += f". No room now: {lacking}"
    return f"{text}. Free now: {told}" if told else text


def override(flavor: Flavor) -> dict[str, Any]:
    """What of the pod depends on the flavor."""
    executors = flavor.executors
    return {
        "cpu_limit": flavor.cores,
        "cpu_guarantee": flavor.requested_cores,
        "mem_limit": flavor.memory.removesuffix("i"),
        "mem_guarantee": flavor.memory.removesuffix("i"),
        "environment": {
            "HEPSPARK_DRIVER_MEMORY": flavor.driver_memory,
            "HEPSPARK_EXECUTORS": str(executors.instances),
            "HEPSPARK_EXECUTOR_CORES": str(executors.cores),
            "HEPSPARK_EXECUTOR_MEMORY": executors.memory,
            "HEPSPARK_EXECUTOR_CPU": f"{executors.requested_cores or executors.cores:g}",
        },
    }


def _counted(number: float, thing: str) -> str:
    return f"{number:g} {thing}{'s' * (number != 1)}"
