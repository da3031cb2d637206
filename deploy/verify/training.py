"""The check of the platform: a classifier is trained on the cluster, on one executor, for two epochs."""

import uuid
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from deploy.verify.cluster import REQUEST_SECONDS, Cluster, Wait, last_warning, typed
from deploy.verify.evaluate import pod_problem
from deploy.verify.results import Finding, failed, passed

CRONJOB = "train-hlf"
FOLDER = "s3a://scratch"
"""The bucket whose objects go after a day."""
OPTIONS = ("train.epochs=2", "train.early_stopping_epochs=0", "spark.executor.instances=1")
SECONDS = 240
"""For all of it: pulling the image, where a node has not had it yet, takes longest."""


def training(cluster: Cluster, namespace: str, wait: Wait) -> Finding:
    """A run that is made from the network's CronJob ends with a model."""
    where, name = f"--namespace {namespace}", f"verify-{uuid.uuid4().hex[:8]}"
    try:
        job = _job(cluster, namespace, name)
    except ApiException as error:
        if error.status == 404:
            return failed(
                f"namespace {namespace} has no CronJob {CRONJOB}: the platform is not installed", "get cronjob -A"
            )
        raise
    cluster.batch.create_namespaced_job(namespace, job, _request_timeout=REQUEST_SECONDS)
    try:
        end = Wait(SECONDS, wait.stop).until(lambda: _end(cluster, namespace, name))
        log = _log(cluster, namespace, name)
        if end == "Complete" and "Model of epoch" in log:
            epoch = next(line for line in log.splitlines() if line.startswith("Epoch 2 of 2"))
            return passed(f"a model was trained in two epochs: {epoch.partition(': ')[2].partition(';')[0]}")
        why = last_warning(cluster, namespace, "Job", name) or _problem(cluster, namespace, name) or log.strip()[-300:]
        ended = f"did not end within {SECONDS} s" if end is None else "ended without a model"
        return failed(f"a training {ended}: {why}", f"{where} get events --sort-by=.lastTimestamp")
    finally:
        _remove(cluster, namespace, name)


def _job(cluster: Cluster, namespace: str, name: str) -> client.V1Job:
    """What `kubectl create job --from=cronjob/…` would make, but short and small."""
    cronjob = cluster.batch.read_namespaced_cron_job(CRONJOB, namespace, _request_timeout=REQUEST_SECONDS)
    template: dict[str, Any] = client.ApiClient().sanitize_for_serialization(cronjob)["spec"]["jobTemplate"]
    arguments = template["spec"]["template"]["spec"]["containers"][0]["args"]
    arguments += [part for option in (*OPTIONS, f"folder={FOLDER}/{name}") for part in ("--set", option)]
    labels = template["metadata"].get("labels", {})
    spec = template["spec"] | {"backoffLimit": 0}
    return typed(client.V1Job, {"metadata": {"name": name, "labels": labels}, "spec": spec})


def _end(cluster: Cluster, namespace: str, name: str) -> str | None:
    job = cluster.batch.read_namespaced_job(name, namespace, _request_timeout=REQUEST_SECONDS)
    conditions = (job.status.conditions if job.status else None) or []
    return next((c.type for c in conditions if c.status == "True" and c.type in ("Complete", "Failed")), None)


def _pods(cluster: Cluster, namespace: str, name: str) -> list[client.V1Pod]:
    return cluster.core.list_namespaced_pod(
        namespace, label_selector=f"job-name={name}", _request_timeout=REQUEST_SECONDS
    ).items


def _log(cluster: Cluster, namespace: str, name: str) -> str:
    for pod in _pods(cluster, namespace, name):
        if pod.metadata and pod.metadata.name and pod.status and pod.status.phase not in (None, "Pending"):
            return cluster.core.read_namespaced_pod_log(pod.metadata.name, namespace, _request_timeout=REQUEST_SECONDS)
    return ""


def _problem(cluster: Cluster, namespace: str, name: str) -> str | None:
    problems = (pod_problem(pod) for pod in _pods(cluster, namespace, name))
    return next((f"its driver {problem}" for problem in problems if problem), None)


def _remove(cluster: Cluster, namespace: str, name: str) -> None:
    """The Job with its pods, and the Lease that its driver made."""
    cluster.batch.delete_namespaced_job(name, namespace, propagation_policy="Background")
    try:
        cluster.coordination.delete_namespaced_lease(f"hepspark-run-{name}", namespace)
    except ApiException as error:
        if error.status != 404:  # it ended before it made one
            raise
