import json

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from hepspark.config import Config, given, load, schema
from hepspark.errors import InputError


def test_a_file_and_overrides_become_one_configuration(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("train:\n  epochs: 3\n  schedule: {rate: 0.01}\n")
    config = load(path, ["train.schedule.decay=constant", "train.input=[a, s3a://b/c]"])
    assert config.train.epochs == 3
    assert config.train.schedule.rate == 0.01
    assert config.train.schedule.decay == "constant"
    assert config.train.input == ("a", "s3a://b/c")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=3", r"train\.epoch: no such key; did you mean 'epochs'\?"),
        ("train.schedule.rat=3", r"train\.schedule\.rat: no such key; did you mean 'rate'\?"),
        ("zzz=3", r"zzz: no such key; the keys here are .*train"),
        ("train.epochs=0", r"train\.epochs: .*greater than or equal to 1 \(got 0\)"),
        ("train.schedule.rate=.nan", r"train\.schedule\.rate: .*finite"),
        ("train.batch=many", r"train\.batch: .*integer.*'many'"),
        ("train.hidden=[]", r"train\.hidden: .*at least 1 item"),
        ("train.hidden=[50, 0]", r"train\.hidden\.1: .*greater than or equal to 1 \(got 0\)"),
        ("ingest.input={top: [a]}", r"unknown class 'top': the classes are qcd, ttbar, wjets, unlabelled"),
        ("ingest.output=ftp://host/x", r"ingest\.output: .*ftp://host/x"),
        ("train", "expected key=value"),
        ("train.epochs=[", "not readable as YAML"),
        ("train.epochs.x=3", "epochs is not a section|valid integer"),
    ],
)
def test_mistakes_are_named(override, message):
    with pytest.raises(InputError, match=message):
        load(None, [override])


def test_all_mistakes_are_told_at_once():
    with pytest.raises(InputError) as caught:
        load(None, ["train.epoch=1", "evaluate.signl=ttbar"])
    assert "train.epoch" in str(caught.value)
    assert "'signal'" in str(caught.value)


@pytest.mark.parametrize(("content", "message"), [("- a\n", "expected keys"), ("a: [", "not readable as YAML")])
def test_files_that_are_no_configuration(tmp_path, content, message):
    path = tmp_path / "bad.yaml"
    path.write_text(content)
    with pytest.raises(InputError, match=f"bad.yaml.*{message}"):
        load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml: no such configuration file"):
        load(tmp_path / "none.yaml")


def test_an_empty_file_is_the_defaults(tmp_path):
    path = tmp_path / "empty.yaml"
    path.write_text("")
    assert load(path) == Config()


def test_a_key_that_a_step_needs_is_asked_for():
    with pytest.raises(InputError, match=r"train\.output is not given.*--set train\.output="):
        given(None, "train.output")
    assert given("x", "train.output") == "x"


def test_the_defaults_satisfy_the_schema_and_come_back_from_yaml():
    shown = Config().model_dump(mode="json")
    jsonschema.Draft202012Validator(schema()).validate(shown)
    assert Config.model_validate(yaml.safe_load(yaml.safe_dump(shown))) == Config()


def test_every_key_is_described():
    def undescribed(model, prefix):
        for name, field in model.model_fields.items():
            kind = field.annotation
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from undescribed(kind, f"{prefix}{name}.")
            elif not field.description:
                yield prefix + name

    assert list(undescribed(Config, "")) == []
    assert json.dumps(schema())


def test_a_configuration_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Config().train.epochs = 3


def test_a_folder_gives_each_step_its_place():
    config = load(None, ["folder=s3a://runs/x/", "ingest.input={qcd: [a.root]}", "predict.output=elsewhere"])
    assert config.ingest.output == "s3a://runs/x/dataset"
    assert config.train.input == config.predict.input == ("s3a://runs/x/dataset",)
    assert config.train.output == "s3a://runs/x/run"
    assert config.evaluate.model == config.predict.model == "s3a://runs/x/run/model"
    assert config.evaluate.output == "s3a://runs/x/report"
    assert config.predict.output == "elsewhere"


def test_inputs_may_name_the_folder():
    config = load(None, ["folder=out", "train.input=[/sample, '{folder}/dataset']", "evaluate.input=['{folder}/more']"])
    assert config.train.input == ("/sample", "out/dataset")
    assert config.predict.input == ("/sample", "out/dataset")
    assert config.evaluate.input == ("out/more",)
    assert config.ingest.output is None


def test_wrong_inputs_are_told_with_a_folder_too():
    with pytest.raises(InputError, match=r"train\.input: .*got 3"):
        load(None, ["folder=out", "train.input=3"])
