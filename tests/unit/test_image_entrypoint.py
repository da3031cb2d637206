"""What a container of the Spark image becomes, by its first argument."""

import subprocess
import sys

import pytest

from deploy.images.spark import entrypoint
from deploy.mirror.versions import REPOSITORY

JAVA = {"JAVA_HOME": "/opt/java"}
EXECUTOR = JAVA | {
    "SPARK_DRIVER_URL": "spark://CoarseGrainedScheduler@10.0.0.1:7078",
    "SPARK_EXECUTOR_ID": "3",
    "SPARK_EXECUTOR_CORES": "2",
    "SPARK_EXECUTOR_MEMORY": "1024m",
    "SPARK_APPLICATION_ID": "spark-1",
    "SPARK_EXECUTOR_POD_IP": "10.0.0.2",
    "SPARK_EXECUTOR_POD_NAME": "run-exec-3",
    "SPARK_RESOURCE_PROFILE_ID": "0",
    "SPARK_CLASSPATH": "/bigdl/a.jar:/bigdl/b.jar",
    "SPARK_JAVA_OPT_0": "-Da=1",
    "SPARK_JAVA_OPT_10": "-Dk=10",
    "SPARK_JAVA_OPT_2": "-Dc=2",
}


def test_an_executor_tells_spark_what_its_pod_was_told():
    program = entrypoint.command(["executor"], EXECUTOR)
    assert program[:6] == ["/opt/java/bin/java", "-Da=1", "-Dc=2", "-Dk=10", "-Xms1024m", "-Xmx1024m"]
    path, main, *told = program[program.index("-cp") + 1 :]
    assert path.split(":")[:2] == ["/bigdl/a.jar", "/bigdl/b.jar"]
    assert path.endswith("/pyspark/jars/*")
    assert main == "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend"
    assert dict(zip(told[::2], told[1::2], strict=True)) == {
        "--driver-url": "spark://CoarseGrainedScheduler@10.0.0.1:7078",
        "--executor-id": "3",
        "--cores": "2",
        "--app-id": "spark-1",
        "--hostname": "10.0.0.2",
        "--resourceProfileId": "0",
        "--podName": "run-exec-3",
    }


def test_an_executor_without_its_variables_says_which():
    environment = {
        name: value for name, value in EXECUTOR.items() if name not in ("SPARK_DRIVER_URL", "SPARK_EXECUTOR_MEMORY")
    }
    with pytest.raises(entrypoint.UnusableError, match="SPARK_DRIVER_URL, SPARK_EXECUTOR_MEMORY"):
        entrypoint.command(["executor"], environment)
    done = subprocess.run(
        [sys.executable, REPOSITORY / "deploy/images/spark/entrypoint.py", "executor"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("entrypoint: an executor needs SPARK_DRIVER_URL")


def test_the_history_server_takes_its_folder_of_settings():
    program = entrypoint.command(
        ["history-server"], JAVA | {"SPARK_CONF_DIR": "/etc/spark", "SPARK_DAEMON_MEMORY": "512m"}
    )
    assert program[:2] == ["/opt/java/bin/java", "-Xmx512m"]
    assert program[3].startswith("/etc/spark:")
    assert program[4:] == [
        "org.apache.spark.deploy.history.HistoryServer",
        "--properties-file",
        "/etc/spark/spark-defaults.conf",
    ]


def test_anything_else_is_for_hepspark():
    assert entrypoint.command(["train", "config.yaml"], JAVA)[1:] == ["-m", "hepspark", "train", "config.yaml"]
    assert entrypoint.command([], JAVA)[1:] == ["-m", "hepspark"]
    assert entrypoint.command(["python", "-c", "1"], JAVA) == ["/usr/bin/python3.11", "-c", "1"]


def test_authorities_become_a_trust_store_for_every_java(tmp_path, monkeypatch):
    from hepspark.java import java_home

    for name in ("one", "two"):
        request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key", "-subj", f"/CN={name}"]
        subprocess.run([*request, "-out", name], cwd=tmp_path, check=True, capture_output=True)
    authorities = tmp_path / "ca.crt"
    authorities.write_text((tmp_path / "one").read_text() + "\n" + (tmp_path / "two").read_text())
    monkeypatch.setattr(entrypoint, "TRUST_STORE", tmp_path / "trust.p12")
    environment = {"JAVA_HOME": str(java_home()), "HEPSPARK_CA_FILE": str(authorities), "SPARK_SUBMIT_OPTS": "-Dmine=1"}
    entrypoint.write_trust_store(environment)
    told = entrypoint.write_trust_store(environment)  # the container was started again
    assert told[0] == f"-Djavax.net.ssl.trustStore={tmp_path}/trust.p12"
    program, variables = entrypoint.with_java_options(["/opt/java/bin/java", "-Xmx1g"], environment, told)
    assert (program, variables) == (["/opt/java/bin/java", *told, "-Xmx1g"], environment)
    program, variables = entrypoint.with_java_options(["/usr/bin/python3.11", "-c", "1"], environment, told)
    assert program == ["/usr/bin/python3.11", "-c", "1"]
    assert variables["SPARK_SUBMIT_OPTS"] == f"-Dmine=1 {told[0]} {told[1]}"
    listed = subprocess.run(
        [java_home() / "bin/keytool", "-list", "-keystore", tmp_path / "trust.p12", "-storepass", "changeit"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert listed.count("trustedCertEntry") == 2


def test_an_authority_that_is_none_is_told(tmp_path, monkeypatch):
    from hepspark.java import java_home

    monkeypatch.setattr(entrypoint, "TRUST_STORE", tmp_path / "trust.p12")
    (tmp_path / "ca.crt").write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    environment = {"JAVA_HOME": str(java_home()), "HEPSPARK_CA_FILE": str(tmp_path / "ca.crt")}
    assert entrypoint.main(["--version"], environment) == 2
