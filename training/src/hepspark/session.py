"""A Spark with all its executors, wherever they run."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING

from hepspark import standalone
from hepspark.cluster import capacity, executors
from hepspark.cluster.client import Cluster, connect
from hepspark.config import Config, SparkConfig, StorageConfig
from hepspark.errors import InputError, RunError
from hepspark.kubernetes_spark import DriverPod, describe, driver_pod
from hepspark.model.bigdl import set_parallelism
from hepspark.progress import say
from hepspark.spark import (
    forget_lost_executors,
    has_ended,
    registered_executors,
    request_executors,
    set_property,
    spark_context,
)
from hepspark.storage import join, store_for
from hepspark.supervision import Supervision

if TYPE_CHECKING:
    from pyspark import SparkContext


_POLL_SECONDS = 0.1
_SHARED: ContextVar["SparkContext | None"] = ContextVar("shared", default=None)


@contextmanager
def shared_session(config: Config, supervision: Supervision, *, bigdl: bool) -> Iterator[None]:
    """A Spark for several steps: executors start once, and each step's own session is this one.

    See `spark_session` for the arguments and what is raised.
    """
    with spark_session(config, supervision, bigdl=bigdl) as context, sharing(context):
        yield


@contextmanager
def sharing(context: "SparkContext") -> Iterator[None]:
    """Have the steps inside work on a Spark that runs, and leave it running."""
    token = _SHARED.set(context)
    try:
        yield
    finally:
        _SHARED.reset(token)


@contextmanager
def spark_session(config: Config, supervision: Supervision, *, bigdl: bool = False) -> Iterator["SparkContext"]:
    """A running Spark, stopped at the end; on Kubernetes with room for its executors, and all of them there.

    Args:
        config: Where and how it runs.
        supervision: Whom to tell what keeps executors away.
        bigdl: Whether BigDL's classes and settings are wanted.

    Raises:
        InputError: there is no Java 17, no room for the executors, or a property of executors is wrong.
        RunError: the executors did not start in time.
    """
    shared = _SHARED.get()
    if shared is not None:
        yield shared
        return
    if not config.spark.on_kubernetes:
        count = 0
        if standalone.is_standalone(config.spark.master):
            standalone.check_master(config.spark.master)
            count = standalone.check_properties(config.spark.conf, bigdl=bigdl)
        with spark_context(config.spark, config.storage, bigdl=bigdl) as context:
            if count:
                standalone.check(context, count)
            yield context
        return
    spark, pod = config.spark, driver_pod()
    cluster = connect(spark.kubernetes.namespace or pod.namespace)
    executors.clear(cluster, pod.name)
    capacity.check(cluster, spark, pod.run, pod.name)
    if spark.event_log:
        make_event_log(spark.event_log, config.storage)
    say(describe(spark))
    with spark_context(spark, config.storage, bigdl=bigdl) as context:
        _wait(context, cluster, spark, pod, supervision)
        say("All executors are there")
        yield context


def resize(context: "SparkContext", config: Config, count: int, supervision: Supervision) -> Config:
    """Give a running Spark for BigDL more or fewer executors; what it has read and knows stays.

    Args:
        context: The Spark, whose executors are processes of their own.
        config: What it runs with.
        count: How many executors there are to be.
        supervision: Whom to tell what keeps executors away.

    Returns:
        What it runs with from now on.

    Raises:
        InputError: there is no room for more.
        RunError: they did not all start in time, or Spark or its cluster is gone; those that were there before stay.
    """
    if has_ended(context):
        raise RunError("Spark has ended; start Spark again")
    forget_lost_executors(context)
    spark, before = _sized(config.spark, count), registered_executors(context)
    if standalone.is_standalone(spark.master):
        standalone.check(context, count)
    if spark.on_kubernetes and count > before:
        pod = driver_pod()
        cluster = connect(spark.kubernetes.namespace or pod.namespace)
        executors.wait_for_leaving(cluster, _selector(context), before)
        try:
            capacity.check(cluster, _sized(spark, count - before), pod.run, pod.name)
        except InputError as error:
            raise InputError(f"for {count - before} more executors beside the {before} there is {error}") from error
        wait = partial(_wait, context, cluster, spark, pod, supervision, patient=False)
    else:
        wait = partial(_settle, context, spark)
    if not request_executors(context, count):
        raise RunError(
            f"the cluster ({spark.master}) does not answer Spark, so nothing was changed; try again, or see the pages "
            "of the cluster"
        )
    try:
        wait()
    except BaseException:
        if not has_ended(context):
            request_executors(context, before)
        raise
    forget_lost_executors(context)
    cores = spark.executor.cores if spark.on_kubernetes else int(context._conf.get("spark.executor.cores", "1") or 1)
    # What reads the properties later, BigDL among others, is to find the truth.
    set_property(context, "spark.executor.instances", str(count))
    for name in ("spark.cores.max", "spark.default.parallelism"):
        set_property(context, name, str(count * cores))
    set_parallelism(context, count, cores)
    return config.model_copy(update={"spark": spark})


def _sized(spark: SparkConfig, count: int) -> SparkConfig:
    return spark.model_copy(update={"executor": spark.executor.model_copy(update={"instances": count})})


def _settle(context: "SparkContext", spark: SparkConfig) -> None:
    """Wait until as many executors are there as are wanted."""
    wanted, timeout = spark.executor.instances, spark.executor.pending_timeout
    end = time.monotonic() + timeout
    while True:
        if has_ended(context):
            raise RunError(f"Spark ended before {wanted} executors had started; start Spark again")
        if (there := registered_executors(context)) == wanted:
            return
        if time.monotonic() > end:
            raise RunError(f"{there} executors are there after {timeout} s, but {wanted} are wanted; see Spark's pages")
        time.sleep(_POLL_SECONDS)


def _wait(
    context: "SparkContext",
    cluster: Cluster,
    spark: SparkConfig,
    pod: DriverPod,
    supervision: Supervision,
    *,
    patient: bool = True,
) -> None:
    """Wait until all pods of executors are there, and tell what keeps them away."""

    def refused() -> str | None:
        template = capacity.read_template(spark.kubernetes.executor_template)
        return capacity.refusal(cluster, spark, template, pod.run)

    def tell(message: str) -> None:
        say(message)
        supervision.event("ExecutorsPending", message, warning=True)

    executors.wait(
        cluster,
        _selector(context),
        spark.executor.instances,
        lambda: registered_executors(context),
        refused,
        tell,
        spark.executor.pending_timeout,
        patient=patient,
    )


def _selector(context: "SparkContext") -> str:
    """Labels of the pods of a Spark's executors."""
    return f"spark-app-selector={context.applicationId},spark-role=executor"


def make_event_log(url: str, storage: StorageConfig) -> None:
    """Make the folder of Spark's event logs, which wants to be there; in S3 a folder is there when something is in it.

    Raises:
        StorageError: it cannot be written to.
    """
    store_for(url, storage).write(join(url, ".hepspark-event-logs"), b"")
