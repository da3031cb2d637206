"""Each finding of preflight, told of a host that has it: no host is needed, Ansible alone writes the sentences."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
ROLE = REPOSITORY / "deploy/roles/preflight"
WELL = {
    "os": {"id": "debian", "version": "12"},
    "machine": "x86_64",
    "addresses": ["127.0.0.1", "192.0.2.11"],
    "cpus": 4,
    "memory_mb": 8000,
    "swap_mb": 0,
    "cgroup_version": 2,
    "time": 1000.0,
    "lacking_disk": [],
    "ports_used": [],
    "clashes": [],
    "cluster": None,
    "runtimes": [],
    "foreign": [],
}
OTHERS = {"name": "others", "version": "v1.34.4"}
# What a host is like, and how its sentence begins and ends.
FINDINGS = {
    "system": (
        {"os": {"id": "debian", "version": "11"}},
        "runs debian 11, which is not supported: use debian or ubuntu",
    ),
    "machine": ({"machine": "aarch64"}, "is aarch64, and the programs are for x86_64: take"),
    "address": ({"addresses": ["192.0.2.99"]}, "has no address '192.0.2.11' (it has 192.0.2.99): set cluster_address"),
    "cpus": ({"cpus": 1}, "has 1 processors, 2 are needed: take"),
    "memory": ({"memory_mb": 1000}, "has 1000 MiB of memory, 1800 are needed: take"),
    "disk": ({"lacking_disk": ["/x has 1 MiB free"]}, "has too little free disk: /x has 1 MiB free; free some"),
    "clock": ({"time": 1100.0}, "has a clock 99.0 s away from the operator's machine, more than 30 s: let"),
    "swap": ({"swap_mb": 512}, "has 512 MiB of swap, which the kubelet refuses: swapoff"),
    "cgroups": ({"cgroup_version": 1}, "uses control groups version 1: boot it with"),
    "ports": ({"ports_used": [6443, 22]}, "has these TCP ports in use, which Kubernetes needs: 6443, 22; stop"),
    "networks": ({"clashes": ["a overlaps with b"]}, "a overlaps with b: choose other values of pod_network"),
    "foreign": (
        {"foreign": ["/etc/rancher"]},
        "already has a Kubernetes that hepspark did not install (/etc/rancher): re",
    ),
    "runtime": (
        {"runtimes": ["/run/docker.sock"]},
        "already runs containers (/run/docker.sock), which the installation",
    ),
    "owner": ({"cluster": OTHERS}, "belongs to the cluster others, not to ours: first run"),
    "version": (
        {"cluster": {"name": "ours", "version": "v1.33.0"}},
        "runs Kubernetes v1.33.0, but this hepspark installs",
    ),
    "well": ({}, None),
}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The sentences of each host."""
    folder = tmp_path_factory.mktemp("preflight")
    hosts = {
        name: {"preflight__probe": {"host": WELL | changes}, "preflight__before": 1000, "preflight__after": 1001}
        for name, (changes, _) in FINDINGS.items()
    }
    settings = {
        "preflight_address": "192.0.2.11",
        "preflight_cluster_name": "ours",
        "preflight_kubernetes_version": "v1.34.4",
    }
    (folder / "hosts.yml").write_text(yaml.safe_dump({"workers": {"hosts": hosts}}))
    tell = {
        "ansible.builtin.debug": {"msg": "{{ preflight__checks | selectattr('bad') | map(attribute='text') | list }}"}
    }
    files = [str(ROLE / "defaults/main.yml"), str(ROLE / "vars/main.yml")]
    play = {"hosts": "workers", "connection": "local", "gather_facts": False, "vars_files": files}
    (folder / "play.yml").write_text(yaml.safe_dump([{**play, "tasks": [tell]}]))
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "--inventory", folder / "hosts.yml",
         "--extra-vars", json.dumps(settings), folder / "play.yml"],
        env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    answers = json.loads(done.stdout)["plays"][0]["tasks"][0]["hosts"]
    return {name: answers[name]["msg"] for name in FINDINGS}


@pytest.mark.parametrize("name", FINDINGS)
def test_a_finding_is_one_sentence_with_its_remedy(told, name):
    expected = FINDINGS[name][1]
    assert len(told[name]) == (expected is not None), told[name]
    if expected:
        assert told[name][0].startswith(expected)
        assert ": " in told[name][0] or "; " in told[name][0]
