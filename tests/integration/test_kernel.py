"""A kernel of a facility's server, whose user knows Spark and BigDL: their notebook, Interrupt, starts that fail."""

import os
import shutil
import socket
import time
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest
from jupyter_client import KernelManager
from nbclient import NotebookClient

from tests.integration.server_kernel import ANY_PORT, SERVER

REPOSITORY = Path(__file__).parents[2]
SECONDS = 120
LINES_OF_LOG = 30
QUICK_SECONDS = 20
"""On a machine that does much else, too; the works take minutes."""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """A kernel as the notebook's image starts it."""
    home = tmp_path_factory.mktemp("home")
    (home / "profile_default").mkdir()
    shutil.copy(REPOSITORY / "deploy/images/notebook/ipython/ipython_config.py", home / "profile_default")
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=home, env=os.environ | SERVER | {"IPYTHONDIR": str(home)})
    with connected(manager) as client:
        run(client, ANY_PORT)
    yield manager
    manager.shutdown_kernel(now=True)


@contextmanager
def connected(kernel):
    client = kernel.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=SECONDS)
        yield client
    finally:
        client.stop_channels()


@pytest.fixture
def client(kernel):
    with connected(kernel) as found:
        yield found


def answered(client, asked):
    """What a cell printed, and the error with which it ended."""
    printed, error = "", None
    end = time.monotonic() + SECONDS
    while True:
        message = client.get_iopub_msg(timeout=max(0, end - time.monotonic()))
        if message["parent_header"].get("msg_id") != asked:
            continue
        content = message["content"]
        if message["msg_type"] == "stream":
            printed += content["text"]
        elif message["msg_type"] == "error":
            error = "\n".join(content["traceback"])
        elif message["msg_type"] == "status" and content["execution_state"] == "idle":
            return printed, error


def until_printed(client, text):
    """Wait until a cell prints something."""
    printed = ""
    while text not in printed:
        message = client.get_iopub_msg(timeout=SECONDS)
        printed += message["content"]["text"] if message["msg_type"] == "stream" else ""
        assert message["msg_type"] != "error", message["content"]["evalue"]


def run(client, code):
    printed, error = answered(client, client.execute(code))
    assert error is None, error
    return printed


def interrupted(kernel, client, work):
    """Interrupt a cell while a job runs: all of it ends, and the next action begins at once."""
    asked = client.execute(BUSY + work)
    until_printed(client, "active")
    kernel.interrupt_kernel()
    start = time.monotonic()
    printed, error = answered(client, asked)
    assert error == "Interrupted; the job was cancelled"
    assert "py4j" not in printed
    assert run(client, "print(len(sc.statusTracker().getActiveJobsIds()), sc.range(7).count())") == "0 7\n"
    assert time.monotonic() - start < QUICK_SECONDS


def test_a_published_notebook_runs_as_it_is(kernel, published):
    notebook = nbformat.read(REPOSITORY / "tests" / "data" / "notebooks" / "published.ipynb", as_version=4)
    next(cell for cell in notebook.cells if cell.id == "parameters").source += f'\nPATH = "{published}"'
    runner = NotebookClient(notebook, km=kernel, timeout=SECONDS)
    with runner.setup_kernel():
        for number, cell in enumerate(notebook.cells):
            runner.execute_cell(cell, number)
    runner.kc.stop_channels()
    outputs = {cell.id: cell.get("outputs", []) for cell in notebook.cells}
    assert float(outputs["result"][0].text.removeprefix("Accuracy:")) > 0.6
    assert any("image/png" in output.get("data", {}) for output in outputs["curves"])
    told = [
        f"{name}: {line}"
        for name, found in outputs.items()
        for output in found
        for line in output.get("text", "").splitlines()
        if output.output_type == "stream" and line.strip()
    ]
    assert len(told) < LINES_OF_LOG, "\n".join(told)
    with connected(kernel) as client:
        interrupted(kernel, client, "estimator.setMaxEpoch(100_000).fit(train_df)")


BUSY = """
import time
from threading import Thread
from hepspark import notebook as hep
spark = hep.session()
sc = spark.sparkContext
def tell():
    while not sc.statusTracker().getActiveJobsIds():
        time.sleep(0.05)
    print("active", flush=True)
Thread(target=tell).start()
"""
"""What a cell does before it is interrupted: it tells when a job runs. Each of the works below takes minutes."""

