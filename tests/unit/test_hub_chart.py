"""What the schema of chart `jupyterhub` and the hub's settings both say is the same."""

import json
from pathlib import Path

import pytest
from hepspark_hub.settings import Settings

VALUES = json.loads(Path("helm/jupyterhub/values.schema.json").read_text())
TAKEN = Settings.model_json_schema()
BOUNDS = ("pattern", "enum", "minimum", "maximum", "exclusiveMinimum", "minItems")


def bounds(schema, place, definitions):
    """The bounds of a value; `[]` stands for the items of a list."""
    found = schema
    for part in (*place.split("."), ""):
        found = found.get("anyOf", [found])[0]
        found = definitions[found["$ref"].rpartition("/")[2]] if "$ref" in found else found
        if part:
            found = found["items"] if part == "[]" else found["properties"][part]
    return {key: found[key] for key in BOUNDS if key in found}


@pytest.mark.parametrize(
    ("value", "setting"),
    [
        ("flavors", "flavors"),
        ("flavors.[].name", "flavors.[].name"),
        ("flavors.[].cores", "flavors.[].cores"),
        ("flavors.[].requestedCores", "flavors.[].requested_cores"),
        ("flavors.[].memory", "flavors.[].memory"),
        ("flavors.[].driverMemory", "flavors.[].driver_memory"),
        ("flavors.[].executors.instances", "flavors.[].executors.instances"),
        ("flavors.[].executors.cores", "flavors.[].executors.cores"),
        ("flavors.[].executors.memory", "flavors.[].executors.memory"),
        ("flavors.[].executors.requestedCores", "flavors.[].executors.requested_cores"),
        ("servers.volume", "servers.volume"),
        ("servers.startSeconds", "servers.start_seconds"),
        ("servers.idleMinutes", "servers.idle_minutes"),
        ("workspace.credentials", "workspace.credentials"),
        ("workspace.minutes", "workspace.minutes"),
    ],
)
def test_values_have_the_bounds_of_the_settings(value, setting):
    given = bounds(VALUES, value, VALUES["definitions"])
    assert given
    assert given == bounds(TAKEN, setting, TAKEN["$defs"])


def test_a_flavor_has_no_other_keys_than_the_hub_takes():
    def keys(names):
        return {name.replace("_", "").lower() for name in names}

    flavor = VALUES["properties"]["flavors"]["items"]["properties"]
    assert keys(flavor) == keys(TAKEN["$defs"]["Flavor"]["properties"])
    assert keys(flavor["executors"]["properties"]) == keys(TAKEN["$defs"]["Executors"]["properties"])
