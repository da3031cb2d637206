"""A notebook's Spark: executors that come and go, kernels that end, keys that expire."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from py4j.protocol import Py4JJavaError

from hepspark import notebook as hep
from hepspark.config import StorageConfig
from hepspark.errors import InputError, RunError
from hepspark.model.bigdl import check_parallelism
from hepspark.notebook import application, packages
from hepspark.spark import registered_executors
from hepspark.storage import store_for
from hepspark.storage.s3_client import forget_clients
from tests.integration.middleman import Answer, free_port_url, serving
from tests.integration.server_kernel import ANY_PORT, SERVER

EVENTS, EPOCHS, BATCH = 2400, 1, 96
WAIT_SECONDS = 240


def until(condition):
    end = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def spark(spark_master, capsys):
    """A session on a cluster that has started three executors."""
    properties = {"spark.executor.cores": 1, "spark.cores.max": 3, "spark.executor.memory": "512m"}
    yield hep.session(conf={"spark.master": spark_master, **properties})
    capsys.readouterr()
    for told in ("Spark has ended, and its executors leave", ""):
        hep.stop()
        assert capsys.readouterr().err.strip() == told


def test_executors_come_and_go_in_one_session(spark, published, tmp_path, capsys):
    until(lambda: registered_executors(spark.sparkContext) == 3)
    hep.scale(1)
    data = spark.read.parquet(str(published)).cache()
    assert data.count() == EVENTS
    for number, executors in enumerate((2, 1)):
        hep.scale(executors)
        assert registered_executors(spark.sparkContext) == executors
        assert check_parallelism(BATCH) == (executors, 1)
        assert spark.sparkContext.defaultParallelism == executors
        assert data.count() == EVENTS
        model = hep.train(
            input=published, output=tmp_path / str(number), epochs=EPOCHS, batch=BATCH, balance={"mode": "none"}
        )
        assert model["events_applied"] == EPOCHS * sum(model["counts"]["train"].values())
        assert data.count() == EVENTS
        assert len(spark.sparkContext._jsc.getPersistentRDDs()) == 1  # nothing is left of the training
    told = capsys.readouterr().err
    assert "2 executors are there (1 before); nothing was lost" in told
    assert (
        "1 executor is there (2 before); Spark computes the cached data of the others again when it needs them" in told
    )
    with pytest.raises(InputError, match="0 executors cannot work"):
        hep.scale(0)
    with pytest.raises(
        InputError, match=r"no room for 4 executors of 1 core and 512 MiB: this Spark may have 3 cores of"
    ):
        hep.scale(4)
    assert hep.session() is spark
    # One that was told to end, and comes back to the list of places of blocks alone, by a late heartbeat.
    register_blocks(spark.sparkContext, "99")
    assert registered_executors(spark.sparkContext) == 1
    for executors in (2, 1):
        hep.scale(executors)
        assert len(executor_ids(spark)) == executors
    assert spark.sparkContext._jsc.sc().getExecutorMemoryStatus().size() == 2  # the driver is in it
    # Those that are left are replaced where they are lost.
    before, process = executor_ids(spark), executor_process(spark)
    os.kill(process, signal.SIGKILL)
    until(lambda: registered_executors(spark.sparkContext) == 1 and executor_ids(spark) != before)


def register_blocks(context, executor):
    """Do what an executor does for a heartbeat that the driver takes for a stranger's."""
    environment, spark = context._jsc.sc().env(), context._jvm.org.apache.spark
    endpoint = driver_endpoint(environment.rpcEnv())
    place = spark.storage.BlockManagerId.apply(executor, "127.0.0.1", 1, context._jvm.scala.Option.empty())
    folders = context._gateway.new_array(context._jvm.String, 0)
    environment.blockManager().master().registerBlockManager(place, folders, 1 << 40, 1 << 40, endpoint, False)


def driver_endpoint(rpc):
    """That of the driver's blocks; its name counts the Sparks that its Java has had."""
    for number in range(1, 100):
        try:
            return rpc.setupEndpointRef(rpc.address(), f"BlockManagerEndpoint{number}")
        except Py4JJavaError:
            continue
    raise AssertionError("the driver has no place of blocks")


def test_an_executor_writes_no_log_by_the_settings_of_bigdls_own_tests(spark):
    until(lambda: registered_executors(spark.sparkContext) == 3)
    opened = [str(file.readlink()) for file in Path(f"/proc/{executor_process(spark)}/fd").iterdir()]
    assert any(name.endswith(".jar") for name in opened)
    assert not [name for name in opened if "logFilename" in name]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        # Spark itself waits half a minute for executors, since BigDL wants all of them before it begins.
        (
            {"spark.executor.cores": 4, "spark.cores.max": 4},
            r"no room for 1 executor of 4 cores and 512 MiB: the cluster's workers have 3 cores and .*, enough for 0",
        ),
        ({"spark.executor.memory": "much"}, r"spark\.executor\.memory is 'much'; expected 450m or more, such as 2g"),
    ],
)
def test_what_a_cluster_cannot_hold_is_refused_at_the_start(spark_master, asked, told):
    properties = {"spark.executor.cores": 1, "spark.cores.max": 2, "spark.executor.memory": "512m"} | asked
    with pytest.raises(InputError, match=told):
        hep.session(conf={"spark.master": spark_master, **properties})


