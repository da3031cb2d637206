import json

import numpy as np
import pytest

from hepspark.config import StorageConfig
from hepspark.errors import InputError
from hepspark.model import artefact
from hepspark.model.inference import predict
from hepspark.model.network import NETWORKS, initial_weights
from hepspark.model.scaler import Scaler
from hepspark.schema import CLASSES, HLF

STORAGE = StorageConfig()


@pytest.fixture
def model(tmp_path):
    network = NETWORKS["hlf"]
    made = artefact.Model(
        url=str(tmp_path / "model"),
        network=network,
        weights=initial_weights(network, 7),
        scaler=Scaler(mean=tuple(range(14)), width=tuple(range(1, 15))),
        sources=({"url": "/data", "role": "split", "fingerprint": "f", "files": {"0": "a.root"}},),
        counts={"train": {"qcd": 1}},
        config={"epochs": 3},
        history=({"epoch": 1, "loss": 0.5},),
        summary={"epochs": 1},
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
    path = tmp_path / "model" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"files": files}))
    with pytest.raises(InputError, match=r"manifest\.json: does not name the model's files"):
        artefact.load(model.url, STORAGE)


def test_there_is_no_model_before_its_manifest(model, tmp_path):
    (tmp_path / "model" / "manifest.json").unlink()
    assert not artefact.exists(model.url, STORAGE)
    with pytest.raises(InputError, match="no finished model here"):
        artefact.load(model.url, STORAGE)


@pytest.mark.parametrize(
    "name", ["weights.npz", "network.json", "scaler.json", "data.json", "config.json", "metrics.json"]
)
def test_a_missing_or_altered_file_is_named(model, tmp_path, name):
    path = tmp_path / "model" / name
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"~")
    with pytest.raises(InputError, match=rf"{name}: this file of the model was altered"):
        artefact.load(model.url, STORAGE)
    path.unlink()
    with pytest.raises(InputError, match=rf"{name}: this file of the model is missing"):
        artefact.load(model.url, STORAGE)


def test_another_schema_version_is_refused(model, tmp_path):
    path = tmp_path / "model" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 99}))
    with pytest.raises(InputError, match="schema version 99, this hepspark reads 1"):
        artefact.load(model.url, STORAGE)
