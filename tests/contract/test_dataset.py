"""The layout of a data set, which other programs and later versions read."""

import json
from pathlib import Path

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

from hepspark import dataset
from hepspark.config import StorageConfig
from hepspark.dataset import Input, Manifest, Part
from hepspark.errors import InputError, RunError
from hepspark.parts import Range, Settings, without, write_part
from hepspark.rootfile import survey
from hepspark.schema import CLASSES, DATASET_SCHEMA, HLF
from hepspark.sources import open_source, read_chunk
from tests.reference.delphes import FIELDS, random_events, write_root
from tests.reference.parts import read_part

STORAGE = StorageConfig()
COLUMNS = {
    "file_id": "string",
    "entry": "int64",
    "event_hash": "int64",
    "split_hash": "int64",
    "split": "string",
    "label": "int8",
    **dict.fromkeys(("HT", "MET", "MET_phi", "MT", "nJets", "nBjets", "LepPt", "LepEta", "LepPhi"), "float"),
    **dict.fromkeys(("LepIsoCh", "LepIsoGamma", "LepIsoNeu", "LepCharge", "LepIsEle"), "float"),
}
PARTICLE_COLUMNS = {
    **{
        f"particle_{name}": "list<element: float>"
        for name in ("pt", "eta", "phi", "vtx_x", "vtx_y", "vtx_z", "iso_ch", "iso_gamma", "iso_neu")
    },
    "particle_type": "list<element: int8>",
    "particle_charge": "list<element: int8>",
}


@pytest.fixture
def made(tmp_path):
    """A part with particles, its range and its settings."""
    path = write_root(tmp_path / "in" / "a.root", random_events(np.random.default_rng(2), 200))
    found = survey(str(path), STORAGE)
    settings = Settings(str(tmp_path / "out"), True, False, 64, STORAGE)
    entries = Range(str(path), found.file_id, 2, 50, 150)
    return write_part(settings, entries), entries, settings


def manifest(*parts: Part, **changes) -> Manifest:
    file = Input(
        name="a.root", class_name="qcd", file_id="f", size=1, sha256="0", entries=9, cut_flow={"read": 9}, parts=parts
    )
    content = {
        "schema_version": DATASET_SCHEMA,
        "particles": True,
        "compatibility": "none",
        "features": HLF,
        "classes": CLASSES,
        "counts": {},
        "inputs": (file,),
        "versions": {},
        "config": {},
    }
    return Manifest.model_validate({**content, **changes})


@pytest.mark.parametrize("particles", [True, False])
def test_columns(made, tmp_path, particles):
    _, entries, settings = made
    other = Settings(str(tmp_path / "other"), particles, False, settings.entries_per_chunk, STORAGE)
    part = write_part(other, entries).part
    layout = pq.read_schema(tmp_path / "other" / part.path)
    expected = {**COLUMNS, **(PARTICLE_COLUMNS if particles else {})}
    assert {name: str(layout.field(name).type) for name in layout.names} == expected
    assert not any(layout.field(name).nullable for name in layout.names)


def test_content(made):
    written, entries, settings = made
    part = written.part
    assert part.path == f"parts/{entries.file_id}-50-150.parquet"
    table = read_part(settings.output, part, [*COLUMNS, *PARTICLE_COLUMNS])
    assert len(table) == part.rows == written.counts["isolated"] == written.counts["train"] + written.counts["test"]
    assert written.counts["distinct"] == part.rows
    assert written.counts["read"] == 100
    assert set(table["file_id"].to_pylist()) == {entries.file_id}
    assert set(table["label"].to_pylist()) == {2}
    numbers = table["entry"].to_pylist()
    assert numbers == sorted(set(numbers))
    assert min(numbers) >= 50
    assert max(numbers) < 150
    assert table["split"].to_pylist().count("train") == written.counts["train"]
    lengths = {name: pa.compute.list_value_length(table[name]).to_pylist() for name in PARTICLE_COLUMNS}
    assert all(length == lengths["particle_pt"] for length in lengths.values())


