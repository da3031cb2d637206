"""One host: a container with systemd as its first process, and what makes it this host and no other."""

from __future__ import annotations

import io
import shutil
import tarfile
import uuid
from pathlib import Path

from deploy.errors import DeployError
from deploy.lab import groups, keys, limits, network, podman, shell
from deploy.lab.model import DOMAIN, Host, Lab, Places

_BOOT_SECONDS = 120
_SSH_SECONDS = 30
_SHUTDOWN_SECONDS = 30
_OPERATOR = (1000, 100)  # its user and group in the base images
_BEGIN, _END = "# hepspark lab: begin", "# hepspark lab: end"

# Real file systems of their own: containerd's overlay cannot lie on the host's own overlay.
_VOLUMES = ("/var/lib/containerd", "/var/lib/kubelet", "/var/lib/etcd", "/srv/data")

_TMPFS = (
    "/run:rw,nosuid,nodev,mode=755",
    "/run/lock:rw,nosuid,nodev,noexec,mode=1777",
    "/tmp:rw,nosuid,nodev,mode=1777",  # noqa: S108 - the host's, not this machine's
)

_DNS_UNIT = """[Unit]
Description=Name server of the lab
After=network.target
[Service]
# It goes to the background when it is ready; a reload before that would end it.
Type=forking
PIDFile=/run/lab-dns.pid
ExecStart=/usr/sbin/dnsmasq --pid-file=/run/lab-dns.pid --conf-file=/etc/lab-dns.conf
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
[Install]
WantedBy=multi-user.target
"""


def start(where: Places, lab: Lab, host: Host, image: str) -> bool:
    """Makes a host if it is not there and starts it if it does not run.

    Returns:
        Whether there was anything to do.
    """
    there = podman.containers(where).get(host.name)
    if there and there.running and network.attached(where, host):
        return False
    if there:
        # A start that was interrupted leaves processes that podman does not know of.
        groups.kill(where, there.id)
        groups.remove(where, there.id)
        shutil.rmtree(where.run / "runc" / there.id, ignore_errors=True)
    network.attach(where, lab, host)
    if not _made(where, host).exists():
        if there:
            podman.podman(where, "rm", "--force", host.name)
        # What podman had begun to make when it was interrupted, it knows as storage only.
        podman.podman(where, "rm", "--force", "--storage", host.name, check=False)
        podman.podman(where, *_create(where, lab, host, image))
        # Otherwise podman would give every file to root.
        podman.podman(where, "cp", "--archive=false", "-", f"{host.name}:/", stdin=_identity(where, lab, host))
    podman.podman(where, "start", host.name)
    _made(where, host).touch()
    return True


def _made(where: Places, host: Host) -> Path:
    """The mark of a host that has started once: what it changed of its files stays from then on."""
    return where.state / "hosts" / f"{host.name}.made"


def _create(where: Places, lab: Lab, host: Host, image: str) -> list[str]:
    volumes = [f"{_volume(host, path)}:{path}:exec,suid,dev" for path in _VOLUMES]
    if host.role == "mirror":
        volumes.append(f"{where.mirror}:/srv/mirror:ro")
    return [
        "create",
        f"--name={host.name}",
        f"--hostname={host.name}",
        f"--network=ns:{where.namespace(host.name)}",
        "--no-hosts",
        "--dns=none",
        "--privileged",
        "--cgroupns=private",
        f"--cgroup-parent=/hepspark-{lab.name}",
        # Podman's own way of running systemd binds the machine's systemd cgroups over the host's.
        "--systemd=false",
        "--stop-signal=SIGRTMIN+3",
        "--env=container=podman",
        *(f"--env={name}={value}" for name, value in limits.environment(host.release, limits.detect()).items()),
        *(f"--tmpfs={entry}" for entry in _TMPFS),
        *(f"--volume={entry}" for entry in volumes),
        f"--cpus={host.cpus}",
        f"--memory={host.memory}",
        f"--memory-swap={host.memory}",
        "--pids-limit=-1",
        "--log-driver=none",
        image,
        # As on any host, mounts that kubelet makes are seen by the pods that ask for it.
        "sh",
        "-c",
        "mount --make-rshared / && exec /lib/systemd/systemd",
    ]


def _volume(host: Host, path: str) -> str:
    return host.name + path.replace("/", "-")


def hosts_block(lab: Lab) -> str:
    """The lab's part of /etc/hosts."""
    lines = [f"{host.address} {host.name}.{DOMAIN} {host.name}" for host in lab.hosts]
    lines += [f"{host.address} api.{DOMAIN}" for host in lab.of("control_plane")]
    return "\n".join((_BEGIN, *lines, _END, ""))


def _identity(where: Places, lab: Lab, host: Host) -> bytes:
    """The files that make a host this host, as an archive to unpack at its root."""
    key = keys.host_key(where, host.name)
    mirror = lab.of("mirror")[0].address
    files: dict[str, tuple[str | bytes, int]] = {
        "etc/hosts": ("127.0.0.1 localhost\n::1 localhost ip6-localhost\n" + hosts_block(lab), 0o644),
        "etc/resolv.conf": (f"search {DOMAIN}\nnameserver {mirror}\n", 0o644),
        "etc/machine-id": (uuid.uuid5(uuid.NAMESPACE_DNS, key.read_text()).hex + "\n", 0o444),
        "etc/ssh/ssh_host_ed25519_key": (key.read_bytes(), 0o600),
        "etc/ssh/ssh_host_ed25519_key.pub": (key.with_suffix(".pub").read_bytes(), 0o644),
        "home/operator/.ssh/authorized_keys": (keys.ssh_key(where).with_suffix(".pub").read_bytes(), 0o644),
    }
    if host.role == "mirror":
        files["etc/systemd/system/lab-dns.service"] = (_DNS_UNIT, 0o644)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        folder = tarfile.TarInfo("home/operator/.ssh")
        folder.type, folder.mode, (folder.uid, folder.gid) = tarfile.DIRTYPE, 0o700, _OPERATOR
        archive.addfile(folder)
        for name, (content, mode) in files.items():
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), mode
            if name.startswith("home/operator/"):
                entry.uid, entry.gid = _OPERATOR
            archive.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


