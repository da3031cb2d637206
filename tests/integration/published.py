"""Data in the layout of the published data sets."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    """A folder of Parquet in the published layout: 2,400 events whose class a linear rule with noise gives."""
    features, labels = _events(2400)
    folder = tmp_path_factory.mktemp("published")
    for part in range(3):
        rows = slice(800 * part, 800 * part + 800)
        pq.write_table(_table(features[rows], labels[rows]), folder / f"part-{part}.parquet")
    return folder


@pytest.fixture(scope="session")
def uneven(tmp_path_factory):
    """The same with classes of 1:2:10, 1,560 events; the files hold one class each."""
    features, labels = _events(6000)
    folder = tmp_path_factory.mktemp("uneven")
    rows = [np.flatnonzero(labels == label)[: 120 * part] for label, part in enumerate((1, 2, 10))]
    for label, own in enumerate(rows):
        pq.write_table(_table(features[own], labels[own]), folder / f"class-{label}.parquet")
    return folder


def _events(count):
    generator = np.random.default_rng(0)
    features = generator.normal(size=(count, 14)) * np.arange(1, 15)
    scores = (features / np.arange(1, 15)) @ generator.normal(size=(14, 3)) + generator.gumbel(size=(count, 3))
    return features, scores.argmax(axis=1)


def _table(features, labels):
    return pa.table({"HLF_input": pa.array(list(features)), "encoded_label": pa.array(list(np.eye(3)[labels]))})
