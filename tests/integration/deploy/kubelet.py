"""Does a kubelet's work for Spark's executors: a pod of the API server becomes a process of this machine.

The process gets what the pod's container says (its environment and arguments), as the entrypoint of Spark's image
does it; nothing else is known here of the driver.
"""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyspark

from hepspark.cluster.client import ApiError
from hepspark.java import java_home
from tests.integration.deploy.apiserver import Namespace

MAIN = "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend"
ADDRESS = "127.0.0.1"


class Kubelet:
    def __init__(self, namespace: Namespace, folder: Path) -> None:
        self.namespace, self.folder = namespace, folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.seen: list[dict] = []
        """Every pod that was started, as it was created."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(0.2):
            try:
                pods = {
                    pod["metadata"]["name"]: pod for pod in self.namespace.admin.objects("pods", "spark-role=executor")
                }
            except ApiError:
                continue
            for name, pod in pods.items():
                if name not in self.processes:
                    self.seen.append(pod)
                    self.processes[name] = self._start(pod)
                    self._report(name, {"running": {}}, "Running")
                elif self.processes[name].poll() is not None and pod["status"].get("phase") == "Running":
                    code = self.processes[name].returncode
                    phase = "Failed" if code else "Succeeded"
                    self._report(name, {"terminated": {"exitCode": code, "reason": "Error"}}, phase)
            for name, process in self.processes.items():
                if name not in pods and process.poll() is None:
                    process.terminate()

    def _report(self, name: str, state: dict, phase: str) -> None:
        status = {"name": "executor", "image": "x", "imageID": "", "ready": "running" in state, "restartCount": 0}
        with suppress(ApiError, TypeError):  # it may be deleted meanwhile
            self.namespace.set_status(
                "pods", name, {"phase": phase, "podIP": ADDRESS, "containerStatuses": [{**status, "state": state}]}
            )

    def _start(self, pod: dict) -> "subprocess.Popen[bytes]":
        (container,) = pod["spec"]["containers"]
        assert container["args"] == ["executor"]
        fields = {"status.podIP": ADDRESS, "metadata.name": pod["metadata"]["name"]}
        own = {
            one["name"]: one.get("value") or fields[one["valueFrom"]["fieldRef"]["fieldPath"]]
            for one in container["env"]
            if one.get("value") or "fieldRef" in (one.get("valueFrom") or {})
        }
        inherited = {key: os.environ[key] for key in ("PATH", "PYTHONPATH", "JAVA_TOOL_OPTIONS") if key in os.environ}
        work = self.folder / pod["metadata"]["name"]
        work.mkdir()
        home = Path(pyspark.__file__).parent
        options = [value for key, value in own.items() if key.startswith("SPARK_JAVA_OPT_")]
        command = [
            str(java_home() / "bin" / "java"), *options, f"-Xmx{own['SPARK_EXECUTOR_MEMORY']}",
            "-cp", f"{own['SPARK_CLASSPATH']}:{home}/jars/*", MAIN, "--driver-url", own["SPARK_DRIVER_URL"],
            "--executor-id", own["SPARK_EXECUTOR_ID"], "--cores", own["SPARK_EXECUTOR_CORES"],
            "--app-id", own["SPARK_APPLICATION_ID"], "--hostname", own["SPARK_EXECUTOR_POD_IP"],
            "--resourceProfileId", own["SPARK_RESOURCE_PROFILE_ID"], "--podName", own["SPARK_EXECUTOR_POD_NAME"],
        ]  # fmt: skip
        local = {"SPARK_HOME": str(home), "SPARK_LOCAL_IP": ADDRESS, "SPARK_LOCAL_DIRS": str(work)}
        with (work / "log").open("wb") as log:
            return subprocess.Popen(
                command, env={**inherited, **own, **local}, cwd=work, stdout=log, stderr=subprocess.STDOUT
            )

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(20)
        for process in self.processes.values():
            process.kill()
            process.wait()

    def logs(self) -> str:
        return "\n".join(f"--- {path.parent.name}\n{path.read_text()[-3000:]}" for path in self.folder.glob("*/log"))


@contextmanager
def kubelet(namespace: Namespace, folder: Path) -> Iterator[Kubelet]:
    running = Kubelet(namespace, folder)
    try:
        yield running
    finally:
        running.stop()