def nameservers() -> list[str]:
    """The name servers of this machine that a host can reach too."""
    for path in (Path("/run/systemd/resolve/resolv.conf"), Path("/etc/resolv.conf")):
        if path.exists():
            words = [line.split() for line in path.read_text().splitlines()]
            return [w[1] for w in words if len(w) > 1 and w[0] == "nameserver" and not w[1].startswith("127.")]
    return []


def ready(where: Places, host: Host, *, fresh: bool) -> None:
    """Waits until a host has booted and lets the operator in.

    Args:
        where: Where the lab lies.
        host: The host.
        fresh: It was started just now, so that every unit has to run; later that is its users' business.

    Raises:
        DeployError: it did not in time, or a unit failed.
    """
    state = ""

    def booted() -> bool:
        nonlocal state
        state = _systemctl(where, host, "is-system-running")
        return state in ("running", "degraded")

    if not shell.wait(booted, _BOOT_SECONDS) or (fresh and state != "running"):
        failed = _systemctl(where, host, "--failed", "--plain", "--no-legend")
        raise DeployError(
            f"the host {host.name} is `{state or 'silent'}`, failed units: {failed or 'none'}; "
            "start it again with `python -m deploy.lab restart HOST`, or remove the lab with `make lab-down`"
        )
    if not shell.wait(lambda: shell.succeeds([*ssh(where, host), "true"]), _SSH_SECONDS):
        said = shell.run([*ssh(where, host), "true"], check=False).stderr.decode().strip()
        raise DeployError(f"the host {host.name} runs but does not answer by ssh at {host.address}: {said}")


def _systemctl(where: Places, host: Host, *arguments: str) -> str:
    return podman.podman(where, "exec", host.name, "systemctl", *arguments, check=False).stdout.decode().strip()


def ssh_options(where: Places) -> list[str]:
    """Options by which ssh takes the lab's keys and no others."""
    return [
        f"-oUserKnownHostsFile={where.state / 'known_hosts'}",
        "-oGlobalKnownHostsFile=/dev/null",
        "-oStrictHostKeyChecking=yes",
        "-oIdentitiesOnly=yes",
    ]


def ssh(where: Places, host: Host) -> list[str]:
    """The command that opens a shell on a host."""
    return [
        "ssh", "-F", "none", "-i", str(where.state / "ssh_key"), *ssh_options(where),
        "-oBatchMode=yes", "-oConnectTimeout=5", f"operator@{host.address}",
    ]  # fmt: skip


# Brings a running host's part of /etc/hosts up to date.
_RENAME = f"""
set -eu
cat > /run/lab-hosts
sed -n '/^{_BEGIN}$/,/^{_END}$/p' /etc/hosts | cmp -s - /run/lab-hosts && exit 0
sed '/^{_BEGIN}$/,/^{_END}$/d' /etc/hosts | cat - /run/lab-hosts > /run/lab-all-hosts
cat /run/lab-all-hosts > /etc/hosts
"""
# Brings the lab's name server up to date; it reads /etc/hosts when told to.
_SERVE_NAMES = """
set -eu
cat > /run/lab-dns.conf
cmp -s /run/lab-dns.conf /etc/lab-dns.conf || { cp /run/lab-dns.conf /etc/lab-dns.conf; systemctl stop lab-dns; }
systemctl enable --quiet --now lab-dns
systemctl reload lab-dns
"""


def rename(where: Places, lab: Lab, host: Host) -> None:
    """Tells a running host the names of all hosts; the mirror serves them to pods too."""
    _in(where, host, _RENAME, hosts_block(lab))
    if host.role == "mirror":
        servers = "".join(f"server={address}\n" for address in (nameservers() if lab.open else ()))
        options = f"listen-address={host.address}\nbind-interfaces\nno-resolv\nlocal=/{DOMAIN}/\nbogus-priv\n"
        _in(where, host, _SERVE_NAMES, options + servers)


def _in(where: Places, host: Host, script: str, stdin: str) -> None:
    podman.podman(where, "exec", "--interactive", host.name, "sh", "-c", script, stdin=stdin.encode())


def stop(where: Places, host: Host, *, cut: bool = False) -> None:
    """Shuts a host down, or cuts its power, at once or when it takes too long."""
    podman.podman(where, "stop", f"--time={0 if cut else _SHUTDOWN_SECONDS}", host.name)


def remove(where: Places, lab: Lab, host: Host) -> None:
    """Removes a host with its disk."""
    if host.name in podman.containers(where):
        podman.podman(where, "rm", "--force", "--time=0", host.name)
    for path in _VOLUMES:
        podman.podman(where, "volume", "rm", "--force", _volume(host, path), check=False)
    network.detach(where, lab, host)
    _made(where, host).unlink(missing_ok=True)
    for key in (where.state / "hosts").glob(f"{host.name}_key*"):
        key.unlink()
