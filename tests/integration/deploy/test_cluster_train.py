"""A run trained by drivers in Jobs and executors in pods: real Spark, real BigDL, a real API server.

Only the kubelet is a stand-in, which starts an executor's process on this machine.
"""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from hepspark.cluster import lease
from hepspark.config import StorageConfig
from hepspark.run.plan import load_plan
from tests.accounting import newest_step
from tests.integration.deploy.apiserver import free_ports
from tests.integration.deploy.kubelet import ADDRESS, kubelet

pytestmark = pytest.mark.timeout(600)

EPOCHS = 8
WAIT_SECONDS = 240


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Parquet in the published layout: 2,400 events whose class a linear rule with noise gives."""
    folder = tmp_path_factory.mktemp("published")
    generator = np.random.default_rng(0)
    features = generator.normal(size=(2400, 14))
    scores = features @ generator.normal(size=(14, 3)) + generator.gumbel(size=(2400, 3))
    labels = np.eye(3)[scores.argmax(axis=1)]
    for name, rows in (("train", slice(0, 1800)), ("test", slice(1800, None))):
        (folder / name).mkdir()
        columns = {"HLF_input": pa.array(list(features[rows])), "encoded_label": pa.array(list(labels[rows]))}
        pq.write_table(pa.table(columns), folder / name / "part-0.parquet")
    return folder


@pytest.fixture
def nodes(namespace, tmp_path):
    folder = tmp_path / "executors"
    folder.mkdir()
    with kubelet(namespace, folder) as running:
        yield running


@pytest.fixture
def submit(namespace, published, tmp_path):
    """Submits a run as the chart does: a Job, its pod, and in it the driver's process."""
    started = []

    def start(name, executors, command="train", others=None, **train):
        namespace.job(name)
        pod = namespace.pod(f"{name}-pod", {"hepspark/run": "demo"})["metadata"]["name"]
        ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        namespace.set_status("pods", pod, ready)
        ports = free_ports(2)
        template = tmp_path / "template.yaml"
        template.write_text(yaml.safe_dump({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {"from": "template"}},
            "spec": {"containers": [{"name": "executor", "securityContext": {"readOnlyRootFilesystem": True}}]},
        }))  # fmt: skip
        config = {
            "spark": {
                "master": f"k8s://{namespace.server.address}",
                "driver_memory": "1g",
                "executor": {"instances": executors, "memory": "768m", "pending_timeout": 120},
                "kubernetes": {
                    "image": "hepspark/spark:1", "executor_template": str(template),
                    "driver_port": ports[0], "block_manager_port": ports[1],
                },
            },
            "train": {
                "input": [str(published / "train")], "output": str(tmp_path / "run"), "epochs": EPOCHS, "batch": 96,
                "batches_per_step": 4, "early_stopping_epochs": 0, "schedule": {"scaling": "none", "rate": 5e-3},
                **train,
            },
            **(others or {}),
        }  # fmt: skip
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(config))
        environment = os.environ | {
            "KUBECONFIG": str(namespace.server.kubeconfig("driver")),
            "POD_IP": ADDRESS, "POD_NAME": pod, "POD_NAMESPACE": namespace.name, "JOB_NAME": name,
            "HEPSPARK_RUN": "demo", "TERMINATION_LOG": str(tmp_path / f"{name}.log"),
        }  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-m", "hepspark", command, path], env=environment, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def until(condition, *processes):
    end = time.monotonic() + WAIT_SECONDS
    while not condition():
        for process in processes:
            assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def check_accounting(output):
    """Every event counts exactly once per epoch."""
    plan = load_plan(str(output), StorageConfig())
    steps = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    steps = [record for record in steps if "shard" in record]
    assert [record["step"] for record in steps] == list(range(1, EPOCHS * len(plan.shards) + 1))
    for epoch in range(1, EPOCHS + 1):
        own = [record["shard"] for record in steps if record["epoch"] == epoch]
        assert sorted(own) == list(range(len(plan.shards)))


def reasons(namespace, job):
    events = [one for one in namespace.admin.objects("events") if one["involvedObject"]["name"] == job]
    return {one["reason"] for one in events}


