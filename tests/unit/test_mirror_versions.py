import re
import tomllib
from pathlib import Path

import pytest
import yaml

from deploy.errors import InputError
from deploy.mirror import entries
from deploy.mirror.order import entry_names
from deploy.mirror.versions import RECIPES, REPOSITORY, VERSIONS_FILE, Component, Versions, load_versions

ENTRY = {
    "version": "v1.2",
    "licence": "MIT",
    "build": {"go": {"binaries": {"tool": "example/tool"}}},
    "files": {"tool": "bin/{version}/{version#v}/tool"},
}


def versions(tmp_path: Path, change=None, debian=None) -> Path:
    document = {"components": {"tool": {**ENTRY, **(change or {})}}, "debian": debian or {}}
    path = tmp_path / "versions.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_the_committed_file_is_right_and_every_go_component_has_its_recipe():
    loaded = load_versions()
    assert "kubernetes" in loaded.components
    for name, component in loaded.components.items():
        if component.build.go:
            assert (RECIPES / name / "go.mod").is_file(), name
            assert (RECIPES / name / "go.sum").is_file(), name
            for package in component.build.go.binaries.values():
                assert package in (RECIPES / name / "go.mod").read_text(), f"{name}: {package} is not pinned"


def test_versions_are_those_that_go_mod_pins():
    # versions.yaml is the one place for versions; go.mod cannot read it, so they are compared.
    for name, component in load_versions().components.items():
        if not component.build.go or name == "kubelet-csr-approver":  # our own
            continue
        package = next(iter(component.build.go.binaries.values()))
        pinned = re.findall(r"^(?:require)?\s+(\S+) (v\S+)", (RECIPES / name / "go.mod").read_text(), re.MULTILINE)
        module = max((m for m, _ in pinned if package == m or package.startswith(f"{m}/")), key=len)
        # An image's own number may follow the program's ("3.6.5-0").
        version = "v" + component.version.removeprefix("v")
        assert dict(pinned)[module] in (version, version.partition("-")[0]), name


def test_no_address_is_committed():
    texts = [path.read_text() for path in VERSIONS_FILE.parent.rglob("*") if path.suffix in (".py", ".yaml", ".mod")]
    addresses = {host for text in texts for host in re.findall(r"\w://([\w-]+(?:\.[\w-]+)+)", text)}
    assert {host for host in addresses if not host.endswith(".example.org")} <= {"127.0.0.1"}
    # The first part of an image's name is a host if it has a dot.
    repositories = [image for one in load_versions().components.values() for image in one.images.values()]
    assert not [image for image in repositories if "." in image.partition("/")[0]]


