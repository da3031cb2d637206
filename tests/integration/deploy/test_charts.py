"""The charts under helm's own eyes: lint, their unit tests, manifests against Kubernetes' schemas, READMEs."""

import shutil
from collections import Counter

import pytest
import yaml

from tests.integration.deploy.charts import CHARTS, MIRRORED, NAMESPACED, OLDEST, ROOT, each, objects_of, succeeded
from tools.schema_descriptions import descriptions

each_chart = pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.name)


@each_chart
def test_unit_tests(tool, chart, tmp_path):
    # On a copy: helm-unittest leaves folders for snapshots.
    copy = shutil.copytree(ROOT / chart, tmp_path / chart.name)
    told = succeeded(tool("helm-unittest", "--strict", copy))
    assert "Tests:       0 passed" not in told


@each("values", CHARTS)
def test_lint(tool, values):
    succeeded(tool("helm", "lint", "--strict", "--quiet", "--values", values, values.parents[1]))


def conform(tool, manifests, kubernetes=MIRRORED):
    schemas = tool.schemas.replace("VERSION", kubernetes)
    return tool("kubeconform", "-strict", "-summary", "-schema-location", schemas, input=manifests)


@pytest.mark.parametrize("kubernetes", [OLDEST, MIRRORED])
@each("values", CHARTS)
def test_manifests_fit_the_schemas_of_kubernetes(tool, render, values, kubernetes):
    manifests = render(values, "--kube-version", kubernetes, namespace="kube-system")
    assert "Invalid: 0, Errors: 0, Skipped: 0" in succeeded(conform(tool, manifests, kubernetes))


@each_chart
def test_the_oldest_kubernetes_is_that_of_the_charts(chart):
    oldest = OLDEST.removeprefix("v").rpartition(".")[0]
    assert yaml.safe_load((ROOT / chart / "Chart.yaml").read_text())["kubeVersion"] == f">={oldest}.0-0"


NEWER = "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [], resources: {}}}"
"""A pod of Kubernetes 1.32 and later."""


@pytest.mark.parametrize(
    ("manifest", "kubernetes"),
    [
        ("{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {port: []}}", MIRRORED),
        ("{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: d}, spec: {selector: {}}}", MIRRORED),
        ("{apiVersion: apps/v1beta1, kind: Deployment, metadata: {name: d}}", MIRRORED),
        ("{apiVersion: v1, kind: Service, metadata: {name: s, name: s}, spec: {ports: []}}", MIRRORED),
        (NEWER, OLDEST),
    ],
    ids=["unknown field", "missing field", "version that is gone", "twice the same key", "field that is yet to come"],
)
def test_the_schemas_refuse(tool, manifest, kubernetes):
    assert conform(tool, manifest, kubernetes).returncode == 1


def test_the_newer_schemas_know_what_the_older_do_not(tool):
    succeeded(conform(tool, NEWER, MIRRORED))


def pod_security(tool, objects):
    return tool("pod-security", input=yaml.safe_dump_all(objects))


@each("values", NAMESPACED)
def test_pods_pass_the_restricted_standard(tool, render, values):
    ended = tool("pod-security", input=render(values))
    assert ended.returncode == 0 or "there is no pod in it" in ended.stderr, ended.stdout + ended.stderr


def test_every_kind_of_pod_is_among_those_that_are_checked(render):
    """What the check above would pass over if it were not rendered."""
    kinds = Counter()
    for chart in NAMESPACED:
        for values in (ROOT / chart).glob("ci/*-values.yaml"):
            objects = objects_of(render(values))
            kinds.update(made["kind"] for made in objects)
            hooks = [made["metadata"].get("annotations", {}).get("helm.sh/hook", "") for made in objects]
            kinds.update(hook for hook in hooks if hook)
    assert {"Job", "CronJob", "Deployment", "StatefulSet", "Pod", "test", "post-install,post-upgrade"} <= kinds.keys()


def patience(probe):
    """Seconds after which a container that answers nothing has failed a probe; Kubernetes' defaults where left out."""
    return probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3)


@each("values", NAMESPACED)
def test_what_is_alone_is_started_again_rather_than_taken_out_of_its_service(render, values):
    """A probe that is slow, as twenty servers start, must not refuse everybody."""
    for made in objects_of(render(values)):
        if made["kind"] in ("Deployment", "StatefulSet"):
            for container in made["spec"]["template"]["spec"]["containers"]:
                ready, alive = container["readinessProbe"], container["livenessProbe"]
                assert min(ready.get("timeoutSeconds", 1), alive.get("timeoutSeconds", 1)) >= 5, container["name"]
                assert patience(ready) > patience(alive) >= 60, container["name"]


