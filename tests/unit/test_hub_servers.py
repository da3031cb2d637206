"""Pods of users' servers."""

import json
from types import SimpleNamespace

import pytest
from hepspark_hub.servers import spawner

from tests.unit.hub_settings import settings


def test_a_server_knows_its_users_workspace():
    variables = spawner(settings(storage={"endpoint": "https://minio:9000", "ca_config_map": "storage-ca"}))[
        "environment"
    ]
    ada = SimpleNamespace(user=SimpleNamespace(name="ada"))
    assert variables["HEPSPARK_WORKSPACE"](ada) == "s3a://workspaces/ada"
    assert variables["AWS_CA_BUNDLE"] == "/etc/hepspark-ca/ca.crt"


@pytest.mark.parametrize(
    ("index", "trusted"),
    [("https://packages.example.org/simple/", None), ("http://me:x@packages:8080/simple/", "packages:8080")],
)
def test_a_server_takes_packages_from_the_sites_index(index, trusted):
    servers = settings().servers.model_dump() | {"package_index": index}
    variables = spawner(settings(servers=servers))["environment"]
    assert (variables["PIP_INDEX_URL"], variables.get("PIP_TRUSTED_HOST")) == (index, trusted)
    assert not [name for name in spawner(settings())["environment"] if name.startswith("PIP_")]


def test_executors_of_a_server_have_its_nodes():
    nodes = {"node_selector": {"pool": "users"}, "tolerations": [{"key": "notebooks", "operator": "Exists"}]}
    variables = spawner(settings(servers=settings().servers.model_dump() | nodes))["environment"]
    assert json.loads(variables["HEPSPARK_EXECUTOR_NODES"](None)) == {
        "nodeSelector": {"pool": "users"},
        "tolerations": [{"key": "notebooks", "operator": "Exists"}],
    }
    assert "HEPSPARK_EXECUTOR_NODES" not in spawner(settings())["environment"]


def test_a_server_passes_the_restricted_standard():
    made = spawner(settings(storage={"endpoint": "https://minio:9000", "ca_config_map": "storage-ca"}))
    assert made["pod_security_context"]["runAsNonRoot"]
    assert made["container_security_context"] == {"readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert not made["allow_privilege_escalation"]
    assert {mount["name"] for mount in made["volume_mounts"]} == {volume["name"] for volume in made["volumes"]}
