"""What the playbooks give the charts of the platform is what these take, in every kind of site."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.deploy.charts import ROOT, succeeded

RELEASES = re.findall(r"^platform_(\w+):", (ROOT / "deploy/playbooks/group_vars/all.yml").read_text(), re.MULTILINE)
CHARTS = [name for name in RELEASES if (ROOT / "helm" / name).is_dir()]
SITES = {
    "bundled": {"mirror_url": "https://mirror.example.org", "mirror_registry": "mirror.example.org:5000"},
    "its own storage": {
        "mirror_registry": "mirror.example.org",
        "storage_backend": "external",
        "storage_endpoint": "https://s3.example.org",
        "storage_region": "eu-1",
        "storage_path_style": "false",  # as --extra-vars brings it
        "storage_ca_configmap": "site-ca",
    },
    "with TLS": {
        "mirror_registry": "mirror.example.org",
        "storage_tls_secret": "minio-tls",
        "storage_ca_configmap": "site-ca",
        "chart_values": {"minio": {"service": {"type": "NodePort"}}, "training": {"ttlSeconds": 60}},
    },
    "OpenID": {
        "mirror_registry": "mirror.example.org",
        "chart_values": {
            "jupyterhub": {
                "auth": {
                    "oidc": {
                        "clientId": "hepspark",
                        "authorizeUrl": "https://login.example.org/authorize",
                        "tokenUrl": "https://login.example.org/token",
                        "userdataUrl": "https://login.example.org/userinfo",
                        "callbackUrl": "https://notebooks.example.org/hub/oauth_callback",
                    }
                }
            }
        },
    },
    "large": {"mirror_registry": "mirror.example.org", "storage_size": "2Ti", "site_namespace": "physics"},
}


@pytest.fixture(scope="module", params=SITES)
def platform(request, tmp_path_factory):
    """The values of every release, as Ansible makes them of a site's variables."""
    folder = tmp_path_factory.mktemp("platform")
    template = ", ".join(f"'{name}': platform_{name}" for name in CHARTS)
    task = {"content": f"{{{{ {{{template}}} | to_json }}}}", "dest": str(folder / "values.json")}
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible"), "localhost", "--inventory", "localhost,", "--connection", "local",
         "--playbook-dir", "deploy/playbooks", "--module-name", "ansible.builtin.copy", "--args", json.dumps(task),
         "--extra-vars", json.dumps({"cluster_name": "site", "ansible_python_interpreter": sys.executable}),
         "--extra-vars", json.dumps(SITES[request.param])],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "ANSIBLE_CONFIG": str(ROOT / "deploy/ansible.cfg")},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "values.json").read_text())


def test_there_are_releases():
    assert {"minio", "spark"} <= set(CHARTS)


@pytest.mark.parametrize("chart", CHARTS)
def test_the_chart_takes_its_values(tool, platform, tmp_path, chart):
    values = tmp_path / "values.json"
    values.write_text(json.dumps(platform[chart]))
    succeeded(tool("helm", "lint", "--strict", "--quiet", "--values", values, f"helm/{chart}"))
    rendered = succeeded(tool("helm", "template", chart, f"helm/{chart}", "--values", values))
    assert f"image: {platform[chart]['image']['registry']}/" in rendered


@pytest.mark.parametrize("chart", CHARTS)
def test_a_value_that_the_chart_does_not_know_is_found(tool, platform, tmp_path, chart):
    values = tmp_path / "values.json"
    values.write_text(json.dumps(platform[chart] | {"unknown": 1}))
    assert "unknown" in tool("helm", "lint", "--strict", "--values", values, f"helm/{chart}").stdout


@pytest.mark.parametrize("platform", ["with TLS"], indirect=True)
def test_what_the_site_says_of_a_chart_has_the_last_word(platform):
    assert platform["minio"]["service"] == {"type": "NodePort"}
    assert platform["minio"]["tls"] == {"existingSecret": "minio-tls", "caConfigMap": "site-ca"}
    assert platform["training"]["ttlSeconds"] == 60
    assert platform["training"]["storage"]["endpoint"] == "https://minio:9000"