WORKS = {
    "rdd": "sc.range(2, numSlices=2).map(lambda _: time.sleep(600)).count()",
    "sql": 'spark.range(10**14, numPartitions=2).selectExpr("sum(pow(id, 0.3))").collect()',
    "rows": 'list(spark.range(10**12, numPartitions=2).filter("id % 1000000000 = 999999999").toLocalIterator())',
    "thread": """
def count():
    try:
        sc.range(2, numSlices=2).map(lambda _: time.sleep(600)).count()
    except Exception:
        print("The thread ends")
work = Thread(target=count)
work.start()
work.join()
""",
    "streaming": """
query = spark.readStream.format("rate").load().writeStream.format("noop").start()
query.awaitTermination()
""",
    "streaming beside": """
spark.readStream.format("rate").load().writeStream.format("noop").start()
time.sleep(600)
""",
    "stepwise": """
while True:
    try:
        sc.range(2, numSlices=2).map(lambda _: time.sleep(600)).count()
    except Exception as error:
        print(error)
""",
}


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
def test_interrupt_ends_the_work(kernel, client, work):
    interrupted(kernel, client, work)
    assert run(client, "print(len(spark.streams.active))") == "0\n"


def test_a_job_that_was_not_seen_is_known_by_the_error_of_its_call(kernel, client):
    unseen = """
from hepspark.notebook import interrupts
cancel = interrupts.cancel_jobs
interrupts.cancel_jobs = lambda *arguments: cancel(*arguments) and False
"""
    run(client, unseen)
    try:
        interrupted(kernel, client, WORKS["rdd"])
    finally:
        run(client, "interrupts.cancel_jobs = cancel")


@pytest.mark.parametrize(
    ("work", "told"),
    [
        ("sleep(600_000)", "Interrupted; Java may still finish its current work"),
        ("time.sleep(600)", "KeyboardInterrupt"),
    ],
)
def test_interrupt_ends_what_has_no_job(kernel, client, work, told):
    # The name is looked up before, since that is a call to Java, too, and a short one.
    begin = 'sleep = sc._jvm.java.lang.Thread.sleep\nprint("begun", flush=True)\n'
    asked = client.execute(BUSY.partition("def")[0] + begin + work)
    until_printed(client, "begun")
    kernel.interrupt_kernel()
    printed, error = answered(client, asked)
    assert told in error.splitlines()[-1]
    assert "py4j" not in printed
    assert run(client, "print(sc.range(7).count())") == "7\n"


NEW_JAVA = """
from hepspark import notebook as hep
from pyspark import SparkContext
hep.stop()
if SparkContext._gateway:
    java, SparkContext._gateway, SparkContext._jvm = SparkContext._gateway.proc, None, None
    java.kill()
    java.wait()
"""
"""Makes the next start that of a new kernel."""

PLAIN = """
from pyspark.sql import SparkSession
context = hep.session().sparkContext
assert SparkSession.builder.getOrCreate().sparkContext is context
properties = dict(context.getConf().getAll())
print(hep.session().range(7).count(), *[name for name, value in CONF.items() if value in properties.get(name, "")])
"""


ANY_JAVA = (NEW_JAVA, "hep.stop()")


@pytest.mark.parametrize(
    ("conf", "told", "starts"),
    [
        ({"spark.plugins": "no.such.Plugin"}, "no.such.Plugin", ANY_JAVA),
        ({"spark.master": "nonsense"}, "spark.master: expected local[*]", ANY_JAVA),
        ({"spark.master": "spark://127.0.0.1:1"}, "no master of a Spark cluster answers (127.0.0.1:1: ", ANY_JAVA),
        ({"spark.port.maxRetries": "0", "spark.driver.port": "{port}"}, "Address already in use", ANY_JAVA),
        # A Java that runs takes no options.
        ({"spark.driver.extraJavaOptions": "-XX:MaxHeapFreeRatio=200"}, "spark.driver.extraJavaOptions", [NEW_JAVA]),
        ({"spark.driver.memory": "9000000g"}, "Could not reserve enough space", [NEW_JAVA]),
    ],
)
def test_a_start_that_fails_leaves_nothing_to_the_next(client, conf, told, starts):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        conf = {name: value.format(port=taken.getsockname()[1]) for name, value in conf.items()}
        for before in starts:
            run(client, before)
            started = f"SparkSession.builder.config(map={conf}).getOrCreate()"
            _, error = answered(client, client.execute("from pyspark.sql import SparkSession\n" + started))
            assert error.startswith("InputError: ")
            assert told in error
            assert "\n" not in error
            own = conf.keys() - {"spark.port.maxRetries"}  # which is the facility's, too
            assert run(client, f"CONF = { {name: conf[name] for name in own} }" + PLAIN).splitlines()[-1] == "7"
