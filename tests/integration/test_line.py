"""The whole line as a physicist runs it, from the committed ROOT files to a report, on a disk and on S3."""

import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from hepspark import dataset
from hepspark.config import load
from hepspark.model import artefact
from hepspark.steps import evaluate
from hepspark.steps import line as steps_line
from hepspark.storage import join, store_for
from tests.integration.s3_servers import on_every_make, spark_workers_environment

ROOT_FILES = Path(__file__).parents[1] / "data" / "root"
CLASSES = ("qcd", "ttbar", "wjets")
# Signs that mean something to a shell, a pattern, YAML, a URL, Java's class path or Spark's options.
ODD = "my [repo] é#%20$*'q\",{x}"


def run(steps):
    """Run steps one after the other, as a notebook does: in one process, and so with one JVM. Gives their summaries."""
    return {step: importlib.import_module(f"hepspark.steps.{step}").run(load(None, own)) for step, own in steps.items()}


def typed(step, settings, folder):
    """Run a step as a command in a folder; gives the JSON it prints."""
    program = Path(sys.executable).with_name("hepspark")
    command = [program, step, *(word for setting in settings for word in ("--set", setting))]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def line(home, *settings, files=ROOT_FILES):
    """The settings of ingest, train, evaluate and predict below a URL, by step."""
    common = (*settings, "spark.master=local[2]", "spark.driver_memory=1g")
    own = {
        "ingest": {
            "input": {name: [f"{files}/{name}-*.root"] for name in CLASSES},
            "output": f"{home}/dataset",
        },
        "train": {
            "input": [f"{home}/dataset"], "output": f"{home}/run", "epochs": 6, "batch": 96, "batches_per_step": 4,
            "schedule.rate": 0.01, "schedule.scaling": "none",
        },
        "evaluate": {"model": f"{home}/run/model", "output": f"{home}/report"},
        "predict": {"model": f"{home}/run/model", "input": [f"{home}/dataset"], "output": f"{home}/scores"},
    }  # fmt: skip
    return {
        step: (*common, *(f"{step}.{key}={json.dumps(value)}" for key, value in keys.items()))
        for step, keys in own.items()
    }


def whole(home, *settings, **options):
    """The settings of `hepspark line`."""
    return [*dict.fromkeys(setting for own in line(home, *settings, **options).values() for setting in own)]


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("line") / ODD
    shutil.copytree(ROOT_FILES, folder / "events")
    (folder / "numpy.py").write_text("raise ImportError('a file of the user, which is not for hepspark')")
    home = str(folder / "results")
    return home, typed("line", whole(home, files=folder / "events"), folder)


def test_a_classifier_is_trained_and_evaluated(on_disk):
    home, summaries = on_disk
    auc = summaries["evaluate"]["auc"]
    assert min(auc.values()) > 0.85
    assert "data:image/" in Path(home, "report", "report.html").read_text()


def test_a_finished_line_is_not_run_again(on_disk, capfd):
    home, summaries = on_disk
    before = {path: path.stat().st_mtime_ns for path in Path(home).rglob("*") if path.is_file()}
    again = steps_line.run(load(None, whole(home)))
    assert "All steps are done already" in capfd.readouterr().err
    assert again == {name: summaries[name] for name in ("train", "evaluate")} | {
        "predict": {**summaries["predict"], "unchanged": True}
    }
    assert {path: path.stat().st_mtime_ns for path in Path(home).rglob("*") if path.is_file()} == before
    # Another question to the same model is another evaluation.
    other = load(None, [*whole(home), "evaluate.background_efficiencies=[0.05]"])
    assert evaluate.finished(other) is None


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


@on_every_make
def test_s3_gives_what_the_disk_gives(on_disk, s3, bucket):
    _, summaries = on_disk
    home = f"{bucket}/my [run] é #%20"
    settings = (f"storage.endpoint={s3.endpoint}", f"spark.conf={json.dumps(spark_workers_environment())}")
    others = steps_line.run(load(None, whole(home, *settings)))
    assert others["ingest"]["fingerprint"] == summaries["ingest"]["fingerprint"]
    assert others["train"]["counts"] == summaries["train"]["counts"]
    assert others["train"]["events_applied"] == summaries["train"]["events_applied"]
    for name in CLASSES:
        assert others["evaluate"]["auc"][name] == pytest.approx(summaries["evaluate"]["auc"][name], abs=0.005)
    assert dataset.load(join(home, "dataset"), s3).manifest.counts == summaries["ingest"]["counts"]
    assert store_for(home, s3).exists(join(home, "report/report.html"))
    weights = [
        artefact.load(summary["train"]["model"], storage).weights
        for summary, storage in ((summaries, s3), (others, s3))
    ]
    np.testing.assert_allclose(*weights, atol=1e-4)


def test_a_data_set_that_changed_since_the_run_was_planned_is_told(on_disk, capfd):
    home, summaries = on_disk
    steps = line(home)
    here = dataset.load(join(home, "dataset"), load(None).storage)
    fewer = here.manifest.model_copy(update={"inputs": here.manifest.inputs[1:]})
    dataset.commit(here.url, here.version + 1, fewer, load(None).storage)
    assert run({"train": steps["train"]})["train"] == summaries["train"]
    assert f"{home}/dataset: changed since {home}/run was planned" in capfd.readouterr().err
    # Nor does a finished run need its data any more.
    for manifest in Path(home, "dataset", "manifest").iterdir():
        manifest.write_text("damaged")
    assert run({"train": steps["train"]})["train"] == summaries["train"]
