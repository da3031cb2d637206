"""Notebooks and `hepspark data` with exactly the rights of a user: the policy is the hub's, the store real."""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import boto3.session
import numpy as np
import pytest
from botocore.exceptions import ClientError
from hepspark_hub.settings import Workspace
from hepspark_hub.workspace import session_policy

from hepspark import notebook
from hepspark.config import Config, DataConfig, StorageConfig
from hepspark.errors import InputError
from hepspark.notebook.places import event_logs
from hepspark.session import make_event_log
from hepspark.storage import check_conditional_writes, join
from hepspark.storage.s3 import S3Store, link
from hepspark.storage.s3_client import client, forget_clients, split
from hepspark.transfer import copy
from tests.integration.middleman import Answer, Request, forward, serving
from tests.integration.s3_servers import Server, User

ROOT_FILES = Path(__file__).parents[1] / "data" / "root"
SMALL_PARTS = Config(storage=StorageConfig(), data=DataConfig(part_mb=5, threads=2))


@pytest.fixture
def mine(user: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the user has put into the workspace; beside it lie files of others, and public ones."""
    for url in (join(user.neighbour, "secret"), join(user.public, "sample", "a"), join(user.workspace + "2", "b")):
        bucket, key = split(url)
        user.operator.put_object(Bucket=bucket, Key=key, Body=b"theirs")
    monkeypatch.chdir(tmp_path)
    names = ["a.root", "deep/b.root", "deep/er/c.root"]
    for name in names:
        path = tmp_path / "here" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    assert notebook.upload("here", "events") == join(user.workspace, "events")
    return [join(user.workspace, "events", name) for name in names]


def listed(url: str = "") -> list[str]:
    return [entry["url"] for entry in notebook.ls(url)["entries"]]


def test_the_workspace_and_its_folders_are_listed(user: User, mine: list[str]) -> None:
    for url in ("", notebook.workspace(), f"{user.workspace}/", user.workspace.replace("s3a:", "s3:")):
        assert listed(url) == mine
    assert listed(join(user.workspace, "events", "deep")) == mine[1:]
    assert listed(join(user.workspace, "events", "deep", "*.root")) == mine[1:2]
    assert listed(mine[0]) == mine[:1]
    with pytest.raises(InputError, match="no such object, and no objects below it"):
        listed(join(user.workspace, "missing"))


def test_a_new_workspace_is_empty_and_that_is_no_error(user: User, capsys: pytest.CaptureFixture[str]) -> None:
    for url in ("", user.workspace, f"{user.workspace}/"):
        assert notebook.ls(url)["files"] == 0
        assert f"{user.workspace}: the workspace is empty" in capsys.readouterr().err
    with pytest.raises(InputError, match="no objects below it"):
        notebook.download(user.workspace)


def test_a_workspace_a_folder_and_a_file_are_taken_home(user: User, mine: list[str], tmp_path: Path) -> None:
    for url, name in (
        (notebook.workspace(), "all"),
        (join(user.workspace, "events", "deep"), "deep"),
        (join(user.public, "sample", "a"), "public"),
    ):
        assert notebook.download(url, name) == str(tmp_path / name)
    assert notebook.download(mine[0]) == str(tmp_path / "a.root")
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert {name for name in found if not name.startswith("here/")} == {
        *(f"all/events/{name}" for name in ("a.root", "deep/b.root", "deep/er/c.root")),
        *("deep/b.root", "deep/er/c.root", "a.root", "public"),
    }
    assert Path("a.root").read_bytes() == b"a.root"


@pytest.mark.usefixtures("mine")
def test_public_data_is_listed_and_not_written(user: User) -> None:
    assert notebook.public() == (user.public,)
    assert notebook.sample()  # there is none in the bucket, which is no error
    for url in (user.public, join(user.public, "sample"), join(user.public, "sample", "a")):
        assert listed(url) == [join(user.public, "sample", "a")]
    with pytest.raises(InputError, match="refuses"):
        copy.put(SMALL_PARTS, [Path("here")], user.public)


@pytest.mark.parametrize("where", ["workspace", "file", "missing", "bucket", "pattern"])
@pytest.mark.parametrize("call", [notebook.ls, notebook.download])
@pytest.mark.usefixtures("mine")
def test_what_is_somebody_elses_is_refused(user: User, where: str, call) -> None:
    url = {
        "workspace": user.neighbour,
        "file": join(user.neighbour, "secret"),
        "missing": join(user.neighbour, "nothing"),
        "bucket": user.workspace.rpartition("/")[0],
        "pattern": f"{user.workspace}*",
    }[where]
    with pytest.raises(InputError, match="refuses") as refused:
        call(url)
    assert str(refused.value).startswith(url)


def test_a_store_by_its_own_functions(user: User) -> None:
    store, url = S3Store(StorageConfig()), join(user.workspace, "a", "b")
    assert not store.exists(url)
    assert not store.exists(user.workspace)
    assert store.walk(user.workspace) == []
    store.delete(url)
    assert store.create(url, b"1")
    assert not store.create(url, b"2")
    assert store.read(url) == b"1"
    assert not store.exists(join(user.workspace, "a"))
    # What Spark's own S3 code asks of a folder first, and takes for the end where it is refused.
    bucket, key = split(user.workspace)
    with pytest.raises(ClientError) as answered:
        client(StorageConfig()).head_object(Bucket=bucket, Key=key)
    assert answered.value.response["Error"]["Code"] == "404"
    check_conditional_writes(join(user.workspace, "run"), StorageConfig())
    address, _ = link(url, 1, StorageConfig())
    with urllib.request.urlopen(address, timeout=20) as answer:
        assert answer.read() == b"1"
    store.delete(url)
    assert not store.exists(url)
    with pytest.raises(InputError, match="refuses"):
        store.exists(join(user.neighbour, "x"))
    make_event_log(event_logs(), StorageConfig())
    assert store.exists(join(event_logs(), ".hepspark-event-logs"))


def test_a_missing_object_of_a_store_that_refuses_to_say_so(server: Server, user: User, mine: list[str]) -> None:
    """As AWS does where not the whole bucket may be listed."""

    def refuse(request: Request) -> Answer:
        answer = forward(server.endpoint, request)
        return Answer(403) if request.method == "HEAD" and answer.status == 404 else answer

    with serving(refuse) as address:
        store = S3Store(StorageConfig(endpoint=address))
        missing = join(user.workspace, "events", "a")  # the beginning of another's name
        assert not store.exists(missing)
        assert store.exists(mine[0])
        with pytest.raises(InputError, match="events/a: no such object"):
            store.read(missing)
        with pytest.raises(InputError, match="refuses"):
            store.exists(join(user.neighbour, "nothing"))


def test_a_file_of_several_parts_continues(user: User, tmp_path: Path) -> None:
    content = np.random.default_rng(1).bytes(12 << 20)
    (tmp_path / "large").write_bytes(content)
    url = join(user.workspace, "large")
    assert copy.put(SMALL_PARTS, [tmp_path / "large"], url)["files"][0]["status"] == "sent"
    assert copy.put(SMALL_PARTS, [tmp_path / "large"], url)["moved_files"] == 0
    copy.get(SMALL_PARTS, url, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content


NOTEBOOK = """
import json, sys
from hepspark import notebook as hep
from hepspark.errors import InputError

hep.session(conf={"spark.master": "local[1]", "spark.ui.port": 0})
files = hep.upload(sys.argv[1], "root")
made = hep.workspace() + "/dataset"
inputs = {name: [f"{files}/{name}-*.root"] for name in ("qcd", "ttbar", "wjets")}
hep.ingest(input=inputs, output=made, particles=False)
try:
    hep.train(input=made, output=hep.workspace(), epochs=1, batch=240)
except InputError as error:
    assert "contains other files" in str(error)
found = hep.train(input=made, output=hep.workspace() + "/run", epochs=1, batch=240)
hep.evaluate(model=found["model"], output=hep.workspace() + "/report")
hep.predict(model=found["model"], input=made, output=hep.workspace() + "/scores")
assert hep.load_model(found["model"]).history
assert hep.load_metrics(hep.workspace() + "/report/evaluation.json")
print(json.dumps(hep.about()["credentials"]))
"""
"""All steps, in the workspace; the workspace itself is no place for a run where something is there already."""


def test_all_steps_work_in_the_workspace(user: User, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NOTEBOOK, ROOT_FILES],
        capture_output=True, text=True, cwd=tmp_path, timeout=280, env=os.environ | {"HEPSPARK_DRIVER_MEMORY": "1g"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]).startswith("temporary")
    assert join(user.workspace, "report", "report.html") in listed()


def test_an_operators_policy_that_knows_folders_alone_is_enough(
    server: Server, user: User, mine: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they are written for fixed keys: nothing is allowed of the folder's own name."""
    bucket, _ = split(user.workspace)
    policy = json.loads(session_policy(Workspace(bucket=bucket), "ada"))
    policy["Statement"] = [one for one in policy["Statement"] if f"arn:aws:s3:::{bucket}/ada" not in one["Resource"]]
    sts = boto3.session.Session(server.user, server.password).client(
        "sts", endpoint_url=server.endpoint, region_name="us-east-1"
    )
    role = "arn:aws:iam::000000000000:role/any"
    keys = sts.assume_role(RoleArn=role, RoleSessionName="ada", Policy=json.dumps(policy))["Credentials"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys["SecretAccessKey"])
    monkeypatch.setenv("AWS_SESSION_TOKEN", keys["SessionToken"])
    forget_clients()
    assert client(StorageConfig()).list_objects_v2(Bucket=bucket, Prefix="ada/")["KeyCount"] == len(mine)
    assert listed() == listed(user.workspace) == mine
    assert listed(mine[0]) == mine[:1]
    assert not S3Store(StorageConfig()).exists(user.workspace)
    with pytest.raises(InputError, match="refuses"):
        listed(user.neighbour)
