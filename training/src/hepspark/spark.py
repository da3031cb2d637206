"""Starts Spark, and runs Python work on its executors."""

import importlib.util
import io
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, redirect_stdout
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from hepspark import environment, kubernetes_spark, workers
from hepspark.config import SparkConfig, StorageConfig
from hepspark.errors import HepsparkError, InputError, RunError, first_line, named, told_by_executor, unforeseen
from hepspark.interrupts import finishing, put_off
from hepspark.java import READ_BY_JAVA, java_home, refusal
from hepspark.progress import say, track
from hepspark.supervision import quieten_py4j

if TYPE_CHECKING:
    from pyspark import RDD, SparkConf, SparkContext
    from pyspark.sql import SparkSession

Item = TypeVar("Item")
Result = TypeVar("Result")
Key = TypeVar("Key")
Value = TypeVar("Value")

_JAVA_PACKAGES = (
    "java.lang",
    "java.lang.invoke",
    "java.lang.reflect",
    "java.io",
    "java.net",
    "java.nio",
    "java.util",
    "java.util.concurrent",
    "java.util.concurrent.atomic",
    "sun.nio.ch",
    "sun.nio.cs",
    "sun.security.action",
    "sun.util.calendar",
)
_LOG_OF_SPARK = "classpath:org/apache/spark/log4j2-defaults.properties"
_JAVA_OPTIONS = ("spark.driver.extraJavaOptions", "spark.executor.extraJavaOptions")
_BIGDL_SETTINGS = {
    # BigDL refuses to start without these: its all-reduce counts on every task having its place.
    "spark.serializer": "org.apache.spark.serializer.JavaSerializer",
    "spark.shuffle.reduceLocality.enabled": "false",
    "spark.scheduler.minRegisteredResourcesRatio": "1.0",
    "spark.speculation": "false",
    # A retry inside a broken all-reduce waits in vain; the step is repeated from its commit instead.
    "spark.task.maxFailures": "1",
    "spark.stage.maxConsecutiveAttempts": "1",
    "spark.locality.wait": "10s",
}
_POLL_SECONDS = 0.05
_CANCEL_SECONDS = 10.0
_END_SECONDS = 10.0
_QUIET_POLLS = 5
_FAILED = "hepspark-failed"
_MOST_MESSAGES = 10
_HERE = Path(__file__).absolute()
_SPARK = "3.5."


@contextmanager
def spark_context(
    config: SparkConfig, storage: StorageConfig | None = None, *, bigdl: bool = False
) -> Iterator["SparkContext"]:
    """A running Spark, stopped at the end. On Kubernetes its executors may still be starting.

    Args:
        config: Where and how it runs.
        storage: How Spark itself reaches S3, where it writes event logs.
        bigdl: Whether BigDL's classes and settings are wanted.

    Raises:
        InputError: there is no Java 17, or the master is not one that can be used, or a variable is wrong.
    """
    variables = _variables(config)
    pod = kubernetes_spark.driver_pod() if config.on_kubernetes else None
    of_cluster = kubernetes_spark.properties(config, storage or StorageConfig(), pod) if pod else {}
    quieten_py4j()  # what it would tell in stacks is an error that we tell
    _forget_ended_java()
    conf = _configuration(config, of_cluster, bigdl=bigdl)
    started: list[SparkContext] = []
    with _plain_interrupts():
        try:
            starting = finishing("Spark finishes its start, then stops")
            told = _named(config, conf, Path(variables["JAVA_HOME"]))
            with starting, _java_is_quiet(), environment.applied(variables), told:
                _to_its_end(lambda: started.append(_start(conf, bigdl=bigdl)))
            with finishing("Spark is stopped first"), _silent_if_broken_off(started[0]):
                yield started[0]
        finally:
            for context in started:
                with finishing("Spark is being stopped"):
                    _to_its_end(partial(_end, context))


