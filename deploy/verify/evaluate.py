"""What objects of the API mean: pure functions, without a cluster."""

from collections.abc import Iterable, Mapping, Sequence

from kubernetes import client

DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
# Conditions of a node that are bad when true.
TROUBLES = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")


def node_problem(node: client.V1Node) -> str | None:
    """Why a node is not ready, in a few words; None if it is."""
    conditions = {condition.type: condition for condition in (node.status and node.status.conditions) or []}
    ready = conditions.get("Ready")
    if ready is None:
        return "has not reported yet"
    if ready.status != "True":
        return f"is not ready: {ready.message or ready.reason or 'no reason given'}"
    for trouble in TROUBLES:
        condition = conditions.get(trouble)
        if condition is not None and condition.status == "True":
            return f"has {trouble}: {condition.message or condition.reason or 'no reason given'}"
    return None


def pod_problem(pod: client.V1Pod) -> str | None:
    """Why a pod neither runs with all its containers ready nor has ended well; None if it does or has."""
    status = pod.status or client.V1PodStatus()
    if status.phase == "Succeeded":
        return None
    waiting = container_problem(pod)
    if waiting:
        return waiting
    if status.phase == "Failed":
        return f"failed: {status.message or status.reason or 'see its log'}"
    for condition in status.conditions or []:
        if condition.type == "PodScheduled" and condition.status == "False":
            return f"is not scheduled: {condition.message or condition.reason}"
    if status.phase != "Running":
        return f"is {status.phase or 'not there yet'}"
    unready = [container.name for container in status.container_statuses or [] if not container.ready]
    return f"runs, but is not ready (container {', '.join(unready)})" if unready else None


def deployment_problem(deployment: client.V1Deployment) -> str | None:
    """Why a deployment has made no pods where it should; None if it has, whatever becomes of them."""
    for condition in (deployment.status and deployment.status.conditions) or []:
        if condition.type == "ReplicaFailure" and condition.status == "True":
            return f"cannot make its pods: {condition.message or condition.reason or 'no reason given'}"
    return None


def container_problem(pod: client.V1Pod) -> str | None:
    """Why a container of a pod cannot start or has ended badly, if one has."""
    status = pod.status or client.V1PodStatus()
    for container in [*(status.init_container_statuses or []), *(status.container_statuses or [])]:
        state = container.state or client.V1ContainerState()
        waiting, ended = state.waiting, state.terminated
        if waiting and waiting.reason not in (None, "ContainerCreating", "PodInitializing"):
            return f"cannot start container {container.name}: {waiting.reason}: {waiting.message or 'no message'}"
        if ended and ended.exit_code != 0:
            return f"container {container.name} ended with {ended.exit_code} ({ended.reason or 'no reason'})"
    return None


def default_class(classes: Iterable[client.V1StorageClass]) -> client.V1StorageClass | None:
    """The storage class for claims that name none."""
    for candidate in classes:
        metadata = candidate.metadata or client.V1ObjectMeta()
        if (metadata.annotations or {}).get(DEFAULT_CLASS) == "true":
            return candidate
    return None


def pairs(nodes: Sequence[str], limit: int) -> dict[str, list[str]]:
    """The nodes that each node has to reach.

    Every ordered pair, as long as these are no more than `limit`; otherwise each node reaches the next ones in the
    order given, around the end, so many that there are about `limit` pairs and at least one for each node.
    """
    count = len(nodes)
    if count < 2:
        return {}
    reach = count - 1 if count * (count - 1) <= limit else max(1, limit // count)
    return {node: [nodes[(place + step) % count] for step in range(1, reach + 1)] for place, node in enumerate(nodes)}


def answers(output: str, expected: Iterable[str]) -> dict[str, str]:
    """The problems in what a test script printed: target and what came instead of the expected answer.

    Args:
        output: Lines `ok TARGET` or `fail TARGET WHAT CAME INSTEAD`; anything else is ignored.
        expected: The targets that have to be `ok`; one that is not mentioned is a problem too.
    """
    problems = dict.fromkeys(expected, "no answer")
    for line in output.splitlines():
        state, _, rest = line.partition(" ")
        target, _, detail = rest.partition(" ")
        if target in problems and state == "ok":
            del problems[target]
        elif target in problems and state == "fail":
            problems[target] = detail.strip() or "no answer"
    return problems


def without_metrics(nodes: Iterable[str], metrics: Mapping[str, object]) -> list[str]:
    """The nodes of which the metrics API (a NodeMetricsList) tells no CPU use."""
    items = metrics.get("items")
    told = {
        item["metadata"]["name"]
        for item in (items if isinstance(items, list) else [])
        if (item.get("usage") or {}).get("cpu") not in (None, "", "0")
    }
    return [node for node in nodes if node not in told]


def names(values: Sequence[str], most: int = 5) -> str:
    """Names for a sentence; beyond `most` only how many more."""
    shown = ", ".join(values[:most])
    return shown if len(values) <= most else f"{shown} and {len(values) - most} more"
