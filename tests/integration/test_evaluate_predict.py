"""The steps that use a trained model, on local Spark with a small data set."""

import hashlib
import io
import json
import os
import signal
import sys
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from hepspark import dataset
from hepspark.config import Config, SparkConfig
from hepspark.errors import InputError, RunError
from hepspark.model import artefact
from hepspark.model.inference import predict as forward
from hepspark.model.network import hlf, initial_weights
from hepspark.model.scaler import Scaler
from hepspark.schema import CLASSES, DATASET_SCHEMA, HLF
from hepspark.sources import Chunk, open_source, read_chunk
from hepspark.spark import run_grouped, run_tasks, spark_context
from hepspark.steps import evaluate, predict, train
from hepspark.steps.model import describe
from hepspark.storage import join, store_for

STORAGE = Config().storage
MEAN = np.array([300, 50, 0, 60, 3, 1, 40, 0, 0, 0.1, 0.1, 0.1, 0, 0.5])


@dataclass(frozen=True)
class Line:
    """A data set and a model that was trained on it."""

    data: str
    model: str
    outputs: str

    def run(self, step, master="local[2]", **changes):
        section = step.__name__.rpartition(".")[2]
        given = {"model": self.model, "output": join(self.outputs, section)} | changes
        return step.run(Config.model_validate({section: given, "spark": {"master": master}}))


def part(file_id, labels, seed):
    """A table of events of the columns of a data set; their hashes are random, as real ones are."""
    generator = np.random.default_rng(seed)
    count = len(labels)
    features = (generator.normal(MEAN, np.abs(MEAN) / 2 + 0.1, (count, 14)) + np.outer(labels, MEAN / 3)).astype("f4")
    hashes = generator.integers(-(2**63), 2**63, (2, count))
    columns = {
        "file_id": [file_id] * count,
        "entry": np.arange(count),
        "event_hash": hashes[0],
        "split_hash": hashes[1],
        "split": ["train"] * count,
        "label": np.array(labels, dtype=np.int8),
        **{name: features[:, k] for k, name in enumerate(HLF)},
    }
    return pa.table({name: columns[name] for name in dataset.EVENT_COLUMNS.names}, schema=dataset.EVENT_COLUMNS)


def write_dataset(url, tables):
    """Write tables as one data set, one input file with one part each."""
    inputs = []
    for number, table in enumerate(tables):
        stream = io.BytesIO()
        pq.write_table(table, stream)
        content = stream.getvalue()
        path = f"parts/{number}.parquet"
        store_for(url, STORAGE).write(join(url, path), content)
        sha256 = hashlib.sha256(content).hexdigest()
        written = dataset.Part(path=path, rows=table.num_rows, bytes=len(content), sha256=sha256)
        inputs.append(
            dataset.Input(
                name=f"{number}.root",
                class_name="unlabelled",
                file_id=table["file_id"][0].as_py(),
                size=1,
                sha256=sha256,
                entries=table.num_rows,
                cut_flow={},
                parts=(written,),
            )
        )
    manifest = dataset.Manifest(
        schema_version=DATASET_SCHEMA,
        particles=False,
        compatibility="none",
        features=HLF,
        classes=CLASSES,
        counts={name: {"read": 777, "test": 5} for name in CLASSES},
        inputs=tuple(inputs),
        versions={},
        config={},
    )
    return dataset.commit(url, 1, manifest, STORAGE)


def write_model(url, sources, seed=1):
    network = hlf()
    model = artefact.Model(
        url=url,
        network=network,
        weights=initial_weights(network, seed),
        scaler=Scaler(mean=tuple(MEAN.tolist()), width=tuple((np.abs(MEAN) / 2 + 0.1).tolist())),
        sources=sources,
        counts={},
        config={},
        history=({"epoch": 1, "loss": 1.0, "validation_loss": 1.1, "validation_accuracy": 0.4, "learning_rate": 1e-3},),
        summary={"finished": "2026-01-02T03:04:05+00:00", "best_epoch": 1},
        versions={},
    )
    artefact.save(model, STORAGE)
    return model


