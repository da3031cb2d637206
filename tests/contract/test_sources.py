import base64
import json
import re
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest

from hepspark.config import StorageConfig
from hepspark.errors import InputError
from hepspark.schema import HLF
from hepspark.sources import check_alike, check_distinct, open_source, read_chunk
from tests.integration.test_evaluate_predict import part, write_dataset

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


def lists(kind):
    return lambda rows: pa.array(rows.tolist(), kind)


FORMS = {
    "arrays": lists(None),
    "32 bits": lists(pa.list_(pa.float32())),
    "16 bits": lambda rows: pa.array([list(row.astype(np.float16)) for row in rows], pa.list_(pa.float16())),
    "whole numbers": lambda rows: pa.array(rows.astype(int).tolist(), pa.list_(pa.uint8())),
    "decimal": lambda rows: pa.array([[Decimal(x) for x in row] for row in rows], pa.list_(pa.decimal128(9, 2))),
    "long lists": lists(pa.large_list(pa.float64())),
    "lists of one length": lambda rows: lists(pa.list_(pa.float64(), rows.shape[1]))(rows),
    "tensors": pa.FixedShapeTensorArray.from_numpy_ndarray,
    "dictionary": lambda rows: pa.ListArray.from_arrays(
        pa.array(np.arange(len(rows) + 1) * rows.shape[1], pa.int32()), pa.array(rows.ravel()).dictionary_encode()
    ),
    "dense": lambda rows: pa.array([vector(row) for row in rows], VECTOR),
    "sparse": lambda rows: pa.array([sparse(row) for row in rows], VECTOR),
    "dense and sparse": lambda rows: pa.array([(vector, sparse)[k % 2](row) for k, row in enumerate(rows)], VECTOR),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_published_parquet_is_read_in_each_of_its_forms(tmp_path, form):
    make = FORMS[form]
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


ROWS = FEATURES.tolist()
HOT = TARGETS.tolist()


def with_row(rows, number, row):
    return [*rows[:number], row, *rows[number + 1 :]]


@pytest.mark.parametrize(
    ("features", "targets", "message"),
    [
        (FEATURES[:, :13].tolist(), HOT, "HLF_input of row 0 does not have 14 numbers"),
        (with_row(ROWS, 3, None), HOT, "HLF_input of row 3 is null; give 14 numbers"),
        (with_row(ROWS, 3, []), HOT, "HLF_input of row 3 does not have 14 numbers"),
        (with_row(ROWS, 2, [None, *ROWS[2][1:]]), HOT, "HT of row 2 is nan"),
        (with_row(ROWS, 2, [*ROWS[2][:2], np.nan, *ROWS[2][3:]]), HOT, "MET_phi of row 2 is nan"),
        (with_row(ROWS, 1, [0, np.inf, *ROWS[1][2:]]), HOT, "MET of row 1 is inf"),
        (with_row(ROWS, 1, [0, -1e39, *ROWS[1][2:]]), HOT, "MET of row 1 is -inf as a 32-bit number"),
        (ROWS, with_row(HOT, 4, None), "encoded_label of row 4 is null; give 3 numbers"),
        (ROWS, with_row(HOT, 4, [0, 1]), "encoded_label of row 4 does not have 3 numbers"),
        (ROWS, with_row(HOT, 4, [0, 0.5, 0.5]), r"encoded_label of row 4 is \[0.0, 0.5, 0.5\], which is not one-hot"),
        (ROWS, with_row(HOT, 4, [0, 0, 0]), "encoded_label of row 4 .* not one-hot; .* order qcd, ttbar, wjets"),
        (ROWS, with_row(HOT, 4, [1, 1, -1]), "encoded_label of row 4 .* not one-hot"),
        (ROWS, with_row(HOT, 4, [1, 0, None]), "encoded_label of row 4 .* not one-hot"),
    ],
)
def test_bad_values_are_named(tmp_path, features, targets, message):
    url = published(tmp_path / "data", pa.array(features), pa.array(targets))
    with pytest.raises(InputError, match=rf"part-0\.parquet: {message}"):
        read_chunk(open_source(url, STORAGE).chunks[0], STORAGE)


WELL = vector(range(14))


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (None, "is null"),
        (WELL | {"values": None}, "is no Spark ML vector of 14 numbers"),
        (WELL | {"values": [1.0] * 13}, "is no Spark ML vector"),
        (WELL | {"type": None}, "is no Spark ML vector"),
        (WELL | {"type": 2}, "is no Spark ML vector"),
        ({"type": 0, "size": 13, "indices": [0], "values": [1.0]}, "is no Spark ML vector"),
        ({"type": 0, "size": None, "indices": [0], "values": [1.0]}, "is no Spark ML vector"),
        ({"type": 0, "size": 14, "indices": [0, 1], "values": [1.0]}, "is no Spark ML vector"),
        ({"type": 0, "size": 14, "indices": None, "values": [1.0]}, "is no Spark ML vector"),
        ({"type": 0, "size": 14, "indices": [14], "values": [1.0]}, "has an index outside of 0 to 13"),
        ({"type": 0, "size": 14, "indices": [-1], "values": [1.0]}, "has an index outside"),
        ({"type": 0, "size": 14, "indices": [None], "values": [1.0]}, "has an index outside"),
        ({"type": 0, "size": 14, "indices": [3, 3], "values": [1.0, 2.0]}, "has an index twice"),
    ],
)
def test_bad_spark_vectors_are_named(tmp_path, row, problem):
    rows = [sparse(FEATURES[0]), vector(FEATURES[1]), row, vector(FEATURES[3]), sparse(FEATURES[4])]
    url = published(tmp_path / "data", pa.array(rows, VECTOR), pa.array(HOT))
    with pytest.raises(InputError, match=rf"part-0\.parquet: HLF_input of row 2 {problem}"):
        read_chunk(open_source(url, STORAGE).chunks[0], STORAGE)


