"""The mirror filled from a local server and a local registry with upstream's layout, and from tiny Go modules."""

import functools
import gzip
import hashlib
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import pytest
import yaml

from deploy.errors import DeployError, InputError
from deploy.mirror import check, entries, registry
from deploy.mirror.builders import debian
from deploy.mirror.builders.layout import Layer, write_layout
from deploy.mirror.bundle import write_bundle
from deploy.mirror.fill import fill
from deploy.mirror.order import Order, entry_names
from deploy.mirror.places import Places, default_folder
from deploy.mirror.upstream import Sources, load_sources
from deploy.mirror.versions import RECIPES, load_versions
from tests.unit.test_mirror_debian import build_package

ROOT = Path(__file__).parents[3]
# What a shell starts in the background ignores SIGINT, and so does all that it starts.
INTERRUPTIBLE = ("env", "--default-signal=INT")


@pytest.fixture(scope="module")
def registry_program():
    """The registry of the user's own mirror."""
    program = default_folder() / "www" / load_versions().components["registry"].paths()["registry"]
    if not program.exists():
        pytest.fail(f"{program} is missing: run `make mirror`, as `make test-deploy` does", pytrace=False)
    return program


class Upstream(http.server.ThreadingHTTPServer):
    """A server of a folder, on which a download of `blocked` waits until it is released."""

    def __init__(self, folder):
        self.asked, self.released = threading.Event(), threading.Event()
        super().__init__(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))


class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/blocked" and not self.server.released.is_set():
            self.server.asked.set()
            self.server.released.wait(60)
            return
        super().do_GET()


@pytest.fixture
def upstream_server(tmp_path):
    folder = tmp_path / "upstream"
    folder.mkdir()
    with Upstream(folder) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def upstream_files(tmp_path, upstream_server):
    """A folder, and the address of the server that serves it."""
    return tmp_path / "upstream", f"http://127.0.0.1:{upstream_server.server_port}"


def layout_of(folder, tar, config):
    """An image of one layer."""
    return write_layout(folder / "layout", [Layer.write(tar, folder)], config)


@pytest.fixture
def upstream_images(tmp_path, registry_program):
    """The address of a registry that has upstream/tool:v1."""
    work = tmp_path / "upstream-registry"
    work.mkdir()
    layout = layout_of(work, b"\0" * 1024, {"Labels": {"whose": "upstream"}})
    with registry.serve(registry_program, work / "storage", work, work / "log") as address:
        registry.push(layout, address, "upstream/tool:v1", work / "log")
        yield address


def publish(folder, path, content, checksum=None):
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    target.with_name(f"{target.name}.sha256").write_text(checksum or hashlib.sha256(content).hexdigest())


def component(version="v1", **more):
    return {
        "version": version,
        "licence": "MIT",
        "build": {"go": {"binaries": {"tool": "example/tool"}}},
        "files": {"tool": "release/{version}/tool"},
        "upstream": {"files": "there"},
        **more,
    }


def order(tmp_path, components, **more):
    path = tmp_path / "versions.yaml"
    path.write_text(yaml.safe_dump({"components": components, "debian": {}}, sort_keys=False))
    return Order(Places(tmp_path / "mirror"), load_versions(path), versions_file=path, **more)


@pytest.fixture
def fetch(tmp_path, upstream_files, registry_program):
    """Fill a mirror in `upstream` mode from components; its registry's program is already there."""

    def fetch(components, images="", **more):
        program = {
            "version": "v9",
            "licence": "MIT",
            "build": {"go": {"binaries": {"registry": "example/registry"}}},
            "files": {"registry": "registry"},
            "upstream": {"files": "there"},
        }
        publish(upstream_files[0], "registry", registry_program.read_bytes())
        sources = Sources(files={"there": upstream_files[1]}, images={"there": f"http://{images}"} if images else {})
        asked = order(tmp_path, {"registry": program, **components}, mode="upstream", sources=sources, **more)
        return asked, fill(asked, lambda _: None)

    return fetch


IMAGES = {
    "images": {"tool": "upstream/tool"},
    "build": {"go": {"binaries": {"tool": "x"}}, "images": {"tool": {}}},
    "upstream": {"files": "there", "images": "there"},
}


