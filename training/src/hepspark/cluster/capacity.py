"""Whether there is room for a run's executors, before any of them is asked for.

Two things may say no: a ResourceQuota of the namespace, and the nodes. Nodes can only be looked at where the site
grants it; elsewhere the scheduler's message serves (`hepspark.cluster.executors`). What pods of the same run hold
counts as free: the driver that this one takes over from gives it back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from hepspark.cluster.client import ApiError, Cluster, Object
from hepspark.config import SparkConfig
from hepspark.errors import InputError
from hepspark.kubernetes_spark import EXECUTOR_CONTAINER, RUN_LABEL, executor_memory
from hepspark.wording import mebibytes

Amounts = Mapping[str, Decimal]
"""Resource, such as cpu (cores), memory (bytes) or pods, to an amount."""

_MIB = 1 << 20
_SUFFIXES = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", 1)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)},
}
RESOURCES = {
    "requests.cpu": "cpu",
    "limits.cpu": "cpu",
    "cpu": "cpu",
    "requests.memory": "memory",
    "limits.memory": "memory",
    "memory": "memory",
    "pods": "pods",
    "count/pods": "pods",
}
"""What each key of a quota is about."""
_SCOPES_OF_EXECUTORS = {"NotBestEffort", "NotTerminating"}
_OVER = ("Succeeded", "Failed")


@dataclass(frozen=True)
class Need:
    """Identical executors."""

    count: int
    cores: int
    """That one may use."""
    memory: int
    """Of one, in bytes."""
    requested_cores: Decimal | None = None
    """That one is sure of; all it may use where this is left out."""

    def of_one(self, resource: str, *, limit: bool = False) -> Decimal:
        """How much of cpu, memory or pods one requests, or is limited to."""
        cores = Decimal(self.cores)
        if self.requested_cores is not None and not limit:
            cores = self.requested_cores
        return {"cpu": cores, "memory": Decimal(self.memory), "pods": Decimal(1)}[resource]


@dataclass(frozen=True)
class Quota:
    """What a ResourceQuota allows, and how much of it is free."""

    name: str
    hard: Amounts
    free: Amounts


@dataclass(frozen=True)
class Room:
    """What is free on a node that executors may run on."""

    node: str
    free: Amounts


def need_of(config: SparkConfig) -> Need:
    """What the executors of a configuration take."""
    cpu = config.executor.cpu
    return Need(
        config.executor.instances,
        config.executor.cores,
        executor_memory(config).total_bytes,
        quantity(cpu) if cpu else None,
    )


def shortage(need: Need, quotas: Sequence[Quota], rooms: Sequence[Room] | None) -> str | None:
    """Why the executors have no room, what is missing, and what would fit; None where they have room.

    Args:
        need: The executors.
        quotas: Of their namespace.
        rooms: Nodes; None where they cannot be looked at.
    """
    lacking, fitting = [], need.count
    for quota in quotas:
        for key, hard in quota.hard.items():
            resource = RESOURCES.get(key)
            if resource is None:
                continue
            each = need.of_one(resource, limit=key.startswith("limits."))
            wanted, free = need.count * each, max(quota.free[key], Decimal(0))
            if wanted > free:
                told = [_amount(resource, value) for value in (wanted, free, hard, wanted - free)]
                lacking.append(
                    f"quota {quota.name}, {key}: {told[0]} needed, {told[1]} free of {told[2]}, {told[3]} missing"
                )
                fitting = min(fitting, int(free // each))
    if rooms is not None:
        on_nodes = sum(fits(need, room) for room in rooms)
        if on_nodes < need.count:
            free_there = ", ".join(
                f"{room.node} has {_amount('cpu', room.free['cpu'])} and {_amount('memory', room.free['memory'])} free"
                for room in rooms
            )
            lacking.append(
                f"nodes: {on_nodes} of {need.count} fit ({free_there or 'no node takes executors'}), "
                f"{need.count - on_nodes} do not"
            )
            fitting = min(fitting, on_nodes)
    if not lacking:
        return None
    if fitting:
        advice = f"{fitting} would fit: set spark.executor.instances={fitting}"
    else:
        advice = "none would fit: make spark.executor.memory, cores or cpu smaller"
    cores = _amount("cpu", need.of_one("cpu"))
    return (
        f"no room for {need.count} executors of {cores} and {_amount('memory', Decimal(need.memory))} each:\n  "
        + "\n  ".join(lacking)
        + f"\n  {advice}, or ask the operator for more"
    )


def fits(need: Need, room: Room) -> int:
    """How many of the executors a node takes."""
    return max(int(min(room.free[resource] // need.of_one(resource) for resource in ("cpu", "memory", "pods"))), 0)


def check(cluster: Cluster, config: SparkConfig, run: str | None, driver: str) -> None:
    """Refuse a run whose executors have no room, or whose executor pods are not allowed.

    Args:
        cluster: The namespace of the executors.
        config: What is asked for.
        run: Name of the run, whose own pods' resources count as free.
        driver: Name of this pod, which stays.

    Raises:
        InputError: saying what is missing, how much of it, and what would fit.
    """
    need, template = need_of(config), read_template(config.kubernetes.executor_template)
    found = shortage(need, quotas(cluster, run, driver), rooms(cluster, template, run, driver))
    if found:
        raise InputError(found)
    refused = refusal(cluster, config, template, run)
    if refused:
        raise InputError(f"executor pods are refused in namespace {cluster.namespace}: {refused}")


def quotas(cluster: Cluster, run: str | None, driver: str) -> list[Quota]:
    """The quotas of a namespace that hold for executors; none where they cannot be read."""
    try:
        found = cluster.objects("resourcequotas")
        returned = _returned(cluster.objects("pods", f"{RUN_LABEL}={run}"), driver) if run and found else {}
    except ApiError:
        return []
    return quotas_of(found, returned)


def quotas_of(found: Sequence[Object], returned: Amounts | None = None) -> list[Quota]:
    """What ResourceQuotas leave to executors, who get what is returned on top."""
    result = []
    for quota in found:
        spec, status = quota.get("spec") or {}, quota.get("status") or {}
        # One for certain priorities or other kinds of pods does not bind executors, or cannot be told to.
        if spec.get("scopeSelector") or not set(spec.get("scopes") or ()) <= _SCOPES_OF_EXECUTORS:
            continue
        hard = {key: quantity(value) for key, value in (status.get("hard") or spec.get("hard") or {}).items()}
        used = {key: quantity(value) for key, value in (status.get("used") or {}).items()}
        zero = Decimal(0)
        given = {key: (returned or {}).get(RESOURCES.get(key, ""), zero) for key in hard}
        free = {key: hard[key] - used.get(key, zero) + given[key] for key in hard}
        result.append(Quota(quota["metadata"]["name"], hard, free))
    return result


def rooms(cluster: Cluster, template: Object, run: str | None, driver: str) -> list[Room] | None:
    """What is free on each node that executors may run on; None where nodes or pods cannot be looked at."""
    try:
        nodes = cluster.objects_at("/api/v1/nodes")
        pods = cluster.objects_at("/api/v1/pods", fields="status.phase!=Succeeded,status.phase!=Failed")
    except ApiError:
        return None
    spec = template.get("spec") or {}
    if spec.get("affinity") or spec.get("topologySpreadConstraints"):
        return None  # only the scheduler can tell
    held = [pod for pod in pods if not (_is_of(pod, run) and pod["metadata"]["name"] != driver)]
    return rooms_of(nodes, held, spec)


def rooms_of(nodes: Sequence[Object], pods: Sequence[Object], spec: Object) -> list[Room]:
    """What pods leave on each node that a pod of a spec may run on."""
    used: dict[str, dict[str, Decimal]] = {}
    for pod in pods:
        here = used.setdefault(pod["spec"].get("nodeName") or "", dict.fromkeys(("cpu", "memory", "pods"), Decimal(0)))
        for resource, amount in requests_of(pod).items():
            here[resource] += amount
    result = []
    for node in nodes:
        if not _takes(node, spec):
            continue
        name, allocatable = node["metadata"]["name"], node["status"]["allocatable"]
        taken = used.get(name, {})
        free = {key: quantity(allocatable[key]) - taken.get(key, Decimal(0)) for key in ("cpu", "memory", "pods")}
        result.append(Room(name, free))
    return result


def whole_rooms_of(nodes: Sequence[Object], pods: Sequence[Object], spec: Object) -> list[Room]:
    """What each node would have for a pod of a spec if no pod ran but those that the node always has.

    A node that is not ready, or closed for now, counts: it may come back.
    """
    return rooms_of([_at_its_best(node) for node in nodes], [pod for pod in pods if _belongs_to_node(pod)], spec)


def _at_its_best(node: Object) -> Object:
    """A node without what passes."""
    taints = (node.get("spec") or {}).get("taints") or ()
    lasting = [one for one in taints if not one["key"].startswith("node.kubernetes.io/")]
    allocatable = node["status"]["allocatable"]
    return {"metadata": node["metadata"], "spec": {"taints": lasting}, "status": {"allocatable": allocatable}}


def _belongs_to_node(pod: Object) -> bool:
    """Whether a pod runs wherever its node runs: one of a DaemonSet, or of the kubelet itself."""
    return any(owner["kind"] in ("DaemonSet", "Node") for owner in pod["metadata"].get("ownerReferences") or ())


def _is_of(pod: Object, run: str | None) -> bool:
    return bool(run) and (pod["metadata"].get("labels") or {}).get(RUN_LABEL) == run


def refusal(cluster: Cluster, config: SparkConfig, template: Object, run: str | None) -> str | None:
    """Why the API server would not take an executor's pod; None if it would, or cannot be asked."""
    try:
        cluster.request("POST", cluster.path("pods"), executor_pod(config, template, run), {"dryRun": "All"})
    except ApiError as error:
        return str(error) if error.status in (400, 403, 422) else None
    return None