def test_a_cluster_whose_master_is_gone_is_told_at_once(spark, monkeypatch):
    monkeypatch.setattr(spark.sparkContext, "master", f"spark://{free_port_url().rpartition('/')[2]}")
    with pytest.raises(RunError, match=r"the cluster's master \(spark://.*\) does not answer; start it, or"):
        hep.scale(registered_executors(spark.sparkContext) + 1)


def test_executors_have_the_packages_that_a_user_installed(spark, tmp_path):
    context, home = spark.sparkContext, tmp_path / "packages"
    home.mkdir()

    def known(_):
        try:
            import hepspark_of_a_user
        except ImportError:
            return None
        return hepspark_of_a_user.VALUE, Path(hepspark_of_a_user.__file__).name

    def on_executors():
        return set(context.parallelize(range(8), 8).map(known).collect())

    packages.share(context, home, lambda: tmp_path)
    assert on_executors() == {None}
    (home / "hepspark_of_a_user").mkdir()
    (home / "hepspark_of_a_user" / "__init__.py").write_text("VALUE = 1\n")
    packages.share(context, home, lambda: tmp_path)
    assert on_executors() == {(1, "__init__.py")}
    archives = [*tmp_path.glob("*.zip")]
    packages.share(context, home, lambda: tmp_path)  # nothing has changed
    assert [*tmp_path.glob("*.zip")] == archives
    (home / "another.py").write_text("")
    packages.share(context, home, lambda: tmp_path)
    assert len(context._python_includes) == 1


def executor_ids(spark):
    found = spark.sparkContext._jsc.sc().getExecutorIds()
    return {found.apply(number) for number in range(found.size())}


def executor_process(spark):
    """The Java of an executor: the parent of the process that makes Python's workers."""

    def above_worker(_):
        return int(Path(f"/proc/{os.getppid()}/stat").read_text().split()[3])

    return spark.sparkContext.range(1).map(above_worker).first()


INTERRUPTED = """
import os, signal, sys
from pyspark import SparkContext
from hepspark import notebook as hep

def and_interrupted(method):
    def call(*arguments):
        made = method(*arguments)
        os.kill(os.getpid(), signal.SIGINT)
        return made
    return call

def told(work):
    try:
        work()
    except KeyboardInterrupt:
        return "interrupted"

def session():
    return hep.session(conf={"spark.master": "local[1]", "spark.ui.port": sys.argv[1]})

make, stop = SparkContext._initialize_context, SparkContext.stop
SparkContext._initialize_context = and_interrupted(make)
print(told(session))
SparkContext._initialize_context = make
print(session().range(7).count())
SparkContext.stop = and_interrupted(stop)
print(told(hep.stop))
SparkContext.stop = stop
print(session().range(8).count())
"""
"""Cells that are interrupted where it hurts most, and others after them; on a port that one Spark can have."""


def test_a_start_and_an_end_that_are_interrupted_leave_no_spark_behind(tmp_path):
    port = free_port_url().rpartition(":")[2]
    program = [sys.executable, "-c", INTERRUPTED, port]
    ended = subprocess.run(program, capture_output=True, text=True, cwd=tmp_path, timeout=WAIT_SECONDS)
    assert ended.stdout.split() == ["interrupted", "7", "interrupted", "8"], ended.stderr


KERNEL = """
import faulthandler, importlib.util, sys
faulthandler.dump_traceback_later(250, exit=True)  # one that hangs tells where
from hepspark.notebook import extension
extension.load_ipython_extension(None)
assert "pyspark" not in sys.modules
from hepspark import notebook as hep
from hepspark.errors import InputError
from bigdl.dllib.nncontext import init_nncontext, init_spark_on_local
from bigdl.dllib.utils.common import create_spark_conf
from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession
assert importlib.util.find_spec("bigdl.orca") is None  # whose init_orca_context would be one more way

def started(way):
    conf = SparkConf().set("spark.own", "1")
    context = eval(way)
    assert context.getConf().get("spark.own") == ("1" if "(conf)" in way or "=conf)" in way else None), way
    assert context.getConf().get("spark.serializer") == "org.apache.spark.serializer.JavaSerializer"
    assert hep.session().sparkContext is context
    assert SparkSession(context).newSession().range(7).count() == 7
    assert SparkSession.getActiveSession().sparkContext is context
    return context

first, others = sys.argv[1], sys.argv[2:]
context = started(first)
try:
    assert started(first) is context
except ValueError as error:  # as Spark has it
    assert first.startswith("SparkContext(") and "Cannot run multiple SparkContexts at once" in str(error), error
for other in [*others, first]:
    context.stop()
    context = started(other)
print("address", hep.ui())
hep.stop()
two = SparkConf().set("spark.executor.instances", 2).set("spark.executor.cores", 1).set("spark.cores.max", 3)
for refused in (SparkSession.builder.config(conf=two).getOrCreate, lambda: SparkContext(conf=two, batchSize=7)):
    try:
        refused()
    except InputError as error:
        print("refused", error)
print("java", SparkContext._gateway.proc.pid, flush=True)
input()
"""
"""What a kernel does; on a server without executors, so that no cluster is needed."""


