"""The lab's decisions: what it is, what it refuses, what it tells Ansible. No host is made here."""

import json
import os
import subprocess
import sys

import pytest

from deploy.errors import DeployError, InputError
from deploy.lab import base, checks, host, lab, limits, model, network
from deploy.lab.inventory import inventory

ABLE = limits.Machine(cpus=8, memory=32 << 30, cgroup=2, sys_resource=True, vxlan=True, swap=False, kernel_config=True)
FLAVOUR = {"cpus": 2, "memory": 4 << 30}


@pytest.fixture
def where(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return model.places("some")


def some(**changes):
    given = {"network": "10.89.77.0/24", "workers": 2, "cpus": 2.0, "memory": 4 << 30, "way_out": False}
    return model.new("some", **(given | changes))


def variables(**changes):
    return limits.variables(limits.limits(ABLE.model_copy(update=changes), **FLAVOUR))


# What a lab is


def test_hosts_alternate_debian_12_and_13():
    assert {one.name: one.release for one in some(workers=3).hosts} == {
        "mirror": "12",
        "cp1": "12",
        "w1": "13",
        "w2": "12",
        "w3": "13",
    }


def test_every_host_has_an_address_of_its_own_in_the_network():
    hosts = some(workers=30, network="10.1.0.0/26").hosts
    assert len({one.address for one in hosts}) == 32
    assert all(one.address.startswith("10.1.0.") for one in hosts)


def test_a_full_network_is_told():
    with pytest.raises(InputError, match=r"no address is left in 10\.1\.0\.0/26"):
        some(workers=60, network="10.1.0.0/26")


def test_a_removed_workers_address_and_name_are_given_again():
    fewer = model.without(some(), "w1")
    assert model.free_worker(fewer) == "w1"
    assert model.with_worker(fewer, "w1").host("w1").address == some().host("w1").address


@pytest.mark.parametrize("name", ["cp1", "mirror"])
def test_only_workers_are_removed(name):
    with pytest.raises(InputError, match="only workers"):
        model.without(some(), name)


def test_an_unknown_host_is_told_with_those_there_are():
    with pytest.raises(InputError, match="no host `w9`: it has mirror, cp1, w1, w2"):
        some().host("w9")


def test_the_state_comes_back_as_it_was(where):
    model.save(where, some())
    assert model.load(where) == some()
    assert where.state.stat().st_mode & 0o777 == 0o700


def test_another_versions_state_is_refused_with_the_remedy(where):
    model.save(where, some())
    where.lab.write_text(json.dumps(json.loads(where.lab.read_text()) | {"more": 1}))
    with pytest.raises(DeployError, match=r"state.json.*lab-down"):
        model.load(where)


@pytest.mark.parametrize(("text", "size"), [("4g", 4 << 30), ("1500M", 1500 << 20)])
def test_sizes(text, size):
    assert model.memory(text) == size


@pytest.mark.parametrize("text", ["4", "g", "4t", "-1g", "1.5g"])
def test_wrong_sizes(text):
    with pytest.raises(InputError, match=f"`{text}` is not a size"):
        model.memory(text)


# What it shall be, from what there is and what is given

NOTHING = {"workers": None, "cpus": None, "memory": None, "network": None, "way_out": None}


def test_a_new_lab_is_closed_and_has_three_hosts_and_a_mirror(where):
    made = lab.plan(where, **NOTHING)
    assert ([one.name for one in made.hosts], made.open) == (["mirror", "cp1", "w1", "w2"], False)


def test_nothing_given_leaves_the_lab_as_it_is(where):
    model.save(where, some(workers=3, way_out=True))
    assert lab.plan(where, **NOTHING) == some(workers=3, way_out=True)


def test_workers_are_added_and_the_way_out_opened(where):
    model.save(where, some())
    assert lab.plan(where, **NOTHING | {"workers": 3, "way_out": True}) == some(workers=3, way_out=True)


def test_fewer_workers_are_refused_because_the_cluster_knows_them(where):
    model.save(where, some())
    with pytest.raises(InputError, match="--workers 1: the lab has 2"):
        lab.plan(where, **NOTHING | {"workers": 1})


@pytest.mark.parametrize(("option", "value"), [("cpus", 1), ("memory", "1g"), ("network", "10.1.0.0/24")])
def test_what_cannot_change_is_refused(where, option, value):
    model.save(where, some())
    with pytest.raises(InputError, match=f"--{option} cannot change"):
        lab.plan(where, **NOTHING | {option: value})


# Checks


@pytest.mark.parametrize("name", ["", "Lab", "my-lab", "1lab", "toolongname", "../x"])
def test_names_that_interfaces_cannot_carry_are_refused(name):
    with pytest.raises(InputError, match="cannot be a name"):
        checks.name(name)


def test_a_user_without_rights_is_told_the_remedy(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(InputError, match="only root may do that: use sudo"):
        checks.root()


@pytest.fixture
def routes(monkeypatch):
    found = [
        {"dst": "default", "dev": "eth0"},
        {"dst": "10.89.0.0/16", "dev": "vpn0"},
        {"dst": "10.7.0.0/24", "dev": "hl-some"},
    ]
    monkeypatch.setattr(checks.shell, "output", lambda _: json.dumps(found))


@pytest.mark.usefixtures("routes")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("10.89.77.0/24", "clashes with 10.89.0.0/16, which is on vpn0"),
        ("10.244.3.0/24", "clashes with 10.244.0.0/16, which belongs to the cluster"),
        ("10.1.0.0/27", "too small"),
        ("10.1.0.1/24", "not an IPv4 network"),
        ("fd00::/64", "not an IPv4 network"),
    ],
)
def test_networks_that_clash_are_refused(text, said):
    with pytest.raises(InputError, match=said):
        checks.network(text, "hl-some")


