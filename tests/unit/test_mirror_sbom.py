"""Bills of materials, read from layers as they are stored."""

import gzip
import hashlib
import io
import json
import tarfile

import pytest

from deploy.mirror import sbom

FILES = {
    "var/lib/dpkg/status.d/libc6": b"Package: libc6\nVersion: 2.36-9\nDescription: C library\n more of it\n",
    "usr/lib/python3/x/pyyaml-6.0.dist-info/METADATA": b"Name: PyYAML\nVersion: 6.0\nLicense: MIT\n\nText",
    "opt/spark/jars/spark-core_2.12-3.5.8.jar": b"PK jar",
    "opt/java/release": b'JAVA_VERSION="17.0.1"\nMODULES="java.base"\n',
    "usr/bin/plain": b"#!/bin/sh\n",
    "etc/release": b"something else",
}


def varint(text):
    length, out = len(text), b""
    while length > 127:
        out, length = out + bytes([length & 127 | 128]), length >> 7
    return out + bytes([length]) + text


def go_program():
    modules = "path\texample/tool\nmod\texample/tool\tv1.2.3\nbuild\t-trimpath=true\n" + "".join(
        f"dep\texample/dep{number}\tv0.{number}.0\th1:abc=\n" for number in range(9)
    )
    header = (b"\xff Go buildinf:\x08\x02").ljust(32, b"\0")
    return (
        b"\x7fELF"
        + bytes(200)
        + header
        + varint(b"go1.26")
        + varint(b"0" * 16 + modules.encode() + b"1" * 16)
        + b"rest"
    )


@pytest.fixture
def registry(tmp_path):
    def store(content):
        digest = hashlib.sha256(content).hexdigest()
        place = tmp_path / "docker/registry/v2/blobs/sha256" / digest[:2] / digest / "data"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        return f"sha256:{digest}"

    layers = []
    for files in (FILES, {"usr/bin/tool": go_program(), **dict([*FILES.items()][:1])}):
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(content), 0o755
                archive.addfile(member, io.BytesIO(content))
        layers.append({"digest": store(gzip.compress(tar.getvalue()))})
    link = tmp_path / "docker/registry/v2/repositories/own/thing/_manifests/tags/v1/current/link"
    link.parent.mkdir(parents=True)
    link.write_text(store(json.dumps({"layers": layers}).encode()))
    return tmp_path


def test_a_bill_names_what_each_layer_brought(registry, tmp_path):
    sbom.write(registry, "own/thing:v1", tmp_path / "sbom")
    written = json.loads((tmp_path / "sbom/own_thing_v1.cdx.json").read_text())
    purls = [component["purl"] for component in written["components"]]
    assert purls == [
        "pkg:deb/debian/libc6@2.36-9",
        "pkg:generic/openjdk@17.0.1",
        *(f"pkg:golang/example/dep{number}@v0.{number}.0" for number in range(9)),
        "pkg:golang/example/tool@v1.2.3",
        "pkg:maven/spark-core_2.12@3.5.8",
        "pkg:pypi/pyyaml@6.0",
    ]
    assert written["components"][-1]["licenses"] == [{"license": {"name": "MIT"}}]
    assert written["components"][-2]["hashes"][0]["content"] == hashlib.sha256(b"PK jar").hexdigest()
    digest = (registry / "docker/registry/v2/repositories/own/thing/_manifests/tags/v1/current/link").read_text()
    assert written["metadata"]["component"]["purl"] == f"pkg:oci/thing@{digest}?tag=v1"


def test_the_bill_of_another_image_is_written_anew(registry, tmp_path):
    target = tmp_path / "sbom/own_thing_v1.cdx.json"
    target.parent.mkdir()
    target.write_text("of another digest")
    sbom.write(registry, "own/thing:v1", target.parent)
    first = target.read_text()
    assert "components" in first
    target.write_text(first + " ")
    sbom.write(registry, "own/thing:v1", target.parent)
    assert target.read_text() == first + " ", "written again without need"
    sbom.write(registry, "absent:v1", target.parent)
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_a_layer_that_cannot_be_read_is_named(registry, tmp_path):
    for blob in registry.glob("docker/registry/v2/blobs/*/*/*/data"):
        if blob.read_bytes().startswith(b"\x1f\x8b") and b"layers" not in blob.read_bytes():
            blob.write_bytes(b"\x28\xb5\x2f\xfd of another compressor")
    sbom.write(registry, "own/thing:v1", tmp_path / "sbom")
    written = json.loads((tmp_path / "sbom/own_thing_v1.cdx.json").read_text())
    assert written["components"] == []
    assert len(written["metadata"]["properties"]) == 2
