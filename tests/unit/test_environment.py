"""What Spark's processes and hepspark's own command get of the environment."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from hepspark import environment
from hepspark.errors import InputError

JAVA, SPARK = Path("/opt/java"), Path("/opt/pyspark")
ODD = ("a b", "a[1]", "a*b", "naïve é", "50%", "#1", "$HOME", "it's", '"q"', "a\\b", "!", "x" * 250)

DECIDED = {
    "SPARK_HOME": "/opt/other", "SPARK_CONF_DIR": "/etc/other", "SPARK_DIST_CLASSPATH": "/opt/hadoop/*",
    "SPARK_ENV_LOADED": "1", "SPARK_PREPEND_CLASSES": "1", "SPARK_TESTING": "1", "SPARK_SCALA_VERSION": "2.13",
    "SPARK_DAEMON_MEMORY": "9t", "SPARK_DAEMON_JAVA_OPTS": "-x", "SPARK_REMOTE": "sc://x", "SPARK_EXECUTOR_DIRS": "/x",
    "SPARK_LAUNCHER_OPTS": "--nonsense", "PYSPARK_PYTHON": "/usr/bin/false", "PYSPARK_DRIVER_PYTHON": "ipython",
    "PYSPARK_SUBMIT_ARGS": "--master yarn pyspark-shell", "PYSPARK_GATEWAY_PORT": "1", "PYSPARK_PIN_THREAD": "false",
    "HADOOP_CONF_DIR": "/etc/hadoop", "HADOOP_HOME": "/opt/hadoop", "HADOOP_PROXY_USER": "x", "YARN_CONF_DIR": "/y",
    "MESOS_SANDBOX": "/x", "BIGDL_CLASSPATH": "/x", "BIGDL_JARS": "/x", "MASTER": "yarn", "DEPLOY_MODE": "cluster",
    "CONTAINER_ID": "x", "LOCAL_DIRS": "/x", "PYTHONHASHSEED": "random", "LC_ALL": "C", "JAVA_HOME": "/opt/java8",
    "BASH_ENV": "/x", "CDPATH": "/x", "PYTHONSTARTUP": "/x",
}  # fmt: skip
THE_USERS = {
    "SPARK_LOCAL_DIRS": "/scratch", "SPARK_LOCAL_IP": "127.0.0.2", "SPARK_SUBMIT_OPTS": "-Dtrust=1",
    "SPARK_USER": "ada", "HADOOP_USER_NAME": "ada", "JAVA_TOOL_OPTIONS": "-Dproxy=1",
    "JDK_JAVA_OPTIONS": "-Dx=1", "_JAVA_OPTIONS": "-Dy=1",
    "LD_LIBRARY_PATH": "/opt/lib", "PYTHONPATH": "/home/ada/modules", "PATH": "/usr/bin", "HOME": "/home/ada",
    "AWS_PROFILE": "physics", "https_proxy": "http://proxy", "CONDA_PREFIX": "/opt/conda", "SPARKLE": "1",
}  # fmt: skip


def test_what_hepspark_has_decided_is_not_overridden_and_the_rest_is_passed_on() -> None:
    made = environment.for_spark(DECIDED | THE_USERS, JAVA, SPARK)
    assert made == THE_USERS | {
        "JAVA_HOME": "/opt/java",
        "SPARK_HOME": "/opt/pyspark",
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONHASHSEED": "0",
        "LC_ALL": "C.UTF-8",
        "SPARK_LAUNCHER_OPTS": "-Xms8m",
    }
    assert environment.for_spark({}, JAVA, SPARK)["SPARK_LOCAL_IP"] == "127.0.0.1"


def test_a_pod_keeps_the_settings_of_its_facility() -> None:
    pod = {"SPARK_CONF_DIR": "/etc/spark", "HADOOP_CONF_DIR": "/etc/hadoop"}
    made = environment.for_spark(pod, JAVA, SPARK, on_kubernetes=True)
    assert made["SPARK_CONF_DIR"] == "/etc/spark"
    assert "HADOOP_CONF_DIR" not in made


def test_variables_with_settings_that_are_not_read_are_told() -> None:
    assert environment.unread(DECIDED) == ["SPARK_CONF_DIR", "HADOOP_CONF_DIR", "YARN_CONF_DIR", "PYSPARK_SUBMIT_ARGS"]
    assert environment.unread(THE_USERS) == []


def test_this_process_has_its_own_environment_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_HOME", "/opt/other")
    monkeypatch.delenv("PYTHONHOME", raising=False)
    monkeypatch.setenv("SPARK_BUFFER_SIZE", "")  # is restored when the test ends
    before = dict(os.environ)
    with suppress(ZeroDivisionError), environment.applied({"PATH": "/usr/bin", "SPARK_HOME": "/opt/pyspark"}):
        assert dict(os.environ) == {"PATH": "/usr/bin", "SPARK_HOME": "/opt/pyspark"}
        told = subprocess.run(["env"], capture_output=True, text=True, check=True).stdout.split()
        assert {line for line in told if line.startswith(("PATH=", "HOME=", "SPARK_"))} == {
            "PATH=/usr/bin", "SPARK_HOME=/opt/pyspark",
        }  # fmt: skip
        os.environ["PYTHONHOME"] = "/what/BigDL/sets"
        os.environ["SPARK_BUFFER_SIZE"] = "65536"
        raise ZeroDivisionError
    assert dict(os.environ) == before | {"SPARK_BUFFER_SIZE": "65536"}


@pytest.mark.parametrize("name", ["SPARK_LOCAL_DIRS", "spark.local.dir"])
def test_a_folder_for_temporary_files_that_cannot_be_written_to_is_named(tmp_path: Path, name: str) -> None:
    def check(folders: str) -> None:
        if name == "SPARK_LOCAL_DIRS":
            environment.check({name: folders}, local_dir="/proc/not/read")
        else:
            environment.check({}, local_dir=folders)

    check(f"{tmp_path},{tmp_path}/new")
    (tmp_path / "file").touch()
    for wrong in ("/proc/nope", f"{tmp_path / 'file'}", f"{tmp_path / 'file'}/below"):
        with pytest.raises(InputError, match=f"{name}: '{wrong}' cannot be made: .*; give a folder"):
            check(f"{tmp_path},{wrong}")


@pytest.mark.parametrize("name", ["absent", "file"])
def test_a_tmpdir_that_python_would_pass_over_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        InputError, match=rf"TMPDIR is '{tmp_path}/{name}', which is not a folder .*; correct it, or unset"
    ):
        environment.check({"TMPDIR": f"{tmp_path}/{name}"})
    environment.check({"TMPDIR": str(tmp_path)})
    environment.check({"TMPDIR": ""})


def test_an_address_that_is_not_this_machines_is_named() -> None:
    for own in ("127.0.0.1", "127.0.0.9", "0.0.0.0", "localhost"):
        environment.check({"SPARK_LOCAL_IP": own})
    with pytest.raises(InputError, match=r"SPARK_LOCAL_IP is '192\.0\.2\.1', which is not an address of this machine"):
        environment.check({"SPARK_LOCAL_IP": "192.0.2.1"})


def test_a_path_that_java_cannot_use_is_refused() -> None:
    for name in ODD:
        environment.check_place("Spark", Path("/home/ada", name))
    for name, why in (("a:b", "a colon"), ("a\nb", "a line break"), ("a\rb", "a line break"), ("a\udce9", "not UTF-8")):
        with pytest.raises(InputError, match=f"Spark lies in .*, and Java cannot use a path with .*{why}; move"):
            environment.check_place("Spark", Path("/home/ada", name))


def test_the_command_is_started_again_without_what_is_meant_for_another_python(tmp_path: Path) -> None:
    plain = {"PATH": "/usr/bin", "PYTHONUNBUFFERED": "1", "PYTHONPATH": ""}
    assert environment.for_command(plain) is None
    foreign = {"PYTHONPATH": "/opt/spark/python:", "PYTHONWARNINGS": "error", "PYTHONOPTIMIZE": "2"}
    foreign["MPLBACKEND"] = "module://of_a_notebook"
    assert environment.for_command(plain | foreign) == {"PATH": "/usr/bin", "PYTHONUNBUFFERED": "1"}
    (tmp_path / "hepspark_kernels.so").touch()  # an image's
    for own in (tmp_path, Path(environment.__file__).parents[1]):
        assert environment.for_command({"PYTHONPATH": f"/usr/local/lib/more:{own}"}) is None


def test_the_command_takes_no_package_from_elsewhere(tmp_path: Path) -> None:
    for module in ("typer", "yaml", "pydantic"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit('taken from elsewhere')")
    variables = os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONINSPECT": "1", "PYTHONWARNINGS": "error"}
    command = [sys.executable, "-P", "-m", "hepspark", "config", "show", "--set", "train.epochs=7"]
    done = subprocess.run(command, env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "epochs: 7" in done.stdout
