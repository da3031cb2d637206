"""What can be said of the charts without helm: versions, schemas, and that every template and refusal has a test."""

import json
import re
from pathlib import Path

import pytest
import yaml

from deploy.mirror.versions import load_versions

HELM = Path("helm")
CHARTS = sorted(file.parent for file in HELM.glob("*/Chart.yaml"))
each_chart = pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.name)


def test_there_are_charts():
    assert CHARTS


def images(values):
    """All `repository:tag` in values, wherever an `image` stands."""
    if not isinstance(values, dict):
        return []
    own = [f"{values['repository']}:{values['tag']}"] if {"repository", "tag"} <= values.keys() else []
    return [*own, *(image for value in values.values() for image in images(value))]


@each_chart
def test_images_are_those_of_the_mirror(chart):
    held = {image for component in load_versions().components.values() for image in component.references().values()}
    used = images(yaml.safe_load((chart / "values.yaml").read_text()))
    assert used
    assert set(used) <= held


@each_chart
def test_the_chart_names_the_version_that_it_installs(chart):
    values = yaml.safe_load((chart / "values.yaml").read_text())
    described = yaml.safe_load((chart / "Chart.yaml").read_text())
    assert described["name"] == chart.name
    assert str(described["appVersion"]) == str(values["image"]["tag"])


HANDED_OVER = ("config",)
"""Values whose keys are another program's, which has the defaults: here they are empty, and every key may be absent."""


def same_keys(schema, values, place="values"):
    """The keys of a schema that differ from those of the values, which are complete."""
    known = set(schema.get("properties", {})) - {"global"}
    differing = [f"{place}.{key}" for key in known ^ set(values)]
    for key in known & set(values):
        inner = schema["properties"][key]
        if isinstance(values[key], dict) and "properties" in inner and key != "resources":
            assert inner["additionalProperties"] is False, f"{place}.{key} is open"
            if place == "values" and key in HANDED_OVER and values[key] == {}:
                continue
            assert set(inner["required"]) == set(inner["properties"])
            differing += same_keys(inner, values[key], f"{place}.{key}")
    return differing


@each_chart
def test_the_schema_is_closed_and_names_every_value(chart):
    schema = json.loads((chart / "values.schema.json").read_text())
    assert schema["additionalProperties"] is False
    assert same_keys(schema, yaml.safe_load((chart / "values.yaml").read_text())) == []


@pytest.mark.parametrize(
    ("schema", "values", "differing"),
    [
        ({"a": {}, "b": {}}, {"a": 1}, ["values.b"]),
        ({"a": {}}, {"a": 1, "b": 1}, ["values.b"]),
        ({"config": {"properties": {"x": {}}, "additionalProperties": False}}, {"config": {}}, []),
        (
            {"other": {"properties": {"x": {}}, "additionalProperties": False, "required": ["x"]}},
            {"other": {}},
            ["values.other.x"],
        ),
    ],
    ids=["not in the values", "not in the schema", "handed over", "not handed over"],
)
def test_differing_keys_are_found(schema, values, differing):
    assert same_keys({"properties": schema}, values) == differing


def test_an_open_configuration_is_found():
    with pytest.raises(AssertionError, match="config is open"):
        same_keys({"properties": {"config": {"properties": {}, "additionalProperties": True}}}, {"config": {}})


def undescribed(text):
    """Numbers of the lines of values that have no comment, neither of their own nor of what they are a part of."""
    told = None  # how far in the last described value stands, as long as its parts go on
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        key = re.match(r"^( *)\w+:", line)
        indent = len(line) - len(line.lstrip())
        if told is not None and line.strip() and indent <= told:
            told = None
        if not key or told is not None:
            continue
        before = number - 2
        while before > 0 and lines[before].strip().startswith("#") and "# -- " not in lines[before]:
            before -= 1
        if number > 1 and "# -- " in lines[before]:
            told = indent
        elif line[key.end() :].strip():
            yield number


@each_chart
def test_every_value_is_described(chart):
    assert list(undescribed((chart / "values.yaml").read_text())) == []


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("a: 1", [1]),
        ("# -- One\na: 1\nb: 2", [3]),
        ("# -- One,\n# and more\na: 1", []),
        ("a:\n  # -- One\n  b: 1\n  c: 2", [4]),
        ("# -- Some\na:\n  - b: 1\n    c: 2\nd: 3", [5]),
        ("# A section\na:\n  b: 1", [3]),
    ],
    ids=["none", "only the first", "two lines", "in a section", "in a list", "not its section's"],
)
def test_values_without_a_comment_are_found(text, numbers):
    assert list(undescribed(text)) == numbers


@each_chart
def test_tests_mirror_templates(chart):
    templates = {file.stem for file in (chart / "templates").glob("*.yaml")}
    tests = {file.name.removesuffix("_test.yaml") for file in (chart / "tests").glob("*_test.yaml")}
    assert tests - {"notes"} == templates


@each_chart
def test_every_refusal_has_a_test(chart):
    refusals = re.findall(r'fail \(?(?:printf )?"([^":;%]+)', (chart / "templates/validate.yaml").read_text())
    assert refusals
    tested = yaml.safe_load((chart / "tests/validate_test.yaml").read_text())["tests"]
    patterns = [
        check["failedTemplate"]["errorPattern"]
        for test in tested
        for check in test["asserts"]
        if "failedTemplate" in check
    ]
    for refusal in refusals:
        told = refusal.split(" but ")[-1].strip()
        assert any(told in pattern for pattern in patterns), f"no test expects: {refusal}"


@each_chart
def test_no_registry_is_built_in(chart):
    assert yaml.safe_load((chart / "values.yaml").read_text())["image"]["registry"] == ""
