"""Roles say what they take, and mean it."""

import re

import pytest
import yaml

from deploy.role_docs import ROLES, readme, specification

USES = ("tasks", "templates", "vars", "handlers")

roles = pytest.mark.parametrize("role", sorted(ROLES.iterdir()), ids=lambda role: role.name)


@roles
def test_the_specification_has_the_defaults(role):
    defaults = yaml.safe_load((role / "defaults/main.yml").read_text())
    options = specification(role)["options"]
    assert {name: option["default"] for name, option in options.items()} == defaults


@roles
def test_names_carry_the_role(role):
    assert all(name.startswith(role.name + "_") for name in specification(role)["options"])


@roles
def test_every_variable_is_used(role):
    text = "".join(p.read_text() for folder in USES for p in (role / folder).rglob("*") if p.is_file())
    unused = [name for name in specification(role)["options"] if not re.search(rf"\b{name}\b", text)]
    assert not unused


@roles
def test_the_readme_is_up_to_date(role):
    assert (role / "README.md").read_text() == readme(role), "run `make docs`"
