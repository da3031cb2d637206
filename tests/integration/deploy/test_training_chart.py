"""Chart `training` with hepspark's own eyes: its configuration, and what makes a new Job of a run."""

import re
import shutil

import pytest

from hepspark.cli import main
from hepspark.config import Config
from hepspark.config.reading import read_text
from hepspark.kubernetes_spark import EXECUTOR_CONTAINER, RUN_LABEL, executor_memory
from tests.integration.deploy.charts import ROOT, each, objects_of

CHART = ROOT / "helm/training"
DEFAULT = CHART / "ci/default-values.yaml"


def of_kind(objects, kind):
    (found,) = [made for made in objects if made["kind"] == kind and "annotations" not in made["metadata"]]
    return found


@each("values", ["helm/training"])
def test_hepspark_takes_the_configuration(render, values):
    objects = objects_of(render(values))
    configuration = read_text(of_kind(objects, "ConfigMap")["data"]["config.yaml"])
    # As the driver's command line completes it.
    folder = {"folder": "s3a://runs/demo"}
    config = Config.model_validate(configuration | folder)
    given = read_text(values.read_text()).get("config", {})
    alone = Config.model_validate(given | folder)
    for section in given:
        assert getattr(config, section) == getattr(alone, section)
    executor = of_kind(objects, "Pod")
    assert [container["name"] for container in executor["spec"]["containers"]] == [EXECUTOR_CONTAINER]
    assert config.spark.kubernetes.executor_template == "/etc/hepspark/executor.yaml"


def job(render, *settings, chart=CHART, values=DEFAULT, **options):
    arguments = [part for setting in settings for part in ("--set-json", setting)]
    return of_kind(objects_of(render(values, *arguments, chart=chart, name="demo", **options)), "Job")


def name(*arguments, **options):
    return job(*arguments, **options)["metadata"]["name"]


def test_what_changes_nothing_of_a_run_leaves_its_job_alone(render, tmp_path):
    before = name(render)
    assert re.fullmatch("demo-[0-9a-f]{8}", before)
    assert name(render) == before
    assert name(render, "executor.instances=2", 'image.tag="0.1.0"') == before
    other = shutil.copytree(CHART, tmp_path / "training")
    described = other / "Chart.yaml"
    described.write_text(re.sub(r"(?m)^version: .*", "version: 7.8.9", described.read_text()))
    helpers = other / "templates/_helpers.tpl"
    helpers.write_text(re.sub(" #.*", "", helpers.read_text()))
    later = job(render, chart=other)
    assert later["metadata"]["labels"]["helm.sh/chart"] == "training-7.8.9"
    assert later["metadata"]["name"] == before


def test_an_upgrade_as_such_leaves_the_job_alone(render):
    arguments = ("--values", DEFAULT, "--is-upgrade", "--kube-version", "v1.99.0")
    upgraded = of_kind(objects_of(render(DEFAULT, *arguments, name="demo")), "Job")
    assert upgraded["metadata"]["name"] == name(render)
    # `helm template` knows no second revision.
    for template in (CHART / "templates").iterdir():
        used = set(re.findall(r"\.(Release\.\w+|Chart\.\w+|Capabilities)", template.read_text()))
        assert used <= {"Release.Name", "Release.Namespace", "Release.Service", "Chart.Name", "Chart.Version"}


@pytest.mark.parametrize(
    "setting",
    [
        "executor.instances=3",
        "executor.cores=2",
        'executor.memory="2g"',
        'executor.cpu="500m"',
        "executor.pendingTimeoutSeconds=10",
        'driver.memory="2g"',
        "config.train.epochs=7",
        'image.tag="0.1.1"',
        'image.registry="other.example.org"',
        'image.pullPolicy="Always"',
        'storage.endpoint="http://other:9000"',
        'storage.region="eu-1"',
        "storage.pathStyle=false",
        'storage.existingSecret="other"',
        'history.logs=""',
        'run.folder="s3a://other"',
        'run.name="other"',
        'command="train"',
        'extraEnv=[{"name":"A","value":"b"}]',
        'nodeSelector={"pool":"physics"}',
        'tolerations=[{"operator":"Exists"}]',
        'priorityClassName="runs"',
        'sparkConf={"spark.ui.enabled":"false"}',
        'serviceAccount.driver="other"',
        'serviceAccount.executor="other"',
        "retries=1",
    ],
)
def test_what_changes_a_run_makes_a_new_job(render, setting):
    assert name(render, setting) != name(render)


def test_labels_are_those_that_the_driver_looks_for(render):
    made = job(render)
    assert made["metadata"]["labels"][RUN_LABEL] == "demo"
    assert made["spec"]["template"]["metadata"]["labels"][RUN_LABEL] == "demo"


@pytest.mark.parametrize("memory", ["512m", "1g", "1500m", "4g"])
def test_a_drivers_pod_has_at_least_what_an_executors_has(render, memory):
    """Both have 40% more than the heap; a small driver has more, since it holds Spark's own, too."""
    pod = job(render, f'driver.memory="{memory}"')["spec"]["template"]["spec"]["containers"][0]
    executor = executor_memory(Config.model_validate({"spark": {"executor": {"memory": memory}}}).spark)
    given = int(pod["resources"]["limits"]["memory"].removesuffix("Mi"))
    assert executor.total - 1 <= given <= executor.total + 256


def test_the_charts_test_asks_for_the_model_of_the_run(render, tmp_path, capsys):
    objects = objects_of(render(DEFAULT, chart=CHART, name="demo"))
    (asked,) = [made for made in objects if made["metadata"].get("name") == "demo-test"]
    (container,) = asked["spec"]["template"]["spec"]["containers"]
    (tmp_path / "config.yaml").write_text(of_kind(objects, "ConfigMap")["data"]["config.yaml"])
    places = {"/etc/hepspark": str(tmp_path), "s3a://runs": str(tmp_path / "runs")}
    arguments = container["args"]
    for place, here in places.items():
        arguments = [argument.replace(place, here) for argument in arguments]
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith(f"hepspark: {tmp_path}/runs/demo/run/model: no finished model here")
