"""The Spark of a notebook's kernel: opened once, used by all its cells."""

import atexit
import html
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hepspark.config import Config, SparkConfig
from hepspark.errors import HepsparkError, InputError, RunError, first_line
from hepspark.kubernetes_spark import driver_pod
from hepspark.notebook import interrupts, packages, settings, template
from hepspark.notebook.facility import facility
from hepspark.notebook.jobs import show_jobs
from hepspark.progress import say
from hepspark.session import resize, spark_session
from hepspark.spark import (
    forget_properties,
    is_running,
    java_runs,
    registered_executors,
    sql_session,
    start_lock,
    undone_if_it_fails,
)
from hepspark.steps.train import fitting
from hepspark.supervision import UNSUPERVISED
from hepspark.wording import counted

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql import SparkSession


_LOOPBACK = "127.0.0.1"
_POLL_SECONDS = 0.1
ENDING_SECONDS = 10.0
"""How long the Spark of a kernel that was killed may take to end."""


@dataclass
class Application:
    """A Spark that is open."""

    config: Config
    context: "SparkContext"
    spark: "SparkSession"

    @property
    def is_local(self) -> bool:
        """Whether the cores of this machine do the work."""
        return self.config.spark.master.startswith("local")


_open: Application | None = None
_starting = False
_ending = ExitStack()
# The end of Python would else end it halfway, when the connection to Java is gone.
atexit.register(_ending.close)


def session(
    executors: int | None = None,
    cores: int | None = None,
    memory: str | None = None,
    conf: Mapping[str, Any] | None = None,
) -> "SparkSession":
    """Spark, ready with all its executors; the same one as long as the same, or nothing, is asked for.

    Args:
        executors: How many; 1 where it is left out. More or fewer than before are reached without a restart.
        cores: Of each; what the server's flavor has where it is left out.
        memory: Heap of each, as "2g"; likewise.
        conf: Further properties of Spark.

    Raises:
        InputError: what is asked for contradicts itself, or is more than this server may have or the cluster has room
            for; or Spark does not start with it.
        RunError: the executors did not start in time, or Spark did not start.
    """
    with start_lock():
        return _session(executors, cores, memory, conf)


def _session(
    executors: int | None, cores: int | None, memory: str | None, conf: Mapping[str, Any] | None
) -> "SparkSession":
    global _open, _starting
    if _open and is_running(_open.context) and (executors, cores, memory, conf) == (None,) * 4:
        return _open.spark
    config = fitting(settings.configuration(facility(), executors, cores, memory, conf))
    if _open and not is_running(_open.context):
        _end()  # only what is left of it, as it was stopped by hand
    if _open and settings.differ_in_number_alone(_open.config, config):
        if config.spark.executor != _open.config.spark.executor:
            scale(config.spark.executor.instances)
        return _open.spark
    if _open:
        say("Spark starts again, with other settings; its cached data are lost")
        _end()
    check_ports(config.spark)
    if config.spark.on_kubernetes:
        template.write()
        _ending.callback(template.path().unlink, missing_ok=True)
    _starting = True
    try:
        with undone_if_it_fails(), _told_plainly(conf or {}):
            _open = _started(config)
    finally:
        _starting = False
    interrupts.watch(_open.context)
    _ending.callback(show_jobs(_open.context, _pages()))
    share_packages()
    if _open.is_local:
        say(f"Spark works on {counted(_open.context.defaultParallelism, 'core')} of this machine")
    return _open.spark


@contextmanager
def _told_plainly(conf: Mapping[str, Any]) -> Iterator[None]:
    """Say why Spark did not start, without the stacks of two languages."""
    try:
        yield
    except HepsparkError:
        raise
    except Exception as error:
        reason = first_line(error) if java_runs() else "Java ended; the lines above say why"
        if not conf:
            raise RunError(f"Spark did not start: {reason}") from error
        # Their values may be secret.
        raise InputError(f"Spark did not start: {reason}; correct these settings in conf: {', '.join(conf)}") from error


def _started(config: Config) -> Application:
    try:
        context = _ending.enter_context(spark_session(config, UNSUPERVISED, bigdl=True))
        forget_properties(context)
        return Application(config, context, sql_session(context))
    except BaseException:
        _end()
        raise


