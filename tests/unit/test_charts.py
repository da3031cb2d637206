"""What can be said of the charts without helm: versions, schemas, and that every template and refusal has a test."""

import json
import re
from pathlib import Path

import pytest
import yaml

from deploy.mirror.versions import load_versions
from tools.schema_descriptions import described, descriptions, text

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


def undescribed(values, texts, place=""):
    """Places of values of which neither a README says anything, nor of the section that they are a part of."""
    for name, value in values.items():
        key = f"{place}{name}"
        if texts.get(key):
            continue
        if isinstance(value, dict) and value:
            yield from undescribed(value, texts, f"{key}.")
        else:
            yield key


@each_chart
def test_every_value_is_described(chart):
    values = yaml.safe_load((chart / "values.yaml").read_text())
    assert list(undescribed(values, descriptions((chart / "README.md").read_text()))) == []


def table(*rows):
    head = ("| Key | Type | Default | Description |", "|-----|------|---------|-------------|")
    return "\n".join(("## Values", "", *head, *(f"| {row} |" for row in rows), "", "| not | of | the | table |", ""))


def test_values_without_a_description_are_found():
    texts = descriptions(table("a | int | `1` | One", "b.c | int | `1` |  ", 'd | object | `{"x":"y|z"}` | Whole `d`'))
    assert texts == {"a": "One", "b.c": "", "d": "Whole `d`"}
    assert list(undescribed({"a": 1, "b": {"c": 1, "e": {}}, "d": {"x": 1}, "f": 0}, texts)) == ["b.c", "b.e", "f"]


def test_a_description_that_breaks_the_table_is_found():
    with pytest.raises(ValueError, match=r"a description has no `\|`: \| a \| int"):
        descriptions(table("a | int | `1` | One | or two"))


@each_chart
def test_the_schema_says_what_the_readme_says(chart):
    written = (chart / "values.schema.json").read_text()
    assert written == text(chart), f"{chart}/values.schema.json is out of date: run `make docs`"


def test_a_schema_has_the_descriptions_of_today_and_no_others():
    config = {"type": "object", "properties": {"x": {"description": "its own"}}}
    section = {"description": "old", "properties": {"b": {"description": "old", "$ref": "#/r"}, "c": {"enum": []}}}
    schema = {"title": "t", "properties": {"a": section, "config": config}}
    made = described(schema, {"a.b": "new", "a.c": "", "config": "all"})
    b, c = {"description": "new", "$ref": "#/r"}, {"enum": []}
    assert made == {
        "title": "t",
        "properties": {"a": {"properties": {"b": b, "c": c}}, "config": {"description": "all", **config}},
    }


@each_chart
def test_the_schema_has_no_definition_that_it_does_not_use(chart):
    written = (chart / "values.schema.json").read_text()
    schema = json.loads(written)
    for group in {"definitions", "$defs"} & schema.keys():
        assert [name for name in schema[group] if f'"#/{group}/{name}"' not in written] == []


def makers(chart):
    """The texts, without comments, of templates that make something: what refuses or tells makes nothing."""
    files = {*(chart / "templates").glob("*.yaml"), *(chart / "templates").glob("*.tpl")}
    comment = re.compile(r"\{\{-?\s*/\*.*?\*/\s*-?\}\}", re.DOTALL)
    return [comment.sub("", file.read_text()) for file in files if file.name != "validate.yaml"]


def unused(names, templates):
    """Values that no template names, neither from `.Values` on nor by the last part alone below `with` of the rest."""
    for name in names:
        section, _, part = map(re.escape, name.rpartition("."))
        ways = [rf"\.Values\.{re.escape(name)}\b", rf"\$values\.{re.escape(name)}\b"]
        ways += [rf"with \.Values\.{section} (.|\n)*[\s(]\.{part}\b"] if section else []
        if not any(re.search(way, template) for way in ways for template in templates):
            yield name


@each_chart
def test_every_value_is_used_by_a_template(chart):
    assert list(unused(descriptions((chart / "README.md").read_text()), makers(chart))) == []


def test_values_that_no_template_uses_are_found(tmp_path):
    for name, content in {
        "a.yaml": "{{ .Values.image.tag }}\n{{- with .Values.ingress }}\n{{- if .enabled }} {{ .host }}{{ end }}",
        "b.yaml": "{{- /* .Values.told of\n .Values.lines */ -}}\n{{ $values.service.nodePorts }} {{ .className }}",
        "_c.tpl": '{{- define "c" }}{{ .Values.folder }}{{ end }}',
        "validate.yaml": "{{ fail .Values.refused }}",
        "NOTES.txt": "{{ .Values.noted }}",
    }.items():
        (tmp_path / "templates").mkdir(exist_ok=True)
        (tmp_path / "templates" / name).write_text(content)
    used = ["image.tag", "ingress.enabled", "ingress.host", "folder", "service.nodePorts"]
    planted = ["told", "lines", "service.nodePort", "tag", "ingress.className", "image.host", "refused", "noted"]
    assert list(unused([*used, *planted], makers(tmp_path))) == planted


@each_chart
def test_every_helper_is_used(chart):
    text = "\n".join(file.read_text() for file in (chart / "templates").iterdir())
    assert [name for name in re.findall(r'define "([^"]+)"', text) if f'include "{name}"' not in text] == []


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
