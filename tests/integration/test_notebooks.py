"""The notebooks, run from top to bottom in a kernel, with the cores of this machine; a second time, too."""

import ast
import re
import shutil
from pathlib import Path

import nbformat
import pyarrow.parquet as pq
import pytest
from jupyter_client import KernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from hepspark import dataset
from hepspark.config import StorageConfig
from hepspark.model import artefact
from hepspark.schema import CLASSES

REPOSITORY = Path(__file__).parents[2]
FEW_FILES = 2  # of each class


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """A small part of the sample that comes with hepspark."""
    folder, whole = tmp_path_factory.mktemp("sample"), REPOSITORY / "tests" / "data" / "sample"
    manifest = dataset.load(str(whole), StorageConfig()).manifest
    inputs = [
        file for name in CLASSES for file in [file for file in manifest.inputs if file.class_name == name][:FEW_FILES]
    ]
    (folder / "parts").mkdir()
    for part in (part for file in inputs for part in file.parts):
        shutil.copy(whole / part.path, folder / part.path)
    dataset.commit(str(folder), 1, manifest.model_copy(update={"inputs": tuple(inputs)}), StorageConfig())
    return str(folder)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The folder that the notebooks are run in."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def kernel(home):
    """One kernel for all notebooks: Java, which takes its time, starts once."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=home)
    yield manager
    manager.shutdown_kernel(now=True)


def run(name, kernel, times=1, **settings):
    """Run all cells of a notebook, once or more; gives the notebook after the last time."""
    notebook = nbformat.read(REPOSITORY / "training" / "notebooks" / f"{name}.ipynb", as_version=4)
    chosen = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    chosen.source += "".join(f"\n{key} = {value!r}" for key, value in settings.items())
    # What another notebook has defined may not help this one.
    reset = nbformat.v4.new_code_cell("%reset -f")
    client = NotebookClient(notebook, km=kernel, timeout=120)
    with client.setup_kernel():
        client.execute_cell(reset, -1)
        for number, cell in [*enumerate(notebook.cells)] * times:
            client.execute_cell(cell, number)
    client.kc.stop_channels()
    return notebook


def printed(notebook, cell):
    """What a cell printed."""
    outputs = next(found for found in notebook.cells if found.id == cell).outputs
    return "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")


def pictures(notebook):
    """Cells that show a picture."""
    return {
        cell.id
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "image/png" in output.get("data", ())
    }


def auc(notebook):
    line = next(line for line in printed(notebook, "result").splitlines() if line.startswith("AUC: "))
    found = ast.literal_eval(line.removeprefix("AUC: "))
    assert set(found) == set(CLASSES)
    return found


def test_hlf_classifier(kernel, home, sample):
    settings = {"sample": sample, "epochs": 6, "batch": 288}
    notebook = run("HLF classifier", kernel, times=2, **settings)
    assert min(auc(notebook).values()) > 0.9
    assert pictures(notebook) == {
        *("histograms", "correlations", "ownplot", "curves", "evaluate", "rejection", "confusion", "speeds"),
    }
    # The second time, the trainings of the first were taken as they are.
    assert "this run is complete" in str(next(cell for cell in notebook.cells if cell.id == "trainone").outputs)
    place = home / "workspace" / "hlf"
    models = [artefact.load(str(place / name / "model"), StorageConfig()) for name in ("on-1", "on-2")]
    assert [len(model.history) for model in models] == [6, 6]
    assert f"{models[0].summary['validation_accuracy']:.4f}" in printed(notebook, "speeds")
    assert (home / "hlf-report.html").read_bytes() == (place / "report" / "report.html").read_bytes()


def test_from_root_to_features(kernel, home):
    notebook = run("From ROOT to features", kernel)
    assert pictures(notebook) == {"eventdisplay", "lengths", "histograms"}
    assert "The executors' features are those computed here: True" in printed(notebook, "counted")
    made = dataset.load(str(home / "workspace" / "features" / "dataset"), StorageConfig())
    rows = sum(part.rows for part in made.parts)
    assert f"Rows: {rows}; selected by hand: {rows}" in printed(notebook, "counted")


def test_bring_your_own_data(kernel, home, sample):
    notebook = run("Bring your own data", kernel, sample=sample, epochs=6, batch=288)
    assert min(auc(notebook).values()) > 0.85
    assert pictures(notebook) == {"curves", "evaluate", "confusion", "scoreplot"}
    told = printed(notebook, "errors")
    assert "broken-off.root: is truncated" in told
    assert "page.root: is not a ROOT file" in told
    place = home / "workspace" / "own"
    model = artefact.load(str(place / "run" / "model"), StorageConfig())
    assert [Path(source["url"]).name for source in model.sources] == [Path(sample).name, "dataset"]
    scores = pq.read_table(place / "scores" / "parts")
    unlabelled = dataset.load(str(place / "unlabelled"), StorageConfig()).manifest.counts["unlabelled"]
    assert len(scores) == unlabelled["isolated"]
    assert scores["label"].null_count == len(scores)


class Listening(NotebookClient):
    """Keeps every state of what cells show, which the notebook has only the last of."""

    def process_message(self, message, cell, index):
        if message["msg_type"] in ("display_data", "update_display_data"):
            self.shown = [*getattr(self, "shown", ()), message["content"]["data"]]
        return super().process_message(message, cell, index)


def test_a_job_of_spark_is_shown_below_its_cell_while_it_runs(kernel):
    cells = [
        "import time\nfrom hepspark import notebook as hep\nnumbers = hep.session().sparkContext.range(6, numSlices=6)",
        "numbers.map(lambda number: time.sleep(0.7) or number).sum()",
        "numbers.map(lambda number: time.sleep(0.7) or number / (number - 5)).sum()",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = Listening(notebook, km=kernel, timeout=120)
    with client.setup_kernel():
        for number, cell in enumerate(notebook.cells[:2]):
            client.execute_cell(cell, number)
        shown = client.shown
        with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
            client.execute_cell(notebook.cells[2], 2)
    client.kc.stop_channels()
    texts = [data["text/plain"] for data in shown]
    done = [int(re.fullmatch(r"Spark: (\d) of 6 tasks, \d+ s( \(job \d+; ■ stops it\))?", text)[1]) for text in texts]
    assert done == sorted(done)
    assert done[0] < 6
    assert done[-1] == 6
    assert "stops it" in texts[-2]
    assert "stops it" not in texts[-1]
    assert "/jobs/" in shown[0]["text/html"]
    failed = [output for output in notebook.cells[2].outputs if output.output_type == "display_data"]
    assert [output.data["text/plain"].startswith("Spark: 6 of") for output in failed] == [False]
