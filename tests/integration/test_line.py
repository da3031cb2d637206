"""The whole line as a physicist runs it, from the committed ROOT files to a report, on a disk and on S3."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from hepspark.dataset import load
from hepspark.model import artefact
from hepspark.storage import join, store_for

ROOT_FILES = Path(__file__).parents[1] / "data" / "root"
CLASSES = ("qcd", "ttbar", "wjets")


# Runs steps one after the other, as a notebook does: in one process, and so with one JVM.
STEPS = """
import importlib, json, sys
from hepspark.config import load
steps = json.loads(sys.argv[1])
run = {step: importlib.import_module(f"hepspark.steps.{step}").run(load(None, own)) for step, own in steps.items()}
print(json.dumps(run))
"""


def output(environment, *arguments):
    """Run Python; gives the JSON it prints."""
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=240, env=os.environ | environment
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def line(home, *settings):
    """The settings of ingest, train, evaluate and predict below a URL, by step."""
    common = (*settings, "spark.master=local[2]", "spark.driver_memory=1g")
    files = ", ".join(f"{name}: [{ROOT_FILES}/{name}-*.root]" for name in CLASSES)
    return {
        step: (*common, *own)
        for step, own in {
            "ingest": (f"ingest.input={{{files}}}", f"ingest.output={home}/dataset"),
            "train": (
                f"train.input=[{home}/dataset]", f"train.output={home}/run", "train.epochs=6", "train.batch=96",
                "train.batches_per_step=2", "train.schedule.rate=0.01", "train.schedule.scaling=none",
            ),
            "evaluate": (f"evaluate.model={home}/run/model", f"evaluate.output={home}/report"),
            "predict": (
                f"predict.model={home}/run/model", f"predict.input=[{home}/dataset]", f"predict.output={home}/scores",
            ),
        }.items()
    }  # fmt: skip


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory):
    home = str(tmp_path_factory.mktemp("line"))
    steps = line(home)
    predict = steps.pop("predict")
    summaries = output({}, "-c", STEPS, json.dumps(steps))
    # `make train` and test_train type the other commands.
    typed = output({}, "-m", "hepspark", "predict", *(word for setting in predict for word in ("--set", setting)))
    return home, {**summaries, "predict": typed}


def test_a_classifier_is_trained_and_evaluated(on_disk):
    home, summaries = on_disk
    auc = summaries["evaluate"]["auc"]
    assert min(auc.values()) > 0.85
    assert "data:image/" in Path(home, "report", "report.html").read_text()


def test_every_event_is_accounted_for(on_disk):
    home, summaries = on_disk
    counts = summaries["ingest"]["counts"]
    selected = sum(counts[name]["train"] + counts[name]["test"] for name in CLASSES)
    assert summaries["predict"]["rows"] == selected
    assert summaries["evaluate"]["events"] == {name: counts[name]["test"] for name in CLASSES}
    trained = summaries["train"]["counts"]
    assert summaries["train"]["events_applied"] == summaries["train"]["epochs"] * sum(trained["train"].values())
    smallest = min(counts[name]["train"] for name in CLASSES)
    assert max(trained["train"][name] + trained["validation"][name] for name in CLASSES) <= smallest
    scores = [pq.read_table(path) for path in Path(home, "scores", "parts").glob("*.parquet")]
    assert sum(len(table) for table in scores) == selected


def test_s3_gives_what_the_disk_gives(on_disk, minio, bucket):
    _, summaries = on_disk
    environment = {"AWS_ACCESS_KEY_ID": minio.user, "AWS_SECRET_ACCESS_KEY": minio.password}
    home = f"{bucket}/line"
    others = output(environment, "-c", STEPS, json.dumps(line(home, f"storage.endpoint={minio.endpoint}")))
    assert others["ingest"]["fingerprint"] == summaries["ingest"]["fingerprint"]
    assert others["train"]["counts"] == summaries["train"]["counts"]
    assert others["train"]["events_applied"] == summaries["train"]["events_applied"]
    for name in CLASSES:
        assert others["evaluate"]["auc"][name] == pytest.approx(summaries["evaluate"]["auc"][name], abs=0.005)
    assert load(join(home, "dataset"), minio.storage).manifest.counts == summaries["ingest"]["counts"]
    assert store_for(home, minio.storage).exists(join(home, "report/report.html"))
    weights = [
        artefact.load(summary["train"]["model"], storage).weights
        for summary, storage in ((summaries, minio.storage), (others, minio.storage))
    ]
    np.testing.assert_allclose(*weights, atol=1e-4)