@pytest.fixture(scope="module")
def spark():
    with spark_context(SparkConfig(master="local[2]")) as context:
        yield context


@pytest.fixture
def line(tmp_path, spark, monkeypatch):
    for step in (evaluate, predict):
        # Starting Spark takes seconds: these tests share one.
        monkeypatch.setattr(step, "spark_session", lambda *_: nullcontext(spark))
    data, model = str(tmp_path / "data"), str(tmp_path / "model")
    labels = np.random.default_rng(0).integers(-1, 3, (2, 400))
    made = write_dataset(data, [part("a", labels[0], 1), part("b", labels[1], 2)])
    write_model(model, ({"url": data, "role": "split", "fingerprint": made.fingerprint, "files": {}},))
    return Line(data, model, str(tmp_path / "out"))


def events_of(url):
    chunks = [read_chunk(chunk, STORAGE) for chunk in open_source(url, STORAGE).chunks]
    names = ("file_id", "entry", "is_train", "label", "features", "event_hash")
    return {name: np.concatenate([getattr(events, name) for events in chunks]) for name in names}


def test_evaluate_measures_the_labelled_test_events(line):
    summary = line.run(evaluate)
    events = events_of(line.data)
    test = ~events["is_train"] & (events["label"] >= 0)
    truth, scores = events["label"][test], forward(artefact.load(line.model, STORAGE), events["features"][test])
    assert 50 < len(truth) < 400
    assert list(summary["events"].values()) == np.bincount(truth).tolist()
    assert summary["accuracy"] == np.mean(scores.argmax(axis=1) == truth)
    for label, name in enumerate(CLASSES):
        assert summary["auc"][name] == pytest.approx(roc_auc_score(truth == label, scores[:, label]), abs=1e-4)
    told = json.loads(store_for(line.data, STORAGE).read(summary["evaluation"]))
    assert told["sources"][0]["cut_flow"]["qcd"] == {"read": 777, "test": 5}
    assert [sum(sum(row) for row in feature["counts"]) for feature in told["features"]] == [len(truth)] * 14
    assert told["metrics"]["accuracy"]["value"] == summary["accuracy"]
    page = store_for(line.data, STORAGE).read(summary["report"]).decode()
    assert page.count("<img ") == 6 + 14 + 2 + (1 if "Accuracy after" in page else 0)
    assert "777" in page


@pytest.fixture
def unrendered(monkeypatch):
    """Drawing the page takes seconds; one test of this module looks at it."""
    monkeypatch.setattr(evaluate, "render", lambda content: content.model)


@pytest.mark.usefixtures("unrendered")
@pytest.mark.parametrize("told", [True, False])
def test_evaluate_ends_a_jobs_log_with_a_link_to_the_report(line, monkeypatch, capsys, told):
    # The store is a folder, which has no links: those of S3 are tested with `hepspark data url`.
    monkeypatch.setattr(evaluate, "is_s3", lambda _: True)
    monkeypatch.setattr("hepspark.storage.s3.link", lambda url, hours, _: (f"http://minio/{hours}{url}", "Sunday"))
    monkeypatch.setattr(evaluate, "is_in_job", lambda: told)
    report = line.run(evaluate)["report"]
    last = capsys.readouterr().err.splitlines()[-1]
    assert (last == f"Link to the report, without S3 keys, valid until Sunday: http://minio/168{report}") is told


@pytest.mark.usefixtures("unrendered")
def test_evaluate_counts_each_source_apart(line, tmp_path):
    other = str(tmp_path / "other")
    write_dataset(other, [part("c", np.arange(90) % 3, 3)])
    told = line.run(evaluate, input=[line.data, other])
    sources = json.loads(store_for(line.data, STORAGE).read(told["evaluation"]))["sources"]
    events = events_of(other)
    assert [source["url"] for source in sources] == [line.data, other]
    assert sources[1]["events"] == np.bincount(events["label"][~events["is_train"]], minlength=3).tolist()
    assert np.sum([source["events"] for source in sources], axis=0).tolist() == list(told["events"].values())


