"""Fixtures that every tier may ask for."""

pytest_plugins = ["tests.integration.minio", "tests.integration.spark_cluster"]