def executor_pod(config: SparkConfig, template: Object, run: str | None) -> Object:
    """An executor's pod in what matters to admission: its resources, account, image and the template."""
    spec: Object = dict(template.get("spec") or {})
    containers = list(spec.get("containers") or ())
    own = next((one for one in containers if one.get("name") == EXECUTOR_CONTAINER), {"name": EXECUTOR_CONTAINER})
    limits = {"cpu": str(config.executor.cores), "memory": f"{executor_memory(config).total}Mi"}
    requests = limits | ({"cpu": config.executor.cpu} if config.executor.cpu else {})
    own = {**own, "image": config.kubernetes.image, "resources": {"requests": requests, "limits": limits}}
    others = [one for one in containers if one.get("name") != EXECUTOR_CONTAINER]
    meta = template.get("metadata") or {}
    labels = {**(meta.get("labels") or {}), "spark-role": "executor"} | ({RUN_LABEL: run} if run else {})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**meta, "generateName": "hepspark-probe-", "labels": labels},
        "spec": {
            **spec,
            "restartPolicy": "Never",
            "serviceAccountName": config.kubernetes.service_account,
            "containers": [own, *others],
        },
    }


def read_template(path: str | None) -> Object:
    """The pod template of the executors; empty where none is given.

    Raises:
        InputError: it cannot be read, or has no container of the right name.
    """
    if path is None:
        return {}
    try:
        content: Any = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        names = [container["name"] for container in content["spec"]["containers"]]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise InputError(f"spark.kubernetes.executor_template: {path} is not a readable pod: {error}") from error
    if EXECUTOR_CONTAINER not in names:
        raise InputError(
            f"spark.kubernetes.executor_template: {path} has no container {EXECUTOR_CONTAINER!r}; it has "
            f"{', '.join(names)}"
        )
    return dict(content)


