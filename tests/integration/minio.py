"""A real MinIO server for the S3 tests: one process a test session, on loopback, with its own data and credentials."""

import os
import secrets
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
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


def binary() -> Path:
    path = Path(subprocess.run([SCRIPT, "--path"], check=True, capture_output=True, text=True).stdout.strip())
    if not os.access(path, os.X_OK):
        pytest.fail(f"{path} is missing: run {SCRIPT}, which builds the MinIO server once", pytrace=False)
    return path


def wait_until_live(endpoint: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{endpoint}/minio/health/live", timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    pytest.fail(f"MinIO did not start: {log.read_text()[-2000:]}", pytrace=False)


@pytest.fixture(scope="session")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Minio]:
    folder = tmp_path_factory.mktemp("minio")
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
    with log.open("wb") as output:
        process = subprocess.Popen(
            [binary(), "server", folder / "data", "--address", endpoint.removeprefix("http://"), "--quiet"],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until_live(endpoint, process, log)
        yield Minio(endpoint, user, password, process)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


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
