"""The pods of users' servers, as KubeSpawner makes them."""

import json
from typing import Any
from urllib.parse import urlsplit

from hepspark_hub import namespaces
from hepspark_hub.settings import Settings
from hepspark_hub.workspace import prefix_of

USER_ID = 185
"""Of the image; Spark's own images use it too."""
HOME = "/home/user"


def spawner(settings: Settings) -> dict[str, Any]:
    """Settings of KubeSpawner that all servers share, however large."""
    servers = settings.servers
    volumes: list[dict[str, Any]] = [
        {"name": "home", "persistentVolumeClaim": {"claimName": namespaces.VOLUME}},
        {"name": "tmp", "emptyDir": {}},
    ]
    mounts: list[dict[str, Any]] = [{"name": "home", "mountPath": HOME}, {"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108
    if settings.storage.ca_config_map:
        volumes.append({"name": "ca", "configMap": {"name": namespaces.CA_CONFIG_MAP}})
        mounts.append({"name": "ca", "mountPath": str(namespaces.CA_FILE.parent), "readOnly": True})
    return {
        "enable_user_namespaces": True,
        "user_namespace_template": namespaces.name_template(settings),
        # It tries to make the namespace once more, and is refused one that is not as the first.
        "user_namespace_labels": namespaces.labels(settings),
        "image": servers.image,
        "image_pull_policy": servers.pull_policy,
        "cmd": ["python", "-m", "hepspark.notebook.server"],
        "port": namespaces.SERVER_PORT,
        "default_url": "/lab",
        "notebook_dir": HOME,
        "working_dir": HOME,
        # What the restricted Pod Security standard asks.
        "uid": USER_ID,
        "gid": USER_ID,
        "fs_gid": USER_ID,
        "allow_privilege_escalation": False,
        "container_security_context": {"readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
        "pod_security_context": {
            "runAsNonRoot": True,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        # The kernel is the driver of its Spark, which makes executors.
        "service_account": namespaces.DRIVER_ACCOUNT,
        "automount_service_account_token": True,
        "extra_labels": {"spark-role": "driver"},
        "extra_pod_config": {"enableServiceLinks": False},
        "node_selector": servers.node_selector,
        "tolerations": list(servers.tolerations),
        # KubeSpawner would not make one again where a namespace was removed by hand.
        "storage_pvc_ensure": False,
        "delete_pvc": False,  # files outlive the account, as the folder in the store does
        "volumes": volumes,
        "volume_mounts": mounts,
        "environment": environment(settings),
        "start_timeout": servers.start_seconds,
        # From pod to answer: JupyterHub's half a minute is too short where a whole course begins at once.
        "http_timeout": servers.start_seconds,
        "delete_grace_period": 30,
    }


def environment(settings: Settings) -> dict[str, Any]:
    """Variables of a server; `hepspark.notebook` reads them."""
    storage, workspace = settings.storage, settings.workspace
    pod = {"POD_IP": "status.podIP", "POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace"}
    variables: dict[str, Any] = {
        **{name: {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in pod.items()},
        "HOME": HOME,
        "AWS_ENDPOINT_URL": storage.endpoint,
        "AWS_REGION": storage.region,
        "HEPSPARK_IMAGE": settings.servers.executor_image,
        "HEPSPARK_PULL_POLICY": settings.servers.pull_policy,
        "HEPSPARK_IDLE_MINUTES": str(settings.servers.idle_minutes),
        "HEPSPARK_EXECUTOR_ACCOUNT": namespaces.EXECUTOR_ACCOUNT,
        "HEPSPARK_PATH_STYLE": str(storage.path_style).lower(),
        "HEPSPARK_PUBLIC": ",".join(workspace.public),
        "HEPSPARK_WORKSPACE": lambda server: f"s3a://{workspace.bucket}/{prefix_of(server.user.name)}".rstrip("/"),
    }
    if nodes := executor_nodes(settings):
        # KubeSpawner would take braces in a text for places to fill in.
        variables["HEPSPARK_EXECUTOR_NODES"] = lambda _server: json.dumps(nodes)
    if index := settings.servers.package_index:
        variables["PIP_INDEX_URL"] = index
        if index.startswith("http:"):  # which pip would refuse
            variables["PIP_TRUSTED_HOST"] = urlsplit(index).netloc.rpartition("@")[2]
    if storage.ca_config_map:
        variables |= {
            "HEPSPARK_CA_FILE": str(namespaces.CA_FILE),
            "HEPSPARK_CA_CONFIG_MAP": namespaces.CA_CONFIG_MAP,
            "AWS_CA_BUNDLE": str(namespaces.CA_FILE),
        }
    return variables


def executor_nodes(settings: Settings) -> dict[str, Any]:
    """What of an executor's pod chooses its node: the same as for servers."""
    servers = settings.servers
    nodes = {"nodeSelector": servers.node_selector, "tolerations": list(servers.tolerations)}
    return {key: value for key, value in nodes.items() if value}
