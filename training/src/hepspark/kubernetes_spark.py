"""What Spark must be told so that its executors are pods and its driver is the pod this process runs in."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from hepspark.config import SparkConfig, StorageConfig, given
from hepspark.errors import InputError
from hepspark.wording import counted, mebibytes

RUN_LABEL = "hepspark/run"
"""Label of every Job and pod of a run; its value is the run's name."""

RUN_VARIABLE = "HEPSPARK_RUN"
"""Variable of a run's driver; its value is the run's name."""

EXECUTOR_CONTAINER = "executor"
"""Name of the container in an executor's pod, and in its template."""

_MIB = 1 << 20
_UNITS = {"m": 1, "g": 1024}


@dataclass(frozen=True)
class DriverPod:
    """The pod this process runs in, as the downward API tells it."""

    name: str
    namespace: str
    ip: str
    run: str | None
    """Name of the run, where the pod is one of a run."""


def driver_pod(environment: Mapping[str, str] = os.environ) -> DriverPod:
    """The pod this process runs in.

    Raises:
        InputError: the environment does not tell.
    """
    lacking = [name for name in ("POD_NAME", "POD_NAMESPACE", "POD_IP") if not environment.get(name)]
    if lacking:
        raise InputError(
            f"spark.master is k8s://…, but {', '.join(lacking)} is not set: the driver must run in a pod that has it "
            "from the downward API (metadata.name, metadata.namespace, status.podIP); elsewhere use local[*]"
        )
    return DriverPod(
        environment["POD_NAME"],
        environment["POD_NAMESPACE"],
        environment["POD_IP"],
        environment.get(RUN_VARIABLE) or None,
    )


@dataclass(frozen=True)
class ExecutorMemory:
    """Memory of one executor's pod, in MiB."""

    heap: int
    overhead: int
    """For Python's workers and native memory."""

    @property
    def total(self) -> int:
        """What the pod requests, and its limit."""
        return self.heap + self.overhead

    @property
    def total_bytes(self) -> int:
        """The same in bytes."""
        return self.total * _MIB


def executor_memory(config: SparkConfig) -> ExecutorMemory:
    """Memory of one executor's pod."""
    return memory_of(config.executor.memory)


