"""Fixtures that every tier may ask for, and the order of the tests."""

import os

from hypothesis import settings

pytest_plugins = [
    "tests.integration.published",
    "tests.integration.s3_servers",
    "tests.integration.spark_cluster",
    "tests.integration.deploy.charts",
    "tests.integration.deploy.apiserver",
]

# Most tests start a JVM and end it soon: there, compiling quickly beats compiling well.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")

# A machine that does something else for a moment is not a failure of the code under test.
settings.register_profile("hepspark", deadline=None)
settings.load_profile("hepspark")

LONGEST = ("test_train", "test_bigdl_steps", "test_ingest", "test_line", "test_simulate", "test_ingest_places")


def pytest_collection_modifyitems(items):
    """The longest files come first: workers take files from the front, and none is left with a long one at the end."""
    rank = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))