NAMED = pa.array([dict.fromkeys("HMJ", 1.0)] * 5)
VECTORS = pa.array(ROWS)
ONE_HOT = pa.array(HOT)
EXPECTED = r"expected a list or a Spark ML vector of 3 numbers \(qcd, ttbar, wjets\): 1 for the event's class"


@pytest.mark.parametrize(
    ("names", "columns", "message"),
    [
        ("HLF_input encoded_label", [VECTORS, pa.array(LABELS)], f"encoded_label has the type int64; {EXPECTED}"),
        ("HLF_input encoded_label", [VECTORS, pa.array([*"qtwtq"])], f"encoded_label has the type string; {EXPECTED}"),
        (
            "HLF_input encoded_label",
            [VECTORS, pa.array(list("qtwtq")).dictionary_encode()],
            "encoded_label has the type dictionary<values=string",
        ),
        ("HLF_input encoded_label", [VECTORS, pa.nulls(5)], "encoded_label has the type null"),
        ("HLF_input encoded_label", [NAMED, ONE_HOT], "HLF_input has the type struct<H: double, "),
        ("HLF_input encoded_label", [pa.array([["1"]] * 5), ONE_HOT], "HLF_input has the type list<element: string>"),
        ("HLF_input encoded_label", [pa.array([[[1.0]]] * 5), ONE_HOT], "HLF_input has the type list<element: list<"),
        (
            "HLF_input encoded_label",
            [pa.array(FEATURES[:, :13].tolist(), pa.list_(pa.float64(), 13)), ONE_HOT],
            r"HLF_input has the type fixed_size_list<element: double>\[13\]; expected .* of 14 numbers \(HT, MET,",
        ),
        ("HLF_input encoded_label encoded_label", [VECTORS, ONE_HOT, ONE_HOT], "2 columns have the name encoded_label"),
        ("hlf_input encoded_label", [VECTORS, ONE_HOT], "no column 'HLF_input'; rename the column 'hlf_input' to"),
        ("x", [pa.array([1])], "no column 'HLF_input'; the columns are x"),
        ("event_hash", [pa.array([1])], "this file is a part of a data set; give the folder of the data"),
        ("", [], "no column 'HLF_input'; the file has no columns"),
    ],
)  # fmt: skip
def test_a_column_of_another_type_is_told_before_any_event_is_read(tmp_path, names, columns, message):
    # Beside a good one, in a folder of a partition: each file's own columns count.
    published(tmp_path / "data", VECTORS, ONE_HOT)
    (tmp_path / "data/year=2018").mkdir()
    pq.write_table(pa.Table.from_arrays(columns, names.split()), tmp_path / "data/year=2018/part-1.parquet")
    with pytest.raises(InputError, match=rf"data/year=2018/part-1\.parquet: .*{message}"):
        open_source(str(tmp_path / "data"), STORAGE)


def test_a_tensor_whose_numbers_lie_in_another_order_is_refused(tmp_path):
    kind = pa.fixed_shape_tensor(pa.float64(), [2, 7], permutation=[1, 0])
    rows = pa.ExtensionArray.from_storage(kind, pa.array(FEATURES.tolist(), pa.list_(pa.float64(), 14)))
    with pytest.raises(InputError, match=r"HLF_input has the type .*permutation=\[1,0\].*; expected a list or a Spark"):
        open_source(published(tmp_path / "data", rows, pa.array(TARGETS.tolist())), STORAGE)


