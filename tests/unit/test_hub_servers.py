"""Pods of users' servers."""

from types import SimpleNamespace

from hepspark_hub.servers import spawner

from tests.unit.hub_settings import settings


def test_a_server_knows_its_users_workspace():
    variables = spawner(settings(storage={"endpoint": "https://minio:9000", "ca_config_map": "storage-ca"}))[
        "environment"
    ]
    ada = SimpleNamespace(user=SimpleNamespace(name="ada"))
    assert variables["HEPSPARK_WORKSPACE"](ada) == "s3a://workspaces/ada"
    assert variables["AWS_CA_BUNDLE"] == "/etc/hepspark-ca/ca.crt"


def test_a_server_passes_the_restricted_standard():
    made = spawner(settings(storage={"endpoint": "https://minio:9000", "ca_config_map": "storage-ca"}))
    assert made["pod_security_context"]["runAsNonRoot"]
    assert made["container_security_context"] == {"readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert not made["allow_privilege_escalation"]
    assert {mount["name"] for mount in made["volume_mounts"]} == {volume["name"] for volume in made["volumes"]}