def test_a_larger_submission_takes_a_run_over_and_every_event_counts_once(namespace, nodes, submit, tmp_path):
    output = tmp_path / "run"
    first = submit("demo-2", executors=2)
    until(lambda: newest_step(output) >= 2, first)
    pods = [pod for pod in nodes.seen if pod["metadata"]["labels"]["hepspark/run"] == "demo"]
    assert len(pods) == 2
    for pod in pods:
        (container,) = pod["spec"]["containers"]
        assert container["resources"]["requests"] == {"cpu": "1", "memory": "1280Mi"}
        assert container["resources"]["limits"] == {"cpu": "1", "memory": "1280Mi"}
        assert container["securityContext"] == {"readOnlyRootFilesystem": True}
        assert pod["metadata"]["labels"]["from"] == "template"
        assert pod["metadata"]["ownerReferences"][0]["name"] == "demo-2-pod"
        assert pod["spec"]["serviceAccountName"] == "spark-executor"
    second = submit("demo-3", executors=3)
    _, told = first.communicate(timeout=WAIT_SECONDS)
    assert first.returncode == 0, told
    stopped = newest_step(output)
    assert "the newer submission demo-3" in told
    assert "Traceback" not in told
    assert "continues it. " in (tmp_path / "demo-2.log").read_text()
    out, told = second.communicate(timeout=WAIT_SECONDS)
    assert second.returncode == 0, told + nodes.logs()
    assert "3 executors of 1 core and 1.25 GiB each (768 MiB heap, 512 MiB for Python and native memory)" in told
    assert "Continuing after step" in told
    assert "deleted Job demo-2" in told
    assert stopped < json.loads(out)["steps"]
    check_accounting(output)
    assert {"Started", "Epoch", "HandedOver"} <= reasons(namespace, "demo-2")
    assert {"Started", "Waiting", "Scaled", "Epoch", "Finished"} <= reasons(namespace, "demo-3")
    assert [job["metadata"]["name"] for job in namespace.admin.objects(lease.JOBS)] == ["demo-3"]
    assert "validation accuracy" in (tmp_path / "demo-3.log").read_text()
    # A third finds the run complete, and wants no executor for that.
    started = len(nodes.seen)
    third = submit("demo-4", executors=2)
    out, told = third.communicate(timeout=WAIT_SECONDS)
    assert third.returncode == 0, told
    assert "this run is complete" in told
    assert len(nodes.seen) == started


def test_the_line_runs_in_one_driver(nodes, submit, published, tmp_path):
    others = {
        "evaluate": {"model": str(tmp_path / "run/model"), "input": [str(published / "test")],
                     "output": str(tmp_path / "report")},
        "predict": {"model": str(tmp_path / "run/model"), "input": [str(published / "test")],
                    "output": str(tmp_path / "scores")},
    }  # fmt: skip
    driver = submit("demo-1", executors=2, command="line", others=others, epochs=1)
    out, told = driver.communicate(timeout=WAIT_SECONDS)
    assert driver.returncode == 0, told + nodes.logs()
    summaries = json.loads(out)
    assert list(summaries) == ["train", "evaluate", "predict"]
    assert summaries["predict"]["rows"] == sum(summaries["evaluate"]["events"].values()) == 600
    assert (tmp_path / "report/report.html").exists()
    assert "AUC qcd" in (tmp_path / "demo-1.log").read_text()
    assert len({pod["metadata"]["labels"]["spark-app-selector"] for pod in nodes.seen}) == 1, "executors started again"
    # Submitted again, it is done already.
    started = len(nodes.seen)
    again = submit("demo-2", executors=3, command="line", others=others, epochs=1)
    out, told = again.communicate(timeout=WAIT_SECONDS)
    assert again.returncode == 0, told
    assert "All steps are done already" in told
    assert json.loads(out)["evaluate"] == summaries["evaluate"]
    assert len(nodes.seen) == started


@pytest.mark.usefixtures("nodes")
def test_a_driver_that_is_to_end_commits_first_and_leaves_nothing_behind(namespace, submit, tmp_path):
    output = tmp_path / "run"
    first = submit("demo-1", executors=1)
    until(lambda: newest_step(output) >= 2, first)
    first.terminate()
    _, told = first.communicate(timeout=60)
    assert first.returncode == 143, told
    assert "ended by SIGTERM" in told
    assert "Traceback" not in told
    assert not namespace.admin.read(lease.KIND, "hepspark-run-demo")["spec"].get("holderIdentity")
    until(lambda: not namespace.admin.objects("pods", "spark-role=executor"))


def test_a_missing_data_set_is_told_before_spark_starts_and_ends_no_driver(namespace, nodes, submit, tmp_path):
    wrong = submit("demo-1", executors=1, input=[str(tmp_path / "nothing-here")])
    _, told = wrong.communicate(timeout=60)
    assert wrong.returncode == 2, told
    assert "nothing-here" in told
    assert "nothing-here" in (tmp_path / "demo-1.log").read_text()
    assert nodes.seen == []
    assert namespace.admin.read(lease.KIND, "hepspark-run-demo") is None
    assert reasons(namespace, "demo-1") == {"Failed"}


def test_executors_that_cannot_start_are_told_and_the_wait_can_be_ended(namespace, submit):
    """There is no kubelet, nor a scheduler."""
    stuck = submit("demo-1", executors=1)
    until(lambda: "ExecutorsPending" in reasons(namespace, "demo-1"), stuck)
    stuck.terminate()
    _, told = stuck.communicate(timeout=60)
    assert stuck.returncode == 143, told
    assert "Pending: the scheduler has chosen no node yet" in told
