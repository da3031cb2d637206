"""The platform on an S3 store outside the cluster and of another make than MinIO: S3 is a role, not a product.

The tests are one story, told in order: each begins with what the one before left. The store is on the lab's host
`mirror`, since the lab's hosts are refused by this machine.
"""

import json
import secrets
import subprocess
import urllib.error
import urllib.request

import boto3
import pytest

from deploy.lab.model import load, places
from hepspark.config import StorageConfig
from hepspark.model import artefact
from tests.e2e.facility import NAME, REPOSITORY, ROOMY
from tests.e2e.runs import SMALL
from tests.waiting import until

pytestmark = pytest.mark.timeout(900)

FACILITY = {"lab": ROOMY, "platform": True}
PORT = 7070
KEYS = {"AWS_ACCESS_KEY_ID": "physics", "AWS_SECRET_ACCESS_KEY": secrets.token_hex(16)}
BUCKETS = ("data", "runs", "history", "scratch")
INSTALL = "sudo tee /usr/local/bin/versitygw >/dev/null && sudo chmod +x /usr/local/bin/versitygw"
START = f"""
    sudo mkdir -p /var/lib/store/data /var/lib/store/about &&
    sudo systemd-run --unit versitygw --setenv ROOT_ACCESS_KEY={KEYS["AWS_ACCESS_KEY_ID"]} \
      --setenv ROOT_SECRET_KEY={KEYS["AWS_SECRET_ACCESS_KEY"]} \
      /usr/local/bin/versitygw --port :{PORT} --health /health --quiet \
      posix --sidecar /var/lib/store/about /var/lib/store/data"""


@pytest.fixture(scope="module")
def endpoint(facility):
    """The store's address, without a bucket in it."""
    built = facility.run("tools/versitygw.sh")
    assert built.code == 0, built.text
    with open(built.results.strip(), "rb") as program:  # noqa: PTH123 (it is handed on as a file)
        subprocess.run(
            [".venv/bin/python", "-m", "deploy.lab", "ssh", "mirror", INSTALL],
            cwd=REPOSITORY, env=facility.environment(), stdin=program, check=True, timeout=120,
        )  # fmt: skip
    started = facility.hosts("ssh", "mirror", START)
    assert started.code == 0, started.text
    lab = load(places(NAME))
    assert lab
    address = f"http://{lab.host('mirror').address}:{PORT}"

    def look():
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:
                return answer.status == 200
        except urllib.error.URLError:
            return False

    until(look, "the store answers", 30)
    return address


@pytest.fixture(scope="module")
def deploy(facility, endpoint):
    """Installs with the store outside."""
    storage = {"storage_backend": "external", "storage_endpoint": endpoint}
    return lambda target: facility.make(target, args=f"--extra-vars '{json.dumps(storage)}'")


def test_the_operator_is_asked_for_the_keys(deploy, platform):
    ended = deploy("deploy")
    assert ended.code == 2, ended.text
    assert "kubectl --namespace hepspark create secret generic storage --from-env-file=FILE" in ended.text
    assert platform.get("secrets")["items"] == []


def test_missing_buckets_are_told(deploy, facility, platform, endpoint):
    file = facility.out / "keys"
    file.write_text("".join(f"{name}={value}\n" for name, value in KEYS.items()))
    platform.kubectl("create", "secret", "generic", "storage", f"--from-env-file={file}")
    ended = deploy("site")
    assert ended.code == 2, ended.text
    assert ended.text.count(f"there is no such bucket at {endpoint}") >= len(BUCKETS)
    assert json.loads(facility.helm("list", "--all", "--output", "json")) == []


def test_the_platform_has_no_store_of_its_own(deploy, facility, platform, endpoint):
    store = boto3.session.Session(*KEYS.values()).client("s3", endpoint_url=endpoint, region_name="us-east-1")
    for name in BUCKETS:
        store.create_bucket(Bucket=name)
    ended = deploy("site")
    assert ended.code == 0, ended.text
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in ended.text
    names = {release["name"] for release in json.loads(facility.helm("list", "--output", "json"))}
    assert names == {"spark", "train-hlf"}
    assert platform.get("statefulsets,persistentvolumeclaims")["items"] == []
    again = deploy("site")
    assert again.code == 0, again.text
    assert "changed=0" in again.text


def test_a_model_is_trained(facility, platform, endpoint):
    put = platform.hepspark(endpoint, "data", "put", "tests/data/sample", "s3a://data/sample")
    assert put.code == 0, put.text
    train = {"input": ["s3a://data/sample"], "epochs": 2, "early_stopping_epochs": 0}
    submitted = platform.submit("outside", {"command": "train", "config": {"train": train}, **SMALL})
    assert submitted.code == 0, submitted.text
    assert platform.wait_for_end("outside") == "Complete", platform.log("outside")
    model = facility.out / "model"
    got = platform.hepspark(endpoint, "data", "get", "s3a://runs/outside/run/model", str(model))
    assert got.code == 0, got.text
    assert sum(artefact.load(str(model), StorageConfig()).counts["train"].values()) > 0


def test_the_history_server_shows_the_run(platform):
    platform.wait_for_history("outside")


def test_the_cluster_is_verified_with_it(deploy):
    ended = deploy("verify")
    assert ended.code == 0, ended.text
