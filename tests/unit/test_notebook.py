"""What a notebook asks of Spark, and what the hub's variables make of it."""

import json
import socket
import stat
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from hepspark import progress
from hepspark.cluster.capacity import read_template
from hepspark.config import StorageConfig
from hepspark.errors import InputError
from hepspark.kubernetes_spark import driver_pod, properties
from hepspark.notebook import application, credentials, history_server, places, template
from hepspark.notebook.facility import facility
from hepspark.notebook.settings import configuration, differ_in_number_alone
from tests.integration.middleman import Answer, free_port_url, serving

SERVER = {
    "POD_IP": "127.0.0.1",
    "POD_NAME": "jupyter-alice",
    "POD_NAMESPACE": "hub-alice",
    "JUPYTERHUB_SERVICE_PREFIX": "/user/alice/",
    "JUPYTERHUB_API_URL": "http://hub:8081/hub/api",
    "JUPYTERHUB_API_TOKEN": "t0ken",
    "AWS_ENDPOINT_URL": "https://store:9000",
    "AWS_REGION": "us-east-1",
    "AWS_CONFIG_FILE": "/keys.ini",
    "HEPSPARK_CA_FILE": "/etc/store/ca.crt",
    "HEPSPARK_CA_CONFIG_MAP": "storage-ca",
    "HEPSPARK_WORKSPACE": "s3a://workspaces/alice",
    "HEPSPARK_PUBLIC": "public,more",
    "HEPSPARK_IMAGE": "registry/spark:1",
    "HEPSPARK_PULL_POLICY": "Always",
    "HEPSPARK_EXECUTOR_ACCOUNT": "spark-executor",
    "HEPSPARK_EXECUTORS": "4",
    "HEPSPARK_EXECUTOR_CORES": "2",
    "HEPSPARK_EXECUTOR_CPU": "0.5",
    "HEPSPARK_EXECUTOR_MEMORY": "2g",
    "HEPSPARK_DRIVER_MEMORY": "1g",
}
SEED = {"spark.executor.instances": 2, "spark.executor.cores": 1, "spark.cores.max": 2}


@pytest.fixture
def server(monkeypatch):
    """The environment of a server of a facility."""
    for name, value in SERVER.items():
        monkeypatch.setenv(name, value)
    return facility()


def test_spark_is_made_of_what_the_hub_tells(server):
    config = configuration(server, executors=3)
    found = properties(config.spark, config.storage, driver_pod()) | config.spark.conf
    assert config.spark.on_kubernetes
    assert found["spark.executor.instances"] == "3"
    assert found["spark.cores.max"] == "6"
    assert found["spark.executor.memory"] == "2048m"
    assert found["spark.kubernetes.executor.request.cores"] == "0.5"
    assert found["spark.kubernetes.container.image"] == "registry/spark:1"
    assert found["spark.kubernetes.container.image.pullPolicy"] == "Always"
    assert found["spark.kubernetes.namespace"] == "hub-alice"
    assert found["spark.eventLog.dir"] == "s3a://workspaces/alice/spark-history"
    assert found["spark.hadoop.fs.s3a.endpoint"] == "https://store:9000"
    assert "ProfileCredentialsProvider" in found["spark.hadoop.fs.s3a.aws.credentials.provider"]
    assert found["spark.ui.proxyBase"] == "/user/alice/sparkui"
    assert config.spark.driver_memory == "1g"
    assert config.storage.ca_bundle == "/etc/store/ca.crt"


@pytest.mark.usefixtures("server")
def test_the_history_server_is_the_users_own():
    command = history_server.command(9000, SERVER | {"SPARK_SUBMIT_OPTS": "-Dtrust=store"})
    assert {
        "-Dtrust=store",
        "-Dspark.history.fs.logDirectory=s3a://workspaces/alice/spark-history",
        "-Dspark.history.ui.port=9000",
        "-Dspark.ui.proxyBase=/user/alice/sparkhistory",
        "-Dspark.hadoop.fs.s3a.endpoint=https://store:9000",
    } <= set(command)
    assert str(application.history()) == "/user/alice/sparkhistory/"


def test_a_history_is_written_on_clusters_alone():
    with pytest.raises(InputError, match="only where its executors are pods"):
        application.history()