def test_upstream_mode_takes_files_and_images_as_they_are(tmp_path, fetch, upstream_files, upstream_images):
    publish(upstream_files[0], "release/v1/tool", b"a tool")
    asked, made = fetch({"tool": component(**IMAGES)}, upstream_images)
    places = asked.places
    assert made == ["registry", "tool"]
    assert (places.www / "release/v1/tool").read_bytes() == b"a tool"
    assert (places.www / "release/v1/tool.sha256").read_text() == hashlib.sha256(b"a tool").hexdigest() + "\n"
    source = registry.stored_digest(tmp_path / "upstream-registry" / "storage", "upstream/tool:v1")
    assert registry.stored_digest(places.registry, "upstream/tool:v1") == source
    rows = {row["place"]: row for row in json.loads((places.www / "bom.json").read_text())}
    assert rows["upstream/tool:v1"]["checksum"] == source
    assert rows["release/v1/tool"]["size"] == 6
    assert rows["release/v1/tool"]["licence"] == "MIT"
    assert upstream_files[1] in rows["release/v1/tool"]["source"]
    assert not list(places.root.glob("work.*"))
    assert check.check_mirror(places, entry_names(asked.versions)) == []
    # The second time nothing is asked for, from anybody.
    (upstream_files[0] / "release/v1/tool").unlink()
    assert fetch({"tool": component(**IMAGES)}, upstream_images)[1] == []


def test_a_wrong_checksum_stops_with_the_entry_and_the_address(fetch, upstream_files):
    publish(upstream_files[0], "release/v1/tool", b"a tool", checksum="0" * 64)
    with pytest.raises(
        DeployError, match=rf"tool: {upstream_files[1]}/release/v1/tool has .* but the file beside it has 0+;"
    ):
        fetch({"tool": component()})


def test_a_missing_file_or_checksum_stops_with_the_entry_and_the_address(fetch, upstream_files):
    with pytest.raises(DeployError, match=rf"tool: {upstream_files[1]}/release/v1/tool\.sha256 .* 404"):
        fetch({"tool": component()})
    publish(upstream_files[0], "release/v1/tool", b"")
    (upstream_files[0] / "release/v1/tool").unlink()
    with pytest.raises(DeployError, match=rf"tool: {upstream_files[1]}/release/v1/tool cannot be fetched: .* 404"):
        fetch({"tool": component()})
    publish(upstream_files[0], "release/v1/tool", b"a", checksum="<html>")
    with pytest.raises(DeployError, match=r"tool\.sha256 does not begin with a SHA-256 checksum"):
        fetch({"tool": component()})


def test_a_missing_image_stops_with_the_entry_and_the_address(fetch, upstream_files, upstream_images):
    publish(upstream_files[0], "release/v2/tool", b"a tool")
    with pytest.raises(DeployError, match=rf"(?s)tool: the image {upstream_images}/upstream/tool:v2 cannot be copied"):
        fetch({"tool": component("v2", **IMAGES)}, upstream_images)


def test_what_was_finished_before_a_failure_stays_and_the_next_fill_goes_on(fetch, upstream_files):
    publish(upstream_files[0], "release/v1/tool", b"a tool")
    both = {"tool": component(), "other": component(files={"tool": "other"})}
    with pytest.raises(DeployError, match="other"):
        fetch(both)
    publish(upstream_files[0], "other", b"another")
    asked, made = fetch(both)
    assert made == ["other"]
    assert {path.name for path in asked.places.root.iterdir()} == {"entries", "lock", "www"}


def test_a_new_version_replaces_the_old_one(tmp_path, fetch, upstream_files, upstream_images):
    publish(upstream_files[0], "release/v1/tool", b"a tool")
    fetch(
        {"tool": component(**IMAGES), "gone": component(files={"tool": "gone"}) | {"upstream": None}},
        upstream_images,
        only=("tool",),
    )
    publish(upstream_files[0], "release/v2/tool", b"a newer tool")
    layout = layout_of(tmp_path, b"\0" * 2048, {})
    registry.push(layout, upstream_images, "upstream/tool:v2", tmp_path / "log")
    asked, made = fetch({"tool": component("v2", **IMAGES)}, upstream_images)
    assert made == ["tool"]
    files = {path.relative_to(asked.places.www).as_posix() for path in asked.places.www.rglob("*") if path.is_file()}
    tool = {"release/v2/tool", "release/v2/tool.sha256"}
    lists = {"bom.json", "versions.yaml", "sbom/upstream_tool_v2.cdx.json"}
    assert files == tool | {"registry", "registry.sha256"} | lists
    assert registry.references(asked.places.registry) == {"upstream/tool:v2"}
    old, new = (Layer.write(b"\0" * size, tmp_path).digest for size in (1024, 2048))
    assert any(new in path.as_posix() for path in asked.places.registry.rglob("data"))
    assert not any(old in path.as_posix() for path in asked.places.registry.rglob("data"))
    assert check.check_mirror(asked.places, entry_names(asked.versions)) == []


