import json

import numpy as np
import pytest

from hepspark.cli import main
from hepspark.config import StorageConfig
from hepspark.errors import InputError
from hepspark.model import artefact
from hepspark.model.inference import predict
from hepspark.model.network import hlf, initial_weights
from hepspark.model.scaler import Scaler
from hepspark.schema import CLASSES, HLF, MODEL_SCHEMA

STORAGE = StorageConfig()


@pytest.fixture
def model(tmp_path):
    network = hlf()
    made = artefact.Model(
        url=str(tmp_path / "run" / "model"),
        network=network,
        weights=initial_weights(network, 7),
        scaler=Scaler(mean=tuple(range(14)), width=tuple(range(1, 15))),
        sources=({"url": "/data", "role": "split", "fingerprint": "f", "files": {"0": "a.root"}},),
        counts={"train": {"qcd": 1000, "ttbar": 234}, "validation": {"qcd": 5}},
        config={"epochs": 3},
        history=({"epoch": 1, "loss": 0.5},),
        summary={"best_epoch": 1, "validation_loss": 0.6, "validation_accuracy": 0.7, "finished": "2026-01-02"},
        versions={"python": "3"},
    )
    artefact.save(made, STORAGE)
    return made


def test_a_model_comes_back_as_it_was(model):
    loaded = artefact.load(model.url, STORAGE)
    np.testing.assert_array_equal(loaded.weights, model.weights)
    for name in ("network", "scaler", "sources", "counts", "config", "history", "summary", "versions"):
        assert getattr(loaded, name) == getattr(model, name)
    assert loaded.features == HLF
    assert loaded.classes == CLASSES
    events = np.random.default_rng(0).normal(size=(10, 14)).astype(np.float32)
    probabilities = predict(loaded, events)
    np.testing.assert_array_equal(probabilities, predict(model, events))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("files", [None, {}, {"weights.npz": "0"}])
def test_a_manifest_without_the_files_is_refused(model, tmp_path, files):
    path = tmp_path / "run" / "model" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"files": files}))
    with pytest.raises(InputError, match=r"manifest\.json: does not name the files of the model"):
        artefact.load(model.url, STORAGE)


def test_there_is_no_model_before_its_manifest(model, tmp_path):
    (tmp_path / "run" / "model" / "manifest.json").unlink()
    assert not artefact.exists(model.url, STORAGE)
    with pytest.raises(InputError, match="no finished model here"):
        artefact.load(model.url, STORAGE)


@pytest.mark.parametrize(
    "name", ["weights.npz", "network.json", "scaler.json", "data.json", "config.json", "metrics.json"]
)
def test_a_missing_or_altered_file_is_named(model, tmp_path, name):
    path = tmp_path / "run" / "model" / name
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"~")
    with pytest.raises(InputError, match=rf"{name}: this file of the model was changed"):
        artefact.load(model.url, STORAGE)
    path.unlink()
    with pytest.raises(InputError, match=rf"{name}: this file of the model is missing"):
        artefact.load(model.url, STORAGE)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (MODEL_SCHEMA + 1, "a newer hepspark made it; use that one"),
        (MODEL_SCHEMA - 1, "an older hepspark made it; train it again, or use the hepspark that made it"),
    ],
)
def test_another_schema_version_is_refused(model, tmp_path, found, message):
    path = tmp_path / "run" / "model" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": found}))
    with pytest.raises(InputError, match=f"the model has schema version {found}, .* version {MODEL_SCHEMA}: {message}"):
        artefact.load(model.url, STORAGE)


@pytest.mark.parametrize("key", ["features", "classes"])
def test_a_manifest_with_another_kind_of_value_is_refused(model, tmp_path, key):
    path = tmp_path / "run/model/manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: None}))
    with pytest.raises(InputError, match="not a model of this hepspark"):
        artefact.load(model.url, STORAGE)


EVALUATION = {
    "trained": "2026-01-02",
    "metrics": {"one_vs_rest": [{"signal": "ttbar", "auc": 0.98765}], "accuracy": {"value": 0.9}},
}


def evaluated(of, folder, **changes):
    folder.mkdir()
    content = {"model": of.url, "history": of.history, **EVALUATION, **changes}
    (folder / "evaluation.json").write_text(json.dumps(content))


def test_the_command_tells_what_a_model_is(model, capsys):
    assert main(["model", f"{model.url}/"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {
        "model": model.url,
        "network": "hlf",
        "weights": model.network.size,
        "events": {"train": 1234, "validation": 5},
        "epochs": 1,
        "best_epoch": 1,
        "validation_loss": 0.6,
        "validation_accuracy": 0.7,
        "finished": "2026-01-02",
        "auc": None,
        "accuracy": None,
        "versions": {"python": "3"},
    }
    assert captured.err.splitlines() == [
        f"{model.url}: all files are there and unaltered",
        f"network   hlf: 14 → 50 → 20 → 10 → 3, {model.network.size:,} weights",
        "events    train 1,234, validation 5",
        "epochs    1, the best is 1; finished 2026-01-02",
        "test      not evaluated",
        "versions  python 3",
    ]


@pytest.mark.parametrize("elsewhere", [False, True])
def test_the_command_tells_how_the_model_did(model, tmp_path, capsys, elsewhere):
    folder = tmp_path / ("elsewhere" if elsewhere else "report")
    evaluated(model, folder)
    assert main(["model", model.url, *(["--set", f"evaluate.output={folder}"] if elsewhere else [])]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["auc"] == {"ttbar": 0.98765}
    assert json.loads(captured.out)["accuracy"] == 0.9
    assert "test      AUC against the rest: ttbar 0.9877; accuracy 0.9000\n" in captured.err


def test_a_run_that_was_moved_keeps_its_evaluation(model, tmp_path, capsys):
    evaluated(model, tmp_path / "report", model="run/model")
    assert main(["model", model.url]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == 0.9


@pytest.mark.parametrize("changes", [{"history": []}, {"trained": "2025-01-01"}, {"metrics": {}}, {"metrics": []}])
def test_an_evaluation_of_another_model_or_version_does_not_count(model, tmp_path, capsys, changes):
    evaluated(model, tmp_path / "report", **changes)
    assert main(["model", model.url]) == 0
    assert json.loads(capsys.readouterr().out)["auc"] is None


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "no finished model here"),
        (lambda folder: (folder / "network.json").write_text("{}"), "network.json: this file of the model was changed"),
    ],
    ids=["none", "altered"],
)
def test_the_command_refuses_what_is_no_whole_model(model, tmp_path, capsys, spoil, message):
    spoil(tmp_path / "run" / "model")
    assert main(["model", model.url]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert len(captured.err.splitlines()) == 1
    assert captured.out == ""
