"""Files of a server, its workspace, and what steps have written there."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from hepspark import metrics
from hepspark import notebook as hep
from hepspark.errors import InputError
from hepspark.notebook.places import sample_root
from hepspark.schema import CLASSES


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("HEPSPARK_WORKSPACE", "HEPSPARK_IMAGE", "POD_NAMESPACE", "JUPYTERHUB_USER"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_folders_and_files_come_into_the_workspace(home):
    (home / "mine" / "deep").mkdir(parents=True)
    (home / "mine" / "a.root").write_text("a")
    (home / "mine" / "deep" / "b.root").write_text("b")
    (home / "mine" / "a.root").chmod(0o444)
    for _ in range(2):
        assert hep.upload("mine") == f"{home}/workspace/mine"
    assert hep.upload(home / "mine" / "a.root", "other/c.root") == f"{home}/workspace/other/c.root"
    found = hep.ls()
    assert {entry["url"]: entry["bytes"] for entry in found["entries"]} == {
        f"{home}/workspace/{name}": 1 for name in ("mine/a.root", "mine/deep/b.root", "other/c.root")
    }
    assert hep.ls("workspace/other")["files"] == 1


def test_files_and_folders_come_back(home):
    (home / "workspace" / "report").mkdir(parents=True)
    (home / "workspace" / "report" / "report.html").write_text("page")
    assert hep.download("workspace/report/report.html") == str(home / "report.html")
    assert hep.download("workspace/report", "mine") == str(home / "mine")
    assert (home / "report.html").read_text() == (home / "mine" / "report.html").read_text() == "page"
    with pytest.raises(InputError, match="workspace/other: no such file or folder"):
        hep.download("workspace/other")


def test_what_is_not_there_is_told_with_the_place_it_was_looked_for(home):
    with pytest.raises(InputError, match=rf"{home}/mine: no such file or folder; relative paths start at {home}"):
        hep.upload("mine")


def test_sample_files_are_one_for_each_class():
    names = [path.name.split("-")[0] for path in Path(sample_root()).glob("*.root")]
    assert sorted(names) == sorted(CLASSES)


def test_an_evaluation_is_read_back_as_it_was(home):
    labels = np.repeat(np.arange(3), 20).astype(np.int8)
    scores = np.random.default_rng(1).dirichlet(np.ones(3), 60)
    measured = metrics.compute(labels, scores, "ttbar", (0.1, 0.001))
    (home / "evaluation.json").write_text(json.dumps({"metrics": dataclasses.asdict(measured)}))
    assert hep.load_metrics("evaluation.json") == measured


def test_what_is_no_evaluation_is_refused(home):
    with pytest.raises(InputError, match="no such evaluation"):
        hep.load_metrics("evaluation.json")
    (home / "evaluation.json").write_text('{"metrics": {"events": 3}}')
    with pytest.raises(InputError, match="not an evaluation of this hepspark"):
        hep.load_metrics("evaluation.json")
    with pytest.raises(InputError, match="no finished model here"):
        hep.load_model("model/")


def test_elsewhere_nothing_opens_a_store(monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_USER", "alice")
    told = hep.about()
    assert (told["user"], told["workspace"], told["public data"]) == ("alice", str(Path.cwd() / "workspace"), ())
    assert told["credentials"] == "none needed: your files are on this machine"


def test_on_a_facility_the_kind_of_key_is_told_and_no_secret(monkeypatch):
    facility = {
        "POD_NAMESPACE": "users", "HEPSPARK_IMAGE": "spark", "HEPSPARK_EXECUTORS": "4", "HEPSPARK_EXECUTOR_CORES": "2",
        "HEPSPARK_EXECUTOR_MEMORY": "3g", "HEPSPARK_WORKSPACE": "s3a://workspaces/alice", "HEPSPARK_PUBLIC": "public",
        "AWS_ACCESS_KEY_ID": "ABCDEFGH", "AWS_SECRET_ACCESS_KEY": "hidden", "AWS_SESSION_TOKEN": "hidden",
    }  # fmt: skip
    for name, value in facility.items():
        monkeypatch.setenv(name, value)
    told = hep.about()
    assert told["credentials"] == "temporary, renewed before they expire (key ABCD…)"
    assert told["executors"] == "at most 4, each of at most 2 cores and 3g of memory"
    assert told["public data"] == ("s3a://public",)
    assert "hidden" not in str(told)
    monkeypatch.delenv("AWS_SESSION_TOKEN")
    assert hep.about()["credentials"] == "permanent (key ABCD…)"


def test_a_server_without_keys_is_told_what_to_do(monkeypatch, tmp_path):
    for name, value in {
        "POD_NAMESPACE": "users",
        "HEPSPARK_IMAGE": "spark",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    config = tmp_path / "aws.ini"
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(InputError, match=r"no credentials for the store; stop it and start it again"):
        hep.about()
    config.write_text("[default]\ncredential_process = /bin/sh -c 'echo the hub is away >&2; exit 1'\n")
    with pytest.raises(InputError, match=r"the hub is away.*stop it and start it again"):
        hep.about()
