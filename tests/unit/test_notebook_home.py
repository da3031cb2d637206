"""The image's notebooks in a user's home: what is there already is the user's."""

from pathlib import Path

import pytest

from hepspark.notebook.home import copy_notebooks
from hepspark.notebook.server import prepare


@pytest.fixture
def image(tmp_path):
    folder = tmp_path / "image"
    folder.mkdir()
    for name in ("A tutorial.ipynb", "Another.ipynb", "README.md"):
        (folder / name).write_text(name)
        (folder / name).chmod(0o444)
    return folder


def content(home):
    return {path.name: path.read_text() for path in home.iterdir()}


def test_a_new_home_gets_the_notebooks_and_may_change_them(image, tmp_path):
    home = tmp_path / "new" / "home"
    made = copy_notebooks(image, home)
    assert content(home) == {name: name for name in ("A tutorial.ipynb", "Another.ipynb")}
    assert sorted(path.name for path in made) == sorted(content(home))
    assert all(path.stat().st_mode & 0o200 for path in made)


def test_what_is_there_stays(image, tmp_path):
    home = tmp_path / "home"
    copy_notebooks(image, home)
    (home / "Another.ipynb").write_text("mine")
    (home / "A tutorial.ipynb").unlink()
    assert copy_notebooks(image, home) == [home / "A tutorial.ipynb"]
    assert content(home)["Another.ipynb"] == "mine"
    assert copy_notebooks(image, home) == []


def test_a_link_that_leads_nowhere_is_the_users_too(image, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "Another.ipynb").symlink_to(tmp_path / "elsewhere.ipynb")
    copy_notebooks(image, home)
    assert (home / "Another.ipynb").is_symlink()
    assert not (tmp_path / "elsewhere.ipynb").exists()


def test_jupyter_keeps_its_files_in_a_home_that_has_room(image, tmp_path):
    assert list(prepare(image, tmp_path / "home")) == ["JUPYTER_RUNTIME_DIR"]
    assert len(content(tmp_path / "home")) == 2


def test_a_home_that_takes_no_files_keeps_no_server_from_starting(image, tmp_path, capfd):
    (tmp_path / "home").write_text("a file")
    variables = prepare(image, tmp_path / "home")
    assert {"JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"} < set(variables)
    assert f"{tmp_path / 'home'} cannot store files" in capfd.readouterr().err


def test_a_home_that_is_full_is_noticed_with_all_notebooks_there(image, tmp_path, monkeypatch):
    home = tmp_path / "home"
    copy_notebooks(image, home)
    with Path("/dev/full").open("r+b", buffering=0) as full:
        monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: full)
        assert "JUPYTER_DATA_DIR" in prepare(image, home)
