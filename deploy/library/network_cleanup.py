"""Ansible module: removes what Kubernetes' network left in a host's kernel."""

import json
import re

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: network_cleanup
short_description: Remove the links, routes and packet filter rules of Kubernetes' network
options:
  pod_network: {type: str, required: true, description: Network of the pods}
"""
EXAMPLES = """
- network_cleanup:
    pod_network: 10.244.0.0/16
"""
RETURN = """
removed: {type: list, elements: str, description: What was removed, returned: always}
"""

LINKS = ("cni0", "flannel.1", "kube-ipvs0")
TABLES = re.compile(r"kube-proxy|flannel-.*")
CHAINS = re.compile(r"\b(KUBE|FLANNEL|CNI)-")


def remove_links(module: AnsibleModule) -> list[str]:
    """Bridges and tunnels of the pods."""
    _, text, _ = module.run_command(["ip", "-json", "link", "show"], check_rc=True)
    found = [link["ifname"] for link in json.loads(text) if link["ifname"] in LINKS]
    for name in found:
        module.run_command(["ip", "link", "delete", name], check_rc=True)
    return [f"link {name}" for name in found]


def remove_routes(module: AnsibleModule, network: str) -> list[str]:
    """Routes to other hosts' pods."""
    _, text, _ = module.run_command(["ip", "-json", "route", "show", "root", network], check_rc=True)
    found = [route["dst"] for route in json.loads(text or "[]")]
    if found:
        module.run_command(["ip", "route", "flush", "root", network], check_rc=True)
    return [f"route {route}" for route in found]


def remove_tables(module: AnsibleModule) -> list[str]:
    """Tables of their own in nftables."""
    if not module.get_bin_path("nft"):
        return []
    _, text, _ = module.run_command(["nft", "--json", "list", "tables"], check_rc=True)
    tables = [entry["table"] for entry in json.loads(text)["nftables"] if "table" in entry]
    found = [(table["family"], table["name"]) for table in tables if TABLES.fullmatch(table["name"])]
    for family, name in found:
        module.run_command(["nft", "delete", "table", family, name], check_rc=True)
    return [f"nftables table {family} {name}" for family, name in found]


def remove_rules(module: AnsibleModule, program: str) -> list[str]:
    """Chains and rules in the tables that iptables shares with others, whose rules stay."""
    if not module.get_bin_path(f"{program}-save"):
        return []
    _, before, _ = module.run_command([f"{program}-save"], check_rc=True)
    lines = before.splitlines(keepends=True)
    kept = [line for line in lines if not CHAINS.search(line)]
    if kept != lines:
        module.run_command([f"{program}-restore"], data="".join(kept), check_rc=True)
    return [f"{len(lines) - len(kept)} lines of {program}"] if kept != lines else []


def main() -> None:
    """Answer to Ansible."""
    module = AnsibleModule(argument_spec={"pod_network": {"type": "str", "required": True}})
    removed = remove_links(module)
    removed += remove_routes(module, module.params["pod_network"])
    removed += remove_tables(module)
    for program in ("iptables", "ip6tables"):
        removed += remove_rules(module, program)
    module.exit_json(changed=bool(removed), removed=removed)


if __name__ == "__main__":
    main()