def test_a_part_does_not_depend_on_the_chunks(made, tmp_path):
    written, entries, _ = made
    again = write_part(Settings(str(tmp_path / "again"), True, False, 10_000, STORAGE), entries)
    assert again == written


def test_events_of_a_file_are_named_by_what_they_hold(made, tmp_path):
    """The same events in other entries of a file of flat names and wider numbers."""
    written, _, settings = made
    sample = random_events(np.random.default_rng(2), 200)[::-1]
    path = write_root(tmp_path / "in" / "narrow.root", sample, flat=True)
    with uproot.open(path) as file:
        branches = [f"{name}.{column}" for name, columns in FIELDS.items() for column in columns]
        wide = {
            name: ak.values_astype(file["Delphes"][name.replace(".", "_")].array(), np.float64) for name in branches
        }
    path = write_root(tmp_path / "in" / "b.root", sample, flat=True, replace=wide)
    found = survey(str(path), STORAGE)
    other = write_part(settings, Range(str(path), found.file_id, 1, 0, 200)).part
    columns = ["event_hash", "split_hash", "split", *HLF]
    here = read_part(settings.output, written.part, columns).sort_by("event_hash")
    there = read_part(settings.output, other, columns).sort_by("event_hash")
    both = there.filter(pa.compute.is_in(there["event_hash"], here["event_hash"].combine_chunks()))
    assert both.equals(here)
    assert len(set(there["event_hash"].to_pylist())) == len(there) > len(here)


def test_the_side_follows_the_parent_where_there_is_one(tmp_path):
    """And the parent's number alone: in another file, under another entry."""
    sample = random_events(np.random.default_rng(4), 60)
    parents = np.arange(60) // 3 + 2**50
    sides = {}
    for name, order in (("a", np.arange(60)), ("b", np.random.default_rng(0).permutation(60)[:45])):
        path = write_root(tmp_path / f"{name}.root", [sample[n] for n in order], parents=parents[order])
        settings = Settings(str(tmp_path / "out"), False, False, 64, STORAGE)
        entries = Range(str(path), survey(str(path), STORAGE).file_id, 0, 0, len(order))
        table = read_part(settings.output, write_part(settings, entries).part, ["entry", "split_hash", "event_hash"])
        for entry, split_hash in zip(table["entry"].to_pylist(), table["split_hash"].to_pylist(), strict=True):
            sides.setdefault(int(parents[order][entry]), set()).add(split_hash)
        assert len(set(table["event_hash"].to_pylist())) == len(table)
    assert {len(found) for found in sides.values()} == {1}
    assert len(set.union(*sides.values())) == len(sides) > 10


def test_rows_are_taken_out_of_a_part(made):
    written, _, settings = made
    part = written.part
    before = read_part(settings.output, part, [*COLUMNS, *PARTICLE_COLUMNS])
    gone = np.arange(part.rows) % 3 == 1
    fewer = without(settings, (part, gone))
    after = read_part(settings.output, fewer.part, [*COLUMNS, *PARTICLE_COLUMNS])
    assert after.equals(before.filter(pa.array(~gone)))
    assert fewer.part.path == part.path
    sides = before.filter(pa.array(gone))["split"].to_pylist()
    assert fewer.counts == {"distinct": sum(gone), "train": sides.count("train"), "test": sides.count("test")}
    nothing = without(settings, (fewer.part, np.ones(fewer.part.rows, np.bool_)))
    assert nothing.part is None
    assert not Path(settings.output, part.path).exists()


def test_the_hashes_of_a_part_that_is_no_parquet_are_refused(made):
    written, _, settings = made
    path = Path(settings.output, written.part.path)
    assert len(dataset.read_hashes(str(path), STORAGE)) == written.part.rows
    path.write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"parquet: this part of the data set is damaged"):
        dataset.read_hashes(str(path), STORAGE)


