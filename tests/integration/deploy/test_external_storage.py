"""A platform on an S3 store outside the cluster: what the installation asks of it, and how it tells what is missing."""

import base64
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hepspark.config import StorageConfig
from hepspark.storage.s3_client import client
from tests.integration.deploy.apiserver import Namespace
from tests.integration.s3_servers import Server

REPOSITORY = Path(__file__).parents[3]
BUCKETS = ("data", "runs", "history", "scratch")
INSTALLS = "release : Install or upgrade the release"
"""The first task after the checks; it fails here, since there is no helm."""
CHART_VALUES = {"spark": {"quota": {"pods": "40"}}}
Deploy = Callable[..., str]


@pytest.fixture
def kubelet(namespace: Namespace, tmp_path: Path) -> Iterator[None]:
    """Does the pod's work in a process of this machine: its arguments, with its Secret and its ConfigMap."""
    ended = threading.Event()

    def run_pods() -> None:
        while not ended.wait(0.2):
            pod = namespace.admin.read("pods", "storage-check")
            if pod and pod["status"]["phase"] == "Pending":
                (container,) = pod["spec"]["containers"]
                for volume, mount in zip(
                    pod["spec"].get("volumes", ()), container.get("volumeMounts", ()), strict=True
                ):
                    for name, text in namespace.admin.read("configmaps", volume["configMap"]["name"])["data"].items():
                        (tmp_path / name).write_text(text)
                    container["args"] = [each.replace(mount["mountPath"], str(tmp_path)) for each in container["args"]]
                secret = namespace.admin.read("secrets", container["envFrom"][0]["secretRef"]["name"])
                namespace.set_status("pods", "storage-check", run_container(container, secret["data"]))

    thread = threading.Thread(target=run_pods)
    thread.start()
    yield
    ended.set()
    thread.join()


def run_container(container: dict, secret: dict[str, str]) -> dict:
    """The status of the pod when its only container has ended."""
    keys = {name: base64.b64decode(value).decode() for name, value in secret.items()}
    program, *arguments = container["args"]
    assert program == "python"
    done = subprocess.run(
        [sys.executable, *arguments], env={**os.environ, **keys}, capture_output=True, text=True, check=False
    )
    state = {"terminated": {"exitCode": done.returncode, "message": done.stdout + done.stderr}}
    own = {"name": "check", "image": "x", "imageID": "x", "ready": False, "restartCount": 0, "state": state}
    return {"phase": "Failed" if done.returncode else "Succeeded", "containerStatuses": [own]}


def play(book: str, out: Path, **variables: object) -> str:
    """What a playbook tells for an inventory without hosts."""
    site = {
        "cluster_name": "test",
        "cluster_provider": "existing",
        "mirror_url": "https://mirror.example.org",
        "mirror_registry": "mirror.example.org",
        "storage_backend": "external",
        **variables,
    }
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),  # as the Makefile has it
        "ANSIBLE_CONFIG": str(REPOSITORY / "deploy/ansible.cfg"),
        "ANSIBLE_STDOUT_CALLBACK": "default",
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        "OUT": str(out),
    }
    done = subprocess.run(
        [
            *(Path(sys.executable).parent / "ansible-playbook", "--inventory", "localhost,"),
            *(f"{REPOSITORY}/deploy/playbooks/{book}.yml", "--extra-vars", json.dumps(site)),
        ],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.stdout + done.stderr


@pytest.fixture
def deploy(namespace: Namespace, server: Server, tmp_path: Path) -> Deploy:
    """Installs the platform; gives what is told."""
    site = {
        "kubeconfig": str(namespace.server.kubeconfig("admin")),
        "site_namespace": namespace.name,
        "storage_endpoint": server.endpoint,
    }
    return lambda **variables: play("platform", tmp_path, **site, **variables)


@pytest.fixture
def secret(namespace: Namespace, server: Server) -> dict[str, str]:
    """The operator's own."""
    keys = {"AWS_ACCESS_KEY_ID": server.user, "AWS_SECRET_ACCESS_KEY": server.password}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "storage"}, "stringData": keys}
    namespace.create("secrets", body)
    return keys


