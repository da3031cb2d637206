"""The platform on a cluster that was there before, with TLS, in a namespace of another name; upgraded, and broken.

The tests are one story, told in order: each begins with what the one before left.
"""

import json
import subprocess
import urllib.request

import pytest

from tests.accounting import accounting
from tests.e2e.facility import REPOSITORY, ROOMY
from tests.e2e.runs import SMALL

pytestmark = pytest.mark.timeout(900)

NAMESPACE = "physics"
FACILITY = {"lab": ROOMY, "platform": True, "namespace": NAMESPACE}
CHARTS = {"minio": "minio", "spark": "spark", "train-hlf": "training"}
"""Each release and its chart."""
SETTING = "spark.cleaner.periodicGC.interval"
"""Of Spark's, that neither hepspark nor a run sets."""
TRAIN = {"input": ["s3a://data/sample"], "epochs": 40, "batches_per_step": 2, "early_stopping_epochs": 0}
PREVIOUS = {path.name.rpartition("-")[0]: path for path in (REPOSITORY / "tests/data/charts").glob("*.tgz")}


@pytest.fixture(scope="module")
def authority(facility):
    """Signs the certificate of MinIO; both files lie beside its own."""
    folder = facility.out / "tls"
    folder.mkdir()
    new = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "2")
    names = f"subjectAltName=DNS:minio,DNS:minio.{NAMESPACE}.svc,IP:127.0.0.1"
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-addext", names, "-addext", "basicConstraints=critical,CA:FALSE")
    for command in (
        (*new, "-subj", "/CN=site", "-keyout", "ca.key", "-out", "ca.pem"),
        (*new, "-subj", "/CN=minio", *signed, "-keyout", "tls.key", "-out", "tls.crt"),
    ):
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "ca.pem"


@pytest.fixture(scope="module")
def deploy(facility, authority):
    """Runs a target of the Makefile for the cluster that is there."""
    inventory = facility.as_existing(
        facility.out / "existing",
        site_namespace=NAMESPACE,
        storage_tls_secret="minio-tls",
        storage_ca_certificate=str(authority),
        chart_values={"spark": {"quota": {"pods": "40"}, "sparkConf": {SETTING: "17min"}}},
    )
    return lambda target: facility.make(target, f"INVENTORY={inventory}")


@pytest.fixture(scope="module")
def hepspark(facility, platform, authority):
    """Runs hepspark on this machine with the platform's store, and reads objects of it."""

    def call(*arguments):
        with platform.forwarded("minio", 9000) as address:
            ended = facility.run(
                str(REPOSITORY / ".venv/bin/hepspark"), *arguments, AWS_CA_BUNDLE=str(authority),
                AWS_ENDPOINT_URL=address.replace("http:", "https:"), **platform.credentials(),
            )  # fmt: skip
        assert ended.code == 0, ended.text
        return ended.results

    return call


@pytest.fixture
def fetch(hepspark, tmp_path):
    def bytes_of(url):
        got = tmp_path / url.rpartition("/")[2]
        hepspark("data", "get", url, str(got))
        return got.read_bytes()

    return bytes_of


def test_the_certificate_is_asked_for(facility, deploy, authority):
    cluster = facility.make("deploy", args="--extra-vars platform=false")
    assert cluster.code == 0, cluster.text
    asked = deploy("site")
    assert asked.code == 2
    assert f"kubectl --namespace {NAMESPACE} create secret tls minio-tls --cert=FILE --key=FILE" in asked.text
    folder = authority.parent
    files = (f"--cert={folder}/tls.crt", f"--key={folder}/tls.key")
    facility.kubectl("--namespace", NAMESPACE, "create", "secret", "tls", "minio-tls", *files)


