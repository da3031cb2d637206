"""ROOT files as Delphes and others write them, and all the ways in which they can be bad."""

import struct
import uuid
from copy import copy

import awkward as ak
import numpy as np
import pytest
import uproot

from hepspark import rootfile
from hepspark.config import StorageConfig
from hepspark.errors import InputError, RunError
from tests.reference.delphes import FIELDS, Event, arrays, random_events, write_root

STORAGE = StorageConfig()


def sample(n: int = 60, seed: int = 1) -> list[Event]:
    return random_events(np.random.default_rng(seed), n)


def read(path, start=0, stop=None, step=1000):
    entries = stop if stop is not None else rootfile.survey(str(path), STORAGE).entries
    return list(rootfile.read(str(path), start, entries, step, STORAGE))


def equal(found, expected) -> None:
    assert found.start == expected.start
    for name, collection in expected.collections.items():
        assert np.array_equal(found.collections[name].offsets, collection.offsets)
        for column, values in collection.columns.items():
            assert np.array_equal(found.collections[name].columns[column], values), (name, column)
    assert np.array_equal(found.met, expected.met)
    assert np.array_equal(found.met_phi, expected.met_phi)
    assert found.parents is expected.parents is None


@pytest.mark.parametrize("flat", [False, True])
def test_dotted_and_flat_names(tmp_path, flat):
    events = sample()
    path = write_root(tmp_path / "a.root", events, flat=flat)
    (found,) = read(path)
    equal(found, arrays(events))


def test_branches_below_their_collection(tmp_path, monkeypatch):
    """As Delphes itself writes them: EFlowTrack/EFlowTrack.PT."""
    events = sample()
    path = write_root(tmp_path / "a.root", events)
    find = rootfile._tree

    def nested(*arguments):
        tree = find(*arguments)
        top = tree.member("fBranches")._data
        for collection in FIELDS:
            below = [branch for branch in top if branch.name.startswith(f"{collection}.")]
            # The counter stands in for the branch of the collection, which uproot cannot write.
            counter = next(branch for branch in top if branch.name == f"{collection}_size")
            parent = copy(counter)
            parent._members = {**counter._members, "fName": collection, "fBranches": below}
            parent._lookup = {branch.name: branch for branch in below}
            for branch in below:
                branch._parent = parent
            top[:] = [parent, *(branch for branch in top if not branch.name.startswith(f"{collection}."))]
        tree._lookup = {branch.name: branch for branch in top}
        return tree

    monkeypatch.setattr(rootfile, "_tree", nested)
    keys = []
    find_branches = rootfile.branches
    monkeypatch.setattr(rootfile, "branches", lambda *arguments: keys.append(find_branches(*arguments)) or keys[-1])
    (found,) = read(path)
    assert keys[-1]["EFlowTrack.PT"] == "EFlowTrack/EFlowTrack.PT"
    equal(found, arrays(events))


@pytest.mark.parametrize("step", [1, 7, 25, 1000])
def test_chunks_are_the_same_events(tmp_path, step):
    events = sample()
    path = write_root(tmp_path / "a.root", events)
    found = read(path, 10, 55, step)
    assert [len(chunk) for chunk in found] == [min(step, 55 - start) for start in range(10, 55, step)]
    for chunk in found:
        equal(chunk, arrays(events[chunk.start : chunk.start + len(chunk)], chunk.start))


@pytest.mark.parametrize("flat", [False, True])
def test_parents(tmp_path, flat):
    events = sample(6)
    path = write_root(tmp_path / "a.root", events, flat=flat, parents=[0, 0, 0, 2**40, 2**40, 9])
    (found,) = read(path)
    assert found.parents.tolist() == [0, 0, 0, 2**40, 2**40, 9]


def test_survey(tmp_path):
    path = write_root(tmp_path / "a.root", sample())
    found = rootfile.survey(str(path), STORAGE)
    with uproot.open(path) as file:
        assert uuid.UUID(found.file_id) == file.file.uuid
    assert (found.entries, found.size) == (60, path.stat().st_size)
    copy = tmp_path / "elsewhere" / "b.root"
    copy.parent.mkdir()
    copy.write_bytes(path.read_bytes())
    assert rootfile.survey(str(copy), STORAGE) == found