@pytest.mark.parametrize(
    "ways",
    [
        ("SparkSession.builder.config(conf=conf).getOrCreate().sparkContext", "SparkContext.getOrCreate()"),
        ("SparkContext(conf=conf)", "SparkContext('local[1]', 'mine', environment={'OWN': '1'})"),
        (
            "SparkContext.getOrCreate(conf)",
            "init_nncontext()",
            "SparkContext(appName='mine', conf=create_spark_conf())",
        ),
        ("init_nncontext('mine')", "init_spark_on_local(cores=1)"),
        ("init_nncontext(conf)", "init_nncontext(cluster_mode='local')"),
    ],
    ids=lambda ways: ways[0].partition("(")[0],
)
def test_spark_that_a_notebook_starts_by_its_own_hand(ways, tmp_path):
    kernel = subprocess.Popen(
        [sys.executable, "-c", ANY_PORT + KERNEL, *ways],
        env=os.environ | SERVER,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    told = {}
    try:
        while "java" not in told:
            line = kernel.stdout.readline()
            assert line, "the kernel ended"
            name, _, text = line.strip().partition(" ")
            told.setdefault(name, []).append(text)
        java = Path(f"/proc/{told['java'][0]}")
        assert java.exists()
    finally:
        kernel.send_signal(signal.SIGKILL)
        kernel.communicate()
    until(lambda: not java.exists())
    assert told["address"] == ["/user/alice/sparkui/jobs/"]
    assert [text.partition(":")[0].partition(",")[0] for text in told["refused"]] == [
        "spark.cores.max is 3",
        "SparkContext(batchSize=…)",
    ]


AT_ONCE = """
import faulthandler
from threading import Barrier, Thread
faulthandler.dump_traceback_later(250, exit=True)  # where threads wait for each other, it tells where
from hepspark.notebook import extension
extension.load_ipython_extension(None)
from hepspark import notebook as hep
from bigdl.dllib.nncontext import init_nncontext
from pyspark import SparkContext
from pyspark.sql import SparkSession

found, together = [], Barrier(3)

def start(way):
    together.wait()
    found.append(way())

ways = (lambda: hep.session().sparkContext, SparkContext.getOrCreate, lambda: init_nncontext("mine"))
threads = [Thread(target=start, args=(way,)) for way in ways]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(found), len(set(map(id, found))), found[0].range(7).count())
"""


def test_threads_that_start_spark_at_once_have_the_same(tmp_path):
    command = [sys.executable, "-c", ANY_PORT + AT_ONCE]
    ended = subprocess.run(command, env=os.environ | SERVER, cwd=tmp_path, capture_output=True, text=True, timeout=280)
    assert ended.stdout.splitlines()[-1] == "3 1 7", ended.stderr


def test_keys_of_the_hub_are_renewed(server, s3, bucket, aws_environment, tmp_path):
    store_for(bucket, s3).write(f"{bucket}/alice/a", b"1")
    asked = []

    def hub(request):
        asked.append(request.headers["Authorization"])
        expires = datetime.now(UTC) + timedelta(seconds=1 if len(asked) == 1 else 3600)
        keys = {"Version": 1, "AccessKeyId": server.user, "SecretAccessKey": server.password}
        return Answer(200, body=json.dumps(keys | {"Expiration": expires.isoformat()}).encode())

    file = Path(application.__file__).with_name("aws.ini")
    (tmp_path / "aws.ini").write_text(file.read_text().replace("/usr/bin/python3.11", sys.executable))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        aws_environment.delenv(name)
    with serving(hub) as address:
        aws_environment.setenv("JUPYTERHUB_API_URL", f"{address}/hub/api")
        aws_environment.setenv("JUPYTERHUB_API_TOKEN", "t0ken")
        aws_environment.setenv("AWS_ENDPOINT_URL", server.endpoint)
        aws_environment.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws.ini"))
        forget_clients()
        store = store_for(bucket, StorageConfig())
        for _ in range(3):
            assert store.read(f"{bucket}/alice/a") == b"1"
    assert asked == ["token t0ken"] * 2  # once at the beginning, once when the first keys were about to expire