def test_one_entry_alone_and_an_unknown_one(fetch, upstream_files):
    publish(upstream_files[0], "release/v1/tool", b"a tool")
    both = {"tool": component(), "other": component(files={"tool": "other"})}
    assert fetch(both, only=("tool",))[1] == ["tool"]
    assert fetch(both, only=("tool",))[1] == []
    assert fetch(both, only=("tool",), again=True)[1] == ["tool"]
    with pytest.raises(InputError, match=r"no entry nonsense in versions\.yaml; there are registry, tool, other"):
        fetch(both, only=("nonsense",))


def test_a_full_disk_is_told_before_anything_is_fetched(fetch, monkeypatch):
    monkeypatch.setattr("deploy.mirror.fill.FETCH_GIGABYTES", 10**9)
    with pytest.raises(InputError, match=r"GB free, and making registry, tool temporarily needs up to 1000000000 GB"):
        fetch({"tool": component()})


def test_sources_that_lack_an_address_are_refused_by_key(tmp_path):
    program = component(files={"registry": "x"}, build={"go": {"binaries": {"registry": "x"}}})
    versions = order(tmp_path, {"registry": program, "tool": component(**IMAGES)}).versions
    path = tmp_path / "sources.yaml"
    path.write_text("files: {}\n")
    with pytest.raises(InputError, match=r"lacks files\.there \(for tool\), images\.there \(for tool\)"):
        load_sources(path, versions, ["tool"])
    path.write_text("file: {}\n")
    with pytest.raises(InputError, match=r"sources\.yaml is wrong"):
        load_sources(path, versions, ["tool"])
    with pytest.raises(InputError, match="needs --sources FILE"):
        load_sources(None, versions, ["tool"])


def test_damage_is_found_and_named_and_the_next_fill_mends_what_is_gone(fetch, upstream_files, upstream_images):
    publish(upstream_files[0], "release/v1/tool", b"a tool")
    asked, _ = fetch({"tool": component(**IMAGES)}, upstream_images)
    names, places = entry_names(asked.versions), asked.places
    (places.www / "release/v1/tool").write_bytes(b"a fool")
    assert any("release/v1/tool has changed since" in fault for fault in check.check_mirror(places, names))
    entry = entries.read(places, "tool")
    picture = next(artefact for artefact in entry.artefacts if artefact.kind == "image")
    layer = next(d for d in registry.blobs(places.registry, picture.checksum) if d != picture.checksum)
    path = registry.blob_path(places.registry, layer)
    path.write_bytes(b"x" * path.stat().st_size)
    assert any(f"upstream/tool:v1 ({path}) has changed" in fault for fault in check.check_mirror(places, names))
    path.write_bytes(b"short")
    (places.www / "release/v1/tool").unlink()
    faults = check.check_mirror(places, names)
    assert {fault.split(" is missing")[0] for fault in faults} == {"tool: upstream/tool:v1", "tool: release/v1/tool"}
    assert fetch({"tool": component(**IMAGES)}, upstream_images)[1] == ["tool"]
    assert check.check_mirror(places, names) == []


