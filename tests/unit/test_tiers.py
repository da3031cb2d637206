"""Which tests pytest finds: those that make hosts or need a mirror only where somebody names their folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Importing all tests, and pytest's plugins, would take seconds: each file is one test here.
LISTING = """
import json, sys, pytest

class One(pytest.Item):
    def runtest(self):
        raise NotImplementedError

class File(pytest.File):
    def collect(self):
        yield One.from_parent(self, name="one")

class Listing:
    def pytest_collect_file(self, file_path, parent):
        return File.from_parent(parent, path=file_path) if file_path.match("test_*.py") else None

    def pytest_collection_finish(self, session):
        self.files = [str(item.path) for item in session.items]

options = ["--collect-only", "--noconftest", "-p", "no:python", "-o", "addopts=-qq", "-o", "filterwarnings="]
found = []
for arguments in json.loads(sys.argv[1]):
    listing = Listing()
    assert pytest.main([*options, *arguments], plugins=[listing]) == 0
    found.append(listing.files)
print(json.dumps(found))
"""
ARGUMENTS = ([], ["tests"], ["tests/e2e"], ["tests/integration/deploy"])


@pytest.fixture(scope="module")
def found() -> list[set[Path]]:
    """The files that pytest takes, by its arguments."""
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-c", LISTING, json.dumps(ARGUMENTS)]
    done = subprocess.run(command, cwd=ROOT, env=alone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return [{Path(file) for file in files} for files in json.loads(done.stdout.splitlines()[-1])]


def files(*patterns: str) -> set[Path]:
    return {path for one in patterns for path in (ROOT / "tests").glob(one)}


def test_who_names_no_tier_gets_those_that_make_no_hosts(found):
    bare, folder_of_all, *_ = found
    assert bare == files("unit/test_*.py", "contract/test_*.py", "integration/test_*.py")
    assert folder_of_all == bare


def test_a_tier_that_is_named_is_found(found):
    assert found[2:] == [files("e2e/test_*.py"), files("integration/deploy/**/test_*.py")]