def test_evaluate_names_the_class_without_test_events(line, tmp_path):
    other = str(tmp_path / "other")
    write_dataset(other, [part("c", np.arange(200) % 2, 3)])
    with pytest.raises(InputError, match="no event of class wjets"):
        line.run(evaluate, input=[other])
    assert not store_for(line.data, STORAGE).walk(line.outputs)


def published(url, labels, seed):
    features = part("x", labels, seed).select(list(HLF))
    vectors = np.stack([features[name].to_numpy() for name in HLF], axis=1)
    table = pa.table(
        {
            "HLF_input": pa.array(vectors.tolist(), pa.list_(pa.float64())),
            "encoded_label": pa.array(np.eye(3)[labels].tolist(), pa.list_(pa.float64())),
        }
    )
    stream = io.BytesIO()
    pq.write_table(table, stream)
    store_for(url, STORAGE).write(join(url, "part.snappy.parquet"), stream.getvalue())
    return open_source(url, STORAGE)


@pytest.mark.usefixtures("unrendered")
def test_published_test_data_counts_as_a_whole_and_training_data_is_refused(line, tmp_path):
    train, test = str(tmp_path / "published_train"), str(tmp_path / "published_test")
    roles = {train: "train", test: "test"}
    sources = tuple(
        {"url": url, "role": role, "fingerprint": made.fingerprint, "files": made.files}
        for seed, (url, role) in enumerate(roles.items())
        for made in [published(url, np.arange(60) % 3, seed)]
    )
    elsewhere = str(tmp_path / "third")
    published(elsewhere, np.arange(30) % 3, 9)
    write_model(line.model, sources)
    assert line.run(evaluate)["events"] == {"qcd": 20, "ttbar": 20, "wjets": 20}
    assert line.run(evaluate, input=[elsewhere])["events"] == {"qcd": 10, "ttbar": 10, "wjets": 10}
    with pytest.raises(InputError, match="published_train: the model was trained on all of these"):
        line.run(evaluate, input=[train])
    # Each file is known by itself: alone, and in a folder with others.
    with pytest.raises(InputError, match=r"part\.snappy\.parquet: the model was trained on all of these"):
        line.run(evaluate, input=[join(train, "part.snappy.parquet")])
    store_for(train, STORAGE).write(
        join(train, "more.parquet"), store_for(elsewhere, STORAGE).read(join(elsewhere, "part.snappy.parquet"))
    )
    assert line.run(evaluate, input=[train])["events"] == {"qcd": 10, "ttbar": 10, "wjets": 10}


