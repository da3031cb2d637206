import subprocess

import pytest

from deploy.errors import InputError
from deploy.mirror.builders import debian

DEB822 = """# the archive
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /keys/debian.gpg

Types: deb
URIs: http://mirror.example/security
# a comment between
Suites: bookworm-security
Components: main
Signed-By: /keys/security.gpg

Enabled: no
Types: deb
URIs: http://elsewhere.example/debian
Suites: bookworm
Components: main
"""
OTHER = """Types: deb
URIs: https://node.example/node
Suites: nodistro
Components: main
"""


@pytest.fixture
def apt(tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def test_another_release_comes_from_the_archives_that_the_machine_uses(apt):
    (apt / "sources.list.d" / "debian.sources").write_text(DEB822)
    (apt / "sources.list.d" / "node.sources").write_text(OTHER)
    assert debian.sources("trixie", apt) == [
        "deb [arch=amd64 signed-by=/keys/debian.gpg] http://mirror.example/debian trixie main",
        "deb [arch=amd64 signed-by=/keys/debian.gpg] http://mirror.example/debian trixie-updates main",
        "deb [arch=amd64 signed-by=/keys/security.gpg] http://mirror.example/security trixie-security main",
    ]


def test_the_older_form_of_sources_is_read_too(apt):
    (apt / "sources.list").write_text(
        "# deb http://off.example/debian bookworm main\n"
        "deb [arch=amd64 signed-by=/keys/own.gpg] http://a.example/debian stable main contrib\n"
        "deb http://b.example/security stable-security main\n"
        "deb-src http://a.example/debian stable main\n"
        "deb http://c.example/extra bookworm extra\n"
    )
    assert debian.sources("bookworm", apt) == [
        "deb [arch=amd64 signed-by=/keys/own.gpg] http://a.example/debian bookworm main",
        "deb [arch=amd64 signed-by=/keys/own.gpg] http://a.example/debian bookworm-updates main",
        f"deb [arch=amd64 signed-by={debian.KEYRING}] http://b.example/security bookworm-security main",
    ]


def test_a_machine_without_a_debian_archive_is_told_what_to_do(apt):
    (apt / "sources.list.d" / "node.sources").write_text(OTHER)
    with pytest.raises(InputError, match=r"names no Debian archive.*--apt-sources"):
        debian.sources("trixie", apt)


def build_package(folder, name, version, depends=""):
    root = folder / f"root-{name}"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "usr" / "bin").mkdir(parents=True)
    (root / "usr" / "bin" / name).write_text(f"{name}\n")
    depends = f"Depends: {depends}\n" if depends else ""
    (root / "DEBIAN" / "control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: a <a@b>\n{depends}Description: a test\n"
    )
    package = folder / f"{name}_{version.replace(':', '%3a')}_all.deb"
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", root, package], check=True, capture_output=True)
    return package


def test_a_repository_lists_its_packages_with_checksums(tmp_path):
    package = build_package(tmp_path, "thing", "1:2.0-1")
    debian.write_repository([package], tmp_path / "repo", "bookworm", tmp_path / "log")
    index = (tmp_path / "repo" / "Packages").read_text()
    assert "Package: thing\nVersion: 1:2.0-1" in index
    assert "Filename: pool/thing_2.0-1_all.deb\n" in index
    assert f"Size: {package.stat().st_size}\n" in index
    assert (tmp_path / "repo" / "pool" / "thing_2.0-1_all.deb").read_bytes() == package.read_bytes()
    release = (tmp_path / "repo" / "Release").read_text()
    assert "Codename: bookworm\n" in release
    assert f" {len(index)} Packages\n" in release
