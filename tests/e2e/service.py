"""A replicated service in the cluster, and somebody who asks it all the time."""

import threading
import time
import urllib.error
import urllib.request

PORT = 30081
MANIFEST = """
apiVersion: v1
kind: Namespace
metadata: {name: replicated}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: replicated}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      automountServiceAccountToken: false
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      topologySpreadConstraints:
        - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway,
           labelSelector: {matchLabels: {app: web}}}
      containers:
        - name: web
          image: REGISTRY/IMAGE
          command: [sh, -c, "echo hello > /www/index.html && exec httpd -f -p 8080 -h /www"]
          ports: [{containerPort: 8080}]
          readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
          # The service forgets a pod that ends a moment after the pod hears of it.
          lifecycle: {preStop: {exec: {command: [sleep, "5"]}}}
          securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
          volumeMounts: [{name: www, mountPath: /www}]
      volumes: [{name: www, emptyDir: {}}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web, namespace: replicated}
spec: {minAvailable: 2, selector: {matchLabels: {app: web}}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: replicated}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: 8080, nodePort: 30081}]}
"""


class Client(threading.Thread):
    """Asks an address of the lab ten times a second, at most `limit` times, until it is told to stop.

    It begins to count with the first answer: kube-proxy learns of a service up to a second after its pods are ready.
    """

    def __init__(self, address: str, limit: int = 6000) -> None:
        super().__init__(daemon=True)
        self._url, self._limit = f"http://{address}:{PORT}/", limit
        self._ended = threading.Event()
        self.answered = 0
        self.failures: list[str] = []

    def start(self) -> None:
        deadline = time.monotonic() + 30
        while failure := self._ask():
            assert time.monotonic() < deadline, failure
            time.sleep(0.1)
        super().start()

    def run(self) -> None:
        while not self._ended.wait(0.1) and self.answered + len(self.failures) < self._limit:
            if failure := self._ask():
                self.failures.append(failure)
            else:
                self.answered += 1

    def _ask(self) -> str | None:
        """What went wrong."""
        try:
            with urllib.request.urlopen(self._url, timeout=5) as answer:
                assert answer.read() == b"hello\n"
        except (OSError, urllib.error.URLError, AssertionError) as error:
            return f"{time.strftime('%X')} {error!r}"
        return None

    def stop(self) -> None:
        self._ended.set()
        self.join()


ONCE = """
apiVersion: v1
kind: Pod
metadata: {name: once}
spec:
  nodeName: NODE
  restartPolicy: OnFailure
  securityContext: {runAsNonRoot: true, runAsUser: 65534, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: once
      image: REGISTRY/IMAGE
      command: ["true"]
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
"""
"""A pod that ends well as soon as its image is there."""
