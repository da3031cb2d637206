"""A notebook's Spark in a user's namespace: real Spark, a real API server; a stand-in for the kubelet."""

import json
import os
import subprocess
import sys
import time

import pytest

from tests.integration.deploy.kubelet import ADDRESS, kubelet

pytestmark = pytest.mark.timeout(300)

SESSION = """
import sys
from hepspark import notebook as hep
from hepspark.notebook import settings
settings.MASTER = sys.argv[1]
# Driver and executors share an address here, and so cannot share a port.
spark = hep.session(conf={"spark.ui.port": 0, "spark.port.maxRetries": 16})
"""
NODES = {
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "notebooks", "operator": "Exists", "effect": "NoSchedule"}],
}
NOTEBOOK = f"""{SESSION}
data = spark.read.parquet(hep.sample() + "/parts").limit(3000).cache()
for executors in (1, 2, 1):
    hep.scale(executors)
    assert data.count() == 3000
    assert spark.sparkContext.defaultParallelism == executors
"""


def test_a_session_is_scaled_in_the_users_namespace(namespace, tmp_path):
    pod = namespace.pod("jupyter-alice", {"spark-role": "driver"})["metadata"]["name"]
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    namespace.set_status("pods", pod, ready)
    server = {
        "KUBECONFIG": str(namespace.server.kubeconfig("driver")),
        "POD_IP": ADDRESS, "POD_NAME": pod, "POD_NAMESPACE": namespace.name,
        "JUPYTERHUB_API_URL": "http://hub/hub/api", "JUPYTERHUB_API_TOKEN": "t0ken",
        "HEPSPARK_IMAGE": "spark:1", "HEPSPARK_EXECUTORS": "2", "HEPSPARK_EXECUTOR_MEMORY": "512m",
        "HEPSPARK_WORKSPACE": str(tmp_path / "workspace"), "HEPSPARK_EXECUTOR_NODES": json.dumps(NODES),
    }  # fmt: skip
    address = f"k8s://{namespace.server.address}"
    left = kill_while_it_starts(namespace, [sys.executable, "-c", SESSION, address], os.environ | server)
    (tmp_path / "executors").mkdir()
    with kubelet(namespace, tmp_path / "executors") as nodes:
        done = subprocess.run(
            [sys.executable, "-c", NOTEBOOK, address],
            env=os.environ | server, capture_output=True, text=True, timeout=240,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr + nodes.logs()
    assert "2 executors are there (1 before); nothing was lost" in done.stderr
    assert "1 executor is there (2 before)" in done.stderr
    assert [*(tmp_path / "workspace" / "spark-history").glob("eventlog_v2_*/events_1_*")]
    there = {one["metadata"]["name"] for kind in ("pods", "configmaps") for one in namespace.admin.objects(kind)}
    assert not there & left  # the next session has removed what the first one could not
    started = [executor for executor in nodes.seen if executor["metadata"]["name"] not in left]
    assert len(started) == 2
    for executor in started:
        variables = {one["name"]: one.get("value") for one in executor["spec"]["containers"][0]["env"]}
        assert variables["JUPYTERHUB_API_TOKEN"] == "t0ken"
        assert executor["spec"]["securityContext"]["runAsNonRoot"]
        assert executor["spec"]["nodeSelector"] == NODES["nodeSelector"]
        assert NODES["tolerations"][0] in executor["spec"]["tolerations"]
        assert executor["metadata"]["ownerReferences"][0]["name"] == pod


def kill_while_it_starts(namespace, command, environment):
    """End a kernel as a machine without memory does, when its first executor is asked for; what the kernel leaves."""

    def made():
        return {one["metadata"]["name"] for one in namespace.admin.objects("pods", "spark-role=executor")}

    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as kernel:
        end = time.monotonic() + 120
        while not made():
            assert kernel.poll() is None
            assert time.monotonic() < end
            time.sleep(0.1)
        kernel.kill()
    return made() | {one["metadata"]["name"] for one in namespace.admin.objects("configmaps", "spark-role=executor")}