def test_properties_by_hand_say_the_same_as_arguments(server):
    by_hand = configuration(server, conf=SEED)
    assert by_hand == configuration(server, executors=2, cores=1)
    assert by_hand == configuration(server, conf={"spark.executor.cores": "1", "spark.cores.max": "2"})
    assert by_hand == configuration(server, conf=SEED | {"spark.dynamicAllocation.enabled": False})
    assert by_hand.spark.executor.instances == 2


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        (SEED | {"spark.cores.max": 3}, r"spark\.cores\.max is 3, but 2 executors .* of 1 cores .* have 2; .* to 2"),
        ({"spark.executor.cores": 2, "spark.cores.max": 3}, r"a whole number of executors .* set it to 4"),
        ({"spark.executor.instances": 5}, r"executor\.instances: 5 is more than the limit of this server, 4; take"),
        ({"spark.executor.cores": 3}, r"spark\.executor\.cores: 3 is more than the limit of this server, 2"),
        ({"spark.executor.memory": "2049m"}, r"executor\.memory: 2049m is more than the limit of this server, 2g"),
        ({"spark.driver.memory": "8g"}, r"spark\.driver\.memory: 8g is more than the limit of this server, 1g"),
        ({"spark.executor.memory": "lots"}, r"spark\.executor\.memory: 'lots' is no amount of memory"),
        ({"spark.executor.instances": "two"}, r"spark\.executor\.instances: 'two' is not a whole number above 0"),
        ({"spark.master": "local[*]"}, r"spark\.master is local\[\*\], but here Spark's executors are pods"),
        ({"spark.jars": "/bin/sh, /nope/my.jar"}, r"spark\.jars: there is no /nope/my\.jar; correct the path"),
        ({"spark.files": "file:///nope/a.txt#b"}, r"spark\.files: there is no /nope/a\.txt;"),
        ({"spark.submit.pyFiles": "/nope/*.py"}, r"spark\.submit\.pyFiles: there is no /nope/\*\.py;"),
        ({"spark.dynamicAllocation.enabled": "True"}, r"spark\.dynamicAllocation\.enabled: BigDL cannot .*scale"),
    ],
)  # fmt: skip
def test_properties_that_cannot_be_are_refused(server, conf, message):
    with pytest.raises(InputError, match=message):
        configuration(server, conf=conf)


def test_arguments_and_properties_must_not_contradict(server):
    with pytest.raises(InputError, match=r"spark\.executor\.instances is 2 in conf, but 3 in the arguments"):
        configuration(server, executors=3, conf=SEED)


def test_files_that_are_there_or_elsewhere_are_taken(server, tmp_path):
    odd = tmp_path / "100%25 #1"
    odd.mkdir()
    for place in (tmp_path / "my.jar", odd / "my.jar"):
        place.touch()
    files = {
        "spark.jars": f"s3a://bucket/my.jar,local:/opt/my.jar,file://{tmp_path}/my.jar,{(odd / 'my.jar').as_uri()}",
        "spark.archives": f"{tmp_path}/my.jar#a",
        "spark.files": f"{tmp_path}/*.jar",
    }
    assert configuration(server, conf=files).spark.conf.items() >= files.items()
    asked = configuration(server, conf={"spark.jars": f"{odd}/my.jar, {tmp_path}/my.jar"})
    assert asked.spark.conf["spark.jars"] == f"{(odd / 'my.jar').as_uri()},{tmp_path}/my.jar"


def test_elsewhere_this_machine_does_the_work():
    config = configuration(None, executors=4, conf={"spark.executor.cores": 2, "spark.sql.shuffle.partitions": 3})
    assert config.spark.master == "local[*]"
    assert config.spark.conf["spark.sql.shuffle.partitions"] == "3"
    assert not [name for name in config.spark.conf if name.startswith(("spark.executor", "spark.ui.p"))]
    assert configuration(None, conf={"spark.master": "local[2]"}).spark.master == "local[2]"
    with pytest.raises(InputError, match=r"spark\.executor\.memory: 'much' is no amount of memory; expected one"):
        configuration(None, memory="much")


def test_only_another_number_of_executors_needs_no_restart(server):
    one, two = configuration(server, executors=1), configuration(server, executors=2)
    assert differ_in_number_alone(one, two)
    assert not differ_in_number_alone(one, configuration(server, executors=2, memory="1g"))
    assert not differ_in_number_alone(one, configuration(server, executors=1, conf={"spark.x": "1"}))


