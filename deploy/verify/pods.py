"""The pods that the checks run, all from one small image and within the restricted standard."""

from typing import Any

PORT = 8080
# The test image runs as nobody, who owns nothing in it.
NOBODY = 65534


def agent(name: str, node: str, image: str) -> dict[str, Any]:
    """A pod on a given node that answers HTTP with the node's name, and in which scripts are run.

    It is sent to its node by the scheduler, and tolerates every taint: control planes are checked too.
    """
    on_node = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    manifest = _pod(name, image, 'echo "$NODE" >/www/index.html && exec httpd -f -p 8080 -h /www', "Always")
    container = manifest["spec"]["containers"][0]
    container["env"] = [{"name": "NODE", "value": node}]
    container["volumeMounts"] = [{"name": "www", "mountPath": "/www"}]
    container["readinessProbe"] = {"httpGet": {"path": "/index.html", "port": PORT}, "periodSeconds": 1}
    manifest["metadata"]["labels"] = {"app": "agent"}
    manifest["spec"] |= {
        "volumes": [{"name": "www", "emptyDir": {}}],
        "tolerations": [{"operator": "Exists"}],
        "affinity": {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [on_node]}}
        },
    }
    return manifest


def with_volume(name: str, claim: str, script: str, image: str) -> dict[str, Any]:
    """A pod that runs a script once, with a claim's volume at `/data`."""
    manifest = _pod(name, image, script, "IfNotPresent")
    manifest["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    manifest["spec"] |= {
        "restartPolicy": "Never",
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}],
    }
    return manifest


def _pod(name: str, image: str, script: str, pull: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            # A shell is no init: it would not end at SIGTERM, and nothing here is worth waiting for.
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": NOBODY,
                "runAsGroup": NOBODY,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "test",
                    "image": image,
                    "imagePullPolicy": pull,
                    "command": ["sh", "-c", script],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "resources": {
                        "requests": {"cpu": "5m", "memory": "8Mi"},
                        "limits": {"cpu": "500m", "memory": "32Mi"},
                    },
                }
            ],
        },
    }


def fetch_script(targets: dict[str, str], names: list[str] | None = None) -> str:
    """A script that fetches from each `host:port` and prints `ok TARGET` or `fail TARGET WHAT CAME`.

    Args:
        targets: Target to `host:port`.
        names: The answers that are right; without them the target's own name is.
    """
    lines = [_SHELL_FETCH]
    for target, address in targets.items():
        lines.append(f"fetch {target} {address} {' '.join(names or [target])} &")
    return "\n".join([*lines, "wait", ""])


# Some tries, because rules for a new pod or service reach every node only after a moment.
_SHELL_FETCH = """
fetch() {
  target=$1 address=$2; shift 2
  for try in 1 2 3 4 5; do
    answer=$(timeout 3 wget -q -O - "http://$address/index.html" 2>&1)
    for right in "$@"; do [ "$answer" = "$right" ] && echo "ok $target" && return; done
    sleep 1
  done
  echo "fail $target ${answer:-no answer within 3 s}" | tr '\\n' ' '; echo
}"""


def lookup_script(questions: list[tuple[str, str, str, str]]) -> str:
    """A script that asks name servers and prints `ok TARGET` or `fail TARGET WHAT CAME`.

    Args:
        questions: Target, name below `svc.<cluster domain>`, server (empty: the pod's own), expected address.
    """
    lines = [_SHELL_LOOKUP]
    lines += [f"lookup {target} {name} '{server}' {address} &" for target, name, server, address in questions]
    return "\n".join([*lines, "wait", ""])


# busybox's nslookup leaves the search list alone, so the cluster's domain is taken from it here.
_SHELL_LOOKUP = """
domain=$(sed -n 's/^search .* svc\\.\\([^ ]*\\).*/\\1/p' /etc/resolv.conf)
lookup() {
  for try in 1 2 3; do
    answer=$(timeout 4 nslookup -type=a "$2.svc.$domain." $3 2>&1)
    echo "$answer" | grep -qx "Address: $4" && echo "ok $1" && return
    sleep 1
  done
  echo "fail $1 ${answer:-no answer within 4 s}" | tr '\\n' ' '; echo
}"""
