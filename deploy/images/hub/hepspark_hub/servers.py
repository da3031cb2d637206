"""The pods of users' servers, as KubeSpawner makes them."""

from typing import Any

from hepspark_hub.settings import Settings
from hepspark_hub.workspace import prefix_of

USER_ID = 185
"""Of the image; Spark's own images use it too."""
HOME = "/home/user"
DRIVER_PORT, BLOCK_PORT, PAGES_PORT = 7078, 7079, 4040
CA_FILE = "/etc/hepspark-ca/ca.crt"


def spawner(settings: Settings) -> dict[str, Any]:
    """Settings of KubeSpawner that all servers share, however large."""
    volumes: list[dict[str, Any]] = [
        {"name": "home", "persistentVolumeClaim": {"claimName": "{pvc_name}"}},
        {"name": "tmp", "emptyDir": {}},
    ]
    mounts: list[dict[str, Any]] = [{"name": "home", "mountPath": HOME}, {"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108
    if settings.storage.ca_config_map:
        volumes.append({"name": "ca", "configMap": {"name": settings.storage.ca_config_map}})
        mounts.append({"name": "ca", "mountPath": "/etc/hepspark-ca", "readOnly": True})
    return {
        "namespace": settings.namespace,
        "image": settings.image,
        "image_pull_policy": settings.pull_policy,
        "cmd": ["/usr/bin/python3.11", "-m", "jupyterhub.singleuser"],
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
        "service_account": settings.driver_account,
        "automount_service_account_token": True,
        "extra_labels": {"spark-role": "driver"},
        "storage_pvc_ensure": True,
        "storage_capacity": settings.volume,
        "storage_class": settings.volume_class or None,
        "storage_access_modes": ["ReadWriteOnce"],
        "volumes": volumes,
        "volume_mounts": mounts,
        "environment": environment(settings),
        "start_timeout": 300,
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
        "HEPSPARK_IMAGE": settings.image,
        "HEPSPARK_EXECUTOR_ACCOUNT": settings.executor_account,
        "HEPSPARK_PATH_STYLE": str(storage.path_style).lower(),
        "HEPSPARK_PUBLIC": ",".join(workspace.public),
        "HEPSPARK_WORKSPACE": lambda server: f"s3a://{workspace.bucket}/{prefix_of(server.user.name)}",
    }
    if settings.history:
        variables["HEPSPARK_HISTORY"] = settings.history
    if storage.ca_config_map:
        variables |= {"HEPSPARK_CA_FILE": CA_FILE, "AWS_CA_BUNDLE": CA_FILE}
    return variables