def test_the_platform_comes_onto_a_cluster_that_was_there(platform, deploy, hepspark):
    made = deploy("site")
    assert made.code == 0, made.text
    again = deploy("site")
    assert again.code == 0, again.text
    assert "changed=0" in again.text
    (quota,) = platform.get("resourcequotas")["items"]
    assert quota["spec"]["hard"]["pods"] == "40"
    hepspark("data", "put", "tests/data/sample", "s3a://data/sample")
    hepspark("data", "put", "tests/data/root", "s3a://data/root")


def releases(facility):
    return {one["name"]: one["chart"] for one in json.loads(facility.helm("list", "--output", "json"))}


def test_an_upgrade_from_the_charts_before_keeps_data_and_runs(facility, platform, deploy, hepspark, fetch, tmp_path):
    now = releases(facility)
    for release, chart in CHARTS.items():
        values = tmp_path / f"{release}.json"
        values.write_text(facility.helm("get", "values", release, "--output", "json"))
        facility.helm("uninstall", release, "--wait")
        facility.helm("install", release, str(PREVIOUS[chart]), "--values", str(values), "--wait")
        assert releases(facility)[release] == PREVIOUS[chart].stem
    secret, (claim,) = platform.secret("storage"), platform.get("persistentvolumeclaims")["items"]
    hepspark("data", "put", "CHANGELOG.md", "s3a://data/kept.md")
    kept = {"command": "train", "config": {"train": TRAIN}, **SMALL}
    assert platform.submit("kept", kept).code == 0
    platform.wait_for_line("kept", "Epoch 1 of 40")
    (job,) = platform.jobs("kept")
    upgraded = deploy("site")
    assert upgraded.code == 0, upgraded.text
    assert releases(facility) == now
    assert [one["metadata"]["uid"] for one in platform.jobs("kept")] == [job["metadata"]["uid"]]
    assert platform.secret("storage") == secret
    assert [one["metadata"]["uid"] for one in platform.get("persistentvolumeclaims")["items"]] == [
        claim["metadata"]["uid"]
    ]
    assert fetch("s3a://data/kept.md") == (REPOSITORY / "CHANGELOG.md").read_bytes()
    assert platform.wait_for_end("kept") == "Complete", platform.log("kept")
    assert accounting(fetch("s3a://runs/kept/run/metrics.jsonl")) == (40, True)


def end_minio(platform):
    """Take MinIO's pod away at once, as a host that fails does; return when another one serves."""
    platform.kubectl("delete", "pod", "minio-0", "--grace-period", "0", "--force")
    platform.kubectl("rollout", "status", "statefulset/minio", "--timeout", "120s")


def test_runs_outlive_the_end_of_minio(platform, fetch):
    files = {name: [f"s3a://data/root/{name}-00000.root"] for name in ("qcd", "ttbar", "wjets")}
    train = {**TRAIN, "input": ["s3a://data/sample", "{folder}/dataset"], "epochs": 6}
    submitted = platform.submit("outlives", {"config": {"ingest": {"input": files}, "train": train}, **SMALL})
    assert submitted.code == 0, submitted.text
    platform.wait_for_line("outlives", "All executors are there")
    end_minio(platform)  # while files are read
    platform.wait_for_line("outlives", "Epoch 1 of 6")
    end_minio(platform)  # while commits are written
    assert platform.wait_for_end("outlives") == "Complete", platform.log("outlives")
    assert accounting(fetch("s3a://runs/outlives/run/metrics.jsonl")) == (6, True)
    assert json.loads(fetch("s3a://runs/outlives/report/evaluation.json"))["metrics"]["one_vs_rest"]


def test_runs_share_what_the_site_sets(platform):
    platform.wait_for_history("outlives")
    with platform.forwarded("spark-history", 18080) as address:

        def read(path):
            with urllib.request.urlopen(f"{address}/api/v1/applications{path}", timeout=20) as answer:
                return json.loads(answer.read())

        newest = next(one["id"] for one in read("") if one["name"] == "outlives")
        assert [SETTING, "17min"] in read(f"/{newest}/environment")["sparkProperties"]


def test_the_cluster_is_verified(deploy):
    used = deploy("verify")
    assert used.code == 0, used.text