def pod(container=None, volumes=(), annotations=None, **spec):
    good = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    security = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    container = {"name": "c", "securityContext": good, **(container or {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "one", "annotations": annotations or {}},
        "spec": {"securityContext": security, "containers": [container], "volumes": list(volumes), **spec},
    }


def container(**security):
    good = pod()["spec"]["containers"][0]["securityContext"]
    return {"container": {"securityContext": {k: v for k, v in (good | security).items() if v is not None}}}


def security(**changes):
    good = pod()["spec"]["securityContext"]
    return {"securityContext": {k: v for k, v in (good | changes).items() if v is not None}}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"hostNetwork": True}, "host namespaces"),
        ({"hostPID": True}, "host namespaces"),
        ({"hostIPC": True}, "host namespaces"),
        (container(privileged=True), "privileged"),
        (container(capabilities={"drop": ["ALL"], "add": ["SYS_ADMIN"]}), "unrestricted capabilities"),
        (container(capabilities=None), "unrestricted capabilities"),
        ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, 'volume type "hostPath"'),
        ({"volumes": [{"name": "v", "nfs": {"server": "s", "path": "/"}}]}, "restricted volume types"),
        ({"container": {"ports": [{"containerPort": 1, "hostPort": 1}]}}, "hostPort"),
        ({"container": {"livenessProbe": {"httpGet": {"host": "h", "port": 1}}}}, "probe or lifecycle host"),
        (security(appArmorProfile={"type": "Unconfined"}), "forbidden AppArmor profile"),
        (security(seLinuxOptions={"user": "u"}), "seLinuxOptions"),
        (container(procMount="Unmasked"), "procMount"),
        (security(sysctls=[{"name": "kernel.msgmax", "value": "1"}]), "forbidden sysctls"),
        (security(windowsOptions={"hostProcess": True}), "hostProcess"),
        (security(seccompProfile={"type": "Unconfined"}), "seccompProfile"),
        (security(seccompProfile=None), "seccompProfile"),
        (container(allowPrivilegeEscalation=None), "allowPrivilegeEscalation != false"),
        (container(allowPrivilegeEscalation=True), "allowPrivilegeEscalation != false"),
        (security(runAsNonRoot=None), "runAsNonRoot != true"),
        (security(runAsUser=0), "runAsUser=0"),
        ({"initContainers": [{"name": "i"}]}, 'container "i" must set securityContext.allowPrivilegeEscalation'),
    ],
)
def test_each_rule_of_the_restricted_standard_refuses(tool, changes, told):
    succeeded(pod_security(tool, [pod()]))
    ended = pod_security(tool, [pod(), pod(**changes)])
    assert ended.returncode == 1
    assert ended.stdout.startswith("Pod one: ")
    assert told in ended.stdout


@pytest.mark.parametrize("kind", ["Job", "CronJob", "Deployment", "StatefulSet"])
def test_the_restricted_standard_holds_for_pods_to_be(tool, kind):
    spec = {"template": {"spec": pod(hostNetwork=True)["spec"]}}
    version = "batch/v1" if "Job" in kind else "apps/v1"
    spec = {"jobTemplate": {"spec": spec}} if kind == "CronJob" else spec
    ended = pod_security(tool, [{"apiVersion": version, "kind": kind, "metadata": {"name": "made"}, "spec": spec}])
    assert ended.returncode == 1
    assert f"{kind} made: host namespaces" in ended.stdout


@pytest.mark.parametrize(
    ("manifest", "message"),
    [({"apiVersion": "v1", "kind": "ConfigMap"}, "there is no pod in it"), ({"kind": "x"}, "'apiVersion' is missing")],
)
def test_what_has_no_pod_does_not_pass(tool, manifest, message):
    ended = pod_security(tool, [manifest])
    assert ended.returncode == 2
    assert message in ended.stderr


def readme(tool, root, chart):
    """What helm-docs writes of a chart below a folder."""
    # A path that begins with a dot is below the folder that is searched.
    one = ("--chart-search-root", root, "--chart-to-generate", chart, "--template-files", "./README.md.gotmpl")
    return succeeded(tool("helm-docs", *one, "--dry-run"))


@each_chart
def test_the_readme_is_up_to_date(tool, chart):
    told = readme(tool, "helm", chart)
    written = (ROOT / chart / "README.md").read_text()
    assert written.strip() == told.strip(), f"{chart}/README.md is out of date: run `make docs`"


COMMENTED = {
    "good: 1": "# -- One\n# and `--more`",
    "bare: 1": "",
    "plain: 1": "# No dashes",
    "option: 1": "# -- Set it by `helm install --set option=2`",
    "apart: 1": "# -- Two\n",
}
"""Values, each below its comment."""


def test_descriptions_that_helm_docs_drops_are_missing(tool, tmp_path):
    chart = tmp_path / "helm" / "some"
    shutil.copytree(ROOT / "helm" / "flannel", chart)
    shutil.copy(ROOT / "helm" / "README.md.gotmpl", chart.parent)
    (chart / "values.yaml").write_text("\n".join(f"{comment}\n{value}" for value, comment in COMMENTED.items()))
    told = descriptions(readme(tool, chart.parent, chart))
    assert told == {"good": "One and `--more`", "bare": "", "plain": "", "option": "", "apart": ""}