def _variables(config: SparkConfig) -> dict[str, str]:
    """The environment of Java and of Python's workers; what cannot work is refused."""
    home, spark = java_home(), spark_home()
    for name, place in (("Java", home), ("Spark", spark), ("BigDL", Path(bigdl_jars()[0]).parent), ("hepspark", _HERE)):
        environment.check_place(name, place)
    environment.check_text("TMPDIR", Path(tempfile.gettempdir()))
    environment.check(os.environ, config.conf.get("spark.local.dir"))
    variables = environment.for_spark(os.environ, home, spark, on_kubernetes=config.on_kubernetes)
    if names := [name for name in environment.unread(os.environ) if name not in variables]:
        instead = "spark.conf in the configuration, or conf of session(), gives Spark its properties"
        say(f"{' and '.join(names)}: hepspark does not read this; {instead}")
    return variables


@contextmanager
def _named(config: SparkConfig, conf: "SparkConf", home: Path) -> Iterator[None]:
    """Where Java ends while it starts, tell why, and name what it was given."""
    from pyspark.errors import PySparkRuntimeError

    try:
        yield
    except PySparkRuntimeError as error:
        if error.getErrorClass() != "JAVA_GATEWAY_EXITED":
            raise
        memory = str(conf.get("spark.driver.memory"))
        reason = refusal(home, [f"-Xmx{memory}", *shlex.split(str(conf.get("spark.driver.extraJavaOptions")))])
        variables = (*READ_BY_JAVA, "SPARK_SUBMIT_OPTS")
        # Others say nothing to Java, and may be secret.
        own = [f"{name}={value}" for name, value in sorted(config.conf.items()) if name.startswith("spark.driver.")]
        given = [f"spark.driver_memory={memory}", *own]
        given += [f"{name}={os.environ[name]}" for name in variables if os.environ.get(name)]
        raise InputError(
            f"Java does not start ({reason or 'the lines above say why'}); it was given {', '.join(given)}; "
            "correct the wrong one"
        ) from error


def _start(conf: "SparkConf", *, bigdl: bool) -> "SparkContext":
    from pyspark import SparkContext
    from pyspark.accumulators import AccumulatorServer

    # Where Java ends, it would show a stack; the work that failed tells the reason.
    AccumulatorServer.handle_error = _say_nothing  # type: ignore[assignment]  # its parameters are given by place

    context = SparkContext(conf=conf)
    try:
        # In the main thread PySpark has just put a handler of its own in the place of the one that puts off.
        _to_its_end(partial(_prepare, context, conf, bigdl=bigdl))
    except BaseException:
        _end(context)
        raise
    return context


def _prepare(context: "SparkContext", conf: "SparkConf", *, bigdl: bool) -> None:
    if bigdl:
        from bigdl.dllib.nncontext import init_nncontext
        from bigdl.dllib.utils.common import JavaCreator

        # Forgets the objects of an earlier JVM, if there was one.
        JavaCreator.set_creator_class(JavaCreator.get_creator_class())
        init_nncontext(conf, spark_log_level="ERROR", redirect_spark_log=False)
    context.setLogLevel("ERROR")


def _say_nothing(_server: object, _request: object, _client: object) -> None:
    """Take the place of what shows a stack."""


def _end(context: "SparkContext") -> None:
    if not is_running(context):
        context._jsc = None  # it cannot be asked to stop
    context.stop()


