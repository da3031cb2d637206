"""A Spark with all its executors, wherever they run."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from hepspark.cluster import capacity, executors
from hepspark.cluster.client import connect
from hepspark.config import Config
from hepspark.kubernetes_spark import describe, driver_pod
from hepspark.progress import say
from hepspark.spark import registered_executors, spark_context
from hepspark.storage import is_s3, join, store_for
from hepspark.supervision import Supervision

if TYPE_CHECKING:
    from pyspark import SparkContext


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
        InputError: there is no Java 17, or no room for the executors.
        RunError: the executors did not start in time.
    """
    shared = _SHARED.get()
    if shared is not None:
        yield shared
        return
    if not config.spark.on_kubernetes:
        with spark_context(config.spark, config.storage, bigdl=bigdl) as context:
            yield context
        return
    spark, pod = config.spark, driver_pod()
    cluster = connect(spark.kubernetes.namespace or pod.namespace)
    capacity.check(cluster, spark, pod.run, pod.name)
    _make_event_log(config)
    say(describe(spark))

    def refused() -> str | None:
        template = capacity.read_template(spark.kubernetes.executor_template)
        return capacity.refusal(cluster, spark, template, pod.run)

    def tell(message: str) -> None:
        say(message)
        supervision.event("ExecutorsPending", message, warning=True)

    with spark_context(spark, config.storage, bigdl=bigdl) as context:
        executors.wait(
            cluster,
            f"spark-app-selector={context.applicationId},spark-role=executor",
            spark.executor.instances,
            lambda: registered_executors(context),
            refused,
            tell,
            spark.executor.pending_timeout,
        )
        say("All executors are there")
        yield context


def _make_event_log(config: Config) -> None:
    """Spark wants the folder to be there, and in S3 a folder is there when something is in it."""
    url = config.spark.event_log
    if url and is_s3(url):
        store_for(url, config.storage).write(join(url, ".hepspark-event-logs"), b"")
