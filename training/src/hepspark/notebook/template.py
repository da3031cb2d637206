"""The pod that Spark completes for each executor of a notebook."""

import json
import os
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from hepspark.kubernetes_spark import EXECUTOR_CONTAINER

_PASSED_ON = (
    "AWS_ACCESS_KEY_ID",
    "AWS_CA_BUNDLE",
    "AWS_CONFIG_FILE",
    "AWS_CREDENTIAL_PROFILES_FILE",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "HEPSPARK_CA_FILE",
    "JUPYTERHUB_API_TOKEN",
    "JUPYTERHUB_API_URL",
)
"""Variables by which executors reach the store as the server does."""
_USER = 185
"""Of the images."""


def pod(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """The pod, as the restricted Pod Security standard wants it."""
    variables = [{"name": name, "value": environment[name]} for name in _PASSED_ON if environment.get(name)]
    volumes: list[dict[str, Any]] = [{"name": "tmp", "emptyDir": {}}]
    mounts: list[dict[str, Any]] = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108 (a pod's own)
    file, config_map = environment.get("HEPSPARK_CA_FILE"), environment.get("HEPSPARK_CA_CONFIG_MAP")
    if file and config_map:
        volumes.append({"name": "ca", "configMap": {"name": config_map}})
        mounts.append({"name": "ca", "mountPath": str(Path(file).parent), "readOnly": True})
    container = {
        "name": EXECUTOR_CONTAINER,
        "env": variables,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }
    # Taints and labels that the operator names for servers hold for their executors, too.
    nodes = json.loads(environment.get("HEPSPARK_EXECUTOR_NODES") or "{}")
    spec = {
        **nodes,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": volumes,
    }
    labels = {"app.kubernetes.io/component": "executor"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": labels}, "spec": spec}


def path() -> Path:
    """Where the pod is written: a file in a folder of this process alone, as the hub's token is in it."""
    return Path(_folder().name) / "executor.yaml"


@cache
def _folder() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="hepspark-")


def write() -> None:
    """Write the pod for Spark, which reads it for every executor."""
    file = path()
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        yaml.safe_dump(pod(), stream)