@pytest.mark.usefixtures("unrendered")
def test_an_output_knows_itself_under_any_spelling(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for output in ("./r1", "r1/", "~/r1", f"{tmp_path}//r1", f"file://{tmp_path}/r1", "x/../r1"):
        first = line.run(evaluate, output=output, model="./model/")
        assert first["report"] == f"{tmp_path}/r1/report.html"
        scores = line.run(predict, output=output.replace("r1", "s1"), model="~/model", input=["data"])
        assert scores["output"] == f"{tmp_path}/s1"
    assert scores["unchanged"]
    config = Config.model_validate({"evaluate": {"model": line.model, "output": "r1"}})
    assert evaluate.finished(config) == first
    assert describe(config, "./model")["auc"] == first["auc"]


@pytest.mark.usefixtures("unrendered")
def test_a_model_whose_data_is_elsewhere_names_the_key_for_its_new_place(line, tmp_path, monkeypatch):
    source = {"url": "data", "role": "split", "fingerprint": open_source(line.data, STORAGE).fingerprint, "files": {}}
    write_model(line.model, (source,))
    monkeypatch.chdir(tmp_path)
    expected = line.run(evaluate)["events"]
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    relative = (
        r"other/data \(recorded as data, which is relative to another folder\), and there are no.*evaluate\.input"
    )
    with pytest.raises(InputError, match=relative):
        line.run(evaluate)
    assert line.run(evaluate, input=["../data"])["events"] == expected
    # The data that the configuration trains on is known by its events.
    section = {"model": line.model, "output": join(line.outputs, "again")}
    evaluate.check(Config.model_validate({"evaluate": section, "train": {"input": ["../nothing", "../data"]}}))
    write_dataset(str(tmp_path / "third"), [part("c", np.arange(9) % 3, 3)])
    with pytest.raises(InputError, match=relative):
        evaluate.check(Config.model_validate({"evaluate": section, "train": {"input": ["../third"]}}))
    write_model(line.model, ({**source, "url": "/gone/data"},))
    with pytest.raises(
        InputError, match=r"was trained on /gone/data, and there are no events; name .* evaluate\.input"
    ):
        line.run(evaluate)


@pytest.mark.parametrize("step", [evaluate, predict])
def test_an_output_with_something_else_in_it_is_left_alone(line, step):
    there = join(line.outputs, "thesis.tex")
    store_for(there, STORAGE).write(there, b"mine")
    with pytest.raises(InputError, match=r"contains other files \(.*thesis\.tex"):
        line.run(step, input=[line.data], output=line.outputs)
    assert [entry.url for entry in store_for(there, STORAGE).walk(line.outputs)] == [there]


def scores_of(output):
    manifest = json.loads(store_for(output, STORAGE).read(join(output, "manifest.json")))
    tables = []
    for listed in manifest["parts"]:
        content = store_for(output, STORAGE).read(join(output, listed["path"]))
        assert hashlib.sha256(content).hexdigest() == listed["sha256"]
        tables.append(pq.read_table(io.BytesIO(content)))
        assert tables[-1].num_rows == listed["rows"]
    return manifest, pa.concat_tables(tables)


def test_predict_scores_every_event(line):
    summary = line.run(predict, input=[line.data])
    manifest, table = scores_of(summary["output"])
    events = events_of(line.data)
    expected = forward(artefact.load(line.model, STORAGE), events["features"])
    assert table.schema.equals(predict.COLUMNS)
    assert summary == {"output": summary["output"], "rows": 800, "parts": 2, "unchanged": False}
    assert table["file_id"].to_pylist() == events["file_id"].tolist()
    assert table["entry"].to_pylist() == events["entry"].tolist()
    assert table["split"].to_pylist() == ["train" if side else "test" for side in events["is_train"]]
    assert 100 < table["split"].to_pylist().count("test") < 250
    assert table["label"].to_pylist() == [None if label < 0 else label for label in events["label"].tolist()]
    got = np.stack([table[f"p_{name}"].to_numpy() for name in CLASSES], axis=1)
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    assert table["prediction"].to_pylist() == expected.argmax(axis=1).tolist()
    assert manifest["sources"] == [{"url": line.data, "fingerprint": dataset.load(line.data, STORAGE).fingerprint}]


def test_predict_tells_the_side_that_published_files_were_on_and_none_where_they_took_no_part(line, tmp_path):
    """Published Parquet has no split; a file of it that a model was trained on has that training's side."""
    urls = {name: str(tmp_path / name) for name in ("train", "test", "split", "other")}
    made = {name: published(url, np.arange(200) % 3, seed) for seed, (name, url) in enumerate(urls.items())}
    sources = tuple(
        {"url": urls[name], "role": name, "fingerprint": made[name].fingerprint, "files": made[name].files}
        for name in ("train", "test", "split")
    )
    write_model(line.model, sources)
    manifest, table = scores_of(line.run(predict, input=list(urls.values()))["output"])
    sides = np.array(table["split"].to_pylist(), dtype=object).reshape(4, 200)
    found = dict(zip(urls, sides, strict=True))
    assert set(found["train"]) == {"train"}
    assert set(found["test"]) == {"test"}
    expected = events_of(urls["split"])["is_train"]
    assert (found["split"] == "train").tolist() == expected.tolist()
    assert 120 < expected.sum() < 190
    assert set(found["other"]) == {None}
    assert [part["rows"] for part in manifest["parts"]] == [200] * 4


def test_predict_tells_that_a_data_set_was_test_data_as_a_whole(line):
    found = dataset.load(line.data, STORAGE)
    files = {file.sha256: file.name for file in found.manifest.inputs}
    write_model(line.model, ({"url": line.data, "role": "test", "fingerprint": found.fingerprint, "files": files},))
    _, table = scores_of(line.run(predict, input=[line.data])["output"])
    assert set(table["split"].to_pylist()) == {"test"}


RENAMED = ("HT", "MET", "PhiMET", *HLF[3:])
PERMUTED = (*HLF[1:], HLF[0])


@pytest.mark.parametrize("step", [evaluate, predict])
@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("features", PERMUTED),
        ("features", RENAMED),
        ("features", HLF[:13]),
        ("features", (*HLF, "extra")),
        ("classes", ("ttbar", "qcd", "wjets")),
        ("classes", ("qcd", "ttbar", "higgs")),
        ("classes", ("qcd", "ttbar")),
    ],
)
@pytest.mark.parametrize("data", ["data set", "published"])
def test_a_model_of_other_features_or_classes_is_refused(line, tmp_path, step, kind, names, data):
    model = artefact.load(line.model, STORAGE)
    artefact.save(replace(model, **{kind: names}), STORAGE)
    url = line.data
    if data == "published":
        url = str(tmp_path / "published")
        published(url, np.arange(30) % 3, 5)
    with pytest.raises(InputError) as caught:
        line.run(step, input=[url])
    message = str(caught.value)
    assert message.startswith(f"{url}: has the {kind} {', '.join(HLF if kind == 'features' else CLASSES)}; ")
    assert f"the model {line.model} was trained on the {kind} {', '.join(names)}. " in message
    assert caught.value.exit_code == 2
    assert not store_for(line.outputs, STORAGE).walk(line.outputs)


