"""Ingestion on local Spark: ROOT files in, a data set out, whole or not at all."""

from collections import Counter
from contextlib import contextmanager
from dataclasses import replace

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from hepspark import dataset
from hepspark.config import Config, SparkConfig
from hepspark.dataset import EVENT_COLUMNS, PARTICLES
from hepspark.errors import InputError, RunError
from hepspark.schema import CLASSES, DATASET_SCHEMA, HLF
from hepspark.spark import spark_context
from hepspark.steps import ingest
from tests.reference.delphes import FIELDS, Event, random_events, write_root
from tests.reference.features import features
from tests.reference.parts import read_part

N = 120
STORAGE = Config().storage
COLUMNS = [*EVENT_COLUMNS.names, *PARTICLES.names]


@pytest.fixture(scope="module")
def context():
    with spark_context(SparkConfig(master="local[2]")) as running:
        yield running


@pytest.fixture(autouse=True)
def _one_spark(context, monkeypatch):
    """All tests share one Spark, which takes seconds to start."""

    @contextmanager
    def borrowed(*_):
        yield context

    monkeypatch.setattr(ingest, "spark_session", borrowed)


class Line:
    """Input files and an output."""

    def __init__(self, folder):
        self.folder = folder
        self.output = str(folder / "out")
        self.events = {}

    def add(self, name, seed, **options):
        """Write a file; its class is the first part of its name."""
        self.events[name] = random_events(np.random.default_rng(seed), N)
        return write_root(self.folder / name, self.events[name], **options)

    def run(self, *classes, **changes):
        section = {"input": {name: [str(self.folder / name)] for name in classes}, "output": self.output} | changes
        return ingest.run(Config.model_validate({"ingest": {"entries_per_task": 100, **section}}))

    def files(self):
        """Content and time of all that lies at the output."""
        paths = [path for path in (self.folder / "out").rglob("*") if path.is_file()]
        return {str(path.relative_to(self.folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


@pytest.fixture
def line(tmp_path):
    made = Line(tmp_path)
    made.add("qcd/a.root", 1)
    made.add("qcd/b.root", 2, flat=True)
    made.add("ttbar/c.root", 3)
    return made


def rows(url):
    """All events of a data set, in the order of their identity."""
    data = dataset.load(url, STORAGE)
    columns = COLUMNS if data.manifest.particles else EVENT_COLUMNS.names
    table = pa.concat_tables([read_part(url, part, columns) for part in data.parts])
    return table.sort_by([("file_id", "ascending"), ("entry", "ascending")])


def test_every_selected_event_is_there_with_its_features(line):
    summary = line.run("qcd", "ttbar")
    data = dataset.load(line.output, STORAGE)
    table = rows(line.output)
    assert (summary["version"], summary["changed"], summary["files_added"]) == (1, True, 3)
    for file in data.manifest.inputs:
        events = line.events[f"{file.class_name}/{file.name}"]
        expected = {number: result for number, event in enumerate(events) if (result := features(event)).hlf}
        found = table.filter(pa.compute.equal(table["file_id"], file.file_id))
        assert found["entry"].to_pylist() == list(expected)
        assert set(found["label"].to_pylist()) == {CLASSES.index(file.class_name)}
        values = np.stack([found[name].to_numpy() for name in HLF], axis=1)
        np.testing.assert_allclose(values, [result.hlf for result in expected.values()], rtol=1e-6, atol=1e-6)
        for name in PARTICLES.names:
            number = PARTICLES.names.index(name)
            flat = [particle[number] for result in expected.values() for particle in result.particles]
            column = pa.compute.list_flatten(found[name].combine_chunks()).to_numpy()
            np.testing.assert_allclose(column, flat, rtol=1e-6, atol=1e-6)
        sides = Counter(found["split"].to_pylist())
        assert file.cut_flow == {
            "read": N,
            **dict(zip(("candidates", "lepton", "isolated"), passed(events), strict=True)),
            "distinct": len(expected),
            "train": sides["train"],
            "test": sides["test"],
        }
        assert (file.size, file.entries) == ((line.folder / file.class_name / file.name).stat().st_size, N)
    assert {name: flow["read"] for name, flow in summary["counts"].items()} == {"qcd": 2 * N, "ttbar": N}
    assert data.manifest.config["output"] == line.output
    assert {"hepspark", "uproot", "numba"} <= set(data.manifest.versions)


def passed(events):
    return np.sum([features(event).passed for event in events], axis=0).tolist()


def test_a_second_run_changes_nothing_wherever_the_files_are(line):
    first = line.run("qcd", "ttbar")
    before = line.files()
    again = line.run("qcd", "ttbar")
    (line.folder / "qcd").rename(line.folder / "moved")
    moved = line.run(input={"qcd": [f"{line.folder}/moved/*.root"]})
    assert line.files() == before
    for summary in (again, moved):
        assert (summary["changed"], summary["files_added"], summary["version"]) == (False, 0, 1)
        assert summary["fingerprint"] == first["fingerprint"]


def test_new_files_are_added_without_redoing_old_ones(line):
    line.run("qcd", "ttbar")
    before = line.files()
    line.add("ttbar/d.root", 4)
    summary = line.run("qcd", "ttbar")
    after = line.files()
    assert before.items() <= after.items()
    assert (summary["version"], summary["files_added"], summary["files_known"]) == (2, 1, 3)
    flows = [file.cut_flow for file in dataset.load(line.output, STORAGE).manifest.inputs[2:]]
    assert summary["counts"]["ttbar"] == dict(sum(map(Counter, flows), Counter()))


def test_events_do_not_depend_on_how_the_work_is_cut(line):
    line.run("qcd", "ttbar")
    table = rows(line.output)
    line.output = str(line.folder / "other")
    line.run("ttbar", "qcd", entries_per_task=1000, entries_per_chunk=17)
    assert rows(line.output).equals(table)
    line.output = str(line.folder / "third")
    line.run("ttbar", "qcd", particles=False)
    assert rows(line.output).equals(table.select(EVENT_COLUMNS.names))


def test_events_of_one_parent_are_on_one_side(line):
    line.add("wjets/e.root", 5, parents=np.arange(N) // 4 + 2**50)
    line.run("wjets")
    table = rows(line.output)
    sides = {}
    for entry, side in zip(table["entry"].to_pylist(), table["split"].to_pylist(), strict=True):
        sides.setdefault(entry // 4, set()).add(side)
    assert {len(found) for found in sides.values()} == {1}
    assert len(set(table["event_hash"].to_pylist())) == len(table)


def merge(line, name="ttbar/merged.root", more=()):
    """A file of the events of two others and more, beside them; as `hadd` makes it, it has a UUID of its own."""
    line.add("ttbar/d.root", 4)
    line.events[name] = [*line.events["ttbar/c.root"], *line.events["ttbar/d.root"], *more]
    return write_root(line.folder / name, line.events[name], flat=True)


def distinct(*events):
    return sum(bool(features(event).hlf) for event in events)


def test_copies_of_events_in_another_file_stop_the_run(line):
    merge(line)
    with pytest.raises(InputError) as caught:
        line.run("qcd", "ttbar")
    for name in ("c.root", "d.root"):
        number = distinct(*line.events[f"ttbar/{name}"])
        assert f"/ttbar/merged.root: {number} events are in {line.folder}/ttbar/{name} too" in str(caught.value)
    assert "on_bad_file=skip" in str(caught.value)
    assert caught.value.exit_code == 2
    assert dataset.find(line.output, STORAGE) is None
    (line.folder / "ttbar" / "merged.root").unlink()
    assert line.run("qcd", "ttbar")["files_added"] == 4


def test_copies_of_events_that_the_data_set_holds_stop_the_run(line):
    line.run("ttbar")
    before = line.files()
    merge(line)
    (line.folder / "ttbar" / "c.root").unlink()  # the data set has its events, and of the file only its name
    with pytest.raises(InputError, match=r"/ttbar/merged\.root: \d+ events are in c\.root too"):
        line.run("ttbar")
    assert before.items() <= line.files().items()
    assert dataset.load(line.output, STORAGE).version == 1


@pytest.mark.parametrize("known", [False, True])
def test_each_event_is_taken_once_on_request(line, known, capsys):
    """Also where a part of a file's events is new, and where a file holds an event twice."""
    if known:
        line.run("ttbar")
    new = random_events(np.random.default_rng(8), N)
    merge(line, more=[*new, *new[:40]])
    summary = line.run("qcd", "ttbar", on_bad_file="skip")
    expected = {name: distinct(*line.events[f"ttbar/{name}.root"]) for name in "cd"} | {"merged": distinct(*new)}
    twice = distinct(*new[:40])
    data = dataset.load(line.output, STORAGE)
    files = {file.name.removesuffix(".root"): file for file in data.manifest.inputs}
    table = rows(line.output)
    for name, number in expected.items():
        flow = files[name].cut_flow
        found = table.filter(pa.compute.equal(table["file_id"], files[name].file_id))
        assert number == len(found) == flow["distinct"] == flow["train"] + flow["test"]
        assert found["split"].to_pylist().count("train") == flow["train"]
    assert files["merged"].cut_flow["isolated"] == sum(expected.values()) + twice
    # Its first own event stands where it stands in the file, and has all of its particles.
    ours = table.filter(pa.compute.equal(table["file_id"], files["merged"].file_id))
    assert min(ours["entry"].to_pylist()) >= 2 * N
    assert len(set(table["event_hash"].to_pylist())) == len(table)
    reasons = [item["reason"] for item in summary["excluded"]]
    assert len(reasons) == 1
    assert f"merged.root: {twice} events are there twice" in reasons[0]
    assert reasons[0].count(" too; ") == 2
    assert reasons[0].endswith("; each event is taken once")
    assert "each event is taken once" in " ".join(capsys.readouterr().err.split())

    before = line.files()
    assert not line.run("qcd", "ttbar", on_bad_file="skip")["changed"]
    assert not line.run("qcd", "ttbar")["changed"]
    assert line.files() == before


def test_a_file_of_nothing_but_copies_adds_nothing(line):
    merge(line)
    line.run("qcd", "ttbar", on_bad_file="skip")
    merged = next(file for file in dataset.load(line.output, STORAGE).manifest.inputs if file.name == "merged.root")
    assert (merged.parts, merged.cut_flow["distinct"], merged.cut_flow["read"]) == ((), 0, 2 * N)
    assert not any(merged.file_id in name for name in line.files())


@pytest.mark.parametrize("skip", ["fail", "skip"])
def test_copies_in_another_class_are_never_taken(line, skip):
    merge(line, "wjets/merged.root")
    with pytest.raises(
        InputError,
        match=r"wjets/merged\.root of class wjets: \d+ events are in .*/ttbar/[cd]\.root of class ttbar too; correct",
    ):
        line.run("ttbar", "wjets", on_bad_file=skip)
    assert dataset.find(line.output, STORAGE) is None


def test_published_features_on_request(line):
    line.run("ttbar", compatibility="sparkdltrigger")
    expected = [result.hlf for event in line.events["ttbar/c.root"] if (result := features(event, published=True)).hlf]
    table = rows(line.output)
    np.testing.assert_allclose(np.stack([table[n].to_numpy() for n in HLF], axis=1), expected, rtol=1e-6, atol=1e-6)


def test_unlabelled_events(line):
    summary = line.run(input={"unlabelled": [str(line.folder / "ttbar")]})
    assert set(rows(line.output)["label"].to_pylist()) == {-1}
    assert list(summary["counts"]) == ["unlabelled"]


def spoil(line):
    """Three bad files: two that their survey finds, and one whose last events are bad."""
    (line.folder / "qcd" / "empty.root").touch()
    whole = (line.folder / "ttbar" / "c.root").read_bytes()
    (line.folder / "ttbar" / "short.root").write_bytes(whole[: len(whole) // 2])


def nan_at_the_end(line):
    events = random_events(np.random.default_rng(9), N)
    bad = ak.values_astype(ak.Array([[1.0]] * (N - 1) + [[float("nan")]]), np.float32)
    others = {f"Jet.{name}": ak.values_astype(ak.Array([[1]] * N), np.int32) for name in FIELDS["Jet"]}
    write_root(line.folder / "ttbar" / "nan.root", events, flat=True, replace=others | {"Jet.PT": bad})


def test_bad_files_stop_the_run_and_nothing_appears(line):
    spoil(line)
    with pytest.raises(InputError) as caught:
        line.run("qcd", "ttbar")
    assert "empty.root: is empty" in str(caught.value)
    assert "short.root" in str(caught.value)
    assert caught.value.exit_code == 2
    assert line.files() == {}


def test_a_bad_event_stops_the_run_and_a_repaired_run_goes_on(line):
    nan_at_the_end(line)
    with pytest.raises(InputError, match=rf"nan\.root: entry {N - 1}: Jet\.PT holds a value that is not finite"):
        line.run("qcd", "ttbar")
    assert dataset.find(line.output, STORAGE) is None
    (line.folder / "ttbar" / "nan.root").unlink()
    assert line.run("qcd", "ttbar")["files_added"] == 3  # parts left behind are in nobody's way


def test_bad_files_are_set_aside_on_request(line, capsys):
    spoil(line)
    nan_at_the_end(line)
    (line.folder / "qcd" / "copy.root").write_bytes((line.folder / "qcd" / "b.root").read_bytes())
    summary = line.run("qcd", "ttbar", on_bad_file="skip")
    expected = {"empty.root": "is empty", "short.root": "copy it again", "copy.root": "same file", "nan.root": "nan"}
    excluded = dataset.load(line.output, STORAGE).manifest.excluded
    assert {item.name for item in excluded} == set(expected)
    said = " ".join(capsys.readouterr().err.split())
    for item in excluded:
        assert expected[item.name] in item.reason
        assert f"set aside: {item.reason}" in said
    assert summary["files_added"] == 3
    listed = {part.path for part in dataset.load(line.output, STORAGE).parts}
    assert {name.removeprefix("out/") for name in line.files() if "/parts/" in name} == listed

    before = line.files()
    assert not line.run("qcd", "ttbar", on_bad_file="skip")["changed"]
    assert line.files() == before


def test_a_file_that_was_mended_is_taken_in(line):
    spoil(line)
    line.run("qcd", "ttbar", on_bad_file="skip")
    (line.folder / "qcd" / "empty.root").unlink()
    line.add("ttbar/short.root", 7)
    summary = line.run("qcd", "ttbar", on_bad_file="skip")
    assert (summary["version"], summary["files_added"]) == (2, 1)
    assert [item["name"] for item in summary["excluded"]] == ["empty.root"]


def test_a_copy_stops_the_run(line):
    (line.folder / "qcd" / "copy.root").write_bytes((line.folder / "qcd" / "b.root").read_bytes())
    with pytest.raises(InputError, match=r"copy\.root: is the same file as .*b\.root|b\.root: is .*copy\.root"):
        line.run("qcd", "ttbar")


def test_one_file_for_two_classes(line):
    line.run("qcd")
    with pytest.raises(InputError, match=r"of class ttbar is also in .*a\.root of class qcd"):
        line.run(input={"ttbar": [str(line.folder / "qcd" / "a.root")]})


def test_a_class_with_no_selected_event(line):
    nothing = [replace(event, electrons=[], muons=[]) for event in random_events(np.random.default_rng(6), N)]
    write_root(line.folder / "wjets" / "w.root", nothing)
    with pytest.raises(InputError, match=rf"class wjets: no event was selected \(read {N}, candidates \d+, lepton 0"):
        line.run("qcd", "wjets")
    assert dataset.find(line.output, STORAGE) is None


def test_a_class_of_bad_files_alone(line):
    (line.folder / "wjets").mkdir()
    (line.folder / "wjets" / "w.root").write_bytes(b"no")
    with pytest.raises(InputError, match=r"class wjets: no event was selected(.|\n)*w\.root: is not a ROOT file"):
        line.run("qcd", "wjets", on_bad_file="skip")
    assert dataset.find(line.output, STORAGE) is None


def test_an_unknown_class(line):
    with pytest.raises(ValidationError, match="unknown class 'higgs': the classes are qcd, ttbar, wjets, unlabelled"):
        line.run("higgs")


def test_an_output_that_is_something_else(line):
    (line.folder / "out").mkdir()
    (line.folder / "out" / "thesis.tex").write_text("dear")
    with pytest.raises(InputError, match=r"contains other files .*thesis\.tex"):
        line.run("qcd")
    line.output = str(line.folder / "out" / "thesis.tex")
    with pytest.raises(InputError, match=r"thesis\.tex: contains other files"):
        line.run("qcd")
    assert (line.folder / "out" / "thesis.tex").read_text() == "dear"


@pytest.mark.parametrize(("key", "value"), [("particles", False), ("compatibility", "sparkdltrigger")])
def test_a_data_set_is_not_mixed(line, key, value):
    line.run("qcd")
    before = line.files()
    with pytest.raises(InputError, match=f"made with ingest.{key}="):
        line.run("ttbar", **{key: value})
    assert line.files() == before


def test_a_data_set_of_another_version(line):
    line.run("qcd")
    path = line.folder / "out" / "manifest" / "00000001.json"
    mark = '"schema_version": '
    path.write_text(path.read_text().replace(f"{mark}{DATASET_SCHEMA}", f"{mark}{DATASET_SCHEMA + 1}"))
    with pytest.raises(InputError, match=f"schema version {DATASET_SCHEMA + 1}"):
        line.run("ttbar")


def test_two_runs_at_once_do_not_both_win(line, monkeypatch):
    process = ingest._process

    def overtaken(*arguments):
        result = process(*arguments)
        monkeypatch.setattr(ingest, "_process", process)
        line.run("ttbar")
        return result

    monkeypatch.setattr(ingest, "_process", overtaken)
    with pytest.raises(RunError, match="another run"):
        line.run("qcd")
    assert set(dataset.load(line.output, STORAGE).manifest.counts) == {"ttbar"}
    summary = line.run("qcd")
    assert (summary["version"], set(summary["counts"])) == (2, {"qcd", "ttbar"})


@pytest.mark.parametrize("missing", ["input", "output"])
def test_what_is_not_given(line, missing):
    with pytest.raises(InputError, match=rf"ingest\.{missing} is not given"):
        line.run("qcd", **{missing: {} if missing == "input" else None})


def test_spark_reads_the_parts(line, context):
    from pyspark.sql import SparkSession

    line.run("qcd")
    parts = [f"{line.output}/{part.path}" for part in dataset.load(line.output, STORAGE).parts]
    frame = SparkSession(context).read.parquet(*parts)
    assert frame.columns == COLUMNS
    found = frame.selectExpr("sum(HT)", "sum(size(particle_pt))", "max(particle_type[0])").first()
    table = pa.concat_tables([pq.read_table(part) for part in parts])
    assert found[0] == pytest.approx(pa.compute.sum(table["HT"]).as_py())
    assert found[1] == pa.compute.sum(pa.compute.list_value_length(table["particle_pt"])).as_py()


def test_no_events_at_all(line):
    write_root(line.folder / "wjets" / "none.root", [])
    with pytest.raises(InputError, match=r"none\.root: its tree Delphes contains no events"):
        line.run("wjets")
    write_root(line.folder / "wjets" / "none.root", [Event()] * 3)
    with pytest.raises(InputError, match=r"class wjets: .*read 3, candidates 0"):
        line.run("wjets")
