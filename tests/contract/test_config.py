import json
from pathlib import Path

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
    assert config.train.input == (str(Path.cwd() / "a"), "s3a://b/c")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=3", r"train\.epoch: no such key; did you mean 'epochs'\?"),
        ("train.schedule.rat=3", r"train\.schedule\.rat: no such key; did you mean 'rate'\?"),
        ("zzz=3", r"zzz: no such key; the keys here are .*train"),
        ("train.epochs=0", r"train\.epochs: must be at least 1 \(got 0\)"),
        ("train.epochs=20000", r"train\.epochs: must be at most 10,000 \(got 20000\)"),
        ("train.schedule.rate=0", r"train\.schedule\.rate: must be more than 0 \(got 0\)"),
        ("train.schedule.rate=11", r"train\.schedule\.rate: must be at most 10 \(got 11\)"),
        ("train.validation_fraction=0.5", r"train\.validation_fraction: must be less than 0.5"),
        ("train.schedule.rate=.nan", r"train\.schedule\.rate: .*finite"),
        ("train.batch=many", r"train\.batch: expected a number \(got 'many'\)"),
        ("train.batch=64.5", r"train\.batch: expected a whole number \(got 64.5\)"),
        ("train.batch=", r"train\.batch: expected a whole number \(got nothing\)"),
        ("train.hidden=[]", r"train\.hidden: expected 1 or more values"),
        ("train.hidden=[50, 0]", r"train\.hidden\.1: must be at least 1 \(got 0\)"),
        ("train=5", r"train: expected a section with some of the keys input, .*\(got 5\)"),
        ("train.schedule=fast", r"train\.schedule: expected a section with some of the keys rate, .*'fast'"),
        ("train.network=resnet", r"train\.network: expected 'hlf' \(got 'resnet'\)"),
        (
            "simulate.classes=[a]",
            r"^configuration: simulate\.classes\.0: expected 'qcd', 'ttbar' or 'wjets' \(got 'a'\)$",
        ),
        ("train.input=a", r"train\.input: expected a list in brackets, such as \[a, b\] \(got 'a'\)"),
        ("ingest.input=a", r"ingest\.input: expected keys with values, such as \{key: value\} \(got 'a'\)"),
        ("ingest.input={qcd: a}", r"ingest\.input\.qcd: expected a list in brackets"),
        ("ingest.input={no: [a]}", r"unknown class 'no'"),
        ("ingest.particles=perhaps", r"ingest\.particles: expected true or false \(got 'perhaps'\)"),
        ("train.output=12", r"train\.output: expected text; if this value is text, put it in quotes \(got 12\)"),
        ("train.output=[a]", r"train\.output: expected text \(got \[\"a\"\]\)"),
        ("spark.executor.memory=2gb", r"memory: expected an amount of memory such as 2g or 512m \(got '2gb'\)"),
        ("spark.executor.cpu=none", r"cpu: expected CPU such as 500m"),
        ("spark.master=yarn", r"master: expected local\[\*\], local\[N\]"),
        ("data.public_address=cern.ch", r"expected an address that begins with https:// or http://"),
        ("storage.ca_bundle=s3://b/ca.pem", r"ca_bundle: is in S3; give a file of this machine"),
        ("spark.kubernetes.executor_template=' '", r"executor_template: is empty"),
        ("spark.event_log=hdfs://n/x", r"event_log: hdfs:// cannot be read or written; give a path"),
        ("ingest.input={top: [a]}", r"unknown class 'top': the classes are qcd, ttbar, wjets, unlabelled"),
        ("ingest.output=ftp://host/x", r"ingest\.output: .*ftp://host/x"),
        ("train", "expected key=value"),
        ("=3", "expected key=value"),
        ("train.=3", "expected key=value"),
        (".epochs=3", "expected key=value"),
        ("a.b.c=3", "a: no such key; the keys here are"),
        ("train.epochs=[", "not readable as YAML"),
        ("spark.conf.spark.ui.port=4.10", r"spark\.conf\.spark\.ui\.port: expected text; .* quotes \(got 4.1\)"),
        ("spark.conf={true: x}", r"spark\.conf\.true: a key must be text; put it in quotes$"),
        ("spark.conf={null: x}", r"spark\.conf\.null: a key must be text; put it in quotes$"),
        ("train.epochs.x=3", r"train\.epochs: expected a whole number \(got \{"),
        ("ingest.input={qcd: [*.root]}", r"in quotes, such as '\*\.root'"),
        ("train.input=[*sample]", r"in quotes, such as '\*\.root'"),
        ("train.input=[{folder}/dataset]", "in quotes"),
        ("train.input=[a #b, c]", r"put text with one of .* # .* in quotes"),
        ("train.input=[a] # b", r"'# b' is after the value"),
        ("train.output='a'b", "in quotes"),
        ("ingest.input={qcd: [a], qcd: [b]}", "qcd is there twice; keep one of them"),
    ],
)
def test_mistakes_are_named(override, message):
    with pytest.raises(InputError, match=message) as caught:
        load(None, [override])
    for jargon in ("tuple", "dictionary", "instance", "pattern", "Input should", "Value error", "<"):
        assert jargon not in str(caught.value)


