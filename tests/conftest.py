"""Fixtures that every tier may ask for, and the order of the tests."""

import os
import sys
from pathlib import Path

from hypothesis import settings

pytest_plugins = [
    "tests.integration.published",
    "tests.integration.s3_servers",
    "tests.integration.spark_cluster",
    "tests.integration.deploy.charts",
    "tests.integration.deploy.apiserver",
]

# Most tests start a JVM and end it soon: there, compiling quickly beats compiling well, the classes of locked packages
# need no verification, and what a JVM made of them before is not made again (`make test` keeps it: java_classes).
CLASSES = Path(sys.prefix, ".java-classes")
JAVA_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote"
# A JVM with other JAR files, which cannot use them, would say so on its standard output.
KEPT = f" '-XX:SharedArchiveFile={CLASSES}' -Xlog:cds*=off" if CLASSES.exists() else ""
os.environ.setdefault("JAVA_TOOL_OPTIONS", f"{JAVA_OPTIONS}{KEPT}")

# A machine that does something else for a moment is not a failure of the code under test.
settings.register_profile("hepspark", deadline=None)
settings.load_profile("hepspark")

E2E = Path(__file__).with_name("e2e")
LONGEST = (
    "test_notebook", "test_train", "test_line", "test_bigdl_steps", "test_notebooks", "test_ingest", "test_simulate",
    "test_ingest_places", "test_lab", "test_mirror", "test_cluster_train", "test_closed_page",
)  # fmt: skip


def pytest_collection_modifyitems(items):
    """The longest files come first: workers take files from the front, and none is left with a long one at the end.

    Those of e2e stay as they are given: each goes on with the lab of the one before.
    """
    rank = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: len(rank) if E2E in item.path.parents else rank.get(item.path.stem, len(rank)))
