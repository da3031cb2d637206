"""The notebooks as they are kept: nothing of a run is in them."""

from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parents[2] / "training" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def test_all_of_them_are_there():
    assert {path.stem for path in NOTEBOOKS} == {
        "HLF classifier",
        "From ROOT to features",
        "Bring your own data",
    }


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_holds_no_run(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.id for cell in code if cell.outputs or cell.execution_count is not None] == []
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.language_info == {"name": "python"}
    assert {key for cell in notebook.cells for key in cell.metadata} == {"tags"}
    assert [cell.id for cell in code if "parameters" in cell.metadata.get("tags", ())] == ["settings"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_written_as_jupyter_writes_it(path):
    text = path.read_text(encoding="utf-8")
    assert nbformat.writes(nbformat.reads(text, as_version=4)) + "\n" == text
