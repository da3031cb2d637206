import gzip
import hashlib
import io
import itertools
import json
import tarfile
from pathlib import Path

import pytest

from deploy.mirror.builders import image
from deploy.mirror.versions import Component, Versions
from deploy.mirror.workshop import Task


@pytest.fixture
def make(tmp_path):
    numbers = itertools.count()

    def make(spec):
        component = Component.model_validate(
            {
                "version": "v1",
                "licence": "MIT",
                "build": {"go": {"binaries": {"tool": "example/tool"}}, "images": {"tool": spec}},
                "images": {"tool": "tool"},
            }
        )
        versions = Versions(components={}, debian={})
        work = tmp_path / str(next(numbers))
        task = Task(work, tmp_path / "log", versions, None, "tool", component)
        program = tmp_path / "program"
        program.write_bytes(b"\x7fELF program")
        return image.assemble(task, "tool", {"tool": program})

    return make


def parts(layout: Path):
    def blob(descriptor):
        content = (layout / "blobs" / "sha256" / descriptor["digest"].removeprefix("sha256:")).read_bytes()
        assert len(content) == descriptor["size"]
        assert hashlib.sha256(content).hexdigest() == descriptor["digest"].removeprefix("sha256:")
        return content

    manifest = json.loads(blob(json.loads((layout / "index.json").read_bytes())["manifests"][0]))
    layer = gzip.decompress(blob(manifest["layers"][0]))
    configuration = json.loads(blob(manifest["config"]))
    assert configuration["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    return configuration, tarfile.open(fileobj=io.BytesIO(layer))


def test_an_image_says_whose_it_is_and_who_runs_it(make):
    spec = {
        "binaries": {"usr/bin/tool": "tool"},
        "user": "65532:65532",
        "entrypoint": ["/usr/bin/tool"],
        "command": ["-v"],
    }
    configuration, layer = parts(make(spec))
    assert configuration["config"]["User"] == "65532:65532"
    assert configuration["config"]["Entrypoint"] == ["/usr/bin/tool"]
    assert configuration["config"]["Cmd"] == ["-v"]
    labels = configuration["config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == "v1"
    assert labels["org.opencontainers.image.licenses"] == "MIT"
    assert labels["org.opencontainers.image.source"] == "example/tool"
    names = layer.getnames()
    assert names == sorted(names)
    assert {"tmp", "usr", "usr/bin", "usr/bin/tool", "etc/passwd"} <= set(names)
    member = layer.getmember("usr/bin/tool")
    assert (member.mode, member.uid, member.gid, member.mtime) == (0o755, 0, 0, 0)
    assert layer.extractfile(member).read() == b"\x7fELF program"
    assert layer.getmember("tmp").mode == 0o1777


def test_the_same_input_gives_the_same_bytes(make, monkeypatch):
    days = itertools.count(step=86400)
    monkeypatch.setattr("time.time", lambda: next(days))
    spec = {"binaries": {"usr/bin/tool": "tool"}}
    first, second = make(spec), make(spec)
    assert (first / "index.json").read_bytes() == (second / "index.json").read_bytes()


def test_a_program_may_bind_low_ports_without_root(make):
    _, layer = parts(make({"binaries": {"dns": "tool", "other": "tool"}, "bind_low_ports": ["dns"]}))
    # struct vfs_cap_data of linux/capability.h: revision 2 and "effective"; CAP_NET_BIND_SERVICE is number 10.
    expected = (0x02000001).to_bytes(4, "little") + (1 << 10).to_bytes(4, "little") + bytes(12)
    headers = layer.getmember("dns").pax_headers
    assert headers["SCHILY.xattr.security.capability"].encode() == expected
    assert "SCHILY.xattr.security.capability" not in layer.getmember("other").pax_headers


def test_where_parts_of_an_image_come_from():
    component = Component.model_validate(
        {
            "version": "v1",
            "licence": "MIT",
            "build": {
                "go": {"binaries": {"a": "example/a", "b": "example/b"}},
                "images": {"one": {"binaries": {"a": "a"}, "debian": {"release": "12", "packages": ["x", "y"]}}},
            },
            "images": {"one": "one"},
        }
    )
    assert image.origin(component, "one") == "example/a, Debian 12: x y"
    assert image.origin(component) == "example/a, example/b, Debian 12: x y"


def tar_of(layout, digest):
    return tarfile.open(fileobj=io.BytesIO((layout / "blobs/sha256" / digest.removeprefix("sha256:")).read_bytes()))


def layers_of(layout):
    manifest = json.loads(
        (
            layout / "blobs/sha256" / json.loads((layout / "index.json").read_bytes())["manifests"][0]["digest"][7:]
        ).read_bytes()
    )
    return [layer["digest"] for layer in manifest["layers"]]


def test_each_tree_is_a_layer_that_stays_when_another_changes(tmp_path):
    spec = {"trees": {"opt/big": "big", "opt/small": "small"}, "user": "185:185", "account": "spark"}
    component = Component.model_validate(
        {
            "version": "v1",
            "licence": "MIT",
            "build": {
                "trees": {"big": {"copy": {"source": "docs"}}, "small": {"copy": {"source": "docs"}}},
                "images": {"tool": spec},
            },
            "images": {"tool": "tool"},
        }
    )
    made = []
    for content in ("one", "two"):
        trees = {name: tmp_path / content / name for name in ("big", "small")}
        for tree in trees.values():
            (tree / "sub").mkdir(parents=True)
            (tree / "sub/file").write_text("the same")
        (trees["small"] / "sub/file").write_text(content)
        (trees["small"] / "link").symlink_to("sub/file")
        (trees["small"] / "run").write_text("")
        (trees["small"] / "run").chmod(0o700)
        task = Task(tmp_path / content, tmp_path / "log", Versions(components={}, debian={}), None, "tool", component)
        made.append(image.assemble(task, "tool", trees))
    first, second = (layers_of(layout) for layout in made)
    assert first[:2] == second[:2]
    assert first[2] != second[2]
    layer = tar_of(made[1], second[2])
    assert layer.getnames() == [
        "opt",
        "opt/small",
        "opt/small/link",
        "opt/small/run",
        "opt/small/sub",
        "opt/small/sub/file",
    ]
    assert layer.getmember("opt/small/run").mode == 0o755
    assert layer.getmember("opt/small/link").linkname == "sub/file"
    own = tar_of(made[1], second[0])
    assert b"spark:x:185:185::/tmp:" in own.extractfile("etc/passwd").read()


def test_an_image_adds_to_its_base(make, tmp_path):
    base = make({"binaries": {"usr/bin/tool": "tool"}, "environment": {"A": "1"}, "entrypoint": ["/usr/bin/tool"]})
    registry = tmp_path / "registry"
    blobs = base / "blobs/sha256"
    for blob in blobs.iterdir():
        place = registry / "docker/registry/v2/blobs/sha256" / blob.name[:2] / blob.name / "data"
        place.parent.mkdir(parents=True)
        place.write_bytes(blob.read_bytes())
    digest = json.loads((base / "index.json").read_bytes())["manifests"][0]["digest"]
    link = registry / "docker/registry/v2/repositories/base/_manifests/tags/v1/current/link"
    link.parent.mkdir(parents=True)
    link.write_text(digest)
    component = Component.model_validate(
        {
            "version": "v2",
            "licence": "MIT",
            "build": {
                "images": {"more": {"base": "tool/tool", "environment": {"B": "2"}, "files": {"bin/x": "LICENSE"}}}
            },
            "images": {"more": "more"},
        }
    )
    task = Task(tmp_path / "more", tmp_path / "log", Versions(components={}, debian={}), None, "more", component)
    layout = image.assemble(task, "more", {}, image.Base.stored(registry, "base:v1"))
    configuration, _ = parts(base)
    manifest = json.loads((layout / "index.json").read_bytes())["manifests"][0]["digest"]
    described = json.loads((layout / "blobs/sha256" / manifest[7:]).read_bytes())
    own = json.loads((layout / "blobs/sha256" / described["config"]["digest"][7:]).read_bytes())
    assert layers_of(layout)[0] == layers_of(base)[0]
    assert own["rootfs"]["diff_ids"][0] == configuration["rootfs"]["diff_ids"][0]
    assert own["config"]["Env"][1:] == ["A=1", "B=2"]
    assert own["config"]["Entrypoint"] == ["/usr/bin/tool"]
    assert own["config"]["Labels"]["org.opencontainers.image.version"] == "v2"
    names = tar_of(layout, layers_of(layout)[1]).getnames()
    assert names == ["bin", "bin/x"]
