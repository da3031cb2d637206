"""Data in the layout of the published data sets."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    """A folder of Parquet in the published layout: 2,400 events whose class a linear rule with noise gives."""
    folder = tmp_path_factory.mktemp("published")
    generator = np.random.default_rng(0)
    features = generator.normal(size=(2400, 14)) * np.arange(1, 15)
    scores = (features / np.arange(1, 15)) @ generator.normal(size=(14, 3)) + generator.gumbel(size=(2400, 3))
    for part in range(3):
        rows = slice(800 * part, 800 * part + 800)
        table = pa.table(
            {
                "HLF_input": pa.array(list(features[rows])),
                "encoded_label": pa.array(list(np.eye(3)[scores[rows].argmax(axis=1)])),
            }
        )
        pq.write_table(table, folder / f"part-{part}.parquet")
    return folder
