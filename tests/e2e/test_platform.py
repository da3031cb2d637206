"""From ROOT files to a trained classifier, and its executors scaled: what hepspark is for.

The tests are one story, told in order: each begins with what the one before left.
"""

import json
import re

import pytest
import yaml

from hepspark.config import StorageConfig
from hepspark.model import artefact
from tests.accounting import accounting
from tests.e2e.facility import REPOSITORY, ROOMY
from tests.e2e.runs import SMALL, STATES, told_without_secrets
from tests.waiting import until, while_it_goes_on

pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("ready")]

FACILITY = {"lab": ROOMY, "platform": True}
GOES_ON = True
"""On the platform of the deployment's tests, where these are run after them."""
ROOT = {name: f"{name}-00000.root" for name in ("qcd", "ttbar", "wjets")}
TRAIN = {"epochs": 8, "early_stopping_epochs": 0}


def on_this_machine(facility, folder):
    """What the same line tells and finds here, without a cluster."""
    data = REPOSITORY / "tests/data"
    config = {
        "folder": str(folder),
        "ingest": {"input": {name: [str(data / "root" / file)] for name, file in ROOT.items()}},
        "train": {"input": [str(data / "sample"), str(folder / "dataset")], **TRAIN},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    line = facility.run(str(REPOSITORY / ".venv/bin/hepspark"), "line", str(folder / "config.yaml"), timeout=600)
    assert line.code == 0, line.text
    return json.loads(line.results), json.loads((folder / "report/evaluation.json").read_text())


def aucs(evaluation):
    return {curve["signal"]: curve["auc"] for curve in evaluation["metrics"]["one_vs_rest"]}


def test_the_whole_line_gives_what_it_gives_on_one_machine(facility, platform, tmp_path):
    with platform.forwarded("minio", 9000) as endpoint:
        for folder in ("root", "sample"):
            put = platform.hepspark(endpoint, "data", "put", f"tests/data/{folder}", f"s3a://data/{folder}")
            assert put.code == 0, put.text
        config = {
            "ingest": {"input": {name: [f"s3a://data/root/{file}"] for name, file in ROOT.items()}},
            "train": {"input": ["s3a://data/sample", "s3a://runs/line/dataset"], **TRAIN},
        }
        submitted = platform.submit("line", {"config": config, **SMALL})
        assert submitted.code == 0, submitted.text
        assert {document["kind"] for document in yaml.safe_load_all(submitted.results) if document} >= {
            "ConfigMap",
            "Job",
        }
        assert platform.wait_for_end("line") == "Complete", platform.log("line")
        report = facility.out / "report"
        got = platform.hepspark(endpoint, "data", "get", "s3a://runs/line/report", str(report))
        assert got.code == 0, got.text
        model = facility.out / "model"
        got = platform.hepspark(endpoint, "data", "get", "s3a://runs/line/run/model", str(model))
        assert got.code == 0, got.text
    log = platform.log("line")
    # Java may still end while the results are told.
    ours, _ = json.JSONDecoder().raw_decode(log, log.index("\n{\n") + 1)
    theirs = on_this_machine(facility, tmp_path)
    for key in ("counts", "events_applied", "steps"):
        assert ours["train"][key] == theirs[0]["train"][key]
    assert aucs(json.loads((report / "evaluation.json").read_text())) == pytest.approx(aucs(theirs[1]), abs=0.005)
    assert (report / "report.html").stat().st_size > 50_000
    assert artefact.load(str(model), StorageConfig()).counts == ours["train"]["counts"]


def test_the_history_server_shows_the_run(platform):
    platform.wait_for_history("line")


def test_helm_tests_the_charts(facility):
    for release in ("minio", "spark"):
        assert "Phase:          Succeeded" in facility.helm("test", release)


EPOCHS = 16
"""Enough for two drivers to come and go in the first ones."""
LONG = {
    "command": "train",
    "config": {
        "train": {"input": ["s3a://data/sample"], "epochs": EPOCHS, "batches_per_step": 2, "early_stopping_epochs": 0}
    },
}


@pytest.fixture(scope="module")
def values(facility, platform):
    """Values of a long run, as a file, beside those of the site."""
    site = facility.out / "site-values.yaml"
    site.write_text(platform.get("configmap", "training-values")["data"]["values.yaml"])
    run = facility.out / "scaled.yaml"
    run.write_text(yaml.safe_dump({**LONG, **SMALL}))
    return ("--values", str(site), "--values", str(run))


def taken_over(platform, run, before):
    """The Job of a run, as soon as it is another one than before, alone, and has trained on from a commit."""

    def look():
        jobs = platform.jobs(run)
        return jobs[0] if len(jobs) == 1 and jobs[0]["metadata"]["uid"] != before["metadata"]["uid"] else None

    job = platform.wait_for(run, look, "is taken over by a new driver")

    def has_trained():
        # It also tells the epoch that it goes on from, where the driver before ended with one.
        log = platform.log(run, job)
        of_epoch = re.search(r"(\d+) steps? an epoch", log)
        begun = re.search(r"Continuing after step (\d+) of", log)
        told = re.findall(r"\nEpoch (\d+) of", log)
        return of_epoch and begun and told and int(told[-1]) * int(of_epoch[1]) > int(begun[1])

    platform.wait_for(run, has_trained, "has trained an epoch by its new driver")
    return job


def test_executors_are_scaled_by_helm_upgrade(facility, platform, values):
    facility.helm("install", "scaled", "helm/training", *values)
    platform.wait_for_line("scaled", f"Epoch 2 of {EPOCHS}")
    (job,) = platform.jobs("scaled")
    facility.helm("upgrade", "scaled", "helm/training", *values)
    assert [same["metadata"]["uid"] for same in platform.jobs("scaled")] == [job["metadata"]["uid"]], "restarted"
    for instances in (3, 2):
        facility.helm("upgrade", "scaled", "helm/training", *values, "--set", f"executor.instances={instances}")
        job = taken_over(platform, "scaled", job)
        assert f"{instances} executors of 1 core" in platform.log("scaled", job)
    assert platform.wait_for_end("scaled") == "Complete", platform.log("scaled")
    with platform.forwarded("minio", 9000) as endpoint:
        assert accounting(platform.read(endpoint, "runs", "scaled/run/metrics.jsonl")) == (EPOCHS, True)


def test_a_finished_run_stays_finished(facility, platform, values):
    (job,) = platform.jobs("scaled")
    facility.helm("upgrade", "scaled", "helm/training", *values, "--set", "executor.instances=3")
    assert platform.wait_for_end("scaled") == "Complete"
    assert "this run is complete" in platform.log("scaled")
    (now,) = platform.jobs("scaled")
    assert now["metadata"]["uid"] != job["metadata"]["uid"]
    assert "Phase:          Succeeded" in facility.helm("test", "scaled")


def test_executors_are_scaled_by_kubectl_alone(platform):
    endless = {**LONG, "config": {"train": {**LONG["config"]["train"], "epochs": 2000}}}
    job = None
    for instances in (2, 3, 2):
        sized = {**endless, **SMALL, "executor": {**SMALL["executor"], "instances": instances}}
        submitted = platform.submit("byhand", sized)
        assert submitted.code == 0, submitted.text
        if job:
            job = taken_over(platform, "byhand", job)
        else:
            platform.wait_for_line("byhand", "Epoch 2 of")
            (job,) = platform.jobs("byhand")
        assert f"{instances} executors of 1 core" in platform.log("byhand", job)


def pod(name, image, arguments, environment=()):
    """A pod of the namespace that belongs to no run."""
    security = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "own",
        "image": image,
        "args": arguments,
        "env": [{"name": key, "value": value} for key, value in dict(environment).items()],
        "securityContext": security,
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def outcome(platform, manifest):
    """The phase that a pod ends in, and what it said."""
    name = manifest["metadata"]["name"]
    platform.kubectl("apply", "--filename", "-", stdin=json.dumps(manifest))
    try:
        over = ("Succeeded", "Failed")
        phase = until(lambda: (found := platform.get("pod", name)["status"]["phase"]) in over and found, f"{name} ends")
        return phase, platform.kubectl("logs", name)
    finally:
        platform.kubectl("delete", "pod", name, "--now")


def test_another_pod_neither_joins_a_driver_nor_sees_its_pages(platform):
    run = "hepspark/run=byhand"  # which goes on
    (driver,) = platform.get("pods", "--selector", f"{run},spark-role=driver")["items"]
    own = platform.get("pods", "--selector", f"{run},spark-role=executor")["items"][0]
    address, image = driver["status"]["podIP"], driver["spec"]["containers"][0]["image"]
    stolen = told_without_secrets(own) | {
        "SPARK_EXECUTOR_ID": "77", "SPARK_EXECUTOR_POD_IP": "0.0.0.0", "SPARK_EXECUTOR_POD_NAME": "intruder",
    }  # fmt: skip
    assert address in stolen["SPARK_DRIVER_URL"]
    phase, said = outcome(platform, pod("intruder", image, ["executor"], stolen))
    assert phase == "Failed"
    assert "authenticat" in said.lower() or "SaslException" in said, said[-2000:]
    look = (
        "import socket, sys; print([p for p in range(4040, 4050) if not socket.socket().connect_ex((sys.argv[1], p))])"
    )
    assert outcome(platform, pod("visitor", image, ["python", "-c", look, address])) == ("Succeeded", "[]\n")


def test_a_run_that_is_deleted_leaves_whole_steps(platform):
    platform.kubectl("delete", "job,configmap,lease", "--selector", "app.kubernetes.io/instance=byhand")
    until(lambda: not platform.get("pods", "--selector", "hepspark/run=byhand")["items"], "its pods are gone")
    with platform.forwarded("minio", 9000) as endpoint:
        epochs, once = accounting(platform.read(endpoint, "runs", "byhand/run/metrics.jsonl"))
    assert epochs >= 4  # two of the first driver, one of each other
    assert once


def test_a_network_is_trained_from_its_cronjob(platform):
    platform.kubectl("create", "job", "--from=cronjob/train-hlf", "quick")
    # Its length is the network's own: that it trains is enough here.
    own = ("--selector", "job-name=quick")

    def log():
        return platform.kubectl("logs", *own, "--tail", "-1", "--ignore-errors")

    def shown():
        return platform.kubectl("get", "pods", "--output", STATES) + log()

    while_it_goes_on(lambda: "Epoch 1 of" in log(), "quick trains", shown)
    platform.kubectl("delete", "job", "quick")
    until(lambda: not platform.get("pods", *own)["items"], "its driver is gone")
    until(lambda: not platform.get("pods", "--selector", "spark-role=executor")["items"], "its executors are gone")


WRONG = {
    "storage": {
        "nodata": ({"config": {"train": {"input": ["s3a://data/nowhere"]}}}, "s3a://data/nowhere: neither a data set"),
        "nobucket": ({"config": {"train": {"input": ["s3a://nobucket/x"]}}}, "s3a://nobucket"),
        "nokeys": ({"storage": {"existingSecret": "wrong"}}, "refuses the credentials"),
    },
    "executors": {
        "many": ({"executor": {**SMALL["executor"], "instances": 12, "pendingTimeoutSeconds": 20}}, "Insufficient"),
        "large": (
            {"executor": {**SMALL["executor"], "memory": "20g", "pendingTimeoutSeconds": 20}},
            "Insufficient memory",
        ),
    },
}


@pytest.mark.parametrize("runs", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_told(platform, runs):
    keys = {"AWS_ACCESS_KEY_ID": "hepspark", "AWS_SECRET_ACCESS_KEY": "not-the-password"}
    wrong = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "wrong"}, "stringData": keys}
    platform.kubectl("apply", "--filename", "-", stdin=json.dumps(wrong))
    for name, (change, _) in runs.items():
        submitted = platform.submit(name, {**LONG, **SMALL, "retries": 0, **change})
        assert submitted.code == 0, submitted.text
    for name, (_, message) in runs.items():
        platform.wait_for_line(name, message)
        assert platform.wait_for_end(name) == "Failed"
        assert message in platform.termination_message(name)
        platform.kubectl("delete", "job,configmap,lease", "--selector", f"app.kubernetes.io/instance={name}")


