"""The lab's network: one bridge of its own, a network namespace for each host, and one nftables table.

Made here rather than by podman, whose iptables chains would outlive the lab.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path

from deploy.lab import machine, shell
from deploy.lab.model import Host, Lab, Places

_OPEN = "open"  # marks an open lab in its folder


def rules(lab: Lab) -> str:
    """The nftables table of a lab, in nft's language; loading it again replaces it."""
    own = f"{{ {lab.network}, 224.0.0.0/4, 255.255.255.255 }}"
    if lab.open:
        chains = f"""
  chain postrouting {{
    type nat hook postrouting priority srcnat
    ip saddr {lab.network} ip daddr != {lab.network} masquerade
  }}"""
    else:
        # Refused rather than dropped: what looks for a way out fails at once, not after minutes.
        chains = f"""
  chain prerouting {{
    type filter hook prerouting priority mangle
    iifname "{lab.bridge}" ip daddr != {own} reject with icmpx admin-prohibited
  }}
  chain input {{
    type filter hook input priority filter
    iifname "{lab.bridge}" ct state established,related accept
    iifname "{lab.bridge}" meta l4proto {{ icmp, ipv6-icmp }} accept
    iifname "{lab.bridge}" reject with icmpx admin-prohibited
  }}"""
    return f"table inet {lab.bridge}\ndelete table inet {lab.bridge}\ntable inet {lab.bridge} {{{chains}\n}}\n"


def uplinks() -> list[str]:
    """The interfaces of this machine's default routes."""
    words = [line.split() for line in shell.output(["ip", "-4", "route", "show", "default"]).splitlines()]
    return sorted({line[line.index("dev") + 1] for line in words if "dev" in line})


def up(where: Places, lab: Lab) -> None:
    """Makes the bridge and the rules, or brings them to what they shall be."""
    if not Path("/sys/class/net", lab.bridge).exists():
        shell.run(["ip", "link", "add", lab.bridge, "type", "bridge"])
    prefix = ipaddress.ip_network(lab.network).prefixlen
    shell.run(["ip", "address", "replace", f"{lab.gateway}/{prefix}", "dev", lab.bridge])
    shell.run(["ip", "link", "set", lab.bridge, "up"])
    shell.run(["nft", "-f", "-"], stdin=rules(lab).encode())
    machine.write(f"net/ipv4/conf/{lab.bridge}/forwarding", "1" if lab.open else "0")
    where.run.mkdir(exist_ok=True)
    if lab.open:
        # Forwarding on the interfaces concerned alone: the machine's others stay as they are.
        (where.run / _OPEN).touch()
        settings = [f"net/ipv4/conf/{link}/forwarding" for link in uplinks()]
        machine.record(machine.FORWARDING, settings)
        for setting in settings:
            machine.write(setting, "1")
    else:
        (where.run / _OPEN).unlink(missing_ok=True)
        close()


def close() -> None:
    """Puts the machine's forwarding back unless a lab is open."""
    if not list(Path("/run").glob(f"hepspark-*/{_OPEN}")):
        machine.restore(machine.FORWARDING)


def _port(lab: Lab, host: Host) -> str:
    number = int(ipaddress.ip_address(host.address)) - int(ipaddress.ip_network(lab.network).network_address)
    return f"{lab.bridge}.{number}"


def _hardware(host: Host) -> str:
    """A hardware address that a host keeps when it starts again, as others remember it; locally administered."""
    return "02:00:" + ":".join(f"{number:02x}" for number in ipaddress.ip_address(host.address).packed)


def attach(where: Places, lab: Lab, host: Host) -> None:
    """Makes a fresh network namespace for a host, as a machine has after power on."""
    detach(where, lab, host)
    namespace = where.namespace(host.name)
    namespace.parent.mkdir(parents=True, exist_ok=True)
    namespace.touch()
    shell.run(["unshare", f"--net={namespace}", "true"])
    port = _port(lab, host)
    shell.run(["ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(namespace)])
    shell.run(["ip", "link", "set", port, "master", lab.bridge, "up"])
    prefix = ipaddress.ip_network(lab.network).prefixlen
    shell.run(
        ["nsenter", f"--net={namespace}", "ip", "-batch", "-"],
        stdin=(
            "link set lo up\n"
            f"link set eth0 address {_hardware(host)}\n"
            f"address add {host.address}/{prefix} dev eth0\n"
            "link set eth0 up\n"
            f"route add default via {lab.gateway}\n"
        ).encode(),
    )


def attached(where: Places, host: Host) -> bool:
    """Whether a host's namespace is there."""
    return str(where.namespace(host.name)) in shell.mounts()


def detach(where: Places, lab: Lab, host: Host) -> None:
    """Removes a host's namespace and its end on the bridge."""
    if Path("/sys/class/net", _port(lab, host)).exists():
        shell.run(["ip", "link", "delete", _port(lab, host)])
    remove_namespace(where.namespace(host.name))


def remove_namespace(namespace: Path) -> None:
    """Removes a namespace's file, and with it the namespace once no process is left in it."""
    if namespace.exists():
        shell.run(["umount", "--quiet", str(namespace)], check=False)
        namespace.unlink(missing_ok=True)


def down(name: str) -> None:
    """Removes the bridge of the lab of that name, every host's end on it, and its rules."""
    bridge = f"hl-{name}"
    for link in sorted(Path("/sys/class/net").iterdir()):
        if link.name == bridge or link.name.startswith(f"{bridge}."):
            shell.run(["ip", "link", "delete", link.name], check=False)
    if shell.succeeds(["nft", "list", "table", "inet", bridge]):
        shell.run(["nft", "delete", "table", "inet", bridge])
