"""The charts under helm's own eyes: lint, their unit tests, manifests against Kubernetes' schemas, READMEs."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CHARTS = sorted(file.parent.relative_to(ROOT) for file in (ROOT / "helm").glob("*/Chart.yaml"))
VALUES = sorted(file for chart in CHARTS for file in (ROOT / chart).glob("ci/*-values.yaml"))
each_chart = pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.name)
each_values = pytest.mark.parametrize("values", VALUES, ids=lambda file: f"{file.parents[1].name}-{file.stem}")


@pytest.fixture(scope="module")
def tool():
    place = Path(subprocess.check_output([ROOT / "tools/charts.sh", "--path"], text=True).strip())
    if not place.is_dir():
        pytest.fail(f"{place} is missing: run tools/charts.sh, as `make test` does")

    def call(name, *arguments, **options):
        # Nothing of the user's own helm may have a say, nor get anything.
        environment = {"PATH": "/usr/bin:/bin", "HELM_CONFIG_HOME": "/nonexistent", "HELM_CACHE_HOME": "/nonexistent"}
        return subprocess.run(
            [place / name, *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            **options,
        )

    call.schemas = f"{place}/schemas/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"
    return call


def succeeded(ended):
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@each_chart
def test_unit_tests(tool, chart, tmp_path):
    # On a copy: helm-unittest leaves folders for snapshots.
    copy = shutil.copytree(ROOT / chart, tmp_path / chart.name)
    told = succeeded(tool("helm-unittest", "--strict", copy))
    assert "Tests:       0 passed" not in told


@each_values
def test_lint(tool, values):
    succeeded(tool("helm", "lint", "--strict", "--quiet", "--values", values, values.parents[1]))


def conform(tool, manifests):
    return tool("kubeconform", "-strict", "-summary", "-schema-location", tool.schemas, input=manifests)


@each_values
def test_manifests_fit_the_schemas_of_kubernetes(tool, values):
    chart = values.parents[1]
    manifests = succeeded(tool("helm", "template", chart.name, chart, "--namespace", "kube-system", "--values", values))
    assert "Invalid: 0, Errors: 0, Skipped: 0" in succeeded(conform(tool, manifests))


@pytest.mark.parametrize(
    "manifest",
    [
        "{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {port: []}}",
        "{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: d}, spec: {selector: {}}}",
        "{apiVersion: apps/v1beta1, kind: Deployment, metadata: {name: d}}",
    ],
    ids=["unknown field", "missing field", "version that is gone"],
)
def test_the_schemas_refuse(tool, manifest):
    assert conform(tool, manifest).returncode == 1


@each_chart
def test_the_readme_is_up_to_date(tool, chart):
    # A path that begins with a dot is below the folder that is searched.
    one = ("--chart-search-root", "helm", "--chart-to-generate", chart, "--template-files", "./README.md.gotmpl")
    told = succeeded(tool("helm-docs", *one, "--dry-run"))
    written = (ROOT / chart / "README.md").read_text()
    assert written.strip() == told.strip(), f"{chart}/README.md is out of date: run `make docs`"