def refused(path, *words: str, action=rootfile.survey) -> None:
    """The one message names the file and these words, and no trace is needed."""
    with pytest.raises(rootfile.BadFileError) as caught:
        action(str(path), STORAGE)
    message = str(caught.value)
    for word in (str(path), *words):
        assert word in message
    assert isinstance(caught.value, InputError)
    assert "\n" not in message


def test_empty_file(tmp_path):
    (tmp_path / "a.root").touch()
    refused(tmp_path / "a.root", "is empty")


@pytest.mark.parametrize("content", [b"PAR1 is another format", b"ro", b"<html>404</html>"])
def test_no_root_file(tmp_path, content):
    (tmp_path / "a.root").write_bytes(content)
    refused(tmp_path / "a.root", "not a ROOT file")


@pytest.mark.parametrize("length", [4, 5, 60, 250])
def test_truncated_in_its_header(tmp_path, length):
    path = write_root(tmp_path / "a.root", sample())
    path.write_bytes(path.read_bytes()[:length])
    refused(path, "copy it again")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_truncated(tmp_path, share):
    path = write_root(tmp_path / "a.root", sample())
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refused(path, "copy it again")


def test_truncated_by_one_byte_names_both_sizes(tmp_path):
    path = write_root(tmp_path / "a.root", sample())
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    refused(path, "truncated", f"{len(content) - 1:,} of {len(content):,} bytes")


@pytest.mark.parametrize("seed", range(20))
def test_damaged_anywhere(tmp_path, seed):
    """Whatever a damaged block makes uproot raise, it is one message; or the numbers are checked and right."""
    path = write_root(tmp_path / "a.root", sample())
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    start = rng.integers(4, len(content) - 200)
    content[start : start + 200] = rng.bytes(200)
    path.write_bytes(content)
    try:
        read(path)
    except rootfile.BadFileError as error:
        assert str(path) in str(error)  # noqa: PT017 (damage in unused bytes raises nothing)


def test_damaged_events_name_their_entries(tmp_path):
    path = write_root(tmp_path / "a.root", sample())
    with uproot.open(path) as file:
        branch = file["Delphes"]["EFlowTrack.PT"]
        seek = branch.member("fBasketSeek")[0]
    content = bytearray(path.read_bytes())
    content[seek + 80 : seek + 400] = bytes(320)
    path.write_bytes(content)
    refused(path, "entries 20 to 29", action=lambda url, storage: list(rootfile.read(url, 20, 30, 10, storage)))


def test_no_events(tmp_path):
    refused(write_root(tmp_path / "a.root", []), "no events")


def test_no_tree(tmp_path):
    with uproot.recreate(tmp_path / "a.root") as file:
        file["Events"] = {"x": np.arange(3)}
    refused(tmp_path / "a.root", "no tree named Delphes", "Events")


def test_another_object_named_delphes(tmp_path):
    with uproot.recreate(tmp_path / "a.root") as file:
        file["Delphes"] = np.histogram([1.0, 2.0])
    refused(tmp_path / "a.root", "TH1D", "not a TTree")


def test_no_uuid(tmp_path):
    path = write_root(tmp_path / "a.root", sample())
    with uproot.open(path) as file:
        name = file.file.uuid.bytes
    content = path.read_bytes()
    assert name in content
    path.write_bytes(content.replace(name, bytes(16)))
    refused(path, "UUID")


@pytest.mark.parametrize("branch", rootfile.BRANCHES)
def test_missing_branch(tmp_path, branch):
    path = write_root(tmp_path / "a.root", sample(3), flat=True, replace={branch: None})
    refused(path, f"no branch {branch}")


def one_bad(value: float):
    """A branch of five events with a value put into entry 3."""
    content = [[1.0], [1.0, 2.0], [], [1.0, value], [3.0]]
    return ak.values_astype(ak.Array(content), np.float32)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("branch", ["EFlowPhoton.ET", "EFlowPhoton.Eta", "EFlowPhoton.Phi"])
def test_values_that_are_not_finite(tmp_path, branch, value):
    clean = {f"EFlowPhoton.{name}": one_bad(2.0) for name in FIELDS["EFlowPhoton"]}
    path = write_root(tmp_path / "a.root", sample(5), flat=True, replace={**clean, branch: one_bad(value)})
    refused(path, "entry 3", branch, str(value), action=lambda url, storage: list(rootfile.read(url, 2, 5, 2, storage)))
    assert read(path, 0, 3)  # what was not asked for does not matter