def test_an_image_that_does_not_exist_is_told(platform):
    submitted = platform.submit("noimage", {**LONG, **SMALL, "image": {"tag": "9.9.9"}})
    assert submitted.code == 0, submitted.text
    selector = "app.kubernetes.io/instance=noimage"

    def look():
        pods = platform.get("pods", "--selector", selector)["items"]
        states = [s["state"].get("waiting", {}) for pod in pods for s in pod["status"].get("containerStatuses", ())]
        return [state for state in states if "Pull" in state.get("reason", "")]

    assert until(look, "the missing image is told")
    platform.kubectl("delete", "job,configmap,lease", "--selector", selector)
    until(lambda: not platform.get("pods", "--selector", selector)["items"], "its pods are gone")


def test_a_physicist_may_run_and_no_more(facility, platform):
    platform.kubectl("create", "serviceaccount", "ada")
    platform.kubectl("create", "rolebinding", "ada", "--role", "physicist", "--serviceaccount", "hepspark:ada")
    ada = ("--as", "system:serviceaccount:hepspark:ada")
    platform.kubectl("create", "job", "--from=cronjob/train-hlf", "adas-run", *ada)
    hers = ("pods", "--selector", "job-name=adas-run", *ada)
    until(lambda: platform.get(*hers)["items"], "her run has a pod")
    platform.kubectl("delete", "job", "adas-run", *ada)
    until(lambda: not platform.get(*hers)["items"], "her pod is gone")

    def refused(*arguments, stdin=None):
        with pytest.raises(AssertionError, match=r"(?i)forbidden|cannot"):
            platform.kubectl(*ada, *arguments, stdin=stdin)

    refused("get", "secrets")
    refused("get", "secret", "minio-root")
    refused("exec", "minio-0", "--", "id")
    refused("port-forward", "minio-0", "9000")
    refused("delete", "statefulset", "minio")
    refused("delete", "cronjob", "train-hlf")
    refused("create", "role", "more", "--verb", "*", "--resource", "secrets")
    refused("create", "token", "spark-driver")
    refused("scale", "statefulset", "minio", "--replicas", "0")
    image = platform.get("pod", "minio-0")["spec"]["containers"][0]["image"]
    refused("create", "--filename", "-", stdin=json.dumps(pod("hers", image, ["server"])))
    with pytest.raises(AssertionError, match="forbidden"):
        facility.kubectl("get", "pods", "--namespace", "kube-system", *ada)
    with pytest.raises(AssertionError, match="forbidden"):
        facility.kubectl("get", "nodes", *ada)


def test_no_secret_is_told(platform):
    secrets = [
        platform.secret("storage")["AWS_SECRET_ACCESS_KEY"],
        platform.secret("minio-root")["rootPassword"],
    ]
    logs = [
        platform.kubectl("logs", pod["metadata"]["name"], "--all-containers", "--ignore-errors")
        for pod in platform.get("pods")["items"]
    ]
    told = "".join([json.dumps(platform.get("events,configmaps,jobs,pods,leases")), *logs])
    assert len(told) > 10_000
    assert not [secret for secret in secrets if secret in told]
