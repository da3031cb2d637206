"""Ansible filter: what of a cluster's objects is not ready, each in a sentence with the next command."""

import json
from collections.abc import Callable, Iterable
from typing import Any


def not_ready(resources: Iterable[dict[str, Any]], kubectl: str) -> list[str]:
    """A sentence for each node, pod and deployment that is not ready.

    Args:
        resources: Nodes, pods and deployments as the API gives them.
        kubectl: What a kubectl command for the cluster begins with.
    """
    # Imported late: Ansible loads every filter in each of its processes, and this takes half a second.
    from kubernetes import client

    from deploy.verify.evaluate import deployment_problem, node_problem, pod_problem

    kinds: dict[str, tuple[str, Callable[[Any], str | None]]] = {
        "Node": ("V1Node", node_problem),
        "Pod": ("V1Pod", pod_problem),
        "Deployment": ("V1Deployment", deployment_problem),
    }
    api: Any = client.ApiClient()  # its stubs are of another version
    found = []
    for resource in resources:
        model, problem_of = kinds[resource["kind"]]
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
