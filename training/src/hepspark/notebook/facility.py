"""What the hub tells a server of the facility that it is part of."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from hepspark.config import StorageConfig


@dataclass(frozen=True)
class Facility:
    """How executors are made here, and how large they may be."""

    image: str
    """Of the executors."""
    pull_policy: str
    account: str
    """Service account of the executors."""
    executors: int
    """At most; 0 where Spark works in the server itself."""
    cores: int
    """Of an executor, at most."""
    cpu: str
    """Cores that an executor is sure of; empty where these are all of its cores."""
    memory: str
    """Heap of an executor, at most."""
    driver_memory: str
    """Heap of the driver, which shares the server's memory with its notebooks."""
    prefix: str
    """Path of the server's pages at the hub, with a slash at its end."""

    @property
    def spark_pages(self) -> str:
        """Path at the hub of the pages on which Spark tells what it does."""
        return f"{self.prefix}sparkui/jobs/"


def facility(environment: Mapping[str, str] = os.environ) -> Facility | None:
    """The facility that this process runs in; None on any other machine."""
    if not (environment.get("POD_NAMESPACE") and environment.get("HEPSPARK_IMAGE")):
        return None
    return Facility(
        image=environment["HEPSPARK_IMAGE"],
        pull_policy=environment.get("HEPSPARK_PULL_POLICY") or "IfNotPresent",
        account=environment.get("HEPSPARK_EXECUTOR_ACCOUNT") or "spark-executor",
        executors=int(environment.get("HEPSPARK_EXECUTORS") or 0),
        cores=int(environment.get("HEPSPARK_EXECUTOR_CORES") or 1),
        cpu=environment.get("HEPSPARK_EXECUTOR_CPU") or "",
        memory=environment.get("HEPSPARK_EXECUTOR_MEMORY") or "1g",
        driver_memory=environment.get("HEPSPARK_DRIVER_MEMORY") or "1g",
        prefix=environment.get("JUPYTERHUB_SERVICE_PREFIX") or "/",
    )


def storage(environment: Mapping[str, str] = os.environ) -> StorageConfig:
    """How the facility's store is reached; its address and region are in the usual AWS variables."""
    return StorageConfig(
        path_style=environment.get("HEPSPARK_PATH_STYLE", "true") != "false",
        ca_bundle=environment.get("HEPSPARK_CA_FILE") or None,
    )