@pytest.mark.parametrize("step", [evaluate, predict])
def test_a_data_set_of_other_features_is_refused(line, step):
    path = join(line.data, "manifest/00000001.json")
    content = json.loads(store_for(path, STORAGE).read(path))
    store_for(path, STORAGE).write(path, json.dumps(content | {"features": PERMUTED}).encode())
    with pytest.raises(InputError, match=r"/data: has the features MET, MET_phi, .*, HT; the model .*/model was"):
        line.run(step, input=[line.data])


@pytest.mark.parametrize("step", [evaluate, predict])
def test_features_of_another_code_are_refused(line, step):
    model = artefact.load(line.model, STORAGE)
    sources = tuple(source | {"compatibility": "sparkdltrigger"} for source in model.sources)
    artefact.save(replace(model, sources=sources), STORAGE)
    expected = r"/data: was made with ingest\.compatibility=none; the model .*=sparkdltrigger\. "
    with pytest.raises(InputError, match=expected):
        line.run(step, input=[line.data])
    assert not store_for(line.outputs, STORAGE).walk(line.outputs)


def merged(line, url):
    """A data set that holds 30 events of the line's in a file of another name, and 90 of its own."""
    (chunk, *_) = open_source(line.data, STORAGE).chunks
    shared = pq.read_table(io.BytesIO(store_for(chunk.url, STORAGE).read(chunk.url))).slice(0, 30)
    table = pa.concat_tables([part("c", np.arange(90) % 3, 3), shared])
    write_dataset(url, [table.set_column(0, table.schema.field("file_id"), pa.array(["m"] * 120))])
    return url


