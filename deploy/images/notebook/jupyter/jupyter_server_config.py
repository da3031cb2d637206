"""JupyterLab of a user's server: what it shows beside notebooks, and when it lets kernels go."""

import os
import sys
from typing import Any

config: Any = get_config()  # type: ignore[name-defined] # noqa: F821

# Spark's pages, behind the hub's sign-in. The name is part of their address, which must not contain "proxy": the pages
# take that for a proxy of Spark's own.
config.ServerProxy.servers = {
    "sparkui": {
        "port": 4040,
        "absolute_url": False,
        "launcher_entry": {"enabled": False},
    },
    "sparkhistory": {
        "command": [sys.executable, "-m", "hepspark.notebook.history_server", "{port}"],
        "timeout": 60,  # Java starts on the share of a core
        "absolute_url": False,
        "launcher_entry": {"title": "Spark history"},
    },
}
# Executors leave with their kernel. One that computes is not idle, nor is one whose page is open; 0: never.
config.MappingKernelManager.cull_idle_timeout = 60 * int(os.environ.get("HEPSPARK_IDLE_MINUTES", "0"))
config.MappingKernelManager.cull_interval = 60
# A cookie works so long after its user has signed out, and without the hub; 0 would be for ever.
config.HubOAuth.cache_max_age = 30
