"""The namespace of each user: where the servers and executors of that user alone are, and what they may do there.

Rights, quotas and network policies of Kubernetes are those of a namespace. Whoever may make pods in one can read all
that lies in it: in a shared namespace a kernel, which makes its own executors, could read the files of everybody.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from hepspark.cluster.capacity import quantity
from hepspark.kubernetes_spark import memory_of
from hepspark_hub.settings import Flavor, Settings

Object = dict[str, Any]

OWNER_LABEL = "hepspark/hub"
"""Its value is the namespace of the hub that made an object."""
DRIVER_ACCOUNT, EXECUTOR_ACCOUNT = "spark-driver", "spark-executor"
CA_CONFIG_MAP = "storage-ca"
KEPT_CONFIG_MAPS = (CA_CONFIG_MAP, "kube-root-ca.crt")
"""All others are a kernel's."""
VOLUME, QUOTA, LIMITS = "home", "user", "pods"
CA_FILE = Path("/etc/hepspark-ca/ca.crt")
"""Of the store, in the pod of the hub and in those of servers."""
SERVER_PORT, DRIVER_PORT, BLOCK_PORT = 8888, 7078, 7079
_USUAL_MEMORY = Decimal(1 << 30)
_NO_SYSTEM_PODS: Object = {
    "hard": {"pods": "0"},
    "scopeSelector": {
        "matchExpressions": [
            {
                "scopeName": "PriorityClass",
                "operator": "In",
                "values": ["system-cluster-critical", "system-node-critical"],
            }
        ]
    },
}
"""Kernels make pods: of these classes they would take the place of other users' servers, and of the hub."""


def name_template(settings: Settings) -> str:
    """Name of a user's namespace, as KubeSpawner completes it."""
    return f"{settings.namespace}-{{username}}"


def labels(settings: Settings) -> dict[str, str]:
    """Of a user's namespace: whose it is, and that its pods pass the restricted Pod Security standard."""
    return {OWNER_LABEL: settings.namespace, "pod-security.kubernetes.io/enforce": "restricted"}


def namespace(settings: Settings, name: str) -> Object:
    """The namespace itself."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels(settings)}}


def hub_rights(settings: Settings, name: str) -> Object:
    """What lets the hub work in it: the hub has no rights in namespaces that it did not make."""
    return _binding(settings, name, settings.hub, f"{settings.namespace}-{settings.hub}-servers", settings.namespace)


def content(settings: Settings, name: str, flavors: Collection[Flavor], authority: str) -> list[Object]:
    """All that is in a user's namespace before the first pod.

    Args:
        settings: Of the hub.
        name: Of the namespace.
        flavors: That the user may choose from.
        authority: Certificate of the store's authority; empty where the images' own serve.
    """
    objects = [
        _object("v1", "ServiceAccount", settings, name, account, automountServiceAccountToken=False)
        for account in (DRIVER_ACCOUNT, EXECUTOR_ACCOUNT)
    ]
    objects.append(_binding(settings, name, DRIVER_ACCOUNT, f"{settings.namespace}-{settings.hub}-driver", name))
    objects += _policies(settings, name)
    objects.append(_object("v1", "ResourceQuota", settings, name, QUOTA, spec={"hard": settings.servers.quota}))
    objects.append(_object("v1", "ResourceQuota", settings, name, "system", spec=_NO_SYSTEM_PODS))
    objects.append(_object("v1", "LimitRange", settings, name, LIMITS, spec={"limits": limits(flavors)}))
    if authority:
        objects.append(_object("v1", "ConfigMap", settings, name, CA_CONFIG_MAP, data={"ca.crt": authority}))
    return objects


def limits(flavors: Collection[Flavor]) -> list[Object]:
    """The limits of one pod, as a LimitRange has them: those of the largest flavor, and those of a pod without any.

    Memory is never promised twice, and cores no more often than a flavor does.

    Args:
        flavors: That the user may choose from.
    """
    sizes = [(each.cores, each.requested_cores, quantity(each.memory)) for each in flavors]
    for one in (each.executors for each in flavors if each.executors.instances):
        sizes.append((one.cores, one.requested_cores or one.cores, Decimal(memory_of(one.memory).total_bytes)))
    cores, memory = max(size[0] for size in sizes), max(size[2] for size in sizes)
    shared = max(size[0] / size[1] for size in sizes)
    usual = {"cpu": f"{min(cores, 1):g}", "memory": _mebibytes(min(memory, _USUAL_MEMORY))}
    return [
        {"type": "Pod", "max": {"cpu": f"{cores:g}", "memory": _mebibytes(memory)}},
        {
            "type": "Container",
            "default": usual,
            "defaultRequest": usual,
            "maxLimitRequestRatio": {"cpu": f"{math.ceil(shared * 1000)}m", "memory": "1"},
        },
    ]


def _mebibytes(memory: Decimal) -> str:
    return f"{int(memory) >> 20}Mi"


def with_quota(settings: Settings, found: Sequence[Object]) -> list[Object]:
    """The quotas of a user's namespace as they will be before the next server starts: the hub's own may have changed.

    Args:
        settings: Of the hub.
        found: Those that are there.
    """
    others = [each for each in found if each["metadata"]["name"] != QUOTA]
    used = next((each.get("status", {}).get("used") for each in found if each["metadata"]["name"] == QUOTA), None)
    hard = settings.servers.quota
    return [*others, {"metadata": {"name": QUOTA}, "spec": {"hard": hard}, "status": {"used": used or {}}}]


def volume(settings: Settings, name: str) -> Object:
    """The volume of a user's files, which is made once and never changed."""
    servers = settings.servers
    spec: Object = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": servers.volume}}}
    if servers.volume_class:
        spec["storageClassName"] = servers.volume_class
    return _object("v1", "PersistentVolumeClaim", settings, name, VOLUME, spec=spec)


def _policies(settings: Settings, name: str) -> list[Object]:
    """Who may connect to what; a network that does not enforce policies ignores them."""
    hub: list[Object] = [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": settings.namespace}},
            "podSelector": {"matchLabels": {"app.kubernetes.io/part-of": settings.hub}},
        }
    ]
    own: list[Object] = [{"podSelector": {}}]
    roles: dict[str, tuple[dict[str, str], list[tuple[list[Object], tuple[int, ...]]]]] = {
        "server": ({"spark-role": "driver"}, [(hub, (SERVER_PORT,)), (own, (DRIVER_PORT, BLOCK_PORT))]),
        "executor": ({"spark-role": "executor"}, [(own, (BLOCK_PORT,))]),
    }
    return [
        _object(
            "networking.k8s.io/v1",
            "NetworkPolicy",
            settings,
            name,
            role,
            spec={
                "podSelector": {"matchLabels": labels},
                "policyTypes": ["Ingress"],
                "ingress": [{"from": who, "ports": [{"port": port} for port in ports]} for who, ports in rules],
            },
        )
        for role, (labels, rules) in roles.items()
    ]


def _binding(settings: Settings, name: str, account: str, role: str, of: str) -> Object:
    return _object(
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        settings,
        name,
        account,
        roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        subjects=[{"kind": "ServiceAccount", "name": account, "namespace": of}],
    )


def _object(version: str, kind: str, settings: Settings, namespace: str, name: str, **rest: Any) -> Object:
    labels = {OWNER_LABEL: settings.namespace}
    meta = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": version, "kind": kind, "metadata": meta, **rest}


def is_ours(settings: Settings, found: Mapping[str, Any]) -> bool:
    """Whether this hub made a namespace."""
    return (found["metadata"].get("labels") or {}).get(OWNER_LABEL) == settings.namespace