def memory_of(text: str) -> ExecutorMemory:
    """Memory of the pod of an executor with a heap, written as "2g" or "512m"."""
    heap = int(text[:-1]) * _UNITS[text[-1]]
    return ExecutorMemory(heap, max(-(-2 * heap // 5), 512))


def describe(config: SparkConfig) -> str:
    """What a run takes of the cluster, in one line."""
    executor, memory = config.executor, executor_memory(config)
    each = "" if executor.instances == 1 else " each"
    return (
        f"{counted(executor.instances, 'executor')} of {counted(executor.cores, 'core')} and "
        f"{mebibytes(memory.total)}{each} ({mebibytes(memory.heap)} heap, "
        f"{mebibytes(memory.overhead)} for Python and native memory); driver with {config.driver_memory} heap"
    )


def properties(config: SparkConfig, storage: StorageConfig, pod: DriverPod) -> dict[str, str]:
    """Spark's properties, but those that hold for every master.

    Raises:
        InputError: no image is given.
    """
    executor, kubernetes, memory = config.executor, config.kubernetes, executor_memory(config)
    total_cores = executor.instances * executor.cores
    settings = {
        # Executors connect to the pod's address.
        "spark.driver.host": pod.ip,
        "spark.driver.bindAddress": pod.ip,
        "spark.driver.port": str(kubernetes.driver_port),
        "spark.driver.blockManager.port": str(kubernetes.block_manager_port),
        "spark.blockManager.port": str(kubernetes.block_manager_port),
        # Executors belong to this pod, so that they go with it.
        "spark.kubernetes.driver.pod.name": pod.name,
        "spark.kubernetes.namespace": kubernetes.namespace or pod.namespace,
        "spark.kubernetes.container.image": given(kubernetes.image, "spark.kubernetes.image"),
        "spark.kubernetes.authenticate.executor.serviceAccountName": kubernetes.service_account,
        "spark.executor.instances": str(executor.instances),
        "spark.executor.cores": str(executor.cores),
        # Spark does not read it here, but BigDL takes the number of executors from it.
        "spark.cores.max": str(total_cores),
        "spark.default.parallelism": str(total_cores),
        "spark.dynamicAllocation.enabled": "false",
        # A limit beside the request: quotas may ask for one, and such pods are the last to be evicted.
        "spark.kubernetes.executor.request.cores": executor.cpu or str(executor.cores),
        "spark.kubernetes.executor.limit.cores": str(executor.cores),
        "spark.executor.memory": f"{memory.heap}m",
        "spark.executor.memoryOverhead": f"{memory.overhead}m",
        # The driver waits for its executors itself, and tells what keeps them from starting.
        "spark.scheduler.maxRegisteredResourcesWaitingTime": "1ms",
        # A lost executor is noticed in seconds; the step it broke is repeated from its commit.
        "spark.kubernetes.executor.apiPollingInterval": "3s",
        "spark.kubernetes.executor.missingPodDetectDelta": "3s",
        "spark.shuffle.io.maxRetries": "1",
        # Ports of pods are open to others wherever network policies are not enforced.
        "spark.authenticate": "true",
        # Compiling quickly beats compiling well where a JVM only hands out tasks, on the share of a core.
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",
    }
    if kubernetes.executor_template:
        settings |= {
            "spark.kubernetes.executor.podTemplateFile": kubernetes.executor_template,
            "spark.kubernetes.executor.podTemplateContainerName": EXECUTOR_CONTAINER,
        }
    if pod.run:
        settings[f"spark.kubernetes.executor.label.{RUN_LABEL}"] = pod.run
    if config.event_log:
        settings |= _event_log(config.event_log, storage)
    return settings


def s3a_url(url: str) -> str:
    """A URL as Hadoop knows it: s3:// is the same as s3a:// for us, but not for it."""
    if "://" not in url:
        return url
    bucket, _, key = url.partition("://")[2].partition("/")
    # Hadoop refuses a bucket alone, which has no path, and Spark cuts off a slash at the end.
    return f"s3a://{bucket}/{key.strip('/') or '.'}"


def event_log_uri(url: str) -> str:
    """The folder of event logs as Spark has it: a URI, in which signs such as # and % stand for others."""
    return quote(s3a_url(url), safe=":/") if "://" in url else Path(url).expanduser().absolute().as_uri()


def _event_log(url: str, storage: StorageConfig) -> dict[str, str]:
    settings = {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": event_log_uri(url),
        # An object appears when it is closed: in pieces, a history server sees a run while it goes on.
        "spark.eventLog.rolling.enabled": "true",
        "spark.eventLog.rolling.maxFileSize": "10m",
        # Plain, a training writes 10 MB a minute.
        "spark.eventLog.compress": "true",
    }
    if "://" in url:
        settings |= {f"spark.hadoop.fs.s3a.{name}": value for name, value in s3a(storage).items()}
    return settings


def s3a(storage: StorageConfig) -> dict[str, str]:
    """How Spark itself reaches S3: properties below spark.hadoop.fs.s3a."""
    endpoint = storage.endpoint or os.environ.get("AWS_ENDPOINT_URL")
    region = storage.region or os.environ.get("AWS_REGION") or "us-east-1"
    settings = {
        "endpoint.region": region,
        "path.style.access": str(storage.path_style).lower(),
        # As for everything else: variables, or the program or file that the usual AWS files name.
        "aws.credentials.provider": "com.amazonaws.auth.EnvironmentVariableCredentialsProvider,"
        "com.amazonaws.auth.profile.ProfileCredentialsProvider",
        "connection.timeout": str(round(storage.read_timeout * 1000)),
        "connection.establish.timeout": str(round(storage.connect_timeout * 1000)),
        "attempts.maximum": str(storage.attempts),
        # Later versions of Hadoop keep the marks of folders too: deleting that of a folder that has something in it is
        # refused by stores whose folders are a file system's, and S3A tries for minutes.
        "directory.marker.retention": "keep",
    }
    if endpoint:
        settings |= {
            "endpoint": endpoint,
            "connection.ssl.enabled": str(not endpoint.startswith("http://")).lower(),
        }
    return settings
