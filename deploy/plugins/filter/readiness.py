"""Ansible filter: what of a cluster's objects is not ready, each in a sentence with the next command."""

import json
from collections.abc import Callable, Iterable
from typing import Any

from kubernetes import client

from deploy.verify.evaluate import node_problem, pod_problem

_KINDS: dict[str, tuple[str, Callable[[Any], str | None]]] = {
    "Node": ("V1Node", node_problem),
    "Pod": ("V1Pod", pod_problem),
}


def not_ready(resources: Iterable[dict[str, Any]], kubectl: str) -> list[str]:
    """A sentence for each node and pod that is not ready.

    Args:
        resources: Nodes and pods as the API gives them.
        kubectl: What a kubectl command for the cluster begins with.
    """
    api: Any = client.ApiClient()  # its stubs are of another version
    found = []
    for resource in resources:
        model, problem_of = _KINDS[resource["kind"]]
        problem = problem_of(api.deserialize(json.dumps(resource), model, "application/json"))
        if problem:
            kind, metadata = resource["kind"].lower(), resource["metadata"]
            place = f" --namespace {metadata['namespace']}" if "namespace" in metadata else ""
            found.append(
                f"{kind} {metadata['name']} {problem}; see {kubectl}{place} describe {kind} {metadata['name']}"
            )
    return found


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """The filter by its name."""
        return {"not_ready": not_ready}
