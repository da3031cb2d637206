"""The lab as Ansible's inventory."""

from __future__ import annotations

from typing import Any

from deploy.lab import host as hosts
from deploy.lab import limits
from deploy.lab.model import DOMAIN, Lab, Places, Role


def inventory(where: Places, lab: Lab, machine: limits.Machine) -> dict[str, Any]:
    """What `ansible-inventory --list` wants of a program: groups, and every host's variables."""
    hostvars: dict[str, dict[str, Any]] = {
        one.name: {
            "ansible_host": one.address,
            "lab_release": one.release,
            **limits.variables(limits.limits(machine, cpus=one.cpus, memory=one.memory)),
        }
        for one in lab.hosts
    }
    everywhere = {
        "ansible_user": "operator",
        "ansible_become": True,
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_ssh_private_key_file": str(where.state / "ssh_key"),
        "ansible_ssh_common_args": " ".join(("-F none", *hosts.ssh_options(where))),
        "kubeconfig": str(where.state / "kubeconfig"),
        "mirror_ca_certificate": str(where.state / "ca.crt"),
        "mirror_tls_certificate": str(where.state / "mirror.crt"),
        "mirror_tls_key": str(where.state / "mirror.key"),
        # This machine does not know the lab's names.
        "mirror_operator_url": f"https://{lab.of('mirror')[0].address}",
        "lab_name": lab.name,
        "lab_state": str(where.state),
        "lab_network": lab.network,
        "lab_domain": DOMAIN,
        "lab_gateway": lab.gateway,
    }
    # A group may not have the name of a host.
    groups: dict[str, Role] = {"control_plane": "control_plane", "workers": "workers", "mirrors": "mirror"}
    return {
        "all": {"children": list(groups), "vars": everywhere},
        **{group: {"hosts": [one.name for one in lab.of(role)]} for group, role in groups.items()},
        "_meta": {"hostvars": hostvars},
    }
