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

from hepspark import notebook as hep
from hepspark.config import StorageConfig
from hepspark.errors import InputError
from hepspark.model.bigdl import check_parallelism
from hepspark.notebook import application, packages
from hepspark.spark import registered_executors
from hepspark.storage import store_for
from hepspark.storage.s3_client import forget_clients
from tests.integration.middleman import Answer, free_port_url, serving

EVENTS, EPOCHS, BATCH = 2400, 1, 96
WAIT_SECONDS = 120


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
    assert "1 executor is there (2 before); what the others had cached is computed again where it is needed" in told
    with pytest.raises(InputError, match="0 executors cannot work"):
        hep.scale(0)
    assert hep.session() is spark
    # Those that are left are replaced where they are lost.
    before, process = executor_ids(spark), executor_process(spark)
    os.kill(process, signal.SIGKILL)
    until(lambda: registered_executors(spark.sparkContext) == 1 and executor_ids(spark) != before)


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

    packages.share(context, home, tmp_path)
    assert on_executors() == {None}
    (home / "hepspark_of_a_user").mkdir()
    (home / "hepspark_of_a_user" / "__init__.py").write_text("VALUE = 1\n")
    packages.share(context, home, tmp_path)
    assert on_executors() == {(1, "__init__.py")}
    archives = [*tmp_path.glob("*.zip")]
    packages.share(context, home, tmp_path)  # nothing has changed
    assert [*tmp_path.glob("*.zip")] == archives
    (home / "another.py").write_text("")
    packages.share(context, home, tmp_path)
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
import sys
from hepspark.errors import InputError
from hepspark.notebook import extension
extension.load_ipython_extension(None)
assert "pyspark" not in sys.modules
from pyspark import SparkContext
from pyspark.sql import SparkSession
seed = SparkSession.builder.config("spark.executor.instances", 2).config("spark.executor.cores", 1)
seed = seed.config("spark.ui.port", 0)  # who runs the tests may have another Spark
for start in (SparkContext, seed.config("spark.cores.max", 3).getOrCreate):
    try:
        start()
    except InputError as error:
        print(error)
spark = seed.config("spark.cores.max", 2).getOrCreate()
assert spark.range(7).count() == 7
from hepspark import notebook as hep
assert hep.session().sparkContext is spark.sparkContext
hep.scale(2)  # as of a notebook for executors
print(spark.conf.get("spark.serializer"), hep.ui())
print(SparkContext._gateway.proc.pid, flush=True)
input()
"""
"""What a kernel does; on a server without executors, so that no cluster is needed."""


def test_java_ends_with_its_kernel_that_started_spark_by_its_own_hand(tmp_path):
    server = {"POD_NAMESPACE": "hub-alice", "HEPSPARK_IMAGE": "spark:1", "JUPYTERHUB_SERVICE_PREFIX": "/user/alice/"}
    kernel = subprocess.Popen(
        [sys.executable, "-c", KERNEL],
        env=os.environ | server,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    try:
        direct, refused, spark, java = (kernel.stdout.readline() for _ in range(4))
        assert direct.startswith("SparkContext(…): here Spark is started by")
        assert refused.startswith("spark.cores.max is 3, but 2 executors")
        assert spark.split() == ["org.apache.spark.serializer.JavaSerializer", "/user/alice/sparkui/jobs/"]
        assert Path(f"/proc/{java.strip()}").exists()
    finally:
        kernel.send_signal(signal.SIGKILL)
        kernel.communicate()
    until(lambda: not Path(f"/proc/{java.strip()}").exists())


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
