"""Fixtures that every tier may ask for."""

import os

pytest_plugins = ["tests.integration.minio", "tests.integration.spark_cluster"]

# Most tests start a JVM and end it soon: there, compiling quickly beats compiling well.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
