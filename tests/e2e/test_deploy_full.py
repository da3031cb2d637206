"""What is too long for the gate: interrupted, restarted, refused, an existing cluster, reset and made again.

The tests are one story, told in order: each begins with what the one before left.
"""

import contextlib
import json
import os
import signal
import subprocess
import time

import pytest

from tests.e2e.facility import REPOSITORY

pytestmark = pytest.mark.timeout(1800)


def verified(facility):
    ended = facility.make("verify", args="-e output=json")
    return ended.code == 0 and all(check["ok"] for check in json.loads(ended.results)["checks"])


def until(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(1)


def interrupted_at(facility, said, also=lambda: True):
    """Start a deployment, and end it as Ctrl-C does when it has said something, and something else holds."""
    environment = {**facility.environment(), "ARGS": "-vv"}
    with subprocess.Popen(
        ["make", "deploy"],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as deploy:
        for line in deploy.stderr:
            if said in line:
                break
        until(also)
        ended = False
        while not ended:
            # Again, as a person would: Ansible waits for ever for a lock that one of its workers ended with.
            os.killpg(deploy.pid, signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                deploy.communicate(timeout=30)
                ended = True
    assert deploy.returncode != 0


def test_an_interrupted_deployment_is_completed_by_the_next(facility):
    started = facility.make("mirror")
    assert started.code == 0, started.text
    # Its configuration is written on a host, and the handler that makes containerd read it is lost.
    interrupted_at(facility, "changed: cp1: container_runtime : Configure containerd")
    assert facility.hosts("ssh", "cp1", "test -e /etc/hepspark/pending/containerd").code == 0
    keys = "sudo test -e /etc/kubernetes/pki/ca.crt"
    interrupted_at(facility, "Run kubeadm init", lambda: facility.hosts("ssh", "cp1", keys).code == 0)
    assert facility.hosts("ssh", "cp1", "ls -A /etc/hepspark/pending").results == ""
    completed = facility.make("deploy")
    assert completed.code == 0, completed.text
    assert verified(facility)


def test_everything_returns_when_the_control_plane_restarts(facility):
    restarted = facility.hosts("restart", "cp1", "--cut")
    assert restarted.code == 0, restarted.text
    deadline = time.monotonic() + 300
    while not verified(facility):
        assert time.monotonic() < deadline, "the cluster did not come back within 5 minutes"
    assert "changed=0" in facility.make("site").text


def broken(facility, *arguments):
    """What the checks say is not well: name of the check to its message and next command."""
    command = [".venv/bin/python", "-m", "deploy.verify", "--kubeconfig", str(facility.kubeconfig)]
    ended = facility.run(
        *command, "--registry", "mirror.lab.internal", "--timeout", "20", "--output", "json", *arguments
    )
    checks = json.loads(ended.results)["checks"]
    assert ended.code == (0 if all(check["ok"] for check in checks) else 1)
    return {check["check"]: f"{check['message']}; {check['next']}" for check in checks if not check["ok"]}


def test_verify_names_an_image_that_is_not_there(facility):
    found = broken(facility, "--image", "library/nothing:1")
    assert "mirror.lab.internal/library/nothing:1" in found["image"]
    assert {"dns", "pod to pod", "service"} <= found.keys()  # which need it, and say so
    assert "see image" in found["dns"]


@pytest.mark.parametrize(("deployment", "check"), [("coredns", "dns"), ("metrics-server", "metrics")])
def test_verify_names_a_part_that_is_gone(facility, deployment, check):
    scale = ("--namespace", "kube-system", "scale", f"deployment/{deployment}")
    replicas = facility.kubectl(*scale[:2], "get", *scale[3:], "--output", "jsonpath={.spec.replicas}")
    facility.kubectl(*scale, "--replicas=0")
    try:
        until(lambda: deployment not in facility.kubectl(*scale[:2], "get", "pods", "--output", "name"))
        found = broken(facility)
        assert check in found
        assert "kubectl" in found[check]
    finally:
        facility.kubectl(*scale, f"--replicas={replicas}")
    facility.kubectl(*scale[:2], "rollout", "status", *scale[3:], "--timeout=120s")
    assert verified(facility)


def test_what_is_not_ready_after_a_deployment_is_named(facility):
    deployment = ("--namespace", "kube-system", "{}", "deployment/metrics-server")
    change, undo = ([word.format(verb) for word in deployment] for verb in ("image", "undo"))
    facility.kubectl(*change[:2], "set", *change[2:], "metrics-server=mirror.lab.internal/nothing:1")
    try:
        ended = facility.site({"readiness_seconds": 8})
    finally:
        facility.kubectl(*undo[:2], "rollout", *undo[2:])
    assert ended.code == 2
    assert "FAILED at localhost: readiness : Everything is ready" in ended.text
    assert "cannot start container metrics-server: " in ended.text
    assert "kube-system describe pod metrics-server-" in ended.text
    until(lambda: verified(facility))


def test_verify_names_a_host_that_is_down(facility):
    assert facility.hosts("stop", "w2").code == 0
    try:
        until(lambda: "w2" not in facility.nodes())
        assert "w2" in broken(facility)["nodes"]
    finally:
        assert facility.hosts("start", "w2").code == 0
    until(lambda: "w2" in facility.nodes())
    until(lambda: verified(facility), 300)


def test_a_bad_token_is_told_and_the_next_run_joins(facility):
    assert facility.hosts("add", "w3").code == 0
    refused = facility.site({"worker__token_value": "abcdef.0123456789abcdef"})
    assert refused.code == 2
    assert "FAILED at w3: worker : Run kubeadm join" in refused.text
    assert 'could not find a JWS signature in the cluster-info ConfigMap for token ID "abcdef"' in refused.text
    joined = facility.make("site")
    assert joined.code == 0, joined.text
    assert facility.nodes() == {"cp1", "w1", "w2", "w3"}


def test_tokens_are_neither_kept_nor_told(facility):
    tokens = facility.kubectl("get", "secrets", "--namespace", "kube-system", "--output", "name")
    assert "bootstrap-token" not in tokens
    log = (facility.out / "log.txt").read_text()
    assert "client-key-data" not in log


def test_an_existing_cluster_is_checked_and_used(facility, tmp_path):
    inventory = facility.as_existing(tmp_path / "existing", cluster_name="theirs")
    accepted = facility.make("site", f"INVENTORY={inventory}")
    assert accepted.code == 0, accepted.text
    used = facility.make("verify", f"INVENTORY={inventory}")
    assert used.code == 0, used.text
    facility.as_existing(inventory, cluster_name="theirs", kubeconfig="/nowhere/kubeconfig")
    refused = facility.make("site", f"INVENTORY={inventory}")
    assert refused.code == 2
    assert "kubeconfig /nowhere/kubeconfig does not exist" in refused.text
    with_hosts = facility.site({"cluster_provider": "existing"})
    assert with_hosts.code == 2
    assert "leaves hosts alone, but it names cp1, " in with_hosts.text


def test_reset_leaves_hosts_as_they_were(facility):
    nodes = facility.nodes()
    asked = facility.make("reset", args="-e confirm=no")
    assert asked.code == 2
    assert facility.nodes() == nodes
    removed = facility.make("reset", args="-e confirm=yes")
    assert removed.code == 0, removed.text
    for host in sorted(nodes):
        look = """
            ls -d /etc/kubernetes /etc/hepspark /etc/containerd /usr/local/bin/kube* 2>/dev/null
            sudo find /var/lib/etcd /var/lib/kubelet /var/lib/containerd -mindepth 1 2>/dev/null
            ip -brief link | grep -E 'cni0|flannel|veth'
            ps -e -o comm= | grep -E 'kube|containerd|etcd'
            sudo iptables-save 2>/dev/null | grep -E 'KUBE|FLANNEL'
            dpkg --list containerd 2>/dev/null | grep ^ii
            true"""
        assert facility.hosts("ssh", host, look).results == "", host


def test_reset_leaves_alone_what_hepspark_did_not_install(facility):
    assert facility.hosts("ssh", "w1", "sudo mkdir -p /etc/kubernetes/theirs").code == 0
    again = facility.make("reset", args="-e confirm=yes")
    assert again.code == 0, again.text
    assert "changed=0" in again.text
    assert facility.hosts("ssh", "w1", "sudo rmdir /etc/kubernetes/theirs /etc/kubernetes").code == 0


def test_the_same_hosts_can_be_used_again_by_an_open_site_with_sources_of_its_own(facility):
    opened = facility.hosts("up", "--open")
    assert opened.code == 0, opened.text
    # Debian's packages from Debian, and each source at an address of its own, with upstream's layout.
    address = "https://10.89.78.2"
    site = {
        "mirror_debian_packages": False,
        "mirror_url": "https://nowhere.invalid",
        "mirror_urls": {"kubernetes": address, "helm": address},
        "mirror_registries": {"kubernetes": "mirror.lab.internal"},
    }
    again = facility.site(site)
    assert again.code == 0, again.text
    assert verified(facility)
