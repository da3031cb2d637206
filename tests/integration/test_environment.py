"""Spark starts from folders of any name, in an environment with another Spark, Java and Python in it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hepspark.config import SparkConfig
from hepspark.errors import InputError
from hepspark.java import java_home
from hepspark.spark import spark_context, spark_home
from tests.unit.test_environment import DECIDED

OF_PYSPARK = ["SPARK_AUTH_SOCKET_TIMEOUT", "SPARK_BUFFER_SIZE"]
"""What PySpark leaves in its process; that of these tests may have had a Spark before."""
ODD = "my [repo] é#%$*'q\""

PROGRAM = """
import json, os, sys
from hepspark.config import SparkConfig
from hepspark.kubernetes_spark import event_log_uri
from hepspark.spark import run_tasks, spark_context, sql_session

def worker(_):
    import numpy, hepspark
    return [sys.executable, numpy.__file__, hepspark.__file__, os.environ.get("PYTHONHASHSEED")]

def later(_):
    import gc, pyspark, py4j
    archives = [entry for entry in sys.path if entry.endswith((".zip", ".jar")) and os.path.exists(entry)]
    return [gc.get_freeze_count(), archives, pyspark.__file__, py4j.__file__]

def parity(number):
    return [(f"key {number % 2}", number)]

os.mkdir("logs #1%20")
before = dict(os.environ)
conf = {"spark.eventLog.enabled": "true", "spark.eventLog.dir": event_log_uri("logs #1%20")}
with spark_context(SparkConfig(master="local[2]", driver_memory="512m", conf=conf), bigdl=True) as context:
    from hepspark.spark import run_grouped
    after = {name: value for name, value in os.environ.items() if before.get(name) != value}
    system = context._jvm.java.lang.System
    told = {
        "worker": run_tasks(context, worker, [0])[0],
        "later": run_tasks(context, later, [0])[0],
        "groups": sorted(run_grouped(context, parity, [1, 2, 3, 4], lambda key, numbers: sum(numbers), 2, "")),
        "rows": sql_session(context).range(3).count(),
        "master": context.master,
        "application": context.applicationId,
        "spark": context.version,
        "java": system.getProperty("java.home"),
        "quiet": not context._jvm.org.apache.logging.log4j.LogManager.getLogger("x").isWarnEnabled(),
        "class path": system.getProperty("java.class.path").split(":"),
        "changed": sorted(after),
    }
with open(os.environ["RECORD"], "w") as record:
    json.dump(told, record)