@pytest.mark.usefixtures("server")
def test_executors_get_what_they_need_of_the_server():
    template.write()
    assert stat.S_IMODE(template.path().stat().st_mode) == 0o600
    assert stat.S_IMODE(template.path().parent.stat().st_mode) == 0o700
    spec = read_template(str(template.path()))["spec"]
    (container,) = spec["containers"]
    variables = {entry["name"]: entry["value"] for entry in container["env"]}
    assert variables["JUPYTERHUB_API_TOKEN"] == "t0ken"
    assert variables["AWS_CONFIG_FILE"] == "/keys.ini"
    assert "POD_IP" not in variables
    assert not spec["automountServiceAccountToken"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert {"name": "ca", "configMap": {"name": "storage-ca"}} in spec["volumes"]
    assert {"name": "ca", "mountPath": "/etc/store", "readOnly": True} in container["volumeMounts"]
    assert "nodeSelector" not in spec
    nodes = {"nodeSelector": {"pool": "users"}, "tolerations": [{"key": "notebooks", "operator": "Exists"}]}
    assert template.pod({"HEPSPARK_EXECUTOR_NODES": json.dumps(nodes)})["spec"] == template.pod({})["spec"] | nodes
    without = template.pod({})["spec"]
    assert [volume["name"] for volume in without["volumes"]] == ["tmp"]
    assert yaml.safe_load(template.path().read_text())["spec"] == spec


def test_a_second_spark_in_one_server_is_refused_when_the_first_does_not_end(server, monkeypatch):
    config = configuration(server, conf={"spark.ui.port": 0})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        blocks = int(free_port_url().rpartition(":")[2])
        own = config.spark.kubernetes.model_copy(update={"driver_port": port, "block_manager_port": blocks})
        spark = config.spark.model_copy(update={"kubernetes": own})
        with monkeypatch.context() as patched:
            patched.setattr(application, "ENDING_SECONDS", 0)
            with pytest.raises(InputError, match=rf"port {port} is in use: another notebook of this server runs Spark"):
                application.check_ports(spark)
        monkeypatch.setattr(time, "sleep", lambda _: taken.close())  # as of a kernel that was killed
        application.check_ports(spark)
        assert taken.fileno() == -1


@pytest.mark.usefixtures("server")
def test_places_on_a_facility_and_elsewhere(monkeypatch):
    assert places.workspace() == "s3a://workspaces/alice"
    assert places.public() == ("s3a://public", "s3a://more")
    for name in SERVER:
        monkeypatch.delenv(name)
    assert (places.workspace(), places.public()) == (str(Path.cwd() / "workspace"), ())
    assert Path(places.sample()).is_dir()


def test_importing_it_loads_none_of_what_it_may_need():
    heavy = "pyspark", "bigdl", "pydantic", "numpy", "boto3", "importlib.metadata"
    code = f"import sys, hepspark.notebook; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def answer_of_hub(status=200, **changes):
    keys = {"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "S", "Expiration": datetime.now(UTC).isoformat()}
    return Answer(status, body=json.dumps(keys | changes).encode())


def environment(address):
    return {"JUPYTERHUB_API_URL": f"{address}/hub/api", "JUPYTERHUB_API_TOKEN": "t0ken"}


def test_keys_are_what_the_hub_answers():
    asked = []
    with serving(lambda request: asked.append(request) or answer_of_hub()) as address:
        keys = json.loads(credentials.ask(environment(address)))
    assert keys["AccessKeyId"] == "A"
    assert asked[0].path == "/hub/api/hepspark/credentials"
    assert asked[0].headers["Authorization"] == "token t0ken"


def test_a_hub_that_starts_again_is_waited_for(monkeypatch):
    monkeypatch.setattr(credentials, "_POLL_SECONDS", 0.01)
    answers = [answer_of_hub(503), Answer(200, silent=True), Answer(200, body=b"<html>"), answer_of_hub()]
    with serving(lambda _: answers.pop(0)) as address:
        assert json.loads(credentials.ask(environment(address)))["SecretAccessKey"] == "S"
    assert not answers


def test_keys_that_are_refused_are_told_at_once():
    with (
        serving(lambda _: Answer(403)) as address,
        pytest.raises(credentials.NoKeysError, match=r"\(403 Forbidden\): stop"),
    ):
        credentials.ask(environment(address))
    with pytest.raises(credentials.NoKeysError, match=r"gives no keys to the store: .*refused"):
        credentials.ask(environment(free_port_url()), patience=0)


def test_the_program_tells_in_one_line_why_there_are_no_keys():
    done = subprocess.run(
        [sys.executable, "-P", "-m", "hepspark.notebook.credentials"], capture_output=True, text=True, env={}
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "JUPYTERHUB_API_TOKEN are not set" in done.stderr


class Display:
    """A notebook's display, as far as it is used."""

    def __init__(self):
        self.shown = []

    def __call__(self, data, *, raw, display_id):
        assert raw
        assert display_id
        self.shown.append(data)
        return self

    def update(self, data, *, raw):
        assert raw
        self.shown.append(data)


def test_progress_in_a_notebook_is_one_output_that_changes_now_and_then(monkeypatch):
    display = Display()
    monkeypatch.setattr(progress, "cell_display", lambda: display)
    with progress.track("Reading <events>", 10_000, "events") as tracker:
        for _ in range(10_000):
            tracker.advance(note="loss 0.1")
    assert "10,000 of 10,000 events" in display.shown[-1]["text/plain"]
    assert "Reading &lt;events&gt;" in display.shown[-1]["text/html"]
    assert len(display.shown) < 100


def test_progress_in_a_notebook_begins_with_what_was_done_before(monkeypatch):
    display = Display()
    monkeypatch.setattr(progress, "cell_display", lambda: display)
    with progress.track("Training", 10_000, "events") as tracker:
        tracker.advance(4_000)
        assert "4,000 of 10,000 events" in display.shown[-1]["text/plain"]


def test_errors_are_shown_in_a_notebook_by_their_message_alone():
    assert InputError("no such file")._render_traceback_() == ["InputError: no such file"]


def test_storage_is_as_usual_elsewhere():
    assert configuration(None).storage == StorageConfig()
