"""Notebooks of many users, and what breaks under them.

The tests are one story, told in order: each begins with what the one before left.
"""

import json
import ssl
import subprocess
import time
import urllib.request

import nbformat.v4
import pytest
from hepspark_hub.trial import TrialError

from tests.e2e.browser import Physicist
from tests.e2e.facility import ROOMY
from tests.e2e.hub import NAMESPACE, Hub
from tests.e2e.runs import told_without_secrets
from tests.lab_user import VIEWPORT, chromium, text_of
from tests.waiting import until

pytestmark = pytest.mark.timeout(1500)

FACILITY = {"lab": ROOMY, "platform": True}
USERS = [f"user{number}" for number in range(20)]
TINY = {
    "name": "tiny", "title": "Tiny", "cores": 0.2, "requestedCores": 0.05, "memory": "384Mi", "driverMemory": "128m",
    "executors": {"instances": 0, "cores": 1, "memory": "512m"},
}  # fmt: skip
SMALL = {
    "name": "small", "title": "Small", "cores": 1, "requestedCores": 0.2, "memory": "2Gi", "driverMemory": "512m",
    "executors": {"instances": 2, "cores": 1, "memory": "512m", "requestedCores": 0.3},
}  # fmt: skip
HUGE = {**SMALL, "name": "huge", "title": "Huge", "memory": "64Gi"}
KEYS_SECONDS = 15 * 60
"""As long as keys hold here: the shortest that stores give."""
VALUES = {
    "flavors": [TINY, SMALL, HUGE],
    "servers": {"quota": {"requests.memory": "4Gi"}},
    "workspace": {"minutes": KEYS_SECONDS // 60},
}
OPEN = """
import json, boto3
from hepspark import notebook as hep
boto3.client("s3").put_object(Bucket="workspaces", Key="ada/secret", Body=b"hers")
spark = hep.session(executors=1)
spark.range(1000).write.parquet(hep.workspace() + "/numbers", mode="overwrite")
print(json.dumps(boto3.Session().get_credentials().get_frozen_credentials()[:3]))
"""
# What a user's kernel can try against somebody else's server, folder and namespace.
INTRUDE = """
import json, os, socket, ssl, subprocess, urllib.error, urllib.request
import boto3, botocore.exceptions
address, namespace, user, told = {target!r}

def port(number):
    try:
        socket.create_connection((address, number), timeout=5).close()
        return "open"
    except OSError as error:
        return type(error).__name__

def http(url, token, context=None, scheme="token"):
    request = urllib.request.Request(url, headers={{"Authorization": scheme + " " + token}})
    try:
        return urllib.request.urlopen(request, timeout=10, context=context).status
    except urllib.error.HTTPError as error:
        return error.code

def s3(call, **named):
    try:
        getattr(boto3.client("s3"), call)(Bucket="workspaces", **named)
        return "allowed"
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"]

# As an executor that knows all but what the driver and its own share.
def join():
    own = {{"SPARK_EXECUTOR_POD_IP": os.environ["POD_IP"], "SPARK_EXECUTOR_POD_NAME": os.environ["POD_NAME"]}}
    variables = {{**os.environ, **told, **own, "SPARK_EXECUTOR_ID": "77"}}
    program = ["/usr/local/bin/entrypoint", "executor"]
    tried = subprocess.run(program, env=variables, capture_output=True, text=True, timeout=120)
    said = tried.stdout + tried.stderr
    return "refused" if tried.returncode and "authenticat" in said.lower() else said[-2000:]

hub = os.environ["JUPYTERHUB_API_TOKEN"]
account = "/var/run/secrets/kubernetes.io/serviceaccount/"
token, trust = open(account + "token").read(), ssl.create_default_context(cafile=account + "ca.crt")
api = "https://kubernetes.default.svc/api/v1/namespaces/"
print(json.dumps({{
    "server": http(f"http://{{address}}:8888/user/{{user}}/api/contents", hub),
    "own server": http(f"http://127.0.0.1:8888/user/{{os.environ['JUPYTERHUB_USER']}}/api/contents", hub),
    "pages": port(4040),
    "driver": join(),
    "list": s3("list_objects_v2", Prefix=user + "/"),
    "get": s3("get_object", Key=user + "/secret"),
    "put": s3("put_object", Key=user + "/mine", Body=b""),
    "own folder": s3("put_object", Key=os.environ["JUPYTERHUB_USER"] + "/mine", Body=b""),
    "pods": http(api + namespace + "/pods", token, trust, "Bearer"),
    "volumes": http(api + namespace + "/persistentvolumeclaims", token, trust, "Bearer"),
    "secrets": http(api + os.environ["POD_NAMESPACE"] + "/secrets", token, trust, "Bearer"),
    "own pods": http(api + os.environ["POD_NAMESPACE"] + "/pods", token, trust, "Bearer"),
}}))
"""
LONG = """
from hepspark import notebook as hep
hep.session(executors=1)
hep.train(input=[hep.sample()], output=hep.workspace() + "/long", epochs=80, early_stopping_epochs=0)
print("epochs of the model:", len(hep.load_model(hep.workspace() + "/long/model").history))
"""
READ = """
from hepspark import notebook as hep
print("sum", hep.session().read.parquet("s3a://workspaces/ada/numbers").selectExpr("sum(id)").collect()[0][0])
"""
WITH_KEYS = """
import boto3, botocore.exceptions
key, secret, token = {keys!r}
old = boto3.client("s3", aws_access_key_id=key, aws_secret_access_key=secret, aws_session_token=token)
try:
    old.get_object(Bucket="workspaces", Key="ada/secret")
    print("taken")
except botocore.exceptions.ClientError as error:
    print("refused", error.response["Error"]["Code"])
"""
FULL = """
import os
from hepspark import notebook as hep
try:
    with open("more", "wb") as file:
        file.write(os.urandom(1 << 20))
except OSError as error:
    print(error)
print(hep.session(executors=1).range(1000).count())
"""


@pytest.fixture(scope="module")
def deploy(facility):
    """Deploys the platform with other values of the hub's chart, and facts of the site."""

    def run(site=None, **changed):
        values = {"chart_values": {"jupyterhub": {**VALUES, **changed}}, **(site or {})}
        target = "platform" if facility.kubeconfig.exists() else "deploy"
        deployed = facility.make(target, args=f"--extra-vars '{json.dumps(values)}'")
        assert deployed.code == 0, deployed.text

    return run


@pytest.fixture(scope="module")
def hub(facility, deploy):
    deploy()
    return Hub(facility)


@pytest.fixture(scope="module")
def physicist(hub, tmp_path_factory):
    with chromium() as browser:
        page = browser.new_page(viewport=VIEWPORT)
        yield Physicist("admin", page, hub.address, tmp_path_factory.mktemp("pictures"))


def test_twenty_users_at_once(hub):
    hub.start(*USERS, flavor="tiny")
    assert hub.run(*USERS, code="print(6 * 7)") == ["42\n"] * len(USERS)
    hub.stop(*USERS)


def test_a_server_that_no_node_can_hold_is_refused_with_the_reason(hub):
    with pytest.raises(TrialError, match="Huge cannot be started on this cluster: its server needs"):
        hub.start("carol", flavor="huge")


@pytest.fixture(scope="module")
def keys(hub):
    """Keys of a user's folder, and when they end; that user has a Spark open."""
    hub.start("ada", flavor="small")
    (said,) = hub.run("ada", code=OPEN)
    return json.loads(said.splitlines()[-1]), time.time() + KEYS_SECONDS


@pytest.mark.usefixtures("keys")
def test_a_users_things_are_out_of_anothers_reach(hub):
    hub.start("bob", flavor="small")
    (server,) = hub.pods("ada", "component=singleuser-server")
    (executor,) = hub.pods("ada", "spark-role=executor")
    target = (server["status"]["podIP"], f"{NAMESPACE}-ada", "ada", told_without_secrets(executor))
    (said,) = hub.run("bob", code=INTRUDE.format(target=target))
    assert json.loads(said.splitlines()[-1]) == {
        "server": 403, "own server": 200, "pages": "ConnectionRefusedError", "driver": "refused",
        "list": "AccessDenied", "get": "AccessDenied", "put": "AccessDenied", "own folder": "allowed",
        "pods": 403, "volumes": 403, "secrets": 403, "own pods": 200,
    }  # fmt: skip
    hub.stop("bob")


def test_a_notebook_trains_on_while_hub_and_chart_change(hub, deploy, physicist, tmp_path):
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)"}}
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(LONG)], metadata=kernel)
    (tmp_path / "long.ipynb").write_text(nbformat.writes(notebook))
    physicist.sign_in(hub.secret("firstPassword"))
    physicist.page.goto(f"{physicist.hub}/hub/spawn")
    told = physicist.page.get_by_text("It cannot be started on this cluster").inner_text()
    assert "its server needs" in told
    physicist.start("Small")
    physicist.upload(tmp_path / "long.ipynb")

    def disturb():
        until(lambda: hub.pods("admin", "spark-role=executor"), "an executor works")
        hub.restarted()
        deploy(servers={**VALUES["servers"], "idleMinutes": 30})

    # The page, which is not loaded again, sees the end of the training.
    said = text_of(physicist.run("long.ipynb", disturb))
    assert "epochs of the model: 80" in said
    physicist.stop()  # which needs no other sign-in


