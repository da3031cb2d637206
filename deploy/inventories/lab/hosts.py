#!/usr/bin/env python3
"""The lab's hosts, for Ansible; which lab, tells HEPSPARK_LAB."""

import os
from pathlib import Path

root = Path(__file__).resolve().parents[3]
# This file is run by whatever Python is first; the lab needs the project's.
python = root / ".venv" / "bin" / "python"
os.chdir(root)
os.execv(python, [str(python), "-m", "deploy.lab", "inventory"])  # noqa: S606
