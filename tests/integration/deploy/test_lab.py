"""A real lab, small and apart from any other: made, used, changed, broken and removed without a trace."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.lab import base, groups, host, machine, model, shell

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may make hosts"),
    pytest.mark.timeout(900),  # hosts that start while another worker's tests run
]

NAME = "itest"
NETWORK = "10.89.79.0/24"
SMALL = ("--network", NETWORK, "--workers", "1", "--memory", "512m", "--cpus", "1")


def run(*command, check=True, **options):
    return subprocess.run(command, check=check, capture_output=True, text=True, **options)


def lab(*arguments, check=True):
    done = run(sys.executable, "-m", "deploy.lab", "--lab", NAME, *arguments, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done


def on(name, command):
    places = model.places(NAME)
    done = run(*host.ssh(places, model.load(places).host(name)), command, check=False)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout.strip()


def status():
    return {one["name"]: one for one in json.loads(lab("status", "--output", "json").stdout)["hosts"]}


def traces():
    """Everything of this machine that a lab might leave behind; what belongs to a lab beside this one is left out."""
    # Counters and random hardware addresses change by themselves.
    listings = {
        "links": [line.split()[0] for line in run("ip", "-brief", "link").stdout.splitlines()],
        "addresses": run("ip", "-brief", "address").stdout.splitlines(),
        "routes": run("ip", "route", "show", "table", "all").stdout.splitlines(),
        "mounts": shell.mounts(),
        "rules": run("nft", "list", "tables").stdout.splitlines(),
        "groups": [str(path) for path in Path("/sys/fs/cgroup").glob("*") if path.is_dir()]
        + [str(path) for path in Path("/sys/fs/cgroup").glob("*/*") if path.is_dir()],
        "run": [str(path) for path in Path("/run").iterdir()] + [str(path) for path in Path("/run/runc").glob("*")],
        "memory": [str(path) for path in Path("/dev/shm").glob("libpod*")],
        "processes": sorted(map(str, groups.processes(model.places(NAME)))),
        "forwarding": [f"{path}={path.read_text()}" for path in Path("/proc/sys/net/ipv4/conf").glob("*/forwarding")],
    }
    if not [path for path in Path("/run").glob("hepspark-*/netns") if NAME not in str(path)]:
        # Put back when the machine's last lab goes.
        settings = [Path("/proc/sys", name) for name in machine.SETTINGS]
        listings["settings"] = [f"{path}={path.read_text()}" for path in settings if path.exists()]
    if Path("/usr/sbin/iptables-save").exists():
        listings["iptables"] = [line for line in run("iptables-save").stdout.splitlines() if line[0] in "-*"]
    others = ("hl-", "hepspark-", "storage-")
    return {
        what: sorted(line for line in lines if NAME in line or not any(other in line for other in others))
        for what, lines in listings.items()
    }


def left(before):
    """What is there now and was not before; beside a lab's traces, other things may come and go."""
    return [line for what, lines in traces().items() for line in lines if line not in before.get(what, lines)]


@pytest.fixture(scope="module")
def before():
    lab("down")
    places = model.places(NAME)
    if missing := [release for release in base.SUITES if not base.present(places, release)]:
        pytest.fail(
            f"no base image of Debian {', '.join(missing)}: run `make test-deploy`, which makes it", pytrace=False
        )
    found = traces()
    yield found
    lab("down")
    assert left(found) == []
    assert not [path for path in (places.state, places.storage, places.run) if path.exists()]


@pytest.fixture(scope="module")
def up(before):
    lab("up", *SMALL)
    return before


def started():
    """What changes when a host starts or is made again."""
    hosts = model.load(model.places(NAME)).hosts
    return {one.name: on(one.name, "cut -d' ' -f22 /proc/1/stat; ls -iL /proc/self/ns/net") for one in hosts}


@pytest.mark.usefixtures("up")
def test_hosts_run_both_debians_with_no_failed_unit():
    releases = {
        one: on(one, "systemctl is-system-running; cut -d. -f1 /etc/debian_version") for one in ("mirror", "cp1", "w1")
    }
    assert releases == {"mirror": "running\n12", "cp1": "running\n12", "w1": "running\n13"}