@pytest.mark.parametrize("key", ["input", "test_input"])
def test_training_refuses_data_sets_that_share_events(line, spark, tmp_path, key):
    """Whatever side they are on: events that are trained on twice, and test data that were trained on."""
    other = merged(line, str(tmp_path / "merged"))
    inputs = {"input": [line.data, other]} if key == "input" else {"input": [other], "test_input": [line.data]}
    config = Config.model_validate({"train": {**inputs, "output": line.outputs}})
    first, second = [*config.train.input, *config.train.test_input]
    with pytest.raises(InputError, match=rf"{second}: 30 events are in {first} too\n.*once in train\.input and train"):
        train._freeze(spark, line.outputs, config.train, STORAGE)
    assert not store_for(line.outputs, STORAGE).walk(line.outputs)


def test_evaluate_refuses_data_sets_that_share_events(line, tmp_path):
    other = merged(line, str(tmp_path / "merged"))
    with pytest.raises(InputError, match=rf"{other}: 30 events are in {line.data} too\n.*once in evaluate\.input"):
        line.run(evaluate, input=[line.data, other])
    assert not store_for(line.data, STORAGE).walk(line.outputs)


def contents(url):
    return {entry.url: store_for(url, STORAGE).read(entry.url) for entry in store_for(url, STORAGE).walk(url)}


def test_predict_again_changes_nothing_and_another_model_is_refused(line):
    output = line.run(predict, input=[line.data])["output"]
    before = contents(output)
    assert line.run(predict, input=[line.data])["unchanged"]
    write_model(line.model, (), seed=2)
    with pytest.raises(InputError, match="exists, with scores of another model"):
        line.run(predict, input=[line.data])
    assert contents(output) == before


def test_predict_refuses_a_folder_that_holds_something_else(line):
    with pytest.raises(InputError, match="exists"):
        line.run(predict, input=[line.data], output=line.model)


def test_predict_leaves_nothing_of_an_interrupted_run_among_its_parts(line):
    output = join(line.outputs, "predict")
    store = store_for(output, STORAGE)
    store.write(join(output, "parts/scores-0123456789ab-00007.parquet"), b"of another run")
    manifest, _ = scores_of(line.run(predict, input=[line.data])["output"])
    left = {entry.url for entry in store.walk(join(output, "parts"))}
    assert left == {join(output, part["path"]) for part in manifest["parts"]}


def test_a_damaged_part_fails_by_name_and_finishes_nothing(line):
    url = join(line.data, "parts/1.parquet")
    store_for(url, STORAGE).write(url, store_for(url, STORAGE).read(url)[:-1])
    with pytest.raises(InputError, match=r"parts/1\.parquet"):
        line.run(predict, input=[line.data])
    assert not store_for(url, STORAGE).exists(join(line.outputs, "predict", "manifest.json"))


@pytest.mark.parametrize("step", [evaluate, predict])
def test_the_same_events_given_twice_are_refused(line, step):
    with pytest.raises(InputError, match="same events"):
        line.run(step, input=[line.data, line.data])


@pytest.mark.parametrize("step", [evaluate, predict])
def test_a_model_that_diverged_is_named(line, step):
    model = artefact.load(line.model, STORAGE)
    artefact.save(replace(model, weights=np.full_like(model.weights, np.nan)), STORAGE)
    with pytest.raises(InputError, match="no finite probability"):
        line.run(step, input=[line.data])


@pytest.mark.parametrize("step", [evaluate, predict])
def test_what_is_not_given_is_asked_for(line, step):
    with pytest.raises(InputError, match=r"\.output is not given"):
        line.run(step, input=[line.data], output=None)


TARGETS = pa.array(np.eye(3)[np.arange(6) % 3].tolist())
VECTORS = pa.array(np.ones((6, 14)).tolist())