def test_no_part_where_nothing_is_selected(made):
    _, entries, settings = made
    numbers = set(read_part(settings.output, made[0].part, ["entry"])["entry"].to_pylist())
    empty = next(number for number in range(50, 150) if number not in numbers)
    written = write_part(settings, Range(entries.url, entries.file_id, 2, empty, empty + 1))
    assert written.part is None
    assert written.counts["read"] == 1


def test_a_full_disk_is_told(made, monkeypatch):
    _, entries, settings = made

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(RunError, match=r"disk is full.*TMPDIR"):
        write_part(settings, entries)


def test_the_newest_manifest_counts(tmp_path):
    url = str(tmp_path / "out")
    assert dataset.find(url, STORAGE) is None
    for version in (1, 2):
        dataset.commit(url, version, manifest(config={"n": version}), STORAGE)
    found = dataset.load(url, STORAGE)
    assert (found.version, found.manifest.config) == (2, {"n": 2})


def test_a_copy_of_a_manifest_does_not_count(tmp_path):
    url = str(tmp_path)
    dataset.commit(url, 2, manifest(particles=False), STORAGE)
    (tmp_path / "manifest" / "00000002 (copy).json").write_text("{}")
    found = dataset.load(url, STORAGE)
    assert (found.version, found.manifest.particles) == (2, False)


def test_two_runs_cannot_both_commit(tmp_path):
    url = str(tmp_path / "out")
    dataset.commit(url, 1, manifest(), STORAGE)
    with pytest.raises(RunError, match="another run"):
        dataset.commit(url, 1, manifest(config={"other": True}), STORAGE)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (DATASET_SCHEMA + 1, "a newer hepspark made it; use that one"),
        (DATASET_SCHEMA - 1, "an older hepspark made it; ingest its files again into another folder, or use"),
    ],
)
def test_another_schema_version_is_refused(tmp_path, found, message):
    url = str(tmp_path / "out")
    dataset.commit(url, 1, manifest(schema_version=found), STORAGE)
    with pytest.raises(InputError, match=f"schema version {found}, .* version {DATASET_SCHEMA}: {message}"):
        dataset.load(url, STORAGE)


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"schema_version": DATASET_SCHEMA})])
def test_a_broken_manifest_is_refused(tmp_path, content):
    path = tmp_path / "out" / "manifest" / "00000001.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(InputError, match=r"00000001\.json"):
        dataset.load(str(tmp_path / "out"), STORAGE)


def test_a_manifest_that_lacks_something_is_told_in_one_line(tmp_path):
    url = str(tmp_path / "out")
    dataset.commit(url, 1, manifest(), STORAGE)
    path = tmp_path / "out/manifest/00000001.json"
    content = json.loads(path.read_text())
    del content["inputs"]
    path.write_text(json.dumps(content))
    with pytest.raises(
        InputError, match=r"^\S+00000001\.json: not a manifest of a data set \(inputs: [^\n]*; restore"
    ) as found:
        dataset.load(url, STORAGE)
    assert "\n" not in str(found.value)


def test_no_data_set(tmp_path):
    with pytest.raises(InputError, match="no data set here"):
        dataset.load(str(tmp_path), STORAGE)


def test_an_altered_part_is_refused(made, tmp_path):
    written, _, settings = made
    dataset.commit(settings.output, 1, manifest(written.part), STORAGE)
    path = tmp_path / "out" / written.part.path
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match="checksum"):
        read_chunk(open_source(settings.output, STORAGE).chunks[0], STORAGE)


def test_the_fingerprint_names_the_events_and_not_the_place(made, tmp_path):
    part = made[0].part
    first = dataset.commit(str(tmp_path / "one"), 1, manifest(part), STORAGE)
    second = dataset.commit(str(tmp_path / "two"), 1, manifest(part, config={"other": 1}), STORAGE)
    assert first.fingerprint == second.fingerprint
    assert first.fingerprint != dataset.commit(str(tmp_path / "three"), 1, manifest(), STORAGE).fingerprint