@pytest.mark.usefixtures("routes")
@pytest.mark.parametrize("text", ["10.1.0.0/26", "10.7.0.0/24"])
def test_free_networks_and_the_labs_own_pass(text):
    checks.network(text, "hl-some")


def test_too_little_memory_is_told_by_host(monkeypatch):
    monkeypatch.setattr(limits, "memory", lambda _: 8 << 30)
    with pytest.raises(InputError, match=r"need 13312 MB of memory \(mirror 1024 MB, cp1 4096 MB.*8192 MB are free"):
        checks.size(some().hosts, ABLE)
    checks.size(some(memory=2 << 30).hosts, ABLE)


def test_more_cpus_than_there_are_cannot_be_given():
    with pytest.raises(InputError, match="--cpus 9: this machine has 8"):
        checks.size(some(cpus=9).hosts, ABLE)


def test_too_little_disk_is_told_with_the_reason(monkeypatch, tmp_path):
    usage = type("Usage", (), {"free": 10 << 30})
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match=r"needs 15360 MB of free disk.*it has 10240"):
        checks.disk(tmp_path, some().hosts, 2)
    checks.disk(tmp_path, some(workers=0).hosts, 2)


# Limits


def test_an_able_machine_has_only_the_limits_of_containers():
    assert set(variables()) == {
        "container_runtime_kernel_modules",
        "control_plane_kube_proxy_config",
        "kubernetes_kubelet_config",
        "preflight_disk_mb",
    }
    assert set(variables()["kubernetes_kubelet_config"]) == {
        "evictionHard",
        "imageGCHighThresholdPercent",
        "imageGCLowThresholdPercent",
        "systemReserved",
    }


def test_allocatable_is_the_flavour():
    config = variables()["kubernetes_kubelet_config"]
    reserved = int(config["systemReserved"]["memory"].removesuffix("Ki")) << 10
    evicted = int(config["evictionHard"]["memory.available"].removesuffix("Mi")) << 20
    assert ABLE.memory - reserved - evicted == FLAVOUR["memory"]
    assert ABLE.cpus * 1000 - int(config["systemReserved"]["cpu"].removesuffix("m")) == FLAVOUR["cpus"] * 1000


def test_a_flavour_as_large_as_the_machine_reserves_nothing():
    assert "systemReserved" not in variables(cpus=2, memory=4 << 30)["kubernetes_kubelet_config"]


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ({"vxlan": False}, {"network_backend": "host-gw"}),
        ({"swap": True}, {"preflight_swap_allowed": True, "worker_ignore_preflight_errors": ["Swap"]}),
        ({"cgroup": 1}, {"preflight_cgroup_versions": [1, 2], "container_runtime_systemd_cgroup": False}),
        ({"sys_resource": False}, {"kubernetes_kubelet_extra_args": {"oom-score-adj": "0"}}),
        ({"sys_resource": False}, {"container_runtime_config_extra": {"restrict_oom_score_adj": True}}),
        ({"kernel_config": False}, {"control_plane_ignore_preflight_errors": ["SystemVerification"]}),
        ({"cpus": 1}, {"control_plane_ignore_preflight_errors": ["NumCPU"]}),
    ],
)
def test_each_limit_becomes_its_variables(machine, expected):
    found = variables(**machine)
    assert expected.items() <= found.items()
    assert not set(expected) & set(variables())


@pytest.mark.parametrize(
    ("machine", "expected"),
    [({"swap": True}, {"failSwapOn": False}), ({"cgroup": 1}, {"cgroupDriver": "cgroupfs", "failCgroupV1": False})],
)
def test_limits_add_to_one_kubelet_configuration(machine, expected):
    found = variables(**machine)["kubernetes_kubelet_config"]
    assert found == variables()["kubernetes_kubelet_config"] | expected


def test_a_small_flavour_lowers_what_preflight_asks_for():
    found = limits.variables(limits.limits(ABLE, cpus=1, memory=1 << 30))
    assert (found["preflight_cpus"], found["preflight_memory_mb"]) == (1, 1024)


def test_every_limit_says_why():
    weak = limits.Machine(
        cpus=1, memory=8 << 30, cgroup=1, sys_resource=False, vxlan=False, swap=True, kernel_config=False
    )
    assert all(len(one.reason) > 20 and one.variables for one in limits.limits(weak, **FLAVOUR))