def test_a_property_of_spark_is_given_as_it_is_called(tmp_path):
    conf = load(None, ["spark.conf.spark.ui.port=4040", "spark.conf.spark.ui.enabled=true"]).spark.conf
    assert conf == {"spark.ui.port": "4040", "spark.ui.enabled": "true"}
    (tmp_path / "run.yaml").write_text("spark: {conf: {spark.ui.port: 4040, spark.app.id: '4.10'}}\n")
    conf = load(tmp_path / "run.yaml", ["spark.conf.spark.ui.enabled=false"]).spark.conf
    assert conf == {"spark.ui.port": "4040", "spark.app.id": "4.10", "spark.ui.enabled": "false"}


def test_a_key_with_its_section_in_front_gets_a_hint(tmp_path):
    (tmp_path / "run.yaml").write_text("train.epochs: 5\n")
    message = r"run\.yaml: train\.epochs: no such key; write train: and, in the next line, indented, epochs:$"
    with pytest.raises(InputError, match=message):
        load(tmp_path / "run.yaml")


@pytest.mark.parametrize("text", ["true", "false", "yes", "1:30", "012", "0x10", "0o17", "1_000", "'5'", "2024-01-01"])
def test_a_number_is_a_number_only_where_everybody_takes_it_for_the_same(text, tmp_path):
    """In every key that is a number, in a file and on the command line."""
    numbers = [
        ".".join((*path, key))
        for path, key, own in _keys(schema())
        if any(kind.get("type") in ("integer", "number") for kind in (own, *own.get("anyOf", ())))
    ]
    assert len(numbers) > 20
    for name in numbers:
        with pytest.raises(InputError, match=f"{name}: expected a (whole )?number"):
            load(None, [f"{name}={text}"])
    (tmp_path / "run.yaml").write_text(f"train:\n  epochs: {text}\n")
    with pytest.raises(InputError, match=r"train\.epochs: expected a (whole )?number"):
        load(tmp_path / "run.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 1e-3), ("1E-3", 1e-3), (".5", 0.5), ("1.", 1.0), ("1", 1.0), ("+0.25", 0.25), ("1e0", 1.0)],
)
def test_a_number_may_be_written_as_physicists_do(text, value, tmp_path):
    (tmp_path / "run.yaml").write_text(f"train: {{schedule: {{rate: {text}}}}}\n")
    assert load(tmp_path / "run.yaml").train.schedule.rate == value
    assert load(None, [f"train.schedule.rate={text}"]).train.schedule.rate == value
    assert load(None, ["simulate.events=1e5"]).simulate.events == 100_000


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("spark.app_name=run #3", "run #3"),
        ("spark.app_name = my run ", "my run"),
        (" spark . app_name =x", "x"),
        ("spark.app_name=a: b", "a: b"),
        ("spark.app_name=a=b", "a=b"),
        ("spark.app_name=*", "*"),
        ("spark.app_name=- a", "- a"),
        ("spark.app_name=&a", "&a"),
        ("spark.app_name=!a", "!a"),
        ("spark.app_name=%a", "%a"),
        ("spark.app_name='# a'", "# a"),
        ('spark.app_name="it\'s"', "it's"),
        ("spark.app_name=it's", "it's"),
        ("spark.app_name=012", "012"),
        ("spark.app_name=1:30", "1:30"),
        ("spark.app_name=on", "on"),
        ("spark.app_name=2024-01-01", "2024-01-01"),
    ],
)
def test_a_value_is_taken_as_it_stands(override, value):
    assert load(None, [override]).spark.app_name == value


def test_of_two_values_for_a_key_the_last_holds():
    assert load(None, ["train.epochs=3", "train.epochs=4"]).train.epochs == 4


