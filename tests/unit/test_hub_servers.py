"""Pods of users' servers."""

from types import SimpleNamespace

from hepspark_hub.servers import spawner
from hepspark_hub.settings import Settings

BASE = {
    "namespace": "physics", "image": "registry.example.org/hepspark/notebook:1",
    "storage": {"endpoint": "https://minio:9000", "ca_config_map": "storage-ca"},
    "workspace": {"bucket": "workspaces", "public": ["data"]},
    "flavors": [{
        "name": "small", "title": "Small", "cores": 1, "requested_cores": 0.5, "memory": "1Gi",
        "executors": {"instances": 2},
    }],
}  # fmt: skip


def test_a_server_knows_its_users_workspace():
    variables = spawner(Settings.model_validate(BASE))["environment"]
    ada = SimpleNamespace(user=SimpleNamespace(name="ada"))
    assert variables["HEPSPARK_WORKSPACE"](ada) == "s3a://workspaces/ada/"
    assert variables["AWS_CA_BUNDLE"] == "/etc/hepspark-ca/ca.crt"


def test_a_server_passes_the_restricted_standard():
    made = spawner(Settings.model_validate(BASE))
    assert made["pod_security_context"]["runAsNonRoot"]
    assert made["container_security_context"] == {"readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert not made["allow_privilege_escalation"]
    assert {mount["name"] for mount in made["volume_mounts"]} == {volume["name"] for volume in made["volumes"]}