def test_version_is_put_into_paths_and_tags():
    images = {
        "images": {"tool": "some/tool", "other": "other:9"},
        "build": {**ENTRY["build"], "images": {"tool": {}, "other": {}}},
    }
    component = Component.model_validate({**ENTRY, **images})
    assert component.paths() == {"tool": "bin/v1.2/1.2/tool"}
    assert component.references() == {"tool": "some/tool:v1.2", "other": "other:9"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"licences": "MIT"}, r"components\.tool\.licences: Extra inputs"),
        ({"files": {"tool": "../tool"}}, r"components\.tool\.files\.tool: String should match"),
        ({"files": {"tool": "/tool"}}, r"components\.tool\.files\.tool: String should match"),
        ({"files": {"other": "bin/other"}}, r"nothing in `build` makes other"),
        ({"images": {"tool": "tool"}}, r"must name the same images; they differ in tool"),
        (
            {"files": {"tool": "a", "again": "a"}, "build": {"go": {"binaries": {"tool": "a", "again": "b"}}}},
            "two entries make a",
        ),
        (
            {"images": {"tool": "tool"}, "build": {**ENTRY["build"], "images": {"tool": {}}}},
            "tool have images: that needs a component registry with a file registry",
        ),
        ({"version": "latest"}, r"components\.tool\.version: String should match"),
        ({"build": {"debian": {"tool": {"release": "99", "package": "a", "path": "b"}}}}, "needs Debian 99"),
    ],
)
def test_a_wrong_file_is_refused_by_its_key(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        load_versions(versions(tmp_path, change))


def test_a_missing_or_broken_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.yaml cannot be read"):
        load_versions(tmp_path / "nowhere.yaml")
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(InputError, match=r"broken\.yaml is not YAML"):
        load_versions(tmp_path / "broken.yaml")


def test_entries_are_the_components_and_the_debian_releases():
    loaded = load_versions()
    assert entry_names(loaded)[0] == "registry"
    assert {"kubernetes", "debian-12", "debian-13"} <= set(entry_names(loaded))


class TestKeys:
    def key(self, document, mode="build", name="tool"):
        loaded = Versions.model_validate(document)
        return entries.component_key(name, loaded.components[name], loaded, mode)

    def document(self, **change):
        registry = {**ENTRY, "build": {"go": {"binaries": {"registry": "x"}}}, "files": {"registry": "registry"}}
        return {
            "components": {"registry": registry, "tool": {**ENTRY, **change}},
            "debian": {"12": {"suite": "bookworm", "packages": ["a"]}},
        }

    def test_the_same_definition_has_the_same_key(self):
        assert self.key(self.document()) == self.key(self.document())

    def test_each_change_makes_another_key(self, tmp_path, monkeypatch):
        keys = {
            self.key(self.document()),
            self.key(self.document(version="v1.3")),
            self.key(self.document(licence="X")),
        }
        upstream = self.document(upstream={"files": "there"})
        keys |= {self.key(upstream), self.key(upstream, mode="upstream")}
        monkeypatch.setattr(entries, "RECIPES", tmp_path)
        (tmp_path / "tool").mkdir()
        (tmp_path / "tool" / "go.mod").write_text("module a\n")
        keys.add(self.key(self.document()))
        (tmp_path / "tool" / "go.mod").write_text("module b\n")
        keys.add(self.key(self.document()))
        assert len(keys) == 7

    def test_what_is_fetched_does_not_depend_on_how_it_would_be_built(self):
        one = self.document(upstream={"files": "there"})
        other = self.document(upstream={"files": "there"}, build={"go": {"binaries": {"tool": "x"}}})
        assert self.key(one, mode="upstream") == self.key(other, mode="upstream")

    def test_an_image_of_debian_packages_depends_on_the_release(self):
        image = {"images": {"tool": "tool"}}
        build = {**ENTRY["build"], "images": {"tool": {"debian": {"release": "12", "packages": ["a"]}}}}
        one = self.document(**image, build=build)
        other = self.document(**image, build=build)
        other["debian"]["12"]["suite"] = "trixie"
        assert self.key(one) != self.key(other)

    def test_the_list_of_host_packages_is_part_of_a_releases_key(self):
        loaded = Versions.model_validate(self.document())
        release = loaded.debian["12"]
        assert entries.release_key("debian-12", release) != entries.release_key(
            "debian-12", release.model_copy(update={"packages": ("a", "b")})
        )


def test_a_base_has_to_be_made_before():
    registry = {**ENTRY, "files": {"registry": "r"}, "build": {"go": {"binaries": {"registry": "example/r"}}}}
    registry |= {"images": {"own": "own"}}
    registry["build"] |= {"images": {"own": {"base": "later/later"}}}
    with pytest.raises(
        ValueError, match="registry has the base later/later, which is not an image of an entry before it"
    ):
        Versions.model_validate({"components": {"registry": registry}, "debian": {}})


def test_a_tree_is_made_in_one_way(tmp_path):
    tree = {"copy": {"source": "docs"}, "kernels": {"source": "docs"}}
    with pytest.raises(InputError, match="one of python, java, maven, node, kernels, package, copied must say"):
        load_versions(versions(tmp_path, {"build": {**ENTRY["build"], "trees": {"x": tree}}}))


def test_an_image_changes_with_its_base_and_with_its_sources(monkeypatch):
    loaded = load_versions()

    def key(name):
        return entries.component_key(name, loaded.components[name], loaded, "build")

    before = {name: key(name) for name in ("spark-base", "spark", "minio")}
    real = entries.file_checksum
    monkeypatch.setattr(entries, "file_checksum", lambda p: "changed" if p.name == "prune.yaml" else real(p))
    after = {name: key(name) for name in before}
    assert after["spark-base"] != before["spark-base"]
    assert after["spark"] != before["spark"]
    assert after["minio"] == before["minio"]
    monkeypatch.setattr(entries, "file_checksum", lambda p: "changed" if p.name == "cli.py" else real(p))
    assert key("spark") != before["spark"]
    assert key("spark-base") == before["spark-base"]


def test_the_image_has_the_version_of_the_package():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert load_versions().components["spark"].version == project["version"]