@pytest.fixture
def buckets(s3: StorageConfig) -> Iterator[None]:
    store = client(s3)
    for name in BUCKETS:
        store.create_bucket(Bucket=name)
    yield
    for name in BUCKETS:
        store.delete_bucket(Bucket=name)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"storage_backend": "ceph"}, "storage_backend is 'ceph': set it to minio or external"),
        ({}, "storage_endpoint is '': give the store's address"),
        ({"storage_endpoint": "s3:9000"}, "storage_endpoint is 's3:9000': give the store's address"),
        (
            {"storage_backend": "minio", "storage_endpoint": "http://s3"},
            "storage_endpoint is set, but with storage_backend",
        ),
        ({"storage_endpoint": "https://s3", "storage_ca_certificate": "/no/ca.pem"}, "'/no/ca.pem' names no file"),
        ({"storage_endpoint": "https://s3"}, "failed=0"),
        (
            {"storage_endpoint": "https://s3", "storage_tls_secret": "t"},
            "storage_tls_secret is the certificate of MinIO",
        ),
        ({"storage_backend": "minio", "storage_tls_secret": "t"}, "also set storage_ca_certificate, the PEM file"),
        (
            {
                "storage_backend": "minio",
                "storage_tls_secret": "t",
                "storage_ca_configmap": "site",
                "chart_values": CHART_VALUES,
            },
            "failed=0",
        ),
        (
            {"storage_backend": "minio", "chart_values": {"sparks": {}}},
            "chart_values has sparks: the charts are minio, spark, training, jupyterhub",
        ),
    ],
)
def test_what_contradicts_itself_is_told_first(variables: dict[str, str], message: str, tmp_path: Path) -> None:
    assert message in play("inventory", tmp_path, **variables)


def test_the_secret_is_asked_for(deploy: Deploy, namespace: Namespace) -> None:
    told = deploy()
    assert f"Secret storage in namespace {namespace.name} is not there: put" in told
    assert f"kubectl --namespace {namespace.name} create secret generic storage --from-env-file=FILE" in told
    assert INSTALLS not in told
    assert namespace.admin.read("secrets", "storage") is None


on_versitygw = pytest.mark.parametrize("server", ["versitygw"], indirect=True)


@on_versitygw
@pytest.mark.usefixtures("kubelet", "secret")
def test_missing_buckets_are_told(deploy: Deploy, server: Server, s3: StorageConfig) -> None:
    client(s3).create_bucket(Bucket="runs")
    told = deploy()
    client(s3).delete_bucket(Bucket="runs")
    for name in ("data", "history", "scratch"):
        assert re.search(rf"s3a://{name}/\S+: there is no such bucket at {server.endpoint}", told)
    assert "s3a://runs" not in told.partition("The store can be used")[2]
    assert INSTALLS not in told


@on_versitygw
@pytest.mark.usefixtures("kubelet", "buckets")
def test_a_store_that_has_all_is_taken(
    deploy: Deploy, namespace: Namespace, secret: dict[str, str], s3: StorageConfig, tmp_path: Path
) -> None:
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"),
            *("-subj", "/CN=s3", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "site.pem"),
        ],
        check=True,
        capture_output=True,
    )
    told = deploy(storage_ca_certificate=str(tmp_path / "site.pem"))
    assert INSTALLS in told
    assert secret["AWS_SECRET_ACCESS_KEY"] not in told
    values = namespace.admin.read("configmaps", "training-values")["data"]["values.yaml"]
    assert f"endpoint: {s3.endpoint}" in values
    assert "caConfigMap: storage-ca" in values
    assert (tmp_path / "ca.crt").read_text() == (tmp_path / "site.pem").read_text()
    assert namespace.admin.read("pods", "storage-check") is None
    assert namespace.admin.read("secrets", "minio-root") is None
    assert [client(s3).list_objects_v2(Bucket=name)["KeyCount"] for name in BUCKETS] == [0, 0, 0, 0]


@pytest.mark.parametrize("server", ["versitygw-forgetful"], indirect=True)
@pytest.mark.usefixtures("kubelet", "secret", "buckets")
def test_a_store_that_forgets_is_not(deploy: Deploy) -> None:
    told = deploy()
    assert "overwrites on a conditional write" in told
    assert INSTALLS not in told
