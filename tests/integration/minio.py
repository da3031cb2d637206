"""A real MinIO server for the S3 tests: one process a test session, on loopback, with its own data and credentials."""

import os
import secrets
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from hepspark.config import Config, DataConfig, StorageConfig
from hepspark.storage.s3_client import client, forget_clients
from tests.integration.middleman import free_port_url

SCRIPT = Path(__file__).parents[2] / "tools" / "minio.sh"
START_SECONDS = 60


@dataclass(frozen=True)
class Minio:
    """A running server."""

    endpoint: str
    user: str
    password: str
    process: "subprocess.Popen[bytes]"

    @property
    def storage(self) -> StorageConfig:
        return StorageConfig(endpoint=self.endpoint)


BUILD = pytest.StashKey["subprocess.Popen[str]"]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the server, if it is not there, while tests run that do not need it; of several builders one works."""
    if any("minio_binary" in item.fixturenames for item in session.items):
        # A process group of its own, so that all of it can be ended; the session stays that of the caller.
        build = subprocess.Popen([SCRIPT], stdout=subprocess.PIPE, text=True, process_group=0)
        session.config.stash[BUILD] = build


@pytest.hookimpl(tryfirst=True, hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Function) -> Iterator[None]:
    """Wait for the build before a test begins, so that it does not count as the test's time."""
    if "minio_binary" in item.fixturenames:
        item.config.stash[BUILD].wait()
    yield


def pytest_unconfigure(config: pytest.Config) -> None:
    """End a build that nobody waits for any more."""
    build = config.stash.get(BUILD, None)
    if build and build.poll() is None:
        os.killpg(build.pid, signal.SIGTERM)
        build.wait()


@pytest.fixture(scope="session")
def minio_binary(pytestconfig: pytest.Config) -> str:
    path, _ = pytestconfig.stash[BUILD].communicate()
    if pytestconfig.stash[BUILD].returncode:
        pytest.fail(f"the MinIO server was not built: run {SCRIPT} to see why", pytrace=False)
    return path.strip()


def wait_until_live(endpoint: str, process: "subprocess.Popen[bytes]", log: Path, trust: ssl.SSLContext | None) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{endpoint}/minio/health/live", timeout=1, context=trust):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    pytest.fail(f"MinIO did not start: {log.read_text()[-2000:]}", pytrace=False)


@contextmanager
def running(binary: str, folder: Path, certificates: Path | None = None) -> Iterator[Minio]:
    """A server with its data in `folder`; with TLS if a folder holds its `public.crt` and `private.key`."""
    user, password = f"test-{secrets.token_hex(4)}", secrets.token_hex(16)
    endpoint = free_port_url()
    log = folder / "log"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "MINIO_ROOT_USER": user,
        "MINIO_ROOT_PASSWORD": password,
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
    }
    arguments = ["server", folder / "data", "--address", endpoint.removeprefix("http://"), "--quiet"]
    trust = None
    if certificates:
        endpoint = endpoint.replace("http:", "https:")
        arguments += ["--certs-dir", certificates]
        trust = ssl.create_default_context(cafile=certificates / "public.crt")
    with log.open("wb") as output:
        process = subprocess.Popen([binary, *arguments], env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_until_live(endpoint, process, log, trust)
        yield Minio(endpoint, user, password, process)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def minio(tmp_path_factory: pytest.TempPathFactory, minio_binary: str) -> Iterator[Minio]:
    with running(minio_binary, tmp_path_factory.mktemp("minio")) as server:
        yield server


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
def s3(minio: Minio, aws_environment: pytest.MonkeyPatch) -> StorageConfig:
    """How the server is reached, with its credentials in the environment."""
    aws_environment.setenv("AWS_ACCESS_KEY_ID", minio.user)
    aws_environment.setenv("AWS_SECRET_ACCESS_KEY", minio.password)
    return minio.storage


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
def data_config(s3: StorageConfig) -> Config:
    """A configuration whose parts are as small as S3 allows, so that small files have several."""
    return Config(storage=s3, data=DataConfig(part_mb=5, threads=2))