@pytest.mark.usefixtures("up")
def test_a_second_up_changes_nothing():
    first = started()
    assert "all hosts run already" in lab("up", *SMALL).stderr
    assert started() == first


@pytest.mark.usefixtures("up")
def test_only_the_labs_key_opens_and_only_for_the_operator(tmp_path):
    places = model.places(NAME)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other"))
    options = ("-F", "none", "-oBatchMode=yes", "-oIdentitiesOnly=yes", "-oStrictHostKeyChecking=yes")
    known = f"-oUserKnownHostsFile={places.state}/known_hosts"
    attempts = {
        ("operator", str(places.state / "ssh_key"), known): 0,
        ("root", str(places.state / "ssh_key"), known): 255,
        ("operator", str(tmp_path / "other"), known): 255,
        ("operator", str(places.state / "ssh_key"), "-oUserKnownHostsFile=/dev/null"): 255,
    }
    for (user, key, hosts), expected in attempts.items():
        done = run("ssh", *options, hosts, "-i", key, f"{user}@10.89.79.21", "true", check=False)
        assert done.returncode == expected, (user, key, hosts, done.stderr)
    methods = run("ssh", *options, known, "-oPreferredAuthentications=none", "operator@10.89.79.21", check=False).stderr
    assert "(publickey)" in methods
    assert set(on("w1", "sudo cut -d: -f2 /etc/shadow").split()) <= {"*", "!*", "!"}
    assert oct(places.state.stat().st_mode)[-3:] == "700"


@pytest.mark.usefixtures("up")
def test_hosts_are_real_enough_for_containers():
    script = """
        set -e
        cd /var/lib/containerd && sudo mkdir -p t/l t/u t/w t/m
        sudo mount -t overlay overlay -o lowerdir=t/l,upperdir=t/u,workdir=t/w t/m && sudo touch t/m/file
        sudo umount t/m && sudo rm -r t
        findmnt --noheadings --output PROPAGATION /
        sudo ping -c1 -W2 mirror.lab.internal >/dev/null
        sudo unshare --net true
    """
    assert on("w1", script) == "shared"


@pytest.mark.usefixtures("up")
def test_a_host_is_held_to_its_flavour():
    places = model.places(NAME)
    limits = {
        path.read_text().strip()
        for group in groups.groups(places)
        for path in (group / "memory.limit_in_bytes", group / "memory.max")
        if group.name.startswith("libpod-") and path.exists()
    }
    assert str(512 << 20) in limits
    # Two busy processes on one CPU get no more than one CPU's time together, however idle the machine is.
    busy = "python3 -c 'import time; end = time.time() + 2\nwhile time.time() < end: pass\nprint(time.process_time())'"
    assert sum(map(float, on("w1", f"{busy} & {busy}; wait").split())) < 2.4


def refused(name, address):
    began = time.monotonic()
    done = on(name, f"timeout 10 bash -c 'echo > /dev/tcp/{address}' 2>/dev/null && echo open || echo shut")
    return done == "shut" and time.monotonic() - began < 5


@contextlib.contextmanager
def world():
    """A network beyond this machine, with a web server at 198.51.100.2."""
    namespace = "hepspark-itest-world"
    run("ip", "netns", "add", namespace)
    try:
        run("ip", "link", "add", "world0", "type", "veth", "peer", "name", "world1", "netns", namespace)
        run("ip", "address", "add", "198.51.100.1/24", "dev", "world0")
        run("ip", "link", "set", "world0", "up")
        run("ip", "-n", namespace, "address", "add", "198.51.100.2/24", "dev", "world1")
        run("ip", "-n", namespace, "link", "set", "world1", "up")
        Path("/proc/sys/net/ipv4/conf/world0/forwarding").write_text("1")
        server = [sys.executable, "-m", "http.server", "8000", "--directory", "/proc/self/fdinfo"]
        with subprocess.Popen(["ip", "netns", "exec", namespace, *server], stderr=subprocess.DEVNULL) as process:
            try:
                deadline = time.monotonic() + 20
                while run("bash", "-c", "echo > /dev/tcp/198.51.100.2/8000", check=False).returncode:
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
                yield
            finally:
                process.terminate()
    finally:
        run("ip", "link", "delete", "world0", check=False)
        run("ip", "netns", "delete", namespace)
        if not list(Path("/run/netns").iterdir()):
            run("umount", "/run/netns", check=False)
            Path("/run/netns").rmdir()