def test_executors_leave_with_their_kernel(hub):
    hub.start("eve", flavor="small")
    hub.run("eve", code="from hepspark import notebook as hep; hep.session(executors=1)")
    assert hub.pods("eve", "spark-role=executor")
    for kernel in hub.ask("GET", "/user/eve/api/kernels"):
        hub.ask("DELETE", f"/user/eve/api/kernels/{kernel['id']}")
    until(lambda: not hub.pods("eve", "spark-role=executor"), "the executor is gone")
    hub.stop("eve")


SMALL_VOLUME = """
apiVersion: v1
kind: PersistentVolume
metadata: {name: full}
spec:
  capacity: {storage: 5Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: none
  local: {path: /mnt/full}
  claimRef: {namespace: NAMESPACE, name: home}
  nodeAffinity:
    required:
      nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [w1]}]}]
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: home, namespace: NAMESPACE}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: none
  resources: {requests: {storage: 5Gi}}
"""


def test_a_full_volume_leaves_a_server_that_works(facility, hub):
    hub.of_user("eve", "delete", "persistentvolumeclaim", "home")
    # Neither bytes nor names are left.
    names = " ".join(f"/mnt/full/{number}" for number in range(9))
    full = f"""
        sudo mkdir /mnt/full && sudo mount -t tmpfs -o size=512k,nr_inodes=9 none /mnt/full &&
        ! sudo cp /bin/bash /mnt/full && ! sudo touch {names}"""
    made = facility.hosts("ssh", "w1", full)
    assert made.code == 0, made.text
    facility.kubectl("apply", "--filename", "-", stdin=SMALL_VOLUME.replace("NAMESPACE", f"{NAMESPACE}-eve"))
    hub.start("eve", flavor="small")
    (said,) = hub.run("eve", code=FULL)
    assert "No space left on device" in said
    assert said.endswith("1000\n")
    log = hub.of_user("eve", "logs", "jupyter-eve")
    assert "/home/user cannot store files: " in log
    hub.stop("eve")


