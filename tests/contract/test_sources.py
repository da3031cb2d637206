import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hepspark.config import StorageConfig
from hepspark.errors import InputError
from hepspark.sources import open_source, read_chunk

STORAGE = StorageConfig()
FEATURES = np.arange(5 * 14, dtype=float).reshape(5, 14)
LABELS = np.array([0, 1, 2, 1, 0])
TARGETS = np.eye(3)[LABELS]


def vector(values):
    """A row of a Spark ML vector column, as Spark writes it to Parquet."""
    return {"type": 1, "size": None, "indices": None, "values": list(values)}


def sparse(values):
    found = np.flatnonzero(values)
    return {"type": 0, "size": len(values), "indices": found.tolist(), "values": values[found].tolist()}


VECTOR = pa.struct(
    [("type", pa.int8()), ("size", pa.int32()), ("indices", pa.list_(pa.int32())), ("values", pa.list_(pa.float64()))]
)


def published(folder, features, targets, name="part-0.parquet"):
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table({"HLF_input": features, "encoded_label": targets}), folder / name)
    return str(folder)


@pytest.mark.parametrize("form", ["arrays", "dense", "sparse"])
def test_the_published_parquet_is_read_in_each_of_its_forms(tmp_path, form):
    make = {
        "arrays": lambda rows: pa.array(list(rows)),
        "dense": lambda rows: pa.array([vector(row) for row in rows], VECTOR),
        "sparse": lambda rows: pa.array([sparse(row) for row in rows], VECTOR),
    }[form]
    source = open_source(published(tmp_path / "data", make(FEATURES), make(TARGETS)), STORAGE, "train")
    events = read_chunk(source.chunks[0], STORAGE)
    np.testing.assert_array_equal(events.features, FEATURES.astype(np.float32))
    np.testing.assert_array_equal(events.label, LABELS)
    assert events.is_train.all()


def test_events_keep_their_identity_and_side_under_another_path(tmp_path):
    rows = pa.array(list(np.random.default_rng(0).normal(size=(400, 14))))
    targets = pa.array(list(np.eye(3)[np.arange(400) % 3]))
    first, second = (
        open_source(published(tmp_path / name, rows, targets, f"{name}.parquet"), STORAGE) for name in ("a", "b")
    )
    assert first.fingerprint == second.fingerprint
    one, two = (read_chunk(source.chunks[0], STORAGE) for source in (first, second))
    np.testing.assert_array_equal(one.event_hash, two.event_hash)
    np.testing.assert_array_equal(one.is_train, two.is_train)
    assert len(set(one.event_hash.tolist())) == 400
    assert 0.7 < one.is_train.mean() < 0.9
    assert not one.is_train[one.event_hash > 0].all()  # the side is no function of the order in which training takes


@pytest.mark.parametrize(
    ("features", "targets", "message"),
    [
        (FEATURES[:, :13], TARGETS, r"HLF_input, row 0: expected 14 numbers"),
        (FEATURES, TARGETS * 0.5, "not one-hot"),
        (np.where(FEATURES == 30, np.nan, FEATURES), TARGETS, r"MET_phi of row 2 is nan"),
        (np.where(FEATURES == 15, np.inf, FEATURES), TARGETS, r"MET of row 1 is inf"),
    ],
)
def test_bad_values_are_named(tmp_path, features, targets, message):
    url = published(tmp_path / "data", pa.array(list(features)), pa.array(list(targets)))
    with pytest.raises(InputError, match=rf"part-0\.parquet: .*{message}"):
        read_chunk(open_source(url, STORAGE).chunks[0], STORAGE)


def test_a_file_with_other_columns_is_named(tmp_path):
    pq.write_table(pa.table({"x": [1]}), tmp_path / "other.parquet")
    with pytest.raises(InputError, match=r"other\.parquet: no column 'HLF_input'"):
        read_chunk(open_source(str(tmp_path), STORAGE).chunks[0], STORAGE)


def test_a_file_that_is_not_parquet_is_named(tmp_path):
    (tmp_path / "bad.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(InputError, match=r"bad\.parquet: not readable as Parquet"):
        read_chunk(open_source(str(tmp_path), STORAGE).chunks[0], STORAGE)


def test_a_file_that_changed_since_it_was_opened_is_named(tmp_path):
    url = published(tmp_path / "data", pa.array(list(FEATURES)), pa.array(list(TARGETS)))
    chunk = open_source(url, STORAGE).chunks[0]
    published(tmp_path / "data", pa.array(list(FEATURES + 1)), pa.array(list(TARGETS)))
    with pytest.raises(InputError, match="checksum differs"):
        read_chunk(chunk, STORAGE)


def test_nothing_there_is_told(tmp_path):
    with pytest.raises(InputError, match=r"neither a data set.*hepspark ingest"):
        open_source(str(tmp_path), STORAGE)
