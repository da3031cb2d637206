"""The front door in folders of any name, and in environments that are meant for another Python."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from hepspark.config import load
from hepspark.place import place

REPOSITORY = Path(__file__).parents[2]
ODD = ("my repo", "[1] é#%*'q\"", "./a, b: c", "-x")

RECORD = """
import json, os, sys
with open(os.environ["RECORD"], "a") as record:
    print(json.dumps({"arguments": sys.argv[1:], "environment": dict(os.environ)}), file=record)
"""
# By a shell, as the path of Python may itself be odd, and the first line of a program is taken apart at spaces.
RECORDER = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c {shlex.quote(RECORD)} "$@"\n'


@pytest.fixture
def clone(tmp_path):
    """A copy of the front door in a folder with an odd name, whose .venv notes what it is called with."""
    place = tmp_path / "my [repo] é#%*'q\""
    for name in ("Makefile", "tools/setup.sh", "training/conf/local.yaml"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, place / name)
    for name in ("pyproject.toml", "requirements/all.txt", "requirements/bigdl.txt", "requirements/deploy.txt"):
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).touch()
    (place / ".venv/bin").mkdir(parents=True)
    for name in ("hepspark", "uv", "ansible-playbook", "python"):
        (place / ".venv/bin" / name).write_text(RECORDER)
        (place / ".venv/bin" / name).chmod(0o755)
    (place / ".venv/.ready").touch()
    return place


def called(place, *command, **variables):
    """Run a command; gives what the programs of .venv were called with."""
    record = place / "record"
    record.unlink(missing_ok=True)
    done = subprocess.run(
        command, cwd=place, env=os.environ | variables | {"RECORD": str(record)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []


def settings(arguments):
    return [value for name, value in pairwise(arguments) if name == "--set"]


@pytest.mark.parametrize("out", ODD)
def test_results_may_lie_in_a_folder_of_any_name(clone, out):
    (clone / ".venv/.deploy").touch()
    calls = [call["arguments"] for call in called(clone, "make", "train", OUT=out)]
    assert [arguments[:2] for arguments in calls] == [
        [step, "training/conf/local.yaml"] for step in ("ingest", "train", "evaluate")
    ]
    for arguments in calls:
        config = load(clone / arguments[1], settings(arguments))
        assert config.folder == place(out)
        assert config.train.input == (place("tests/data/sample"), place(f"{out}/dataset"))
    [simulate] = called(clone, "make", "simulate", OUT=out)
    assert load(None, settings(simulate["arguments"])).simulate.output == place(f"{out}/events")
    [bench] = called(clone, "make", "bench", OUT=out)
    assert bench["arguments"][-1] == f"{out}/bench"


def test_cleaning_removes_what_is_meant_and_nothing_else(clone, tmp_path):
    kept = [clone / "my", clone / "results", tmp_path / "home", tmp_path / "user/.cache/hepspark"]
    removed = [clone / "my results", clone / ".venv", tmp_path / "home user/.cache/hepspark"]
    for folder in (*kept, *removed):
        folder.mkdir(parents=True, exist_ok=True)
    called(clone, "make", "clean", OUT="my results")
    called(clone, "make", "clean-cache", HOME=str(tmp_path / "home user"), XDG_CACHE_HOME="")
    assert [folder for folder in (*kept, *removed) if folder.exists()] == kept


def test_ansible_finds_its_configuration_in_a_folder_of_any_name(clone):
    (clone / ".venv/.deploy").touch()
    [play] = called(clone, "make", "site", INVENTORY="my inventory [1]")
    assert play["arguments"] == ["--inventory", "my inventory [1]", "deploy/playbooks/site.yml"]
    assert play["environment"]["PYTHONPATH"] == str(clone)
    assert play["environment"]["ANSIBLE_CONFIG"] == f"{clone}/deploy/ansible.cfg"


def test_packages_come_from_where_the_user_says_and_go_where_they_belong(clone, tmp_path):
    fetching = {
        "PIP_INDEX_URL": "http://index", "UV_DEFAULT_INDEX": "http://index", "PIP_FIND_LINKS": "/wheels",
        "PIP_CERT": "/ca.pem", "UV_NATIVE_TLS": "1", "PIP_TRUSTED_HOST": "index", "UV_OFFLINE": "1",
        "PIP_CONFIG_FILE": "/pip.conf", "UV_CACHE_DIR": "/cache", "https_proxy": "http://proxy",
    }  # fmt: skip
    others = {
        "PIP_TARGET": "/x", "PIP_PREFIX": "/x", "PIP_REQUIRE_VIRTUALENV": "1", "PIP_CONSTRAINT": "/x",
        "PIP_NO_DEPS": "1", "UV_PYTHON": "/x", "UV_SYSTEM_PYTHON": "1", "UV_CONSTRAINT": "/x", "UV_OVERRIDE": "/x",
        "UV_EXCLUDE_NEWER": "2020-01-01", "UV_PROJECT": "/x", "UV_RESOLUTION": "lowest", "PYTHONPATH": "/x",
        "PYTHONUSERBASE": "/x", "JDK_JAVA_OPTIONS": "-x",
    }  # fmt: skip
    (tmp_path / "tools").mkdir()
    [call] = called(clone, "make", ".venv/.deploy", CDPATH=str(tmp_path), **fetching, **others, PIP_USER="1")
    assert call["arguments"][:5] == ["pip", "install", "--quiet", "--python", ".venv"]
    assert fetching.items() <= call["environment"].items()
    assert call["environment"].keys().isdisjoint(others)
    assert call["environment"]["PIP_USER"] == "0"
    assert (clone / ".venv/.deploy").exists()


@pytest.mark.parametrize(("name", "why"), [("a:b", "a colon"), ("a\nb", "a line break"), ("a\udce9", "not UTF-8")])
def test_a_folder_that_java_cannot_use_is_refused(tmp_path, name, why):
    place = tmp_path / name / "tools"
    place.mkdir(parents=True)
    shutil.copy(REPOSITORY / "tools/setup.sh", place)
    done = subprocess.run([place / "setup.sh"], capture_output=True, text=True, errors="surrogateescape", timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("setup: this folder is ")
    assert why in done.stderr
    assert not (place.parent / ".venv").exists()
