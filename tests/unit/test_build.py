"""What tests need is built before they begin, and a test that misses it says how."""

import shutil
import subprocess

import pytest

from tests.integration.built import TOOLS, built
from tests.integration.s3_servers import MAKES


@pytest.fixture
def build(tmp_path):
    """Runs a copy of tools/build.sh beside builders that write what they did."""
    shutil.copy(TOOLS / "build.sh", tmp_path)
    for name, work in {"good": 'echo once >> "$place"', "bad": "echo no network >&2; exit 3"}.items():
        program = tmp_path / f"{name}.sh"
        program.write_text(
            f'#!/usr/bin/env bash\nplace="{tmp_path}/{name}"\n[[ "${{1:-}}" == --path ]] || {{ {work}; }}\n'
        )
        with program.open("a") as script:
            script.write('echo "$place"\n')
        program.chmod(0o755)
    return lambda *names: subprocess.run([tmp_path / "build.sh", *names], capture_output=True, text=True, check=False)


def test_what_is_missing_is_built_once(build, tmp_path):
    first, second = build("good"), build("good")
    assert (first.returncode, first.stdout) == (0, "")
    assert first.stderr.startswith("good: built after ")
    assert (second.returncode, second.stderr) == (0, "")
    assert (tmp_path / "good").read_text() == "once\n"


def test_what_cannot_be_built_is_told_and_the_rest_is_built(build, tmp_path):
    ended = build("bad", "good")
    assert ended.returncode == 1
    assert "no network" in ended.stderr
    assert "bad: built" not in ended.stderr
    assert (tmp_path / "good").exists()


@pytest.mark.parametrize("target", ["test", "test-deploy"])
def test_the_targets_build_every_server_that_tests_start(target):
    told = subprocess.run(["make", "--dry-run", target], cwd=TOOLS.parent, capture_output=True, text=True, check=True)
    (command,) = [line.split() for line in told.stdout.splitlines() if line.startswith("tools/build.sh ")]
    assert {make.program for make in MAKES.values()} <= set(command[1:])


@pytest.mark.parametrize(("name", "target"), [("minio", "test"), ("charts", "test-deploy")])
def test_what_is_not_built_is_told_with_its_target(name, target, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(pytest.fail.Exception, match=rf"{tmp_path}/hepspark/.* is missing: run `make {target}`"):
        built(name, target)
