"""The Spark of a notebook's kernel: opened once, used by all its cells."""

import html
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hepspark.config import Config
from hepspark.errors import InputError
from hepspark.notebook import settings
from hepspark.notebook.facility import facility
from hepspark.progress import say
from hepspark.session import spark_session
from hepspark.spark import is_running, sql_session
from hepspark.steps.train import fitting
from hepspark.supervision import UNSUPERVISED

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql import SparkSession


@dataclass
class Application:
    """A Spark that is open."""

    config: Config
    context: "SparkContext"
    spark: "SparkSession"
    asked: Config
    """The configuration as it was asked for."""


_open: Application | None = None
_ending = ExitStack()


def session(
    executors: int | None = None,
    cores: int | None = None,
    memory: str | None = None,
    conf: Mapping[str, Any] | None = None,
) -> "SparkSession":
    """Spark, ready with all its executors; the same one as long as the same is asked for.

    Args:
        executors: How many; 1 where it is left out. More or fewer than before are reached without a restart.
        cores: Of each; what the server's flavor has where it is left out.
        memory: Heap of each, as "2g"; likewise.
        conf: Further properties of Spark.

    Raises:
        InputError: what is asked for contradicts itself, or is more than this server may have or the cluster has room
            for.
        RunError: the executors did not start in time.
    """
    global _open
    asked = settings.configuration(facility(), executors, cores, memory, conf)
    if _open and not is_running(_open.context):
        stop()  # only what is left of it, as it was stopped by hand
    if _open and _open.asked == asked:
        return _open.spark
    if _open:
        say("Spark starts again, because other settings are asked for; what it had cached is gone")
        stop()
    config = fitting(asked)
    context = _ending.enter_context(spark_session(config, UNSUPERVISED, bigdl=True))
    _open = Application(config, context, sql_session(context), asked)
    if config.spark.master.startswith("local"):
        say(f"Spark works on {context.defaultParallelism} cores of this machine")
    return _open.spark


def opened() -> Application:
    """The Spark that is open; one executor's where there was none."""
    if _open is None or not is_running(_open.context):
        session()
    assert _open is not None  # noqa: S101 (session opens it)
    return _open


def scale(executors: int) -> None:
    """Go on with more or fewer executors, between two cells.

    Args:
        executors: How many there are to be.
    """
    if executors < 1:
        raise InputError(f"scale: {executors} executors cannot work; one is the least, and stop() ends Spark")
    application = opened()
    if application.config.spark.master.startswith("local"):
        say("The cores of this machine do the work: there are no executors to add or to remove")


def ui() -> "Link":
    """A link to the pages on which Spark tells what it does.

    Raises:
        InputError: no Spark is open.
    """
    if _open is None or not is_running(_open.context):
        raise InputError("ui: no Spark is open; call session() first")
    place = facility()
    return Link(f"{place.prefix}sparkui/jobs/" if place else _open.context.uiWebUrl or "")


@dataclass(frozen=True)
class Link:
    """An address, which a notebook shows as a link."""

    url: str

    def __str__(self) -> str:
        return self.url

    def _repr_html_(self) -> str:
        return f'<a href="{html.escape(self.url)}" target="_blank" rel="noopener">What Spark does now</a>'


def stop() -> None:
    """End Spark and let its executors go; nothing happens where it has ended already."""
    global _open
    _open = None
    _ending.close()