def test_keys_that_expire_are_renewed_in_executors_too(hub, keys):
    old, end = keys
    until(lambda: time.time() > end, "the first keys are over", KEYS_SECONDS)
    (executor,) = hub.pods("ada", "spark-role=executor")
    assert "sum 499500\n" in hub.go_on("ada", READ)
    assert [pod["metadata"]["uid"] for pod in hub.pods("ada", "spark-role=executor")] == [executor["metadata"]["uid"]]
    # MinIO forgets keys that are over; others say that they have expired.
    assert hub.run("ada", code=WITH_KEYS.format(keys=old)) in (
        ["refused InvalidAccessKeyId\n"],
        ["refused ExpiredToken\n"],
    )


def test_a_server_that_nobody_uses_is_stopped_with_its_executors(hub, deploy):
    assert hub.pods("ada", "spark-role=executor")
    deploy(servers={**VALUES["servers"], "idleMinutes": 1})
    until(lambda: not hub.pods("ada"), "the server and its executor are gone", 300)


def test_the_hub_speaks_tls(facility, hub, deploy, tmp_path):
    address = hub.address.removeprefix("http://").partition(":")[0]
    new = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "2")
    files = ("-subj", "/CN=hub", "-addext", f"subjectAltName=IP:{address}", "-keyout", "tls.key", "-out", "tls.crt")
    subprocess.run([*new, *files], cwd=tmp_path, check=True, capture_output=True)
    hub.kubectl("create", "secret", "tls", "hub-tls", f"--cert={tmp_path}/tls.crt", f"--key={tmp_path}/tls.key")
    deploy({"notebooks_tls_secret": "hub-tls"})
    trust = ssl.create_default_context(cafile=tmp_path / "tls.crt")
    secure = Hub(facility, "https")
    with urllib.request.urlopen(f"{secure.address}/hub/login", context=trust, timeout=10) as page:
        assert page.status == 200
    secure.start("grace", flavor="small")
    assert secure.run("grace", code="print(1)")
    secure.stop("grace")