def _to_its_end(work: Callable[[], object]) -> None:
    """Do what must not be left half done: what a signal asks for meanwhile is done afterwards.

    Spark and Java that are broken off while they start or stop are there, and nobody has hold of them. The work stays
    in the thread of its caller, which may hold locks that it needs, as BigDL's init_nncontext does.
    """
    if threading.current_thread() is not threading.main_thread():
        work()
        return
    asked: list[int] = []

    def later(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        if number == signal.SIGINT:
            put_off()

    before = {
        number: signal.signal(number, later)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
        if callable(signal.getsignal(number))
    }
    with ExitStack() as afterwards:
        try:
            work()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            for late in dict.fromkeys(asked):
                afterwards.callback(signal.raise_signal, late)


@contextmanager
def _silent_if_broken_off(context: "SparkContext") -> Iterator[None]:
    """Have Spark say nothing of the tasks that it loses while it is stopped in the middle of its work."""
    try:
        yield
    except BaseException:
        if is_running(context):
            context.setLogLevel("OFF")
        raise


@contextmanager
def _plain_interrupts() -> Iterator[None]:
    """Let Ctrl-C do what it did before, without py4j's account of the call that it breaks off."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):  # it is to be ignored
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        quieten_py4j()
        before(number, frame)

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _java_is_quiet() -> Iterator[None]:
    """Give a JVM that is started meanwhile no standard output: BigDL chats there, and ours is for results."""
    sys.stdout.flush()
    ours = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        os.dup2(ours, 1)
        os.close(ours)
        os.close(nowhere)


def is_running(context: "SparkContext") -> bool:
    """Whether a Spark was not stopped, and its Java has not ended."""
    return context._jsc is not None and _java_runs(context)


def has_ended(context: "SparkContext") -> bool:
    """Whether a Spark is no more, also where its cluster has ended it."""
    return not is_running(context) or bool(context._jsc.sc().isStopped())


def java_runs() -> bool:
    """Whether this process has a Java that has not ended."""
    from pyspark import SparkContext

    return _java_runs(SparkContext)


def _java_runs(holder: "SparkContext | type[SparkContext]") -> bool:
    gateway: Any = holder._gateway
    return gateway is not None and gateway.proc.poll() is None


def _forget_ended_java() -> None:
    """Have the next Spark start a Java of its own, where the one of an earlier Spark has ended."""
    from pyspark import SparkContext

    if SparkContext._gateway is not None and not _java_runs(SparkContext):
        SparkContext._gateway = SparkContext._jvm = None


@contextmanager
def undone_if_it_fails() -> Iterator[None]:
    """Start Spark inside. A start that fails takes along the Java that it made, and what it told the environment.

    That Java has the properties of the failed start, and gives them to every SparkConf. One that was there before
    stays, as a notebook may hold objects of it.
    """
    from pyspark import SparkContext

    java, environment = SparkContext._gateway, dict(os.environ)
    try:
        yield
    except BaseException:
        if SparkContext._gateway is not java:
            _end_java()
        os.environ.clear()
        os.environ.update(environment)
        raise


def _end_java() -> None:
    from pyspark import SparkContext

    gateway: Any = SparkContext._gateway
    SparkContext._gateway = SparkContext._jvm = None
    if gateway is None:
        return
    gateway.proc.stdin.close()  # at whose end it ends
    try:
        gateway.proc.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        gateway.proc.kill()
        gateway.proc.wait()


def start_lock() -> AbstractContextManager[Any]:
    """Held by the one thread that may start Spark: that of PySpark, which BigDL holds while it starts Spark, too."""
    from pyspark import SparkContext

    return SparkContext._lock


def sql_session(context: "SparkContext") -> "SparkSession":
    """The session of a Spark, for SQL and data frames."""
    from pyspark.sql import SparkSession

    return SparkSession(context)


def registered_executors(context: "SparkContext") -> int:
    """How many executors there are: the scheduler knows them, and blocks can be stored in them."""
    return len(_with_blocks(context) & _scheduled(context))


def forget_lost_executors(context: "SparkContext") -> None:
    """Take executors that have ended from the list of places where blocks are.

    One that is told to end, but is slow to do so, sends another heartbeat, is taken for one that lost its place in that
    list, and gets it back: for minutes, with all blocks that it had.
    """
    # In this order: an executor is known to the scheduler before blocks can be stored in it.
    for executor in _with_blocks(context) - _scheduled(context):
        _block_managers(context).removeExecutor(executor)


def _scheduled(context: "SparkContext") -> set[str]:
    found = context._jsc.sc().getExecutorIds()
    return {found.apply(number) for number in range(found.size())}


def _with_blocks(context: "SparkContext") -> set[str]:
    found = _block_managers(context).getMemoryStatus().keysIterator()
    ids = set()
    while found.hasNext():
        ids.add(str(found.next().executorId()))
    return ids - {"driver"}


def _block_managers(context: "SparkContext") -> Any:
    return context._jsc.sc().env().blockManager().master()


def request_executors(context: "SparkContext", executors: int) -> bool:
    """Ask for more executors or let the youngest go; they come and go later, and other work goes on.

    Args:
        context: A Spark whose executors are processes of their own.
        executors: How many there are to be.

    Returns:
        Whether the cluster has taken note of it.
    """
    scala, jvm = context._jsc.sc(), context._jvm
    backend = scala.schedulerBackend()
    ids = sorted((name for name in _scheduled(context) if backend.isExecutorActive(name)), key=int)
    utilities = jvm.org.apache.spark.api.python.PythonUtils  # type: ignore[union-attr]
    if len(ids) > executors:
        scala.killExecutors(utilities.toSeq(ids[executors:]))
    # Afterwards, since each that is ended lowers the number by one, and none that is lost would be replaced.
    return bool(scala.requestTotalExecutors(executors, 0, utilities.toScalaMap({})))


def forget_properties(context: "SparkContext") -> None:
    """Have the next Spark of this process start without the properties that this one was started with.

    Its Java goes on, and every SparkConf begins with what Java was given.
    """
    system = context._jvm.java.lang.System  # type: ignore[union-attr]
    for name in list(system.getProperties().stringPropertyNames()):
        if name.startswith("spark."):
            system.clearProperty(name)


@contextmanager
def tidy(context: "SparkContext") -> Iterator[None]:
    """Leave a Spark as it was: without the jobs of work that is broken off, and without the data that it cached."""
    before = set(_cached(context))
    try:
        yield
    except KeyboardInterrupt:
        cancel_jobs(context)
        raise
    finally:
        if is_running(context):  # otherwise its end has a reason, and this would tell another
            for number, data in _cached(context).items():
                if number not in before:
                    data.unpersist(False)


def _cached(context: "SparkContext") -> dict[int, Any]:
    return dict(context._jsc.getPersistentRDDs())


def cancel_jobs(
    context: "SparkContext", goes_on: Callable[[], bool] = lambda: False, seconds: float = _CANCEL_SECONDS
) -> bool:
    """End all jobs; work in Java may have begun the next one when the first request arrives.

    Args:
        context: The Spark whose jobs they are.
        goes_on: Whether what starts the jobs has not noticed yet.
        seconds: How long to try at most.

    Returns:
        Whether there were jobs.
    """
    quiet, found = 0, False
    end = time.monotonic() + seconds
    while (quiet < _QUIET_POLLS or goes_on()) and time.monotonic() < end:
        active = bool(context.statusTracker().getActiveJobsIds())
        context.cancelAllJobs()
        quiet, found = 0 if active else quiet + 1, found or active
        time.sleep(_POLL_SECONDS)
    return found


def stop_queries(context: "SparkContext") -> bool:
    """End all streaming queries; one whose jobs are cancelled would fail.

    Returns:
        Whether there were any.
    """
    active = sql_session(context).streams.active
    for query in active:
        query.stop()
    return bool(active)


def set_property(context: "SparkContext", name: str, value: str) -> None:
    """Change a property of a running Spark, for those who read it from now on."""
    context._jsc.sc().conf().set(name, value)
    context._conf.set(name, value)


def run_tasks(
    context: "SparkContext", work: Callable[[Item], Result], items: Sequence[Item], title: str = "", unit: str = "tasks"
) -> list[Result]:
    """Run a function on the executors, one task an item, and return the results in the order of the items.

    Args:
        context: Where to run.
        work: A function of a module, or a partial of one; it and what it returns are pickled.
        items: What it is called with.
        title: What the progress display says; none is shown where this is empty.
        unit: What one item is called there.

    Raises:
        HepsparkError: of the kind the tasks raised; the messages of all failed tasks are in it.
    """
    if not items:
        return []
    with _told(context, title, items):
        rdd = context.parallelize(items, len(items)).map(_Guarded(work))
        outcomes = _collect(context, rdd, title, len(items), unit)
    return _results(outcomes)


def run_grouped(
    context: "SparkContext",
    split: Callable[[Item], Iterable[tuple[Key, Value]]],
    items: Sequence[Item],
    combine: Callable[[Key, Sequence[Value]], Result],
    groups: int,
    title: str,
    unit: str = "tasks",
) -> list[tuple[Key, Result]]:
    """Split each item into keyed pieces, bring those of a key together, and return what each group gives.

    Args:
        context: Where to run.
        split: Called with an item; gives pairs of key and piece.
        items: What it is called with.
        combine: Called with a key and its pieces.
        groups: About how many keys there are, which is the number of tasks of the second half.
        title: What the progress display says.
        unit: What one task is called there.

    Raises:
        HepsparkError: of the kind the tasks raised; the messages of all failed tasks are in it.
    """
    with _told(context, title):
        pieces = context.parallelize(items, len(items)).flatMap(_GuardedPieces(split))
        rdd = pieces.groupByKey(groups).map(_GuardedGroup(combine))
        outcomes = _collect(context, rdd, title, len(items) + groups, unit)
    return _results(outcomes)


@contextmanager
def _told(context: "SparkContext", title: str, items: Sequence[Any] = ()) -> Iterator[None]:
    """Turn what Spark raises into one line; `items` are what its tasks work on, where both have the same number."""
    try:
        yield
    except HepsparkError:  # a request to end, which arrives anywhere
        raise
    except Exception as error:
        found = re.search(r"Task (\d+) in stage", str(error)) if items else None
        place = named(items[int(found[1])]) if found else title or "Spark"
        raise told_by_executor(error) or RunError(f"{place}: {reason(context, error)}") from error


def _collect(context: "SparkContext", rdd: "RDD[Any]", title: str, total: int, unit: str) -> list[Any]:
    from pyspark import inheritable_thread_target

    group = f"hepspark-{time.monotonic_ns()}"
    context.setJobGroup(group, title, interruptOnCancel=True)
    pool = ThreadPoolExecutor(1)
    with track(title, total, unit) if title else nullcontext() as tracker:
        future = pool.submit(inheritable_thread_target(rdd.collect))
        shown = 0
        try:
            while not future.done():
                wait([future], timeout=_POLL_SECONDS)
                finished = min(_finished(context, group), total)
                if tracker and finished > shown:
                    tracker.advance(finished - shown)
                    shown = finished
        finally:
            pool.shutdown(wait=False)  # an interrupt must not wait for the job; the end of its JVM ends it
        outcomes = future.result()
        if tracker and total > shown:
            tracker.advance(total - shown)
    return list(outcomes)


def _results(outcomes: list[Any]) -> list[Any]:
    failures = [outcome for outcome in outcomes if isinstance(outcome, HepsparkError)]
    if failures:
        messages = list(dict.fromkeys(str(failure) for failure in failures))
        more = [f"and {len(messages) - _MOST_MESSAGES} more"] if len(messages) > _MOST_MESSAGES else []
        raise type(failures[0])("\n  ".join([*messages[:_MOST_MESSAGES], *more])) from failures[0]
    return outcomes


def reason(context: "SparkContext", error: Exception) -> str:
    """Why a job failed, in one line."""
    if not is_running(context):
        return "Spark's Java has ended, usually because memory was full; lower spark.driver_memory, or free memory"
    return first_line(error)


def _configuration(config: SparkConfig, of_cluster: Mapping[str, str], *, bigdl: bool) -> "SparkConf":
    from pyspark import SparkConf

    opens = " ".join(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _JAVA_PACKAGES)
    log4j = _HERE.with_name("log4j2.properties").as_uri()  # which neither Spark nor Java takes apart
    quiet = f"-Dbigdl.utils.LoggerFilter.disable=true -Dlog4j2.configurationFile={log4j}"
    settings = {
        "spark.driver.memory": config.driver_memory,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.extraJavaOptions": f"{opens} {quiet}",
        # Among BigDL's jars lies a configuration for its own tests, which writes a file that grows.
        "spark.executor.extraJavaOptions": f"{opens} -Dlog4j2.configurationFile={_LOG_OF_SPARK}",
        "spark.python.daemon.module": workers.MODULE,
    }
    if config.master.startswith("local"):
        settings |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    # On every class path, because a process has one JVM for all the contexts it starts. Not in spark.jars: every
    # executor would fetch 120 MB that lie beside its Python anyway.
    jars = bigdl_jars()
    settings |= dict.fromkeys(("spark.driver.extraClassPath", "spark.executor.extraClassPath"), ":".join(jars))
    if bigdl:
        settings |= _BIGDL_SETTINGS
    settings = _added(_added(settings, of_cluster), config.conf)
    return SparkConf().setMaster(config.master).setAppName(config.app_name).setAll(list(settings.items()))


def _added(settings: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """Settings with more of them; options of Java add up, the last having the last word."""
    joined = {name: f"{settings[name]} {more[name]}" for name in _JAVA_OPTIONS if name in more}
    return {**settings, **more, **joined}


def spark_home() -> Path:
    """The folder of the Spark that is installed with hepspark.

    Raises:
        InputError: Spark is not installed, or another one is found before it.
    """
    found = importlib.util.find_spec("pyspark")
    if not (found and found.origin):
        raise InputError("Spark is not installed: run `make setup`")
    home = Path(found.origin).absolute().parent
    named = home / "version.py"
    version = re.search(r"""["'](.+)["']""", named.read_text()) if named.is_file() else None
    if not (home / "jars").is_dir() or not version or not version[1].startswith(_SPARK):
        raise InputError(
            f"Python finds another PySpark before that of hepspark: {home}, version "
            f"{version[1] if version else 'unknown'}; remove its folder from PYTHONPATH, or uninstall it"
        )
    return home


def spark_class_path() -> str:
    """Where Java finds Spark's own classes, for programs of Spark that are no application.

    Raises:
        InputError: Spark is not installed.
    """
    return str(spark_home() / "jars" / "*")


def bigdl_jars() -> list[str]:
    """Paths of BigDL's jars.

    Raises:
        InputError: BigDL is not installed.
    """
    found = importlib.util.find_spec("bigdl")
    places = list(found.submodule_search_locations or []) if found else []
    jars = sorted(str(jar) for place in places for jar in Path(place).glob("share/*/lib/*.jar"))
    if not jars:
        raise InputError("BigDL is not installed: pip install --no-deps -r requirements/bigdl.txt")
    return jars


class _Guarded:
    """Turns a failure into a result with a message, so that Spark neither retries nor traces it."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self._work = work

    def __call__(self, item: Any) -> Any:
        try:
            return self._work(item)
        except Exception as error:
            return _foreseen(error, item)


class _GuardedPieces:
    """The same for work that gives pairs; a failure travels under a key of its own."""

    def __init__(self, split: Callable[[Any], Iterable[tuple[Any, Any]]]) -> None:
        self._split = split

    def __call__(self, item: Any) -> list[tuple[Any, Any]]:
        try:
            return list(self._split(item))
        except Exception as error:
            return [(_FAILED, _foreseen(error, item))]


class _GuardedGroup:
    """The same for the groups."""

    def __init__(self, combine: Callable[[Any, Sequence[Any]], Any]) -> None:
        self._combine = combine

    def __call__(self, group: tuple[Any, Iterable[Any]]) -> Any:
        key, pieces = group[0], list(group[1])
        if key == _FAILED:
            return pieces[0]
        try:
            return key, self._combine(key, pieces)
        except Exception as error:
            return _foreseen(error, key)


def _foreseen(error: Exception, item: object) -> HepsparkError:
    return error if isinstance(error, HepsparkError) else unforeseen(error, item)


def _finished(context: "SparkContext", group: str) -> int:
    status = context.statusTracker()
    jobs = [status.getJobInfo(job) for job in status.getJobIdsForGroup(group)]
    stages = [status.getStageInfo(stage) for job in jobs if job for stage in job.stageIds]
    return sum(stage.numCompletedTasks for stage in stages if stage)
