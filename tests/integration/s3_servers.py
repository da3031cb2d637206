"""Real S3 servers for the tests: of each make one process a test session, on loopback, with its own data."""

import os
import secrets
import ssl
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import boto3.session
import pytest
from hepspark_hub.keys import temporary

from hepspark.config import Config, DataConfig, StorageConfig
from hepspark.storage.s3_client import client, forget_clients, split
from tests.integration.built import built
from tests.integration.middleman import free_port_url
from tests.unit.hub_settings import settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

START_SECONDS = 60
DEFAULT = "minio"


@dataclass(frozen=True)
class Server:
    """A running server."""

    endpoint: str
    user: str
    password: str

    @property
    def storage(self) -> StorageConfig:
        return StorageConfig(endpoint=self.endpoint)


@dataclass(frozen=True)
class Make:
    """How a server of one make is started, by templates of arguments and variables, and asked whether it is there."""

    program: str
    arguments: str
    variables: dict[str, str]
    health: str
    tls: str = ""


_VERSITYGW = Make(
    "versitygw",
    # What it knows of objects lies in files of their own, since not every file system has room beside the object's.
    "--port {address} --health /health --quiet posix --sidecar {folder}/about {folder}/data",
    {"ROOT_ACCESS_KEY": "{user}", "ROOT_SECRET_KEY": "{password}"},
    "/health",
)
MAKES = {
    "minio": Make(
        "minio",
        "server {folder}/data --address {address} --quiet",
        {
            "MINIO_ROOT_USER": "{user}",
            "MINIO_ROOT_PASSWORD": "{password}",
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
            "HOME": "{folder}",
        },
        "/minio/health/live",
        tls=" --certs-dir {certificates}",
    ),
    "versitygw": _VERSITYGW,
    # It keeps nothing by which it could tell whether an object is there already.
    "versitygw-forgetful": replace(
        _VERSITYGW, arguments="--port {address} --health /health --quiet posix --nometa {folder}/data"
    ),
}
on_every_make = pytest.mark.parametrize("server", ["minio", "versitygw"], indirect=True)
"""Runs a test against servers of all makes that the package is to work with."""


class User(NamedTuple):
    """Somebody with a workspace, and the right to no more."""

    workspace: str
    """Its URL."""
    neighbour: str
    """URL of somebody else's, whose name begins with this one's."""
    public: str
    """URL of the bucket that everybody may read."""
    operator: "S3Client"
    """Of somebody who may do all."""


class Servers:
    """The servers of a test session, each started when it is first asked for."""

    def __init__(self, new_folder: Callable[[str], Path]) -> None:
        self._new_folder = new_folder
        self._running: dict[str, Server] = {}
        # The same of all: a JVM keeps those that it began with.
        self._user, self._password = f"test-{secrets.token_hex(4)}", secrets.token_hex(16)
        self._stack = ExitStack()

    def of(self, make: str) -> Server:
        """The session's server of a make."""
        if make not in self._running:
            self._running[make] = self._stack.enter_context(self.another(make, self._new_folder(make)))
        return self._running[make]

    @contextmanager
    def another(self, make: str, folder: Path, certificates: Path | None = None) -> Iterator[Server]:
        """A server with its data in `folder`; with TLS if a folder holds its `public.crt` and `private.key`."""
        how, endpoint = MAKES[make], free_port_url()
        server = Server(endpoint, self._user, self._password)
        template, trust = how.arguments, None
        if certificates:
            server = replace(server, endpoint=endpoint.replace("http:", "https:"))
            template += how.tls
            trust = ssl.create_default_context(cafile=certificates / "public.crt")

        def filled(text: str) -> str:
            address = endpoint.removeprefix("http://")
            return text.format(folder=folder, address=address, certificates=certificates, **vars(server))

        for name in ("data", "about"):
            (folder / name).mkdir(exist_ok=True)
        log = folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [built(how.program, "test"), *map(filled, template.split())],
                env={"PATH": os.environ["PATH"], **{name: filled(value) for name, value in how.variables.items()}},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_until_live(server.endpoint + how.health, process, log, trust)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def stop(self) -> None:
        """End all that run."""
        self._stack.close()


def wait_until_live(url: str, process: "subprocess.Popen[bytes]", log: Path, trust: ssl.SSLContext | None) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=1, context=trust):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    pytest.fail(f"the S3 server did not start: {log.read_text()[-2000:]}", pytrace=False)


@pytest.fixture(scope="session")
def s3_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    servers = Servers(tmp_path_factory.mktemp)
    yield servers
    servers.stop()


@pytest.fixture
def server(request: pytest.FixtureRequest, s3_servers: Servers) -> Server:
    """The server that a test runs against; of another make than MinIO if the test asks for it."""
    return s3_servers.of(getattr(request, "param", DEFAULT))


@pytest.fixture
def aws_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """An environment without any credentials, whoever runs the tests; setting some is left to the test."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")  # else boto3 asks the network for a role
    forget_clients()
    yield monkeypatch
    forget_clients()


@pytest.fixture
def s3(server: Server, aws_environment: pytest.MonkeyPatch) -> StorageConfig:
    """How the server is reached, with its credentials in the environment."""
    aws_environment.setenv("AWS_ACCESS_KEY_ID", server.user)
    aws_environment.setenv("AWS_SECRET_ACCESS_KEY", server.password)
    return server.storage


def spark_workers_environment() -> dict[str, str]:
    """Spark's settings that give its workers today's credentials: their JVM is as old as the session's first Spark."""
    return {f"spark.executorEnv.{name}": value for name, value in os.environ.items() if name.startswith("AWS_")}


@pytest.fixture
def bucket(s3: StorageConfig) -> str:
    """An empty bucket of the test's own, as a URL."""
    name = f"test-{uuid.uuid4().hex}"
    client(s3).create_bucket(Bucket=name)
    return f"s3a://{name}"


@pytest.fixture
def user(server: Server, s3: StorageConfig, bucket: str, aws_environment: pytest.MonkeyPatch) -> "User":
    """A server of the facility's user ada: with the keys that the hub gives, and no others."""
    public = f"public-{uuid.uuid4().hex}"
    client(s3).create_bucket(Bucket=public)
    workspace = {"bucket": split(bucket)[0], "public": [public], "minutes": 15}
    keys = temporary(settings(storage={"endpoint": server.endpoint}, workspace=workspace))("ada")
    variables = {
        "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
        "AWS_SESSION_TOKEN": keys["SessionToken"],
        "AWS_ENDPOINT_URL": server.endpoint,
        "AWS_REGION": "us-east-1",
        "POD_NAMESPACE": "hub-ada",
        "HEPSPARK_IMAGE": "spark:1",
        "HEPSPARK_EXECUTORS": "0",
        "HEPSPARK_WORKSPACE": f"{bucket}/ada",
        "HEPSPARK_PUBLIC": public,
    }
    operator = boto3.session.Session(server.user, server.password).client(
        "s3", endpoint_url=server.endpoint, region_name="us-east-1"
    )
    for name, value in variables.items():
        aws_environment.setenv(name, value)
    forget_clients()
    return User(f"{bucket}/ada", f"{bucket}/adam", f"s3a://{public}", operator)


@pytest.fixture
def data_config(s3: StorageConfig) -> Config:
    """A configuration whose parts are as small as S3 allows, so that small files have several."""
    return Config(storage=s3, data=DataConfig(part_mb=5, threads=2))