def test_nothing_takes_a_value_back(tmp_path):
    (tmp_path / "run.yaml").write_text("storage: {endpoint: 'http://h:9000'}\n")
    assert load(tmp_path / "run.yaml", ["storage.endpoint="]).storage.endpoint is None


def _keys(whole):
    """Path of the section, name and schema of each key."""

    def inner(properties, path):
        for name, part in properties.items():
            reference = part.get("$ref", "").removeprefix("#/$defs/")
            if reference:
                yield from inner(whole["$defs"][reference]["properties"], (*path, name))
            else:
                yield path, name, part

    return list(inner(whole["properties"], ()))


OTHER_TEXT = {
    *("storage.endpoint", "storage.region", "spark.master", "spark.app_name", "spark.driver_memory", "spark.conf"),
    *("spark.executor.cpu", "spark.executor.memory", "spark.kubernetes.image", "spark.kubernetes.namespace"),
    *("spark.kubernetes.service_account", "data.public_address"),
}
"""Keys whose text is no place."""


def _texts():
    """Every key whose value is text or holds texts that may be anything, with a value in which {} is one."""
    whole = schema()
    for path, key, own in _keys(whole):
        kinds = [own, *own.get("anyOf", ())]
        items = [kind["items"] for kind in kinds if "items" in kind]
        of_class = [
            kind["additionalProperties"]["items"] for kind in kinds if "items" in kind.get("additionalProperties", ())
        ]
        form = "{{ttbar: ['{}']}}" if of_class else "['{}']" if items else "'{}'"
        if any(
            kind.get("type") == "string" and not {"enum", "const"} & kind.keys() for kind in (*kinds, *items, *of_class)
        ):
            yield ".".join((*path, key)), form


def test_every_place_has_one_spelling(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    places = [(key, form) for key, form in _texts() if key not in OTHER_TEXT]
    assert {"folder", "train.input", "ingest.input", "storage.ca_bundle", "spark.event_log"} < {
        key for key, _ in places
    }
    for key, form in places:
        configs = [
            load(None, [f"{key}={form.format(text)}"]) for text in ("x", "./x", "~/x", f"{tmp_path}//x/", "a/../x")
        ]
        assert all(config == configs[0] for config in configs), key
        assert f"{tmp_path}/x" in configs[0].model_dump_json()
        assert load(None, [f"{key}={form.format('~')}"]) == load(None, [f"{key}={form.format(tmp_path)}"])


def test_a_tilde_alone_is_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/alice")
    assert load(None, ["folder=~"]).evaluate.output == "/home/alice/report"


def test_all_mistakes_are_told_at_once():
    with pytest.raises(InputError) as caught:
        load(None, ["train.epoch=1", "evaluate.signl=ttbar"])
    assert "train.epoch" in str(caught.value)
    assert "'signal'" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- a\n", "expected keys such as 'train:' at the top, found a list"),
        ("hello\n", "found one value"),
        ("a: [", "not readable as YAML"),
        ("train:\n  epochs: 5\n  epochs: 7\n", "epochs is there twice, in line 2 and in line 3; keep one"),
        ("train:\n  epochs: 5\ntrain:\n  batch: 64\n", "train is there twice, in line 1 and in line 3; keep one"),
        ("train:\n  batch: 1\n  schedule: {rate: 1, rate: 2}\n", "line 3: rate is there twice"),
        ("train:\n  'epochs': 5\n  epochs: 7\n", "epochs is there twice"),
        ("x: &a {epochs: 5, epochs: 7}\ntrain: *a\n", "line 1: epochs is there twice"),
        ("ingest:\n  input:\n    qcd: [*.root]\n", r"line 3: .*in quotes, such as '\*\.root'"),
        ("train:\n\tepochs: 5\n", "line 2: a tab is before a key; indent with spaces"),
        ("train:\n  epochs: 5\n batch: 5\n", "line 3: the indentation is wrong"),
        ("train: {epochs: 5}}\n", "line 1: there is more text after the value"),
        ("train:\n  output: 'it's'\n", "line 2: there is more text after the value"),
        ("train:\n  output: a: b\n", "line 2: a colon where no value can begin"),
        ("train: {epochs: 3}\n---\ntrain: {epochs: 4}\n", r"line 2: a second document begins"),
        ("train: !mine {epochs: 3}\n", "line 1: a tag, which begins with !"),
        ("? [a]\n: b\n", "line 1: a key must be a word"),
        ("1: 2\n", "1: a key must be text; put it in quotes"),
        ('train: {output: "a\x07"}\n', r"contains the character U\+0007"),
        ("train: &t {hidden: *t}\n", "train.hidden: expected a list"),
        ("spark: {conf: &c {a: *c}}\n", "expected text|refers to itself"),
        ("a: " + "[" * 3000, "nested too deeply"),
        ("train:\n  output: |\n    out\n", "train.output: contains a line break"),
        ("folder: out\ntrain: [a]\n", r"train: expected a section .*got \[\"a\"\]"),
        ("folder: out\ningest: 5\n", r"ingest: expected a section .*got 5"),
        ("folder: out\nevaluate: abc\n", r"evaluate: expected a section .*got 'abc'"),
        ("folder: out\npredict: true\n", r"predict: expected a section .*got true"),
        ("folder: out\ntrain: []\n", r"train: expected a section .*got \[\]"),
        ("folder: out\nsimulate: 0\n", r"simulate: expected a section .*got 0"),
        ("folder: [out]\n", r"folder: expected text"),
        ("folder: 5\n", r"folder: expected text; if this value is text"),
        ("folder: ftp://h/x\n", r"^\S+bad\.yaml: folder: ftp:// cannot be read or written[^\n]*$"),
        ("folder: out\ntrain: {input: a}\n", r"^\S+bad\.yaml: train\.input: expected a list[^\n]*$"),
    ],
)
def test_files_that_are_no_configuration(tmp_path, content, message):
    path = tmp_path / "bad.yaml"
    path.write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("content", "epochs"),
    [
        ("\ufefftrain: {epochs: 3}\n", 3),
        ("---\ntrain: {epochs: 3}\n...\n", 3),
        ("train:\r\n  epochs: 3\r\n", 3),
        ("train:\n  schedule:\nevaluate: # none yet\n", 30),
        ("# nothing\n", 30),
        ("train: {<<: {epochs: 3, batch: 96}, epochs: 4}\n", 4),
    ],
)
def test_files_as_editors_write_them(tmp_path, content, epochs):
    path = tmp_path / "run.yaml"
    path.write_bytes(content.encode())
    assert load(path).train.epochs == epochs