def test_a_bundle_is_unpacked_and_checked(tmp_path, fetch, upstream_files, upstream_images):
    publish(upstream_files[0], "release/v1/tool", b"a tool")
    asked, _ = fetch({"tool": component(**IMAGES)}, upstream_images)
    write_bundle(asked.places, tmp_path / "bundle.tar")
    unpacked = tmp_path / "unpacked"
    with tarfile.open(tmp_path / "bundle.tar") as archive:
        assert {member.uname for member in archive} == {""}
        archive.extractall(unpacked, filter="data")
    assert "sha256sum" in (unpacked / "SERVE.md").read_text()
    subprocess.run(["sha256sum", "--quiet", "--check", "SHA256SUMS"], cwd=unpacked, check=True)
    assert check.check_bundle(unpacked) == []
    # It is a mirror of its own: nothing is left to make.
    again = Order(Places(unpacked), asked.versions, mode="upstream")
    assert again.unfinished() == []
    (unpacked / "www/release/v1/tool").write_bytes(b"a fool")
    (unpacked / "www/bom.json").unlink()
    (unpacked / "www/stray").touch()
    assert [fault.split()[0] for fault in check.check_bundle(unpacked)] == [
        "www/bom.json",
        "www/release/v1/tool",
        "www/stray",
    ]


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A Go module of one's own as the recipe of component `tool`."""
    recipes = tmp_path / "recipes"
    (recipes / "tool").mkdir(parents=True)
    (recipes / "tool" / "go.mod").write_text("module example/tool\n\ngo 1.21\n")
    (recipes / "tool" / "go.sum").touch()
    (recipes / "tool" / "main.go").write_text(
        'package main\n\nvar version = "none"\n\nfunc main() { println(version) }\n'
    )
    monkeypatch.setattr("deploy.mirror.builders.go.RECIPES", recipes)
    monkeypatch.setattr("deploy.mirror.entries.RECIPES", recipes)
    return recipes / "tool"


BUILT = {
    "build": {
        "go": {"binaries": {"tool": "example/tool"}, "variables": {"main.version": "{version}"}},
        "archives": {"packed": {"linux-amd64/tool": "tool"}},
    },
    "files": {"tool": "tool", "packed": "tool-{version}.tar.gz"},
}


def test_build_mode_makes_a_program_with_its_version(tmp_path, module):
    asked = order(tmp_path, {"tool": component(**BUILT)})
    assert fill(asked, lambda _: None) == ["tool"]
    program = asked.places.www / "tool"
    program.chmod(0o755)
    assert subprocess.run([program], check=True, capture_output=True, text=True).stderr == "v1\n"
    with tarfile.open(asked.places.www / "tool-v1.tar.gz") as archive:
        assert archive.extractfile("linux-amd64/tool").read() == program.read_bytes()
    assert fill(asked, lambda _: None) == []
    (module / "main.go").write_text('package main\n\nfunc main() { println("changed") }\n')
    assert fill(asked, lambda _: None) == ["tool"]
    assert not list(asked.places.root.glob("work.*"))


