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
