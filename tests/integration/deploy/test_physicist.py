"""What a physicist may do with releases of chart `training`, before a real API server.

The Role is that of chart `spark`. No controller is there, so no Job makes a pod.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.mirror.places import Places, default_folder
from tests.integration.deploy.charts import MIRRORED, ROOT, objects_of, succeeded

TRAINING = ROOT / "helm/training"
VALUES = TRAINING / "ci/default-values.yaml"
RBAC = "rbac.authorization.k8s.io/v1"


@pytest.fixture(scope="module")
def kubectl_program(tmp_path_factory):
    held = Places(default_folder()).www / f"release/{MIRRORED}/bin/linux/amd64/kubectl"
    program = Path(shutil.copyfile(held, tmp_path_factory.mktemp("kubectl") / "kubectl"))
    program.chmod(0o755)
    return program


@pytest.fixture
def physicist(namespace, tool, render, kubectl_program, tmp_path):
    """The namespace with the chart's Role; `helm` and `kubectl` are those of a physicist."""
    subjects = 'physicists=[{"kind": "User", "name": "physicist"}]'
    spark = render(
        ROOT / "helm/spark/ci/default-values.yaml", "--set-json", subjects, chart=ROOT / "helm/spark",
        namespace=namespace.name,
    )  # fmt: skip
    for made in objects_of(spark):
        if made["metadata"]["name"] == "physicist":
            namespace.create(f"{RBAC}/{made['kind'].lower()}s", made)
    kubeconfig = str(namespace.server.kubeconfig("physicist"))

    def helm(*arguments, driver="configmap"):
        variables = {"KUBECONFIG": kubeconfig, "HELM_DRIVER": driver, "HELM_NAMESPACE": namespace.name}
        return tool("helm", *arguments, variables=variables | {"HOME": str(tmp_path)})  # for its cache

    def kubectl(*arguments, **options):
        command = [kubectl_program, "--kubeconfig", kubeconfig, "--namespace", namespace.name, *arguments]
        command += ["--cache-dir", tmp_path]
        return subprocess.run(command, capture_output=True, text=True, check=False, **options)

    return namespace, helm, kubectl


def names(namespace, kind):
    return [made["metadata"]["name"] for made in namespace.admin.objects(kind)]


def test_helm_makes_scales_tests_and_removes_a_run(physicist):
    namespace, helm, _ = physicist
    upgrade = ("upgrade", "--install", "demo", TRAINING, "--values", VALUES)
    succeeded(helm(*upgrade))
    two = names(namespace, "batch/v1/jobs")
    succeeded(helm(*upgrade))
    assert names(namespace, "batch/v1/jobs") == two
    succeeded(helm(*upgrade, "--set", "executor.instances=3"))
    three = names(namespace, "batch/v1/jobs")
    assert len(two) == len(three) == 1
    assert two != three
    succeeded(helm(*upgrade, "--set", "executor.instances=2"))
    assert names(namespace, "batch/v1/jobs") == two
    assert names(namespace, "coordination.k8s.io/v1/leases") == ["hepspark-run-demo"]
    # The test's Job is made; nobody runs it here.
    assert "timed out" in helm("test", "demo", "--timeout", "2s").stderr
    assert "demo-test" in names(namespace, "batch/v1/jobs")
    succeeded(helm("uninstall", "demo"))
    assert names(namespace, "batch/v1/jobs") == ["demo-test"]
    assert names(namespace, "coordination.k8s.io/v1/leases") == []
    assert not [name for name in names(namespace, "configmaps") if "demo" in name]


def test_kubectl_applies_and_deletes_the_manifests(physicist, render):
    namespace, _, kubectl = physicist

    def manifests(*settings):
        return render(VALUES, "--no-hooks", *settings, chart=TRAINING, name="demo", namespace=namespace.name)

    def apply(text):
        executor = text.index("\n---\napiVersion: v1\nkind: Pod\n")  # of the ConfigMap, which `render` adds
        return kubectl("apply", "--filename", "-", input=text[:executor])

    succeeded(apply(manifests()))
    assert "unchanged" in succeeded(apply(manifests()))
    succeeded(apply(manifests("--set", "executor.instances=3")))
    # The driver of the newer one deletes the other.
    jobs = names(namespace, "batch/v1/jobs")
    assert len(jobs) == 2
    for kind, name in (("job", jobs[0]), ("lease", "hepspark-run-demo"), ("configmap", "demo")):
        succeeded(kubectl("delete", kind, name))


def test_a_run_is_made_from_a_template(physicist, render):
    namespace, _, kubectl = physicist
    values = TRAINING / "ci/template-values.yaml"
    for made in objects_of(render(values, chart=TRAINING, name="demo", namespace=namespace.name)):
        if made["kind"] == "CronJob":
            namespace.create("batch/v1/cronjobs", made)
    succeeded(kubectl("create", "job", "my-run", "--from=cronjob/demo"))
    assert names(namespace, "batch/v1/jobs") == ["my-run"]


@pytest.mark.parametrize(
    ("verb", "resource"),
    [
        ("get", "secrets"),
        ("list", "secrets"),
        ("create", "secrets"),
        ("create", "pods"),
        ("delete", "pods"),
        ("create", "pods/exec"),
        ("create", "pods/portforward"),
        ("create", "serviceaccounts/token"),
        ("create", "cronjobs.batch"),
        ("create", "roles.rbac.authorization.k8s.io"),
        ("create", "rolebindings.rbac.authorization.k8s.io"),
        ("list", "nodes"),
    ],
)
def test_the_rest_is_refused(physicist, verb, resource):
    _, _, kubectl = physicist
    assert kubectl("auth", "can-i", "get", "pods").stdout == "yes\n"
    assert kubectl("auth", "can-i", verb, resource).stdout == "no\n"


def test_helms_own_driver_is_refused(physicist):
    _, helm, _ = physicist
    refused = helm("upgrade", "--install", "demo", TRAINING, "--values", VALUES, driver="secret")
    assert 'cannot list resource "secrets"' in refused.stderr
