"""What is written for Ansible keeps the rules that its users expect."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent


def run(*command, **variables):
    environment = {**os.environ, "PATH": f"{PROGRAMS}:{os.environ['PATH']}", "NO_COLOR": "1", **variables}
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)


def test_ansible_lint_with_the_production_profile():
    variables = {
        "PYTHONPATH": str(REPOSITORY),
        "ANSIBLE_CONFIG": str(REPOSITORY / "deploy/ansible.cfg"),
        "ANSIBLE_INVENTORY": str(REPOSITORY / "deploy/inventories/example"),  # the lab's asks the machine
    }
    done = run("ansible-lint", "--offline", "deploy/playbooks", "deploy/roles", **variables)
    assert done.returncode == 0, done.stdout + done.stderr


def test_yamllint():
    done = run("yamllint", "--strict", "deploy", "helm", "training", ".ansible-lint", ".pre-commit-config.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
