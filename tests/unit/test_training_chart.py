"""What chart `training` and hepspark both say is the same."""

import json
import re
from pathlib import Path

import pytest

from hepspark.config import Config, ExecutorConfig
from tools.training_schema import OWN, SCHEMA, completed

VALUES = json.loads(SCHEMA.read_text())


def test_the_schema_has_todays_configuration():
    assert completed(VALUES) == VALUES, "helm/training/values.schema.json is out of date: run `make docs`"


def test_every_section_is_the_users_or_the_charts():
    assert set(VALUES["properties"]["config"]["properties"]) == set(Config.model_fields) - set(OWN)


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("instances", "instances"),
        ("cores", "cores"),
        ("memory", "memory"),
        ("pendingTimeoutSeconds", "pending_timeout"),
    ],
)
def test_executors_have_the_bounds_of_the_configuration(value, key):
    bounds = dict(ExecutorConfig.model_json_schema()["properties"][key])
    del bounds["title"], bounds["default"]
    told = VALUES["properties"]["executor"]["properties"][value]
    assert told | {"description": ""} == bounds | {"description": ""}


def test_cpu_is_what_the_configuration_takes():
    (taken, _) = ExecutorConfig.model_json_schema()["properties"]["cpu"]["anyOf"]
    assert VALUES["properties"]["executor"]["properties"]["cpu"]["pattern"] == taken["pattern"].replace("^(", "^(|")
    assert VALUES["properties"]["driver"]["properties"]["cpu"]["pattern"] == taken["pattern"]


def test_the_batch_that_executors_share_is_the_default_of_the_configuration():
    (batch,) = re.findall(r'dig "train" "batch" (\d+)', Path("helm/training/templates/validate.yaml").read_text())
    assert int(batch) == Config().train.batch
