"""Ingestion with a Spark of its own: in a folder and in S3."""

import numpy as np

from hepspark import dataset
from hepspark.config import Config
from hepspark.steps import ingest
from hepspark.storage import join, store_for
from tests.integration.s3_servers import spark_workers_environment
from tests.reference.delphes import random_events, write_root


def test_s3_and_a_folder_give_the_same_data_set(tmp_path, s3, bucket):
    path = write_root(tmp_path / "in" / "a.root", random_events(np.random.default_rng(1), 300))
    store = store_for(bucket, s3)
    store.write(join(bucket, "raw", "elsewhere", "b.root"), path.read_bytes())

    spark = {"master": "local[2]", "conf": spark_workers_environment()}

    def run(source, output):
        section = {"input": {"ttbar": [source]}, "output": output, "entries_per_task": 100}
        return ingest.run(Config.model_validate({"storage": s3.model_dump(), "spark": spark, "ingest": section}))

    away = run(join(bucket, "raw"), join(bucket, "set"))
    here = run(str(tmp_path / "in"), str(tmp_path / "set"))
    assert away["fingerprint"] == here["fingerprint"]
    assert (away["files_added"], len(dataset.load(join(bucket, "set"), s3).parts)) == (1, 3)
    again = run(join(bucket, "raw", "*", "*.root"), str(tmp_path / "set"))
    assert (again["changed"], again["files_known"]) == (False, 1)