def test_other_columns_and_files_of_other_forms_do_not_matter(tmp_path):
    table = pa.Table.from_arrays(
        [VECTORS, pa.nulls(5), ONE_HOT, pa.array(["a"] * 5), NAMED], ["HLF_input", "x", "encoded_label", "x", "HLF"]
    )
    pq.write_table(table, tmp_path / "more.parquet")
    published(tmp_path / "run=_1", FORMS["sparse"](FEATURES), lists(pa.large_list(pa.int8()))(TARGETS.astype(int)))
    for name in ("_temporary/0/part-0.parquet", ".part-0.parquet", "_delta_log/1.checkpoint.parquet"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"unfinished")
    for name in ("_SUCCESS", ".more.parquet.crc", "_metadata"):
        (tmp_path / name).touch()
    source = open_source(str(tmp_path), STORAGE)
    assert sorted(source.files.values()) == ["more.parquet", "part-0.parquet"]
    for chunk in source.chunks:
        np.testing.assert_array_equal(read_chunk(chunk, STORAGE).features, FEATURES.astype(np.float32))


def test_a_folder_whose_own_path_looks_hidden_is_read(tmp_path, monkeypatch):
    (tmp_path / "_a/.b").mkdir(parents=True)
    published(tmp_path / "_a/.b/data", VECTORS, ONE_HOT)
    monkeypatch.chdir(tmp_path / "_a/.b/data")
    for url in (str(tmp_path / "_a/.b/data"), "../data", "."):
        assert len(open_source(url, STORAGE).chunks) == 1


class Keys(pe.KmsClient):
    """Keeps keys as they are."""

    def __init__(self, _configuration):
        super().__init__()

    def wrap_key(self, key, _master):
        return base64.b64encode(key)

    def unwrap_key(self, key, _master):
        return base64.b64decode(key)


def encrypted(path, *, plaintext_footer):
    configuration = pe.EncryptionConfiguration(
        footer_key="k", column_keys={"c": ["HLF_input.list.element"]}, plaintext_footer=plaintext_footer
    )
    keys = pe.CryptoFactory(Keys).file_encryption_properties(pe.KmsConnectionConfig(), configuration)
    table = pa.table({"HLF_input": VECTORS, "encoded_label": ONE_HOT})
    with pq.ParquetWriter(path, table.schema, encryption_properties=keys) as writer:
        writer.write_table(table)


def written(path, change=bytes):
    pq.write_table(pa.table({"HLF_input": VECTORS, "encoded_label": ONE_HOT}), path)
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_bytes(b"HT,MET\n1,2\n"), "magic bytes not found"),
        (lambda path: path.write_bytes(b""), "file size is 0 bytes"),
        (lambda path: written(path, lambda content: content[:-9]), "magic bytes not found"),
        (lambda path: written(path, lambda content: content[:-8] + b"\xff\xff\xff\x7fPAR1"), "smaller than the size"),
        (lambda path: written(path, lambda content: b"PAR1" + b"\xff" * 60 + content[64:]), "page header"),
        (lambda path: encrypted(path, plaintext_footer=False), "encrypted metadata"),
        (lambda path: encrypted(path, plaintext_footer=True), "Cannot decrypt"),
    ],
)
def test_a_file_that_is_not_readable_as_parquet_is_named(tmp_path, make, reason):
    make(tmp_path / "bad.parquet")
    with pytest.raises(InputError, match=rf"^[^\n]*bad\.parquet: not readable as Parquet: [^\n]*{reason}[^\n]*$"):
        read_chunk(open_source(str(tmp_path), STORAGE).chunks[0], STORAGE)


def test_files_without_rows_are_no_copies_of_one_another(tmp_path):
    for name in ("a", "b"):
        for number in (0, 2):
            published(tmp_path / name, VECTORS[:0], ONE_HOT[:0], f"part-{number}.parquet")
        published(tmp_path / name, pa.array((FEATURES + ord(name)).tolist()), ONE_HOT, "part-1.parquet")
    sources = [open_source(str(tmp_path / name), STORAGE) for name in ("a", "b")]
    check_distinct(sources, "train.input")
    assert [[len(read_chunk(chunk, STORAGE).label) for chunk in source.chunks] for source in sources] == [[5], [5]]
    with pytest.raises(InputError, match=r"part-0\.parquet: none of the 1 Parquet files has a row"):
        open_source(str(tmp_path / "a/part-0.parquet"), STORAGE)


def test_files_without_rows_have_the_columns_too(tmp_path):
    published(tmp_path / "data", VECTORS, ONE_HOT)
    published(tmp_path / "data", VECTORS[:0], pa.array([], pa.int64()), "part-1.parquet")
    with pytest.raises(InputError, match=r"part-1\.parquet: column encoded_label has the type int64"):
        open_source(str(tmp_path / "data"), STORAGE)