def requests_of(pod: Object) -> dict[str, Decimal]:
    """What the scheduler counts for a pod."""
    spec = pod["spec"]
    total = {"cpu": Decimal(0), "memory": Decimal(0), "pods": Decimal(1)}
    for key in ("cpu", "memory"):
        running = sum((_request(one, key) for one in spec["containers"]), Decimal(0))
        largest = Decimal(0)
        for one in spec.get("initContainers") or ():
            if one.get("restartPolicy") == "Always":  # a sidecar: runs beside all that follow
                running += _request(one, key)
            else:
                largest = max(largest, _request(one, key))
        total[key] = max(running, largest) + quantity((spec.get("overhead") or {}).get(key, "0"))
    return total


def quantity(text: str | float) -> Decimal:
    """A quantity of Kubernetes as a number: "500m", "1.5Gi", "2e3".

    Raises:
        ValueError: it is none.
    """
    words = str(text)
    for length in (2, 1, 0):
        suffix = words[len(words) - length :] if length else ""
        if suffix in _SUFFIXES and len(suffix) == length:
            return Decimal(words[: len(words) - length]) * _SUFFIXES[suffix]
    raise ValueError(f"{text}: not a quantity")


def _request(container: Object, key: str) -> Decimal:
    resources = container.get("resources") or {}
    value = (resources.get("requests") or {}).get(key) or (resources.get("limits") or {}).get(key)
    return quantity(value or "0")


def _returned(pods: Sequence[Object], driver: str) -> dict[str, Decimal]:
    """What the run's other pods will have given back."""
    total = {"cpu": Decimal(0), "memory": Decimal(0), "pods": Decimal(0)}
    for pod in pods:
        if pod["metadata"]["name"] == driver or (pod.get("status") or {}).get("phase") in _OVER:
            continue
        for resource, amount in requests_of(pod).items():
            total[resource] += amount
    return total


def _takes(node: Object, spec: Object) -> bool:
    """Whether a node is one that pods of this spec may run on."""
    if (node.get("spec") or {}).get("unschedulable"):
        return False
    conditions = {one["type"]: one["status"] for one in (node.get("status") or {}).get("conditions") or ()}
    if conditions.get("Ready", "True") != "True":
        return False
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    taints = [one for one in (node.get("spec") or {}).get("taints") or () if one["effect"] != "PreferNoSchedule"]
    return all(any(_tolerates(one, taint) for one in spec.get("tolerations") or ()) for taint in taints)


def _tolerates(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint["key"])
    same_value = (toleration.get("value") or "") == (taint.get("value") or "")
    return bool(toleration.get("key") == taint["key"] and same_value)


def _amount(resource: str, value: Decimal) -> str:
    if resource == "memory":
        return mebibytes(round(value / _MIB))
    text = f"{value.normalize():f}"
    if resource == "cpu":
        return f"{text} core{'s' * (value != 1)}"
    return f"{text} pod{'s' * (value != 1)}"
