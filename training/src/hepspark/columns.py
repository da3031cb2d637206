"""The columns that events are read from: what they have to be, and the numbers in them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hepspark.errors import InputError
from hepspark.schema import CLASSES, HLF

_LONGEST_TYPE = 100
_MOST_NAMES = 10
_SPARSE, _DENSE = 0, 1
"""What the field `type` of a Spark ML vector says."""


@dataclass(frozen=True)
class Column:
    """A column that is read."""

    name: str
    accepts: Callable[[pa.DataType], bool]
    expected: str
    """What it accepts, in words."""


def check_columns(url: str, schema: pa.Schema, wanted: Iterable[Column]) -> None:
    """Refuse a file by the types of its columns, which its footer tells.

    Raises:
        InputError: a column is not there, is there twice, or has another type.
    """
    for column in wanted:
        count = schema.names.count(column.name)
        if count == 0:
            raise InputError(f"{url}: no column {column.name!r}; {_hint(schema.names, column.name)}")
        if count > 1:
            raise InputError(f"{url}: {count} columns have the name {column.name}; keep one of them")
        found = schema.field(column.name).type
        if not column.accepts(found):
            raise InputError(
                f"{url}: column {column.name} has the type {_shortened(str(found))}; expected {column.expected}"
            )


def vectors(url: str, column: pa.ChunkedArray, name: str, width: int) -> npt.NDArray[np.float64]:
    """The rows of a column that `PUBLISHED` accepts.

    Args:
        url: Of the file, for the message.
        column: n lists or Spark ML vectors.
        name: Of the column, for the message.
        width: Numbers in a row.

    Returns:
        Shape (n, width); NaN where a number is null.

    Raises:
        InputError: a row is null, or has another length.
    """
    rows = column.combine_chunks()
    if isinstance(rows, pa.ExtensionArray):
        rows = rows.storage
    _refuse_rows(url, name, rows.is_null(), f"is null; give {width} numbers, or remove the event")
    if pa.types.is_struct(rows.type):
        return _spark_vectors(url, rows, name, width)
    lengths = np.asarray(pc.list_value_length(rows))
    _refuse_rows(url, name, lengths != width, f"does not have {width} numbers; correct or remove the event")
    return _numbers(rows).reshape(-1, width)


def refuse_nulls(url: str, table: pa.Table) -> None:
    """Refuse a table with a null in any column.

    Raises:
        InputError: with the column and the row.
    """
    for name in table.column_names:
        if table[name].null_count:
            _refuse_rows(url, name, table[name].is_null().combine_chunks(), "is null; ingest the events again")


def _spark_vectors(url: str, rows: pa.StructArray, name: str, width: int) -> npt.NDArray[np.float64]:
    kind, size = (rows.field(key).fill_null(-1).to_numpy(zero_copy_only=False) for key in ("type", "size"))
    values, indices = rows.field("values"), rows.field("indices")
    counts, places = (pc.list_value_length(part).fill_null(0).to_numpy() for part in (values, indices))
    sparse = kind == _SPARSE
    whole = np.where(sparse, (size == width) & (counts == places), (kind == _DENSE) & (counts == width))
    _refuse_rows(url, name, ~whole, f"is no Spark ML vector of {width} numbers; correct or remove the event")
    row = np.repeat(np.arange(len(rows)), counts)
    position = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    position[sparse[row]] = pc.list_flatten(indices.filter(pa.array(sparse))).fill_null(-1)
    outside = np.zeros(len(rows), dtype=bool)
    outside[row[(position < 0) | (position >= width)]] = True
    _refuse_rows(url, name, outside, f"has an index outside of 0 to {width - 1}; correct or remove the event")
    times = np.bincount(row * width + position, minlength=len(rows) * width).reshape(len(rows), width)
    _refuse_rows(url, name, (times > 1).any(axis=1), "has an index twice; correct or remove the event")
    result = np.zeros((len(rows), width))
    result[row, position] = _numbers(values)
    return result


def _numbers(rows: pa.Array) -> npt.NDArray[np.float64]:
    """All numbers of all lists."""
    return np.asarray(pc.list_flatten(rows).cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))


def _refuse_rows(url: str, name: str, bad: pa.Array | npt.NDArray[np.bool_], problem: str) -> None:
    found = np.flatnonzero(np.asarray(bad))
    if len(found):
        raise InputError(f"{url}: {name} of row {found[0]} {problem}")


def _is_vector(kind: pa.DataType, width: int) -> bool:
    if isinstance(kind, pa.FixedShapeTensorType) and kind.permutation not in (None, sorted(kind.permutation)):
        return False  # its numbers lie in another order than they are meant in
    if isinstance(kind, pa.BaseExtensionType):  # a tensor of fixed shape
        kind = kind.storage_type
    if pa.types.is_struct(kind):
        fields = {field.name: field.type for field in kind}
        return (
            set(fields) == {"type", "size", "indices", "values"}
            and pa.types.is_integer(fields["type"])
            and pa.types.is_integer(fields["size"])
            and _is_list(fields["indices"], pa.types.is_integer)
            and _is_list(fields["values"], _is_number)
        )
    return _is_list(kind, _is_number) and not (pa.types.is_fixed_size_list(kind) and kind.list_size != width)


def _is_list(kind: pa.DataType, of: Callable[[pa.DataType], bool]) -> bool:
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_kind(kind) for is_kind in lists) and of(kind.value_type)


def _is_number(kind: pa.DataType) -> bool:
    kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean)
    return any(is_kind(kind) for is_kind in kinds)


def _hint(names: list[str], wanted: str) -> str:
    similar = [name for name in names if name.lower() == wanted.lower()]
    if similar:
        return f"rename the column {similar[0]!r} to {wanted!r}"
    if "event_hash" in names:
        return (
            "this file is a part of a data set; give the folder of the data set. If that has no manifest/*.json, "
            "run hepspark ingest again"
        )
    there = ", ".join(names[:_MOST_NAMES]) + (", …" if len(names) > _MOST_NAMES else "")
    return f"the columns are {there}" if there else "the file has no columns"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_TYPE else f"{text[:_LONGEST_TYPE]}…"


PUBLISHED: Final = (
    Column(
        "HLF_input",
        partial(_is_vector, width=len(HLF)),
        f"a list or a Spark ML vector of {len(HLF)} numbers ({', '.join(HLF)})",
    ),
    Column(
        "encoded_label",
        partial(_is_vector, width=len(CLASSES)),
        f"a list or a Spark ML vector of {len(CLASSES)} numbers ({', '.join(CLASSES)}): 1 for the event's class, 0 for "
        "the others",
    ),
)
"""Of the published SparkDLTrigger files."""