def share_packages() -> None:
    """Give the executors what the user has installed by `%pip`; nothing happens where the kernel has it alone."""
    if _open is None or _open.is_local or facility() is None:
        return
    packages.share(_open.context, packages.folder(), _archives)


def _archives() -> Path:
    return Path(_ending.enter_context(tempfile.TemporaryDirectory(prefix="hepspark-packages-")))


def is_starting() -> bool:
    """Whether `session` starts Spark now."""
    return _starting


def check_ports(spark: SparkConfig) -> None:
    """Refuse a second Spark in one server: only the ports that are named reach it.

    Raises:
        InputError: one of them is in use.
    """
    wanted = [(_LOOPBACK, int(spark.conf["spark.ui.port"]))] if "spark.ui.port" in spark.conf else []
    if spark.on_kubernetes:
        address, own = driver_pod().ip, spark.kubernetes
        wanted += [(address, own.driver_port), (address, own.block_manager_port)]
    end = time.monotonic() + ENDING_SECONDS
    for address, port in wanted:
        while not _is_free(address, port):  # it may be that of this notebook's kernel before, which is ending
            if time.monotonic() >= end:
                raise InputError(
                    f"port {port} is in use: another notebook of this server runs Spark, and a server can run one at a "
                    "time; call hepspark.notebook.stop() there, or shut its kernel down (the list of running kernels "
                    "at the left), then run this again"
                )
            time.sleep(_POLL_SECONDS)


def _is_free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that end are no hindrance
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def opened() -> Application:
    """The Spark that is open; one executor's where there was none."""
    if _open is None or not is_running(_open.context):
        session()
    assert _open is not None  # noqa: S101 (session opens it)
    return _open


def scale(executors: int) -> None:
    """Go on with more or fewer executors, between two cells; Spark is not started again.

    Args:
        executors: How many there are to be.

    Raises:
        InputError: it is more than this server may have, or the cluster has room for.
        RunError: the executors did not start in time; those that were there stay.
    """
    if executors < 1:
        raise InputError(f"scale: {executors} executors cannot work; give 1 or more, or call stop() to end Spark")
    application = opened()
    if application.is_local:
        say("Spark uses the cores of this machine: there are no executors to add or to remove")
        return
    if place := facility():
        settings.check_executors(executors, place)
    before = registered_executors(application.context)
    application.config = resize(application.context, application.config, executors, UNSUPERVISED)
    there = f"{executors} executor{'s are' if executors > 1 else ' is'} there"
    if executors < before:
        say(f"{there} ({before} before); Spark computes the cached data of the others again when it needs them")
    else:
        say(f"{there} ({before} before); nothing was lost")


def ui() -> "Link":
    """A link to the pages on which Spark tells what it does.

    Raises:
        InputError: no Spark is open.
    """
    if _open is None or not is_running(_open.context):
        raise InputError("ui: Spark is not running; call session() first, or history() for earlier sessions")
    return Link(_pages(), "What Spark does now")


def _pages() -> str:
    """Address of the pages of the Spark that is open."""
    place = facility()
    if place:
        return place.spark_pages
    address = _open.context.uiWebUrl if _open else None
    return f"{address}/jobs/" if address else ""


def history() -> "Link":
    """A link to the pages on which Spark tells what it did, in this notebook and in others of the same user.

    Raises:
        InputError: nothing is written down here.
    """
    place = facility()
    if place is None or not place.executors:
        raise InputError(
            "history: what Spark did is written down only where its executors are pods of a cluster; ui() shows what "
            "it does now"
        )
    return Link(f"{place.prefix}sparkhistory/", "What Spark did")


@dataclass(frozen=True)
class Link:
    """An address, which a notebook shows as a link."""

    url: str
    text: str

    def __str__(self) -> str:
        return self.url

    def _repr_html_(self) -> str:
        return f'<a href="{html.escape(self.url)}" target="_blank" rel="noopener">{html.escape(self.text)}</a>'


def stop() -> None:
    """End Spark and let its executors go; nothing happens where it has ended already."""
    application = _open
    _end()
    if application:
        say("Spark has ended" if application.is_local else "Spark has ended, and its executors leave")


def _end() -> None:
    global _open
    _open = None
    _ending.close()