"""


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """What a Spark tells that was started where everything has an odd name and every variable is wrong."""
    place = tmp_path_factory.mktemp("foreign") / ODD
    for name in ("home", "tmp", "work", "other/pyspark", "conf", "hadoop"):
        (place / name).mkdir(parents=True)
    (place / "venv").symlink_to(sys.prefix)
    (place / "src").symlink_to(Path(__file__).parents[2] / "training/src")
    (place / "conf/spark-defaults.conf").write_text("spark.master yarn\nspark.submit.deployMode cluster\n")
    (place / "conf/spark-env.sh").write_text("exit 7\n")
    (place / "hadoop/core-site.xml").write_text(
        "<configuration><property><name>fs.defaultFS</name><value>hdfs://other:1</value></property></configuration>"
    )
    settings = {"SPARK_CONF_DIR": "conf", "HADOOP_CONF_DIR": "hadoop", "YARN_CONF_DIR": "hadoop", "SPARK_HOME": "other"}
    own = {name: value for name, value in os.environ.items() if name not in OF_PYSPARK}
    variables = own | DECIDED | {name: str(place / folder) for name, folder in settings.items()}
    variables |= {
        "HOME": str(place / "home"),
        "TMPDIR": str(place / "tmp"),
        "PYTHONPATH": str(place / "src"),
        "RECORD": str(place / "record"),
        # Its smallest heap is larger than the largest of the Java that puts Spark's command together.
        "JAVA_TOOL_OPTIONS": f"{os.environ.get('JAVA_TOOL_OPTIONS', '')} -Xms200m",
    }
    (place / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [place / "venv/bin/python", place / "program.py"],
        env=variables, cwd=place / "work", capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return place, json.loads((place / "record").read_text()), done.stderr


def test_spark_java_and_python_are_hepsparks_own(foreign):
    place, told, _ = foreign
    assert told["master"] == "local[2]"
    assert told["spark"].startswith("3.5.")
    assert Path(told["java"]).samefile(java_home())
    executable, numpy, package, seed = told["worker"]
    assert executable == f"{place}/venv/bin/python"
    assert numpy.startswith(f"{place}/venv/")
    assert package == f"{place}/src/hepspark/__init__.py"
    assert seed == "0"
    frozen, archives, *modules = told["later"]
    assert frozen > 10_000
    assert archives == []
    assert [module.startswith(f"{place}/venv/") for module in modules] == [True, True]


def test_it_works_from_a_folder_of_any_name(foreign):
    place, told, _ = foreign
    assert told["groups"] == [["key 0", 6], ["key 1", 4]]
    assert told["rows"] == 3
    # BigDL has started its engine from there.
    assert any(jar.startswith(f"{place}/venv/") and "bigdl-dllib" in jar for jar in told["class path"])
    assert [log.name for log in (place / "work/logs #1%20").iterdir()] == [told["application"]]
    assert told["quiet"]  # by log4j2.properties, which lies there, too


def test_the_user_is_told_what_is_not_read(foreign):
    _, _, told = foreign
    assert (
        "SPARK_CONF_DIR and HADOOP_CONF_DIR and YARN_CONF_DIR and PYSPARK_SUBMIT_ARGS: hepspark does not read this"
        in told
    )
    assert "JAVA_HOME is /opt/java8, which contains no Java 17; " in told


def test_the_environment_of_the_process_itself_stays(foreign):
    _, told, _ = foreign
    assert told["changed"] == OF_PYSPARK


def refused(match, conf=None):
    with (
        pytest.raises(InputError, match=match) as error,
        spark_context(SparkConfig(master="local[1]", driver_memory="512m", conf=conf or {})),
    ):
        pass
    assert error.value.exit_code == 2


@pytest.mark.parametrize("name", ["JDK_JAVA_OPTIONS", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS"])
def test_options_that_java_does_not_know_are_named(monkeypatch, name):
    monkeypatch.setenv(name, "--nonsense")
    refused(f"^{name} is '--nonsense', and Java does not start with it .*nonsense.*; correct or unset it")


def test_a_library_that_java_cannot_load_is_named(monkeypatch, tmp_path):
    (tmp_path / "libz.so.1").write_text("of another system")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    refused(f"^LD_LIBRARY_PATH is '{tmp_path}', and Java does not start with it .*libz.*; correct or unset it")


def test_a_folder_for_temporary_files_is_named(monkeypatch):
    refused(r"^spark\.local\.dir: '/proc/nope' cannot be made", {"spark.local.dir": "/proc/nope"})
    monkeypatch.setenv("SPARK_LOCAL_DIRS", "/proc/nope")
    refused("^SPARK_LOCAL_DIRS: '/proc/nope' cannot be made")


def test_what_java_was_given_is_named_where_it_ends_at_its_start(monkeypatch):
    # In a process of its own, as this one's Java may run already.
    program = (
        "from hepspark.config import SparkConfig; from hepspark.spark import spark_context\n"
        "conf = {'spark.driver.extraJavaOptions': '-Xms1g', 'spark.hadoop.fs.s3a.secret.key': 'hidden'}\n"
        "with spark_context(SparkConfig(driver_memory='512m', conf=conf)): pass"
    )
    monkeypatch.setenv("SPARK_SUBMIT_OPTS", "-Dmine=1")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stderr.splitlines()[-1] == (
        "hepspark.errors.InputError: Java does not start (Initial heap size set to a larger value than the maximum "
        "heap size); it was given spark.driver_memory=512m, spark.driver.extraJavaOptions=-Xms1g, "
        f"JAVA_TOOL_OPTIONS={os.environ['JAVA_TOOL_OPTIONS']}, SPARK_SUBMIT_OPTS=-Dmine=1; "
        "correct the wrong one"
    )


def test_another_pyspark_is_named(tmp_path):
    (tmp_path / "pyspark").mkdir()
    (tmp_path / "pyspark/__init__.py").touch()
    (tmp_path / "pyspark/version.py").write_text('__version__: str = "3.3.0"\n')
    program = "from hepspark.spark import spark_home; spark_home()"
    variables = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=variables, capture_output=True, text=True, timeout=60)
    assert (
        f"Python finds another PySpark before that of hepspark: {tmp_path}/pyspark, version 3.3.0; remove"
        in done.stderr
    )
    assert spark_home().joinpath("jars").is_dir()
