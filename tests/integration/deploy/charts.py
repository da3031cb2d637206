"""The programs that check the charts, and what the charts render."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.integration.built import built

ROOT = Path(__file__).parents[3]
CHARTS = sorted(file.parent.relative_to(ROOT) for file in (ROOT / "helm").glob("*/Chart.yaml"))
NAMESPACED = [chart for chart in CHARTS if chart.name in ("jupyterhub", "minio", "spark", "training")]
"""Charts that a site installs into a namespace of the restricted Pod Security standard."""


def values_of(charts):
    return sorted(file for chart in charts for file in (ROOT / chart).glob("ci/*-values.yaml"))


def each(name, charts):
    """Run a test for each file of values of the charts."""
    return pytest.mark.parametrize(
        name, values_of(charts), ids=lambda file: f"{file.parents[1].name}-{file.stem.removesuffix('-values')}"
    )


def kubernetes_of(module):
    return re.search(r"k8s\.io/kubernetes (v[0-9.]+)", (ROOT / module / "go.mod").read_text())[1]


MIRRORED, OLDEST = kubernetes_of("deploy/mirror/go/kubernetes"), kubernetes_of("tools/oldest-kubernetes")


def succeeded(ended):
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="session")
def tool():
    """Calls a program that tools/charts.sh makes."""
    place = built("charts", "test-deploy")

    def call(name, *arguments, variables=(), **options):
        # Nothing of the user's own helm may have a say, nor get anything.
        environment = {"PATH": "/usr/bin:/bin", "HELM_CONFIG_HOME": "/nonexistent", "HELM_CACHE_HOME": "/nonexistent"}
        environment |= dict(variables)
        return subprocess.run(
            [place / name, *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            **options,
        )

    call.schemas = f"{place}/schemas/VERSION/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"
    return call


@pytest.fixture(scope="session")
def render(tool):
    """Renders a chart: the manifests as they are, and those that lie in ConfigMaps for others to complete."""

    def rendered(values, *arguments, chart=None, name=None, namespace="physics"):
        chart = chart or values.parents[1]
        options = ("--namespace", namespace, "--values", values)
        text = succeeded(tool("helm", "template", name or Path(chart).name, chart, *options, *arguments))
        files = [file for made in objects_of(text) if made["kind"] == "ConfigMap" for file in made["data"].values()]
        return "\n---\n".join([text, *(file for file in files if file.startswith("apiVersion:"))])

    return rendered


def objects_of(manifests):
    return [made for made in yaml.safe_load_all(manifests) if made]
