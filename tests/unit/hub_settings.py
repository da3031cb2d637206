"""Settings of a hub, as its chart gives them."""

from typing import Any

from hepspark_hub.settings import Settings

SMALL: dict[str, Any] = {
    "name": "small", "title": "Small", "cores": 1, "requested_cores": 0.5, "memory": "1Gi", "driver_memory": "512m",
    "executors": {"instances": 2},
}  # fmt: skip
BASE: dict[str, Any] = {
    "namespace": "physics-hub", "hub": "hub", "proxy": "proxy", "address": "http://jupyterhub",
    "administrator": "ada", "flavors": [SMALL],
    "storage": {"endpoint": "http://minio:9000"},
    "workspace": {"bucket": "workspaces", "public": ["data"]},
    "servers": {
        "image": "registry.example.org/hepspark/notebook:1", "executor_image": "registry.example.org/hepspark/spark:1",
    },
}  # fmt: skip


def settings(**changed: Any) -> Settings:
    """Settings of a small hub."""
    return Settings.model_validate({**BASE, **changed})