@pytest.mark.usefixtures("up")
def test_a_closed_lab_has_no_way_out_and_an_open_one_has():
    with world():
        assert refused("w1", "198.51.100.2/8000")
        assert refused("w1", "10.89.79.1/22")
        lab("up", "--open")
        assert on("w1", "timeout 10 bash -c 'echo > /dev/tcp/198.51.100.2/8000' && echo open") == "open"
        assert on("mirror", "systemctl is-active lab-dns") == "active"
        lab("up", "--closed")
        assert refused("w1", "198.51.100.2/8000")
        assert on("mirror", "systemctl is-active lab-dns") == "active"


@pytest.mark.usefixtures("up")
def test_names_are_served_to_pods_too():
    ask = (
        'python3 -c "import socket as s; q = s.socket(s.AF_INET, s.SOCK_DGRAM); q.settimeout(5); '
        "q.sendto(bytes.fromhex('123401000001000000000000036370310' + '36c616208696e7465726e616c0000010001'), "
        "('10.89.79.2', 53)); print(s.inet_ntoa(q.recv(512)[-4:]))\""
    )
    assert on("w1", ask) == "10.89.79.11"
    assert on("w1", "getent hosts api.lab.internal").split()[0] == "10.89.79.11"


@pytest.mark.usefixtures("up")
def test_a_worker_comes_and_goes():
    lab("add", "w2")
    assert status()["w2"]["state"] == "running"
    assert on("cp1", "getent hosts w2").split()[0] == "10.89.79.22"
    lab("remove", "w2")
    assert "w2" not in status()
    assert on("cp1", "getent hosts w2 || echo gone") == "gone"
    assert not list(model.places(NAME).storage.glob("volumes/w2*"))


@pytest.mark.usefixtures("up")
def test_a_restart_keeps_the_disk_and_forgets_the_rest():
    on("w1", "echo kept | sudo tee -a /etc/hosts /var/lib/kubelet/file")
    on("w1", "sudo touch /run/left; sudo ip link add left type bridge")
    first = started()
    lab("stop", "w1")
    assert status()["w1"]["state"] == "stopped"
    lab("start", "w1")
    left = "grep kept /etc/hosts; cat /var/lib/kubelet/file; ls -d /run/left /sys/class/net/left 2>/dev/null || true"
    assert on("w1", left) == "kept\nkept"
    second = started()
    assert {name for name in first if first[name] != second[name]} == {"w1"}


@pytest.mark.usefixtures("up")
def test_one_command_at_a_time():
    with (model.places(NAME).cache / "lab" / f"{NAME}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = lab("down", check=False)
    assert (done.returncode, "another command works on the lab" in done.stderr) == (1, True)


def bridge_made(places):
    return Path("/sys/class/net", f"hl-{places.name}").exists()


def first_host_starts(places):
    return any(group.name.startswith("libpod-") for group in groups.groups(places))


@contextlib.contextmanager
def interrupted(moment, ending):
    """A start that ends in the middle."""
    places = model.places(NAME)
    command = [sys.executable, "-m", "deploy.lab", "--lab", NAME, "up", *SMALL]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not moment(places):
            assert time.monotonic() < deadline
            assert process.poll() is None, "it was over too soon"
        process.send_signal(ending)
        yield process.wait()


# Last, because they take the lab down.
@pytest.mark.parametrize(
    ("moment", "ending", "code"),
    [
        (bridge_made, signal.SIGKILL, -9),
        (first_host_starts, signal.SIGKILL, -9),
        (first_host_starts, signal.SIGINT, 130),
    ],
)
def test_an_interrupted_start_is_removed_without_a_trace(before, moment, ending, code):
    lab("down")
    with interrupted(moment, ending) as found:
        assert found == code
        lab("down")
    assert left(before) == []


def test_an_interrupted_start_is_completed_by_the_next(before):
    with interrupted(first_host_starts, signal.SIGTERM) as found:
        assert found == 143
    lab("up", *SMALL)
    assert {one["state"] for one in status().values()} == {"running"}
    lab("down")
    assert left(before) == []