def test_this_machine_is_read():
    found = limits.detect.__wrapped__()
    assert found.cpus == os.cpu_count()
    assert found.memory > 1 << 30


def test_debian_13_needs_leave_to_run_on_cgroup_v1():
    old = ABLE.model_copy(update={"cgroup": 1})
    assert "LEGACY_FORCE" in limits.environment("13", old)["SYSTEMD_PROC_CMDLINE"]
    assert limits.environment("12", old) == limits.environment("13", ABLE) == {}


# Network, names, images


def test_a_closed_lab_refuses_every_way_out_and_an_open_one_translates():
    closed, opened = network.rules(some()), network.rules(some(way_out=True))
    assert 'iifname "hl-some" ip daddr != { 10.89.77.0/24' in closed
    assert "masquerade" not in closed
    assert "ip saddr 10.89.77.0/24 ip daddr != 10.89.77.0/24 masquerade" in opened
    assert "reject" not in opened


def test_names_on_the_machine_are_short_enough_for_interfaces():
    assert (
        len(f"{model.new('a' * 8, network='10.0.0.0/24', workers=0, cpus=1, memory=1, way_out=False).bridge}.254") <= 15
    )


def test_every_host_knows_the_others_and_the_api():
    assert host.hosts_block(some()).splitlines()[1:-1] == [
        "10.89.77.2 mirror.lab.internal mirror",
        "10.89.77.11 cp1.lab.internal cp1",
        "10.89.77.21 w1.lab.internal w1",
        "10.89.77.22 w2.lab.internal w2",
        "10.89.77.11 api.lab.internal",
    ]


def test_an_image_is_named_by_all_that_went_into_it(monkeypatch, tmp_path):
    names = {base.path(tmp_path, release) for release in base.SUITES}
    monkeypatch.setattr(base, "PACKAGES", (*base.PACKAGES, "vim"))
    names |= {base.path(tmp_path, release) for release in base.SUITES}
    monkeypatch.setattr(base, "_RECIPE", base._RECIPE + "true\n")
    names |= {base.path(tmp_path, release) for release in base.SUITES}
    assert len(names) == 6


def test_packages_come_from_this_machines_own_debian_source(monkeypatch):
    listed = "x://nodes Nodes main nodistro\nx://updates Debian main bookworm-updates\nx://here Debian main bookworm\n"
    monkeypatch.delenv("HEPSPARK_DEBIAN_URI", raising=False)
    monkeypatch.setattr(base.shell, "output", lambda _: listed)
    assert base.debian_uri() == "x://here"
    monkeypatch.setattr(base.shell, "output", lambda _: "")
    with pytest.raises(DeployError, match="HEPSPARK_DEBIAN_URI"):
        base.debian_uri()
    monkeypatch.setenv("HEPSPARK_DEBIAN_URI", "x://mine")
    assert base.debian_uri() == "x://mine"


def test_a_machine_without_a_releases_keys_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(base, "_KEYRINGS", tmp_path)
    with pytest.raises(InputError, match=r"no key of Debian 13 \(trixie\)"):
        base._keyring("13")


def test_rests_of_dead_processes_are_removed_and_others_stay(tmp_path):
    dead = subprocess.Popen(["true"])
    dead.wait()
    for process in (dead.pid, os.getpid()):
        (tmp_path / f"debian-12-abc.{process}.partial").touch()
        (tmp_path / f"debian-12-abc.{process}.partial.root").mkdir()
    base.clean(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        f"debian-12-abc.{os.getpid()}.partial",
        f"debian-12-abc.{os.getpid()}.partial.root",
    }


# Inventory


def test_the_inventory_has_groups_addresses_and_limits(where):
    found = inventory(where, some(), ABLE)
    assert {group: found[group]["hosts"] for group in ("control_plane", "workers", "mirrors")} == {
        "control_plane": ["cp1"],
        "workers": ["w1", "w2"],
        "mirrors": ["mirror"],
    }
    assert found["_meta"]["hostvars"]["w2"]["ansible_host"] == "10.89.77.22"
    assert "systemReserved" in found["_meta"]["hostvars"]["cp1"]["kubernetes_kubelet_config"]
    assert "StrictHostKeyChecking=yes" in found["all"]["vars"]["ansible_ssh_common_args"]


@pytest.mark.usefixtures("where")
def test_without_a_lab_the_inventory_is_empty():
    program = "deploy/inventories/lab/hosts.py"
    done = subprocess.run([sys.executable, program, "--list"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"_meta": {"hostvars": {}}}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--lab", "No", "inventory"], "cannot be a name"),
        (["ssh", "w1"], "there is no lab `lab`: make it with `make lab`"),
    ],
)
@pytest.mark.usefixtures("where")
def test_mistakes_end_with_a_sentence(arguments, said):
    command = [sys.executable, "-m", "deploy.lab", *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "HEPSPARK_LAB"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2
    if os.geteuid() == 0:
        assert said in done.stderr
    assert "Traceback" not in done.stderr