@pytest.mark.parametrize("branch", rootfile.MISSING_ET)
def test_missing_energy_that_is_not_finite(tmp_path, branch):
    content = np.array([1, 1, 1, 1, np.nan], dtype=np.float32)
    path = write_root(tmp_path / "a.root", sample(5), flat=True, replace={branch: content})
    refused(path, "entry 4", branch, "nan", action=lambda url, storage: list(rootfile.read(url, 0, 5, 5, storage)))


def test_angle_out_of_range(tmp_path):
    content = ak.values_astype(ak.Array([[1.0], [1.0], [7.0]]), np.float32)
    others = {f"Jet.{name}": ak.values_astype(content, np.int32) for name in ("PT", "Eta", "BTag")}
    others = {**others, **{f"EFlowPhoton.{name}": content for name in FIELDS["EFlowPhoton"]}}
    path = write_root(tmp_path / "a.root", sample(3), flat=True, replace=others)
    refused(
        path, "entry 2", "EFlowPhoton.Phi", "π", action=lambda url, storage: list(rootfile.read(url, 0, 3, 3, storage))
    )


@pytest.mark.parametrize(("branch", "other"), [("EFlowTrack.Eta", "PT"), ("EFlowTrack.Z", "PT"), ("Jet.BTag", "PT")])
def test_lists_of_unequal_length(tmp_path, branch, other):
    collection = branch.split(".")[0]
    rows = [[1.0], [2.0, 3.0], [], [4.0]]
    longer = [[1.0], [2.0, 3.0], [], [4.0, 5.0]]
    replace = {f"{collection}.{name}": ak.values_astype(ak.Array(rows), np.float32) for name in FIELDS[collection]}
    replace[branch] = ak.values_astype(ak.Array(longer), np.float32)
    path = write_root(tmp_path / "a.root", sample(4), flat=True, replace=replace)
    words = ("entry 3", f"{collection} holds 1 values of {other} and 2 of {branch.split('.')[1]}")
    refused(path, *words, action=lambda url, storage: list(rootfile.read(url, 0, 4, 3, storage)))


def test_size_that_is_not_the_length(tmp_path):
    events = sample(4)
    sizes = np.array([len(event.electrons) for event in events], dtype=np.int32) + np.array([0, 0, 1, 0])
    path = write_root(tmp_path / "a.root", events, flat=True, replace={"Electron_size": sizes})
    refused(path, "entry 2", "Electron_size", action=lambda url, storage: list(rootfile.read(url, 0, 4, 4, storage)))


def test_missing_energy_that_is_missing(tmp_path):
    empty = ak.values_astype(ak.Array([[1.0], [], [1.0]]), np.float32)
    path = write_root(
        tmp_path / "a.root", sample(3), flat=True, replace={"MissingET.MET": empty, "MissingET.Phi": empty}
    )
    refused(path, "entry 1", "MissingET.MET", action=lambda url, storage: list(rootfile.read(url, 0, 3, 3, storage)))


def test_numbers_where_lists_belong(tmp_path):
    path = write_root(tmp_path / "a.root", sample(3), flat=True, replace={"Jet.PT": np.ones(3, np.float32)})
    refused(path, "Jet.PT", "not a list", action=lambda url, storage: list(rootfile.read(url, 0, 3, 3, storage)))


@pytest.mark.parametrize("good", [0, 1, 3, 6])
def test_a_lost_store_is_not_the_files_fault(tmp_path, monkeypatch, good):
    path = write_root(tmp_path / "a.root", sample())
    read_some, calls = rootfile._Stream.read, []

    def lost(*_):
        raise OSError("connection reset")

    def failing(stream, n=-1):
        calls.append(n)
        return read_some(stream, n) if len(calls) <= good else stream._guarded(lost)

    monkeypatch.setattr(rootfile._Stream, "read", failing)
    with pytest.raises(RunError, match="connection reset"):
        list(rootfile.read(str(path), 0, 60, 10, STORAGE))


def test_no_such_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        rootfile.survey(str(tmp_path / "a.root"), STORAGE)


def test_a_header_that_promises_more(tmp_path):
    path = write_root(tmp_path / "a.root", sample())
    content = bytearray(path.read_bytes())
    content[12:16] = struct.pack(">i", len(content) + 1000)  # fEND
    path.write_bytes(content)
    refused(path, "truncated")
