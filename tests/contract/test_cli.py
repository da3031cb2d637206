import json
import subprocess
import sys
from pathlib import Path

import pytest

from hepspark import __version__
from hepspark.cli import main

COMMANDS = [
    *(
        ["simulate"],
        ["ingest"],
        ["train"],
        ["evaluate"],
        ["predict"],
        ["line"],
        ["model"],
        ["config", "show"],
        ["config", "schema"],
    ),
    *(["data", "put"], ["data", "get"], ["data", "ls"], ["data", "url"], ["data", "public"]),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_shows_an_example_of_the_command(command, capsys):
    assert main([*command, "--help"]) == 0
    assert f"  hepspark {' '.join(command)}" in capsys.readouterr().out


def test_help_imports_neither_spark_nor_numpy():
    code = (
        "import sys; from hepspark.cli import main; main(['train', '--help']); "
        "print([m for m in ('pyspark', 'numpy', 'bigdl', 'boto3', 'hepspark.config') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__


def test_config_show_prints_what_holds(capsys):
    assert main(["config", "show", "--set", "train.epochs=4"]) == 0
    assert "epochs: 4" in capsys.readouterr().out


def test_config_schema_is_json(capsys):
    assert main(["config", "schema"]) == 0
    assert "TrainConfig" in json.loads(capsys.readouterr().out)["$defs"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--set", "train.epoch=3"], "did you mean 'epochs'"),
        (["train"], "train.output is not given"),
        (["train", "--set", "train.output=/x"], "train.input is not given"),
        (["ingest"], "ingest.output is not given"),
        (["simulate"], "simulate.output is not given"),
        (["evaluate"], "evaluate.output is not given"),
        (["predict"], "predict.output is not given"),
        (["train", "no-such.yaml"], "no-such.yaml: no such configuration file"),
        (["ingest", "--on-bad-file", "perhaps"], "ingest.on_bad_file"),
        (["train", "--set", "spark.master=local[x]"], "spark.master"),
        (["train", "--bogus"], "No such option: --bogus"),
        (["nonsense"], "No such command 'nonsense'"),
        (["train", "s3a://b/run.yaml"], "configuration file: is in S3; give a file of this machine"),
        (["train", "--summary", "ftp://h/x"], "--summary: ftp:// cannot be read or written"),
        (["model", "hdfs://h/x"], "model: hdfs:// cannot be read or written"),
        (["data", "ls", "gs://b/k"], "data ls: gs:// cannot be read or written"),
        (["data", "ls", ""], "data ls: is empty; give a path"),
        (["data", "url", "s3:/b/k"], "data url: names no bucket; write s3a://bucket/key"),
        (["data", "put", "s3a://b/k", "s3a://b/x"], "data put: is in S3; give a file of this machine"),
        (["data", "get", "s3a://b/k", "s3a://b/x"], "data get: is in S3; give a file of this machine"),
        (["data", "public", "anything", "ftp://h/x"], "data public: ftp:// cannot be read or written"),
        (["data", "ls", "x", "--config=~/none.yaml"], f"{Path.home()}/none.yaml: no such configuration file"),
    ],
)
def test_a_users_mistake_is_one_message_and_exit_code_2(arguments, message, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_debug_shows_the_stack_trace(capsys):
    assert main(["train", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_what_nobody_foresaw_is_told_in_one_line(monkeypatch, capsys):
    def fail(*_):
        raise RuntimeError(
            "an error occurred\n: org.apache.spark.SparkException: trace\nCaused by: the disk is gone\n\tat x"
        )

    monkeypatch.setattr("hepspark.steps.train.run", fail)
    assert main(["train"]) == 1
    told = capsys.readouterr().err
    assert told == "hepspark: RuntimeError: the disk is gone; --debug shows the place\n"
    assert main(["train", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err
