"""The check of notebooks: a user is made, whose server starts and runs a cell."""

import json
import uuid

from kubernetes import client

from deploy.verify.cluster import REQUEST_SECONDS, Cluster, Wait, delete_namespace, execute
from deploy.verify.evaluate import pod_problem
from deploy.verify.results import Finding, failed, passed

HUB = "app.kubernetes.io/name=jupyterhub-hub"
CODE = "print(6 * 7)"
SECONDS = 300
"""For all of it: pulling the image, where a node has not had it yet, takes longest."""


def notebooks(cluster: Cluster, namespace: str, wait: Wait) -> Finding:
    """The hub, asked by its own program `hepspark_hub.trial`, starts a server that runs a cell."""
    pods = cluster.core.list_namespaced_pod(namespace, label_selector=HUB, _request_timeout=REQUEST_SECONDS).items
    if not pods:
        return failed(f"namespace {namespace} has no pod of a hub: notebooks are not installed", "get pods -A")
    hub, user = _name(pods[0]), f"verify-{uuid.uuid4().hex[:8]}"
    if problem := pod_problem(pods[0]):
        return failed(f"the hub {problem}", f"--namespace {namespace} describe pod {hub}")
    program = ("python3.11", "-m", "hepspark_hub.trial", user, "--code", CODE)
    try:
        said = execute(cluster, namespace, hub, program, Wait(SECONDS, wait.stop))
    finally:
        # The hub has no right to remove it.
        delete_namespace(cluster.core, f"{namespace}-{user}")
    try:
        found = json.loads(said.strip().splitlines()[-1])
        seconds, printed = found["seconds"], found["printed"].strip()
    except (ValueError, LookupError, TypeError):
        return failed(f"a server did not run a cell: {said.strip()[-300:]}", f"--namespace {namespace} logs {hub}")
    if printed != "42":
        return failed(f"a cell printed {printed!r} for {CODE}", f"--namespace {namespace} logs {hub}")
    return passed(f"a server started in {seconds['start']:.0f} s and ran a cell in {seconds['cell']:.0f} s")


def _name(pod: client.V1Pod) -> str:
    return (pod.metadata.name if pod.metadata else None) or ""