def test_an_anchor_stands_for_its_value(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("train: {input: &data [/a, /b]}\npredict: {input: *data}\n")
    assert load(path).predict.input == ("/a", "/b")


def test_an_empty_section_takes_values(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("train:\n  schedule:\n")
    assert load(path, ["train.schedule.rate=0.1"]).train.schedule.rate == 0.1
    path.write_text("train: 5\n")
    with pytest.raises(InputError, match="train is a value, not a section"):
        load(path, ["train.epochs=1"])


def test_a_file_in_another_encoding_is_told(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_bytes("folder: für\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"run\.yaml: byte 9 is not UTF-8; save the file as UTF-8"):
        load(path)


def test_what_is_no_file_is_told(tmp_path):
    with pytest.raises(InputError, match=r"cannot be read: Is a directory; a configuration is a YAML file"):
        load(tmp_path)
    with pytest.raises(InputError, match=r"configuration file: is in S3; give a file of this machine"):
        load("s3a://b/run.yaml")


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
    assert config.predict.output == str(Path.cwd() / "elsewhere")


def test_inputs_may_name_the_folder():
    config = load(None, ["folder=out", "train.input=[/sample, '{folder}/dataset']", "evaluate.input=['{folder}/more']"])
    out = Path.cwd() / "out"
    assert config.train.input == config.predict.input == ("/sample", f"{out}/dataset")
    assert config.evaluate.input == (f"{out}/more",)
    assert config.ingest.output is None
    everywhere = [
        "ingest.input={qcd: ['{folder}/*.root']}",
        "train.test_input=['{folder}/t']",
        "evaluate.output={folder}/r",
    ]
    config = load(None, ["folder=~/out", *everywhere])
    out = Path("~/out").expanduser()
    assert (config.ingest.input, config.ingest.output) == ({"qcd": (f"{out}/*.root",)}, f"{out}/dataset")
    assert (config.train.test_input, config.evaluate.output) == ((f"{out}/t",), f"{out}/r")


def test_wrong_inputs_are_told_with_a_folder_too():
    with pytest.raises(InputError, match=r"train\.input: .*got 3"):
        load(None, ["folder=out", "train.input=3"])
