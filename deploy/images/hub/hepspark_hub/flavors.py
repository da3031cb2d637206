"""Flavors of servers, as KubeSpawner takes them: what the form shows, and what the pod gets."""

from collections.abc import Collection
from typing import Any

from hepspark_hub.room import Room
from hepspark_hub.settings import Flavor, Settings


def profiles(settings: Settings, groups: Collection[str], free: Room) -> list[dict[str, Any]]:
    """The choices of a user, with what is free now; what has no room says so.

    Args:
        settings: Of the hub.
        groups: Of the user.
        free: What the namespace has left.
    """
    mine = [flavor for flavor in settings.flavors if not flavor.groups or set(flavor.groups) & set(groups)]
    default = next((flavor.name for flavor in mine if not free.lacks(flavor)), None)
    return [
        {
            "slug": flavor.name,
            "display_name": flavor.title,
            "description": describe(flavor, free),
            "default": flavor.name == default,
            "kubespawner_override": override(flavor),
        }
        for flavor in mine
    ]


def describe(flavor: Flavor, free: Room) -> str:
    """What a flavor gives, and what stands in its way now."""
    executors = flavor.executors
    text = f"{flavor.cores:g} cores, {flavor.memory}"
    if executors.instances:
        text += f"; up to {executors.instances} executors of {executors.cores} cores and {executors.memory} each"
    lacking = free.lacks(flavor)
    if lacking:
        return f"{text}. No room now: {lacking} (free: {free.told()})"
    return f"{text}. Free now: {free.told()}" if free.told() else text


def override(flavor: Flavor) -> dict[str, Any]:
    """What of the pod depends on the flavor."""
    executors = flavor.executors
    return {
        "cpu_limit": flavor.cores,
        "cpu_guarantee": flavor.requested_cores,
        "mem_limit": flavor.memory.removesuffix("i"),
        "mem_guarantee": flavor.memory.removesuffix("i"),
        "environment": {
            "HEPSPARK_EXECUTORS": str(executors.instances),
            "HEPSPARK_EXECUTOR_CORES": str(executors.cores),
            "HEPSPARK_EXECUTOR_MEMORY": executors.memory,
        },
    }
