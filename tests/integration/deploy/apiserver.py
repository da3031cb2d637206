"""A real kube-apiserver with etcd on loopback: one of each a test session, no kubelet, no scheduler, no controllers.

The programs come out of the images in the mirror's registry folder. What controllers would do (accounts of a
namespace, the status of a quota, the state of a pod) a test does itself, through the API.
"""

import json
import secrets
import socket
import ssl
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from hepspark.cluster.client import Cluster, connect
from tests.integration.deploy.charts import ROOT, objects_of

START_SECONDS = 90


@dataclass(frozen=True)
class ApiServer:
    """A running server."""

    address: str
    folder: Path
    tokens: dict[str, str]
    """Of `admin`, who may do all, and of `driver` and `physicist`, who may do what a Role grants."""

    @property
    def audit(self) -> Path:
        """What service accounts have asked for: a JSON object in each line."""
        return self.folder / "audit.log"

    def kubeconfig(self, user: str) -> Path:
        """A KUBECONFIG of somebody who has a token."""
        path = self.folder / f"{user}.kubeconfig"
        authority = str(self.folder / "certificates" / "apiserver.crt")
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": self.address, "certificate-authority": authority}}],
            "users": [{"name": user, "user": {"token": self.tokens[user]}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
            "current-context": "test",
        }
        path.write_text(yaml.safe_dump(content))
        return path


def layers(reference: str) -> Iterator[tarfile.TarFile]:
    """The layers of an image of the mirror."""
    from deploy.mirror import registry
    from deploy.mirror.places import Places, default_folder

    storage = Places(default_folder()).registry
    found = sorted(name for name in registry.references(storage) if name.startswith(f"{reference}:"))
    if not found:
        pytest.fail(f"the mirror has no image {reference}: run `make mirror`", pytrace=False)
    digest = registry.stored_digest(storage, found[-1])
    manifest = json.loads(registry.blob_path(storage, digest).read_bytes())
    for layer in manifest["layers"]:
        with tarfile.open(registry.blob_path(storage, layer["digest"])) as content:
            yield content


def unpack(folder: Path, reference: str, program: str) -> Path:
    """A program out of an image of the mirror."""
    for content in layers(reference):
        member = next((one for one in content if one.name.rpartition("/")[2] == program), None)
        if member:
            target = folder / program
            target.write_bytes(content.extractfile(member).read())
            target.chmod(0o755)
            return target
    pytest.fail(f"the image {reference} has no program {program}", pytrace=False)


@contextmanager
def process(log: Path, *command: str | Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program until the block ends."""
    with log.open("wb") as output:
        running = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(20)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@pytest.fixture(scope="session")
def apiserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    folder = tmp_path_factory.mktemp("apiserver")
    etcd = unpack(folder, "etcd", "etcd")
    program = unpack(folder, "kube-apiserver", "kube-apiserver")
    store, peer, port = free_ports(3)
    tokens = {user: secrets.token_hex(16) for user in ("admin", "driver", "physicist")}
    groups = {"admin": ',"system:masters"'}
    lines = [f"{token},{user},{user}{groups.get(user, '')}\n" for user, token in tokens.items()]
    (folder / "tokens.csv").write_text("".join(lines))
    rules = [{"level": "Metadata", "userGroups": ["system:serviceaccounts"], "omitStages": ["RequestReceived"]}]
    policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [*rules, {"level": "None"}]}
    (folder / "audit.yaml").write_text(yaml.safe_dump(policy))
    key = folder / "accounts.key"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    server = ApiServer(f"https://127.0.0.1:{port}", folder, tokens)
    etcd_log, log = folder / "etcd.log", folder / "apiserver.log"
    with (
        process(
            etcd_log, etcd, "--data-dir", folder / "etcd-data", "--unsafe-no-fsync",
            "--listen-client-urls", f"http://127.0.0.1:{store}", "--advertise-client-urls", f"http://127.0.0.1:{store}",
            "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls",
            f"http://127.0.0.1:{peer}", "--initial-cluster", f"default=http://127.0.0.1:{peer}",
        ),
        process(
            log, program, "--etcd-servers", f"http://127.0.0.1:{store}", "--bind-address", "127.0.0.1",
            "--secure-port", str(port), "--cert-dir", folder / "certificates",
            "--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", key,
            "--service-account-signing-key-file", key, "--service-cluster-ip-range", "10.96.0.0/24",
            "--token-auth-file", folder / "tokens.csv", "--authorization-mode", "RBAC",
            "--endpoint-reconciler-type", "none", "--enable-priority-and-fairness=false",
            "--audit-policy-file", folder / "audit.yaml", "--audit-log-path", server.audit,
        ) as running,
    ):  # fmt: skip
        wait_until_ready(server, running, log)
        yield server


def wait_until_ready(server: ApiServer, running: "subprocess.Popen[bytes]", log: Path) -> None:
    request = urllib.request.Request(
        f"{server.address}/readyz", headers={"Authorization": f"Bearer {server.tokens['admin']}"}
    )
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and running.poll() is None:
        authority = server.folder / "certificates" / "apiserver.crt"
        if authority.exists():
            try:
                with urllib.request.urlopen(request, timeout=2, context=ssl.create_default_context(cafile=authority)):
                    return
            except (urllib.error.URLError, OSError):
                pass
        time.sleep(0.1)
    pytest.fail(f"kube-apiserver did not start: {log.read_text()[-3000:]}", pytrace=False)


@dataclass(frozen=True)
class Namespace:
    """A namespace of a test's own, with the accounts and the Role that the chart makes."""

    admin: Cluster
    driver: Cluster
    name: str
    server: ApiServer

    def create(self, kind: str, body: dict) -> dict:
        return self.admin.request("POST", self.admin.path(kind), body)

    def job(self, name: str, run: str = "demo") -> dict:
        """A Job whose pod nobody makes: there is no controller."""
        pod = {"restartPolicy": "Never", "containers": [{"name": "driver", "image": "hepspark/spark:1"}]}
        meta = {"name": name, "labels": {"hepspark/run": run}}
        return self.create(
            "batch/v1/jobs",
            {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": {"template": {"spec": pod}}},
        )

    def pod(self, name: str, labels: dict | None = None, **resources: str) -> dict:
        container = {"name": "executor", "image": "hepspark/spark:1"}
        container |= {"resources": {"requests": resources, "limits": resources}} if resources else {}
        return self.create(
            "pods",
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels or {}},
             "spec": {"restartPolicy": "Never", "containers": [container]}},
        )  # fmt: skip

    def set_status(self, kind: str, name: str, status: dict) -> None:
        """What a controller, the scheduler or a kubelet would report."""
        there = self.admin.read(kind, name)
        self.admin.request("PUT", f"{self.admin.path(kind, name)}/status", {**there, "status": status})


@pytest.fixture(scope="session")
def driver_rules(render: Callable[..., str]) -> list[dict]:
    """Rights of the driver's service account, as chart `spark` grants them."""
    chart = ROOT / "helm/spark"
    made = objects_of(render(chart / "ci/default-values.yaml", chart=chart))
    (role,) = [one for one in made if (one["kind"], one["metadata"]["name"]) == ("Role", "spark-driver")]
    return role["rules"]


@pytest.fixture
def namespace(apiserver: ApiServer, driver_rules: list[dict], monkeypatch: pytest.MonkeyPatch) -> Namespace:
    name = f"test-{uuid.uuid4().hex[:8]}"
    monkeypatch.setenv("KUBECONFIG", str(apiserver.kubeconfig("admin")))
    admin = connect(name)
    admin.request("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    for account in ("default", "spark-executor"):
        body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}}
        admin.request("POST", admin.path("serviceaccounts"), body)
    rbac = "rbac.authorization.k8s.io"
    admin.request(
        "POST",
        admin.path(f"{rbac}/v1/roles"),
        {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": {"name": "driver"}, "rules": driver_rules},
    )
    admin.request(
        "POST",
        admin.path(f"{rbac}/v1/rolebindings"),
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "driver"},
            "subjects": [{"kind": "User", "name": "driver", "apiGroup": rbac}],
            "roleRef": {"kind": "Role", "name": "driver", "apiGroup": rbac},
        },
    )
    monkeypatch.setenv("KUBECONFIG", str(apiserver.kubeconfig("driver")))
    return Namespace(admin, connect(name), name, apiserver)
