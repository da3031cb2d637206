"""Chart `jupyterhub` with the hub's own eyes: the settings that it gives."""

import json

import pytest
from hepspark_hub import namespaces
from hepspark_hub.settings import Settings

from tests.integration.deploy.charts import ROOT, each, objects_of

CHART = ROOT / "helm/jupyterhub"


def settings_of(objects):
    (made,) = [made for made in objects if made["kind"] == "ConfigMap"]
    return Settings.model_validate(json.loads(made["data"]["settings.json"]))


@each("values", ["helm/jupyterhub"])
def test_the_hub_takes_its_settings(render, values):
    settings = settings_of(objects_of(render(values)))
    assert settings.namespace == "physics"
    assert settings.servers.image == "registry.example.org/hepspark/notebook:0.1.0"
    assert bool(settings.oidc) == ("oidc" in values.name)


@pytest.mark.parametrize(
    ("values", "place", "expected"),
    [
        ("oidc", "oidc.allowed_groups", ("physics",)),
        ("oidc", "flavors.1.executors.requested_cores", 1.5),
        ("oidc", "flavors.1.groups", ("operators", "analysis")),
        ("external-storage", "storage.ca_config_map", "site-ca"),
        ("external-storage", "storage.path_style", False),
        ("external-storage", "workspace.credentials", "secret"),
        ("external-storage", "workspace.public", ("collisions", "simulation")),
        ("postgres", "workspace.sts_endpoint", "https://sts.example.org"),
        ("postgres", "workspace.role", "arn:aws:iam::123456789012:role/notebooks"),
        ("postgres", "workspace.minutes", 15),
        ("quota", "servers.quota", {"pods": "20", "requests.cpu": "8", "requests.memory": "32Gi"}),
        ("quota", "servers.volume_class", "fast"),
        ("quota", "servers.idle_minutes", 0),
        (
            "quota",
            "servers.tolerations",
            ({"key": "example.org/notebooks", "operator": "Exists", "effect": "NoSchedule"},),
        ),
    ],
)
def test_what_is_given_reaches_the_hub(render, values, place, expected):
    found = settings_of(objects_of(render(CHART / f"ci/{values}-values.yaml")))
    for part in place.split("."):
        found = found[int(part)] if part.isdigit() else getattr(found, part)
    assert found == expected


def test_the_hubs_rights_are_called_what_it_calls_them(render):
    objects = objects_of(render(CHART / "ci/default-values.yaml", name="notebooks"))
    settings = settings_of(objects)
    made = {one["metadata"]["name"] for one in objects if one["kind"] == "ClusterRole"}
    content = namespaces.content(settings, "physics-ada", settings.flavors, "")
    bound = [namespaces.hub_rights(settings, "physics-ada"), *content]
    asked = {one["roleRef"]["name"] for one in bound if one["kind"] == "RoleBinding"}
    assert asked == made - {"physics-notebooks-hub"}
    services = {one["metadata"]["name"] for one in objects if one["kind"] == "Service"}
    assert {settings.hub, settings.proxy} < services
