"""Which files an ingestion takes."""

import pytest

from hepspark import inputs
from hepspark.config import StorageConfig
from hepspark.dataset import Excluded, Input
from hepspark.errors import InputError
from hepspark.inputs import Candidate, Source
from hepspark.rootfile import BadFileError, Survey

STORAGE = StorageConfig()


@pytest.fixture
def folder(tmp_path):
    for name in ("a.root", "below/b.root", "below/deep/c.ROOT", "below/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def names(folder, *urls, class_name="qcd"):
    found = inputs.resolve({class_name: [url.format(folder) for url in urls]}, STORAGE)
    assert {source.class_name for source in found} == {class_name}
    return [source.url.removeprefix(f"{folder}/") for source in found]


def test_files_folders_and_globs(folder):
    assert names(folder, "{}/a.root") == ["a.root"]
    assert names(folder, "{}/below") == ["below/b.root", "below/deep/c.ROOT"]
    assert names(folder, "{}/*/*.root") == ["below/b.root"]
    assert names(folder, "{}/below/notes.txt") == ["below/notes.txt"]


def test_what_has_a_patterns_signs_in_its_name_is_found_under_it(folder):
    """A name that is there is a name, and what comes behind it may be a pattern."""
    (folder / "below").rename(folder / "run [2024]*")
    (folder / "run 2").mkdir()
    (folder / "run 2" / "d.root").touch()
    assert names(folder, "{}/run [2024]*") == ["run [2024]*/b.root", "run [2024]*/deep/c.ROOT"]
    assert names(folder, "{}/run [2024]*/b.root") == ["run [2024]*/b.root"]
    assert names(folder, "{}/run [2024]*/*.root") == ["run [2024]*/b.root"]
    assert names(folder, "{}/run [2]/*.root") == ["run 2/d.root"]


def test_a_file_that_is_named_twice_is_taken_once(folder):
    assert names(folder, "{}/a.root", "{}", "{}/*.root") == ["a.root", "below/b.root", "below/deep/c.ROOT"]


@pytest.mark.parametrize("url", ["{}/none.root", "{}/none", "{}/none*.root"])
def test_nothing_there(folder, url):
    with pytest.raises(InputError, match=r"none.*correct ingest\.input"):
        names(folder, url)


def test_a_class_without_files(folder):
    with pytest.raises(InputError, match=r"ingest\.input\.qcd names no file; give files, or leave the class out"):
        inputs.resolve({"ttbar": [f"{folder}/a.root"], "qcd": []}, STORAGE)


def test_one_path_for_two_classes(folder):
    with pytest.raises(InputError, match=r"a\.root: given for two classes, qcd and ttbar"):
        inputs.resolve({"qcd": [f"{folder}/a.root"], "ttbar": [str(folder)]}, STORAGE)


def candidate(url: str, file_id: str, class_name: str = "qcd", sha256: str = "0") -> Candidate:
    return Candidate(Source(url, class_name), Survey(file_id, 9, 1, sha256))


def known(name: str, file_id: str, class_name: str = "qcd", sha256: str = "0") -> Input:
    return Input(
        name=name, class_name=class_name, file_id=file_id, size=1, sha256=sha256, entries=9, cut_flow={}, parts=()
    )


def test_identity_is_not_the_path():
    found = [candidate("/moved/a.root", "A"), candidate("/b.root", "B")]
    chosen = inputs.choose(found, [known("old.root", "A"), known("gone.root", "C")], skip=False)
    assert (chosen.known, chosen.new, chosen.excluded) == ((found[0],), (found[1],), ())


def test_the_same_file_twice():
    found = [candidate("/a.root", "A"), candidate("/copy.root", "A")]
    with pytest.raises(InputError, match=r"/copy\.root: is the same file as /a\.root; leave one of them out"):
        inputs.choose(found, [], skip=False)
    chosen = inputs.choose(found, [], skip=True)
    assert chosen.new == (found[0],)
    assert [item.name for item in chosen.excluded] == ["copy.root"]


@pytest.mark.parametrize("skip", [False, True])
def test_one_file_for_two_classes(skip):
    with pytest.raises(InputError, match=r"/b\.root: this file of class ttbar .*/a\.root of class qcd"):
        inputs.choose([candidate("/a.root", "A"), candidate("/b.root", "A", "ttbar")], [], skip=skip)
    with pytest.raises(InputError, match=r"/b\.root: this file of class ttbar .*data set, as a\.root of class qcd"):
        inputs.choose([candidate("/b.root", "A", "ttbar")], [known("a.root", "A")], skip=skip)


def test_a_file_that_has_changed():
    found = [candidate("/a.root", "A", sha256="1")]
    with pytest.raises(InputError, match=r"/a\.root: has the same UUID as a\.root.*other content"):
        inputs.choose(found, [known("a.root", "A")], skip=False)
    chosen = inputs.choose(found, [known("a.root", "A")], skip=True)
    assert (chosen.new, chosen.known, len(chosen.excluded)) == ((), (), 1)


def test_a_bad_file_stops_or_is_set_aside(folder):
    source = Source(f"{folder}/a.root", "qcd")
    with pytest.raises(BadFileError, match=r"a\.root: is empty"):
        inputs.examine(STORAGE, False, source)
    found = inputs.examine(STORAGE, True, source)
    assert isinstance(found, Excluded)
    assert found.name == "a.root"
    assert inputs.choose([found], [], skip=True).excluded == (found,)


def test_a_missing_file_is_never_set_aside(folder):
    with pytest.raises(InputError, match="no such file"):
        inputs.examine(STORAGE, True, Source(f"{folder}/none.root", "qcd"))