def test_copies_are_refused_in_one_input_and_in_two(tmp_path):
    published(tmp_path / "a", VECTORS, ONE_HOT)
    published(tmp_path / "b", VECTORS, ONE_HOT)
    sources = [open_source(str(tmp_path / name), STORAGE) for name in ("a", "b")]
    with pytest.raises(InputError, match=r"b: holds the same events as .*a \(of part-0\.parquet\); .* train\.input"):
        check_distinct(sources, "train.input")
    with pytest.raises(InputError, match=rf"b/part-0\.parquet: is a copy of {re.escape(str(tmp_path))}/a/part-0"):
        open_source(str(tmp_path), STORAGE)


def test_a_null_among_lists_of_fixed_length_is_told(tmp_path):
    rows = pa.array([*FEATURES[:4].tolist(), None], pa.list_(pa.float64(), 14))
    published(tmp_path, rows, ONE_HOT)
    with pytest.raises(InputError, match=r"part-0\.parquet: a list of fixed length is null, which Arrow cannot read"):
        read_chunk(open_source(str(tmp_path), STORAGE).chunks[0], STORAGE)


@pytest.mark.parametrize(
    ("kind", "names"), [("classes", ["qcd", "wjets", "ttbar"]), ("features", ["MET", "HT", *HLF[2:]])]
)
def test_labels_or_features_of_another_meaning_are_not_trained_on(tmp_path, kind, names):
    write_dataset(str(tmp_path), [part("0", [0, 1, 2], 0)])
    manifest = tmp_path / "manifest/00000001.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {kind: names}))
    told = (
        rf"{tmp_path}: has the {kind} {', '.join(names)}; a training takes the {kind} .* leave it out of train\.input"
    )
    with pytest.raises(InputError, match=told):
        check_alike([open_source(str(tmp_path), STORAGE)], "train.input")


def test_features_of_two_codes_are_not_mixed(tmp_path):
    urls = [str(tmp_path / name) for name in ("a", "b", "c")]
    for number, url in enumerate(urls[:2]):
        write_dataset(url, [part(str(number), [0, 1, 2], number)])
    published(tmp_path / "c", VECTORS, ONE_HOT)
    sources = [open_source(url, STORAGE) for url in urls]
    assert [source.compatibility for source in sources] == ["none", "none", None]
    check_alike(sources, "train.input")
    manifest = tmp_path / "b/manifest/00000001.json"
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(content | {"compatibility": "sparkdltrigger"}))
    with pytest.raises(InputError, match=r"/b: was made with ingest\.compatibility=sparkdltrigger, and .*/a with none"):
        check_alike([open_source(url, STORAGE) for url in urls], "train.input")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(["HT"]), "no column 'HT'"),
        (lambda table: table.append_column("HT", table["MET"]), "2 columns have the name HT"),
        (lambda table: table.cast(as_type(table, "label", pa.string())), "label has the type string; expected int8"),
        (lambda table: table.cast(as_type(table, "MT", pa.float64())), "MT has the type double; expected float"),
        (lambda table: with_value(table, "label", None), "label of row 1 is null; ingest the events again"),
        (lambda table: with_value(table, "MET", None), "MET of row 1 is null"),
        (lambda table: with_value(table, "label", 3), "label 3 of row 1 is not one of 0 to 2"),
        (lambda table: with_value(table, "label", -2), "label -2 of row 1"),
    ],
)
def test_a_part_of_a_data_set_with_other_columns_or_nulls_is_named(tmp_path, change, message):
    table = change(part("a", [0, 1, 2], 1))
    write_dataset(str(tmp_path), [table])
    with pytest.raises(InputError, match=rf"parts/0\.parquet: .*{message}"):
        read_chunk(open_source(str(tmp_path), STORAGE).chunks[0], STORAGE)


def as_type(table, name, kind):
    place = table.schema.get_field_index(name)
    return table.schema.set(place, pa.field(name, kind, nullable=False))


def with_value(table, name, value):
    place = table.schema.get_field_index(name)
    field = pa.field(name, table.schema.field(name).type)
    rows = table[name].to_pylist()
    return table.set_column(place, field, pa.array([rows[0], value, *rows[2:]], field.type))


def test_a_file_that_changed_since_it_was_opened_is_named(tmp_path):
    url = published(tmp_path / "data", pa.array(list(FEATURES)), pa.array(list(TARGETS)))
    chunk = open_source(url, STORAGE).chunks[0]
    published(tmp_path / "data", pa.array(list(FEATURES + 1)), pa.array(list(TARGETS)))
    with pytest.raises(InputError, match="checksum differs"):
        read_chunk(chunk, STORAGE)


def test_nothing_there_is_told(tmp_path):
    with pytest.raises(InputError, match=r"neither a data set.*hepspark ingest"):
        open_source(str(tmp_path), STORAGE)