def test_a_failed_build_shows_the_end_of_its_output_and_where_the_rest_is(tmp_path, module):
    (module / "main.go").write_text("package main\n\nfunc main() { nonsense() }\n")
    asked = order(tmp_path, {"tool": component(**BUILT)})
    with pytest.raises(DeployError, match=r"(?s)tool\.log, its end:.*undefined: nonsense"):
        fill(asked, lambda _: None)
    assert not list(asked.places.root.glob("work.*"))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_fill_leaves_finished_entries_only(tmp_path, upstream_files, upstream_server, how):
    folder, address = upstream_files
    publish(folder, "first", b"finished")
    publish(folder, "blocked", b"now")
    components = {
        "registry": component(files={"registry": "first"}, build={"go": {"binaries": {"registry": "x"}}}),
        "tool": component(files={"tool": "blocked"}),
    }
    asked = order(tmp_path, components, mode="upstream", sources=Sources(files={"there": address}))
    (tmp_path / "sources.yaml").write_text(yaml.safe_dump({"files": {"there": address}}))
    options = {"mode": "upstream", "sources": "sources.yaml", "versions": "versions.yaml", "folder": "mirror"}
    process = subprocess.Popen(
        [
            *INTERRUPTIBLE,
            sys.executable,
            "-m",
            "deploy.mirror",
            "fill",
            *(f"--{name}={value}" for name, value in options.items()),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert upstream_server.asked.wait(60), process.communicate(timeout=1)
    process.send_signal(how)
    _, told = process.communicate(timeout=30)
    assert process.returncode == (-9 if how == signal.SIGKILL else 130), told
    assert "Traceback" not in told
    assert [path.name for path in asked.places.entries.glob("*")] == ["registry.json"]
    assert list(asked.places.root.glob("work.*")) == [] or how == signal.SIGKILL
    upstream_server.released.set()
    assert fill(asked, lambda _: None) == ["tool"]
    assert list(asked.places.root.glob("work.*")) == []


def test_programs_end_with_what_started_them(tmp_path):
    script = tmp_path / "start.py"
    script.write_text(
        "import pathlib, sys\nfrom deploy.mirror.process import run\n"
        "run(['sh', '-c', 'echo $$ >pid; exec sleep 600'], pathlib.Path('log'))\n"
    )
    for how in (signal.SIGINT, signal.SIGKILL):
        starter = subprocess.Popen(
            [sys.executable, script],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 30
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().endswith("\n"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        child = Path("/proc") / (tmp_path / "pid").read_text().strip()
        (tmp_path / "pid").unlink()
        starter.send_signal(how)
        starter.wait(timeout=30)
        while child.exists() and "State:\tZ" not in (child / "status").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_second_fill_waits_for_the_first_unless_all_it_wants_is_there(fetch, upstream_files):
    publish(upstream_files[0], "release/v1/tool", b"a tool")
    asked, _ = fetch({"tool": component()})
    lock = asked.places.root / "lock"
    with subprocess.Popen(["flock", lock, "cat"], stdin=subprocess.PIPE) as holder:
        deadline = time.monotonic() + 30
        while subprocess.run(["flock", "--nonblock", lock, "true"], check=False).returncode == 0:
            assert time.monotonic() < deadline
        assert fill(asked, lambda _: None) == []
        (asked.places.www / "release/v1/tool").unlink()
        told, made = [], []
        thread = threading.Thread(target=lambda: made.extend(fill(asked, told.append)))
        thread.start()
        while not told:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert "waiting" in told[0]
        holder.communicate()
        thread.join(timeout=30)
    assert made == ["tool"]


def test_apt_takes_packages_from_a_signed_repository_and_refuses_a_changed_one(tmp_path):
    packages = [build_package(tmp_path, "base", "1:1.0"), build_package(tmp_path, "thing", "2.0-1", "base")]
    repository = tmp_path / "www" / "12"
    debian.write_repository(packages, repository, "bookworm", tmp_path / "log")
    key = tmp_path / "www" / "key.asc"
    debian.sign([repository], key, tmp_path / "log")
    assert "PUBLIC KEY" in key.read_text()
    assert not list(Path("/tmp").glob("hepspark-gpg-*"))
    state = tmp_path / "apt"
    for folder in ("lists/partial", "archives/partial", "parts", "cache"):
        (state / folder).mkdir(parents=True)
    (state / "status").touch()
    (state / "sources.list").write_text(f"deb [signed-by={key}] file:{repository} ./\n")
    apt = ["apt-get", *debian._apt_options(state), "-o", "APT::Update::Error-Mode=any"]
    subprocess.run([*apt, "update"], check=True, capture_output=True)
    simulated = subprocess.run([*apt, "-s", "install", "thing"], check=True, capture_output=True, text=True).stdout
    assert "Inst base (1:1.0" in simulated
    with (repository / "Packages").open("a") as index:
        index.write("\n")
    (repository / "Packages.gz").write_bytes(gzip.compress((repository / "Packages").read_bytes()))
    shutil.rmtree(state / "lists")
    (state / "lists" / "partial").mkdir(parents=True)
    changed = subprocess.run([*apt, "update"], check=False, capture_output=True, text=True)
    assert changed.returncode, changed.stdout


def test_our_approver_keeps_to_its_policy():
    go = subprocess.run([ROOT / "tools" / "go.sh"], check=True, capture_output=True, text=True).stdout.strip()
    recipe = RECIPES / "kubelet-csr-approver" / "approval"
    subprocess.run(
        [go, "test", "./..."], cwd=recipe, check=True, env={**os.environ, "GOFLAGS": "-mod=readonly -buildvcs=false"}
    )


def test_the_images_are_those_that_this_kubeadm_names(tmp_path):
    versions = load_versions()
    places = Places(default_folder())
    names = ("kubernetes", "etcd", "coredns", "pause")
    if not all(entries.read(places, name) for name in names):
        pytest.skip("the mirror is not filled")
    program = tmp_path / "kubeadm"
    program.write_bytes((places.www / versions.components["kubernetes"].paths()["kubeadm"]).read_bytes())
    program.chmod(0o755)
    version = versions.components["kubernetes"].version
    command = [program, "config", "images", "list", "--kubernetes-version", version, "--image-repository", "mirror"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    ours = {reference for name in names for reference in versions.components[name].references().values()}
    # With a registry of one's own, kubeadm leaves out the folder of CoreDNS.
    assert {line.removeprefix("mirror/") for line in listed} == {r.removeprefix("coredns/") for r in ours}