@pytest.mark.parametrize("step", [train, evaluate, predict])
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"HLF_input": VECTORS, "encoded_label": pa.array(range(6))},
            "encoded_label has the type int64; expected a list",
        ),
        ({"HLF_input": VECTORS, "encoded_label": pa.array(["qcd"] * 6)}, "encoded_label has the type string; expected"),
        ({"HLF_input": pa.array([{"HT": 1.0}] * 6), "encoded_label": TARGETS}, "HLF_input has the type struct<HT:"),
    ],
)
def test_a_wrong_column_is_told_by_every_step_without_spark(line, tmp_path, monkeypatch, step, columns, message):
    monkeypatch.delattr(step, "spark_session")
    (tmp_path / "foreign").mkdir()
    pq.write_table(pa.table(columns), tmp_path / "foreign/a.parquet")
    given = {"output": str(tmp_path / "x"), "input": [str(tmp_path / "foreign")]} | (
        {} if step is train else {"model": line.model}
    )
    with pytest.raises(InputError, match=rf"foreign/a\.parquet: column {message}"):
        step.run(Config.model_validate({step.__name__.rpartition(".")[2]: given}))
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("step", [evaluate, predict])
def test_a_null_that_only_the_data_shows_is_told_with_its_row(line, tmp_path, step):
    rows = [*VECTORS.to_pylist()[:4], None, [1.0] * 14]
    (tmp_path / "foreign").mkdir()
    pq.write_table(pa.table({"HLF_input": rows, "encoded_label": TARGETS}), tmp_path / "foreign/a.parquet")
    with pytest.raises(InputError, match=r"foreign/a\.parquet: HLF_input of row 4 is null; give 14 numbers") as told:
        line.run(step, input=[str(tmp_path / "foreign")])
    assert "Traceback" not in str(told.value)


def items(count):
    return [Chunk(f"s3a://b/{number}.parquet", "", published=True, role="test") for number in range(count)]


def fail(error):
    raise error


class Unloadable:
    """Work that an executor cannot even load."""

    def __reduce__(self):
        return __import__, ("no_such_module",)

    def __call__(self, item):
        return item


@pytest.mark.parametrize(
    ("work", "told"),
    [
        (lambda item: np.zeros(3)[len(item.url)], r"IndexError: index 17 is .* \(\S+py:\d+, in <lambda>\)"),
        (lambda _: fail(MemoryError()), r"MemoryError \(\S+py:\d+, in fail\); run fewer tasks at a time"),
        (lambda _: fail(ValueError("two\n\n  lines")), r"ValueError: two lines \(\S+py:\d+, in fail\); run again"),
        (lambda _: sys.exit(3), r"SystemExit: 3 \(\S+py:\d+, in <lambda>\)"),
        (Unloadable(), r"ModuleNotFoundError: No module named 'no_such_module' \(\S+py:\d+, in loads\)"),
        (lambda _: os.kill(os.getpid(), signal.SIGKILL), "Python worker exited unexpectedly, usually because"),
    ],
)  # fmt: skip
def test_whatever_a_task_ends_with_is_one_line_with_its_work(spark, work, told):
    with pytest.raises(RunError, match=rf"^s3a://b/0\.parquet: {told}[^\n]*$"):
        run_tasks(spark, work, items(1), "Scoring")


def test_of_many_failures_some_are_told(spark):
    with pytest.raises(RunError, match=r"and 3 more$") as told:
        run_tasks(spark, lambda item: fail(KeyError(item.url)), items(13))
    assert str(told.value).count("KeyError") == 10


@pytest.mark.parametrize(
    ("split", "combine", "name"),
    [
        (lambda _: fail(KeyError("x")), max, "s3a://b/0.parquet"),
        (lambda item: [(("train", 7), item.url)], lambda *_: fail(KeyError("x")), "train 7"),
    ],
)
def test_the_same_holds_of_groups(spark, split, combine, name):
    with pytest.raises(RunError, match=rf"^{name}: KeyError: 'x' \(\S+py:\d+, in fail\); run again"):
        run_grouped(spark, split, items(1), combine, 1, "Writing")
