"""What the hub and the drivers of users may do, before a real API server.

Rights and policy are those of chart `jupyterhub`. The hub's own code and KubeSpawner, with the packages of the hub's
image, make two users' namespaces and servers there; no kubelet runs these.
"""

import json
import os
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
import yaml

from hepspark.cluster.capacity import executor_pod
from hepspark.config import SparkConfig
from hepspark.notebook import template
from tests.integration.deploy.apiserver import layers
from tests.integration.deploy.charts import ROOT, objects_of

CHART = ROOT / "helm/jupyterhub"
HUB_NAMESPACE, FOREIGN = "physics", "physics-foreign"
ADA = "ada.lovelace"  # a name that a namespace cannot have as it is
HUB = f"system:serviceaccount:{HUB_NAMESPACE}:jupyterhub-hub"
BOB, BOBS = "bob", "physics-bob"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
PACKAGES = "usr/local/lib/python3.11/dist-packages"
SECONDS = 60


def ask(server, token, method, path, body=None, content="application/json"):
    """The status and the answer of the API server."""
    request = urllib.request.Request(
        server.address + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {server.tokens[token]}", "Content-Type": content},
    )
    authority = ssl.create_default_context(cafile=server.folder / "certificates" / "apiserver.crt")
    try:
        with urllib.request.urlopen(request, timeout=10, context=authority) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def patch(server, token, path, change):
    """The same, to a change of an object."""
    return ask(server, token, "PATCH", path, change, "application/merge-patch+json")


def until(found, *condition):
    """What `found` gives, as soon as there is something."""
    end = time.monotonic() + SECONDS
    while not (result := found(*condition)):
        assert time.monotonic() < end
        time.sleep(0.02)
    return result


def create(server, made):
    """Make an object as somebody who may do all."""
    meta, kind = made["metadata"], made["kind"].lower()
    base = f"/apis/{made['apiVersion']}" if "/" in made["apiVersion"] else f"/api/{made['apiVersion']}"
    within = f"/namespaces/{meta['namespace']}" if "namespace" in meta else ""
    plural = f"{kind.removesuffix('y')}ies" if kind.endswith("y") else f"{kind}s"
    status, answer = ask(server, "admin", "POST", f"{base}{within}/{plural}", made)
    assert status == 201, answer["message"]


def namespace(name, **labels):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


LEFT = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "mine-"}, "data": {"a": "b"}}


def sign_in(server, namespace, account, pod=None):
    """Get a token of a service account, or of one of its pods, and the name by which the server's tokens have it."""
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    if pod:
        body["spec"]["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"]}
    status, answer = ask(server, "admin", "POST", path, body)
    assert status == 201, answer
    name = f"{namespace}.{account}" + (".pod" if pod else "")
    server.tokens[name] = answer["status"]["token"]
    return name


@pytest.fixture(scope="module")
def chart(render):
    """What the chart makes, for a hub that uses all that it has rights for."""
    servers = {"quota": {"services": "5"}, "nodeSelector": {"pool": "users"}}
    servers["tolerations"] = [{"key": "notebooks", "operator": "Exists", "effect": "NoSchedule"}]
    # The largest is the first.
    flavors = yaml.safe_load((CHART / "values.yaml").read_text())["flavors"][::-1]
    given = ("--set-json", f"servers={json.dumps(servers)}", "--set-json", f"flavors={json.dumps(flavors)}")
    return objects_of(render(CHART / "ci/default-values.yaml", *given, namespace=HUB_NAMESPACE))


@pytest.fixture(scope="module")
def hub(apiserver, chart):
    """The hub's account, when its rights are in force."""
    for name in (HUB_NAMESPACE, FOREIGN):
        create(apiserver, namespace(name))
    for made in chart:
        if made["kind"].startswith(("ClusterRole", "ServiceAccount", "ValidatingAdmission")):
            create(apiserver, made)
    account = sign_in(apiserver, HUB_NAMESPACE, "jupyterhub-hub")
    path = "/api/v1/namespaces?dryRun=All"
    until(lambda: ask(apiserver, account, "POST", path, namespace("elsewhere"))[0] == 422)
    return account


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """Those of the hub's image, but the largest, which no server's making needs."""
    folder = tmp_path_factory.mktemp("packages")
    unused = tuple(f"{PACKAGES}/{name}/" for name in ("share", "botocore"))
    for layer in layers("hepspark/hub"):
        wanted = [one for one in layer if one.name.startswith(f"{PACKAGES}/") and not one.name.startswith(unused)]
        layer.extractall(folder, wanted, filter="data")
    return folder / PACKAGES


@pytest.fixture(scope="module")
def node(apiserver):
    """Room for servers, but for the largest."""
    path = "/api/v1/nodes/hub-host"
    meta = {"name": "hub-host", "labels": {"pool": "users"}}
    create(apiserver, {"apiVersion": "v1", "kind": "Node", "metadata": meta})
    _, made = ask(apiserver, "admin", "GET", path)
    # The API server marks new nodes as not ready, as no kubelet reported.
    _, made = ask(apiserver, "admin", "PUT", path, {**made, "spec": {}})
    free = {"cpu": "16", "memory": "6Gi", "pods": "110"}
    state = {"capacity": free, "allocatable": free, "conditions": [{"type": "Ready", "status": "True"}]}
    status, answer = ask(apiserver, "admin", "PUT", f"{path}/status", {**made, "status": state})
    assert status == 200, answer["message"]
    yield
    ask(apiserver, "admin", "DELETE", path)


@pytest.fixture(scope="module")
def servers(apiserver, hub, chart, packages, node, tmp_path_factory):  # noqa: ARG001 (servers need room)
    """What the hub asked for while it made, stopped and removed the servers of two users; their pods; what it said."""
    folder = tmp_path_factory.mktemp("hub")
    (settings,) = [made["data"]["settings.json"] for made in chart if made["kind"] == "ConfigMap"]
    (folder / "settings.json").write_text(settings)
    before = apiserver.audit.stat().st_size
    paths = [packages, ROOT / "deploy/images/hub", ROOT / "training/src"]
    command = [sys.executable, ROOT / "tests/integration/deploy/hub_server.py", folder / "settings.json", ADA, BOB]
    variables = {"KUBECONFIG": str(apiserver.kubeconfig(hub)), "PYTHONPATH": os.pathsep.join(map(str, paths))}
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, env=variables) as running,
    ):

        def pods():
            assert running.poll() is None, (folder / "log").read_text()
            found = ask(apiserver, "admin", "GET", "/api/v1/pods?labelSelector=component%3Dsingleuser-server")[1][
                "items"
            ]
            return found if len(found) == 2 else None

        try:
            made = until(pods)
            for pod in made:  # as a kernel does, with an executor's name or any other
                home = pod["metadata"]["namespace"]
                account = sign_in(apiserver, home, "spark-driver", pod)
                for kind, left in (("pods", executor()), ("configmaps", LEFT)):
                    status, answer = ask(apiserver, account, "POST", f"/api/v1/namespaces/{home}/{kind}", left)
                    assert status == 201, answer
            for pod in made:  # as a kubelet would
                path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}/status"
                container = {"name": "notebook", "ready": True, "restartCount": 0, "image": "i", "imageID": "i"}
                state = {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]}
                state |= {"containerStatuses": [container]}
                status, answer = ask(apiserver, "admin", "PUT", path, {**pod, "status": state})
                assert status == 200, answer
            ended = running.wait(SECONDS)
        finally:
            running.kill()
    said = (folder / "log").read_text()
    assert ended == 0, said
    with apiserver.audit.open() as file:
        file.seek(before)
        asked = [json.loads(line) for line in file]
    return [one for one in asked if one["user"]["username"] == HUB], made, said


@pytest.fixture(scope="module")
def homes(servers):
    """The namespaces of Bob and of Ada."""
    _, pods, _ = servers
    return sorted({pod["metadata"]["namespace"] for pod in pods}, key=lambda name: name != BOBS)


def test_the_hub_brings_about_what_a_user_needs(apiserver, homes):
    assert homes[0] == BOBS
    assert len(homes) == 2
    for name in homes:
        found = {
            kind: {one["metadata"]["name"] for one in ask(apiserver, "admin", "GET", f"{base}/{kind}")[1]["items"]}
            for base, kind in (
                (f"/api/v1/namespaces/{name}", "serviceaccounts"),
                (f"/api/v1/namespaces/{name}", "configmaps"),
                (f"/api/v1/namespaces/{name}", "resourcequotas"),
                (f"/api/v1/namespaces/{name}", "limitranges"),
                (f"{RBAC}/namespaces/{name}", "rolebindings"),
                (f"/apis/networking.k8s.io/v1/namespaces/{name}", "networkpolicies"),
            )
        }
        assert found == {
            "serviceaccounts": {"spark-driver", "spark-executor"} if name == BOBS else set(),  # Ada has been deleted
            "configmaps": {"storage-ca"},
            "resourcequotas": {"user", "system"},
            "limitranges": {"pods"},
            "rolebindings": {"jupyterhub-hub", "spark-driver"},
            "networkpolicies": {"server", "executor"},
        }
        path = f"/api/v1/namespaces/{name}"
        (volume,) = ask(apiserver, "admin", "GET", f"{path}/persistentvolumeclaims")[1]["items"]
        assert "deletionTimestamp" not in volume["metadata"]  # it outlives the user


def test_what_a_server_made_ends_with_it_whatever_made_it(apiserver, homes):
    for name in homes:
        assert ask(apiserver, "admin", "GET", f"/api/v1/namespaces/{name}/pods")[1]["items"] == []


def test_a_flavor_that_no_node_can_hold_is_refused_and_not_the_default(servers):
    _, pods, said = servers
    reason = "its server needs 1 core and 8 GiB, and the largest node has 16 cores and 6 GiB"
    for name in (ADA, BOB):
        assert f"{name}: 409 Large cannot be started on this cluster: {reason}. Choose a smaller one." in said
    for pod in pods:  # of starts that named no flavor
        assert pod["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "2", "memory": str(4 << 30)}


def granted(chart, role):
    (made,) = [one for one in chart if one["kind"] == "ClusterRole" and one["metadata"]["name"] == role]
    return {(resource, verb) for rule in made["rules"] for resource in rule["resources"] for verb in rule["verbs"]}


def test_the_hub_has_no_right_that_it_does_not_use(servers, chart):
    asked, _, _ = servers
    used = {
        (one["objectRef"]["resource"], verb)
        for one in asked
        if one["responseStatus"]["code"] != 403
        # Who makes an object by a patch needs both rights.
        for verb in {one["verb"], "create" if one["responseStatus"]["code"] == 201 else one["verb"]}
    }
    rights = granted(chart, "physics-jupyterhub-hub") | granted(chart, "physics-jupyterhub-hub-servers")
    # It is looked at when the hub gives rights.
    assert rights - used == {("clusterroles", "bind")}
    assert used <= rights


def test_a_driver_has_no_right_that_the_driver_of_a_run_has_not(chart, driver_rules):
    of_runs = {(resource, verb) for rule in driver_rules for resource in rule["resources"] for verb in rule["verbs"]}
    rights = granted(chart, "physics-jupyterhub-hub-driver")
    assert rights < of_runs
    assert {resource for resource, _ in of_runs - rights} == {"leases", "jobs", "events"}


OURS = {"hepspark/hub": HUB_NAMESPACE, "pod-security.kubernetes.io/enforce": "restricted"}
APART = "no business outside of its users' namespaces"
NOT_OURS = "is not of the hub"


def rights_for(role, account="jupyterhub-hub", namespace=HUB_NAMESPACE):
    return {
        "apiVersion": RBAC.removeprefix("/apis/"),
        "kind": "RoleBinding",
        "metadata": {"name": "more"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
    }


SERVERS = rights_for("physics-jupyterhub-hub-servers")


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("/api/v1/namespaces", namespace("elsewhere", **OURS), APART),
        ("/api/v1/namespaces", namespace("physicsx", **OURS), APART),
        ("/api/v1/namespaces", namespace("physics-x"), NOT_OURS),
        ("/api/v1/namespaces", namespace("physics-x", **OURS | {"hepspark/hub": "other"}), NOT_OURS),
        ("/api/v1/namespaces", namespace("physics-x", **{"hepspark/hub": HUB_NAMESPACE}), "restricted"),
        (f"/api/v1/namespaces/{FOREIGN}", namespace(FOREIGN, **OURS), NOT_OURS),
        ("/api/v1/namespaces/kube-system", namespace("kube-system", **OURS), APART),
        (f"/api/v1/namespaces/{HUB_NAMESPACE}", namespace(HUB_NAMESPACE, **OURS), APART),
        (
            f"/api/v1/namespaces/{BOBS}",
            namespace(BOBS, **OURS | {"pod-security.kubernetes.io/enforce": "privileged"}),
            "restricted",
        ),
        (f"{RBAC}/namespaces/kube-system/rolebindings", SERVERS, APART),
        (f"{RBAC}/namespaces/{HUB_NAMESPACE}/rolebindings", SERVERS, APART),
        (f"{RBAC}/namespaces/{FOREIGN}/rolebindings", SERVERS, NOT_OURS),
        (f"{RBAC}/namespaces/{BOBS}/rolebindings", rights_for("cluster-admin"), "attempting to grant"),
        (f"{RBAC}/namespaces/{BOBS}/rolebindings", rights_for("system:node"), "attempting to grant"),
    ],
)
@pytest.mark.usefixtures("servers")
def test_the_hub_is_held_to_namespaces_of_its_users(apiserver, hub, path, body, told):
    if path.endswith("s") and path != f"/api/v1/namespaces/{HUB_NAMESPACE}":
        status, answer = ask(apiserver, hub, "POST", path, body)
    else:
        status, answer = patch(apiserver, hub, path, body)
    assert status in (403, 422)
    assert told in answer["message"]


@pytest.mark.usefixtures("servers")
def test_the_hub_may_bind_its_two_roles(apiserver, hub):
    status, answer = ask(apiserver, hub, "POST", f"{RBAC}/namespaces/{BOBS}/rolebindings?dryRun=All", SERVERS)
    assert status == 201, answer


@pytest.fixture(scope="module")
def secrets(apiserver, homes):
    """A Secret in each namespace."""
    for name in (HUB_NAMESPACE, FOREIGN, *homes):
        create(apiserver, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": name}})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/secrets"),
        *(
            ("GET", f"/api/v1/namespaces/{name}/secrets{one}")
            for name in (HUB_NAMESPACE, FOREIGN, BOBS)
            for one in ("", "/keys")
        ),
        ("GET", "/api/v1/configmaps"),
        ("GET", "/api/v1/namespaces"),
        ("DELETE", f"/api/v1/namespaces/{BOBS}"),
        ("POST", f"/api/v1/namespaces/{HUB_NAMESPACE}/pods"),
        ("POST", f"/api/v1/namespaces/{FOREIGN}/pods"),
        ("POST", f"/api/v1/namespaces/{BOBS}/pods/one/exec?command=id"),
        ("POST", f"/api/v1/namespaces/{BOBS}/serviceaccounts/spark-driver/token"),
        ("POST", f"/api/v1/namespaces/{HUB_NAMESPACE}/serviceaccounts/jupyterhub-proxy/token"),
        ("POST", f"{RBAC}/clusterrolebindings"),
        ("POST", f"{RBAC}/clusterroles"),
        ("POST", f"{RBAC}/namespaces/{BOBS}/roles"),
        ("DELETE", "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/physics-jupyterhub-hub"),
    ],
)
@pytest.mark.usefixtures("secrets")
def test_the_hub_has_no_other_rights(apiserver, hub, method, path):
    status, answer = ask(apiserver, hub, method, path, {} if method == "POST" else None)
    assert status == 403, answer
    assert "cannot" in answer["message"]


@pytest.fixture(scope="module")
def driver(apiserver, homes):
    """The account of Bob's driver."""
    return sign_in(apiserver, homes[0], "spark-driver")


def executor(**security):
    good = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True}
    good |= {"seccompProfile": {"type": "RuntimeDefault"}}
    container = {"name": "executor", "image": "hepspark/spark:1", "securityContext": good | security}
    spec = {"serviceAccountName": "spark-executor", "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "executor-"}, "spec": spec}


def test_a_driver_makes_executors_in_its_own_namespace_alone(apiserver, driver, homes):
    status, answer = ask(apiserver, driver, "POST", f"/api/v1/namespaces/{BOBS}/pods?dryRun=All", executor())
    assert status == 201, answer
    status, answer = ask(
        apiserver, driver, "POST", f"/api/v1/namespaces/{BOBS}/pods?dryRun=All", executor(allowPrivilegeEscalation=True)
    )
    assert status == 403
    assert "violates PodSecurity" in answer["message"]
    for name in (homes[1], HUB_NAMESPACE, FOREIGN):
        status, answer = ask(apiserver, driver, "POST", f"/api/v1/namespaces/{name}/pods", executor())
        assert status == 403
        assert 'cannot create resource "pods"' in answer["message"]


def test_a_driver_displaces_nobody(apiserver, driver):
    path = f"/api/v1/namespaces/{BOBS}/resourcequotas/system"
    _, quota = ask(apiserver, "admin", "GET", path)
    counted = {"hard": quota["spec"]["hard"], "used": {"pods": "0"}}  # as Kubernetes' controllers would
    status, answer = ask(apiserver, "admin", "PUT", f"{path}/status", quota | {"status": counted})
    assert status == 200, answer
    path_of_pods = f"/api/v1/namespaces/{BOBS}/pods?dryRun=All"
    for name in ("system-node-critical", "system-cluster-critical"):
        made = executor()
        made["spec"]["priorityClassName"] = name
        status, answer = until(
            lambda made=made: (said := ask(apiserver, driver, "POST", path_of_pods, made))[0] != 201 and said
        )
        assert status == 403
        assert "exceeded quota: system" in answer["message"]


@pytest.fixture(scope="module")
def bare(apiserver, homes):  # noqa: ARG001 (the rules are in force when a hub has worked)
    """A namespace as of a user, in which nothing gives pods limits; when the rules for pods are in force."""
    name = "physics-bare"
    create(apiserver, namespace(name, **OURS))
    for account in ("default", "spark-driver", "spark-executor"):
        meta = {"name": account, "namespace": name}
        create(apiserver, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
    path, unlimited = f"/api/v1/namespaces/{name}/pods?dryRun=All", executor()
    until(lambda: ask(apiserver, "admin", "POST", path, unlimited)[0] == 422)
    return name


CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
EVERYWHERE = {"nodeSelectorTerms": [{"matchExpressions": [{"key": CONTROL_PLANE, "operator": "Exists"}]}]}
NEAR = {"labelSelector": {}, "namespaceSelector": {}, "topologyKey": "kubernetes.io/hostname"}
SPREAD = {"maxSkew": 1, "topologyKey": CONTROL_PLANE, "whenUnsatisfiable": "DoNotSchedule"}
REFUSED = {
    "a node": ({"nodeName": "hub-host"}, "nodeName: "),
    "the host's name": ({"nodeSelector": {"kubernetes.io/hostname": "hub-host"}}, "nodeSelector: "),
    "a label without a value": ({"nodeSelector": {CONTROL_PLANE: ""}}, "nodeSelector: "),
    "a label of the site with another value": ({"nodeSelector": {"pool": "operators"}}, "nodeSelector: "),
    "a node by affinity": (
        {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": EVERYWHERE}}},
        "affinity, ",
    ),
    "others' nodes": (
        {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [NEAR]}}},
        "affinity, ",
    ),
    "nodes to spread over": ({"topologySpreadConstraints": [SPREAD]}, "affinity, "),
    "all taints": ({"tolerations": [{"operator": "Exists"}]}, "tolerations: "),
    "the control plane's taint": (
        {"tolerations": [{"key": CONTROL_PLANE, "operator": "Exists", "effect": "NoSchedule"}]},
        "tolerations: ",
    ),
    "a closed node": ({"tolerations": [{"key": "node.kubernetes.io/unschedulable"}]}, "tolerations: "),
    "a taint of the site with another effect": (
        {"tolerations": [{"key": "notebooks", "operator": "Exists", "effect": "NoExecute"}]},
        "tolerations: ",
    ),
    "no account": ({"serviceAccountName": ""}, "serviceAccountName: "),
    "the driver's account": ({"serviceAccountName": "spark-driver"}, "serviceAccountName: "),
}


def asking(wanted):
    made = executor()
    made["spec"] |= wanted
    return made


@pytest.fixture(scope="module")
def default_account(apiserver, homes):  # noqa: ARG001 (makes the namespace)
    """What a controller would make in Bob's namespace."""
    meta = {"name": "default", "namespace": BOBS}
    create(apiserver, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.usefixtures("bare", "default_account")
def test_a_drivers_pods_choose_neither_nodes_nor_accounts(apiserver, driver, what):
    wanted, told = REFUSED[what]
    status, answer = ask(apiserver, driver, "POST", f"/api/v1/namespaces/{BOBS}/pods?dryRun=All", asking(wanted))
    assert status == 422, answer
    assert f"denied request: {told}" in answer["message"]


@pytest.mark.parametrize(
    "wanted",
    [
        {"nodeSelector": {"pool": "users"}},
        {"tolerations": [{"key": "notebooks", "operator": "Exists", "effect": "NoSchedule"}]},
        {"tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}]},
    ],
)
@pytest.mark.usefixtures("bare")
def test_what_the_site_allows_is_allowed(apiserver, driver, wanted):
    status, answer = ask(apiserver, driver, "POST", f"/api/v1/namespaces/{BOBS}/pods?dryRun=All", asking(wanted))
    assert status == 201, answer


def test_executors_go_where_their_server_may(apiserver, driver, servers):
    _, pods, _ = servers
    (pod,) = [pod for pod in pods if pod["metadata"]["namespace"] == BOBS]
    given = {one["name"]: one.get("value") for one in pod["spec"]["containers"][0]["env"]}
    config = SparkConfig.model_validate({"kubernetes": {"image": "i", "service_account": "spark-executor"}})
    made = executor_pod(config, template.pod(given), None)
    assert made["spec"]["nodeSelector"] == pod["spec"]["nodeSelector"] == {"pool": "users"}
    status, answer = ask(apiserver, driver, "POST", f"/api/v1/namespaces/{BOBS}/pods?dryRun=All", made)
    assert status == 201, answer
    (tolerated,) = [one for one in answer["spec"]["tolerations"] if one["key"] == "notebooks"]
    assert tolerated in pod["spec"]["tolerations"]


@pytest.mark.parametrize("resource", ["cpu", "memory"])
@pytest.mark.parametrize("kind", ["containers", "initContainers"])
def test_each_container_of_a_users_pod_has_limits(apiserver, bare, kind, resource):
    made, limits = executor(), {"cpu": "1", "memory": "1Gi"}
    made["spec"]["containers"][0]["resources"] = {"limits": limits}
    first = {**made["spec"]["containers"][0], "name": "first", "resources": {"limits": limits}}
    made["spec"]["initContainers"] = [first]
    path = f"/api/v1/namespaces/{bare}/pods?dryRun=All"
    status, answer = ask(apiserver, "admin", "POST", path, made)
    assert status == 201, answer
    made["spec"][kind][0]["resources"] = {"limits": {name: limits[name] for name in limits if name != resource}}
    status, answer = ask(apiserver, "admin", "POST", path, made)
    assert status == 422
    assert "denied request: resources.limits: " in answer["message"]


@pytest.mark.usefixtures("bare")
def test_a_pod_that_is_there_gets_no_more_by_a_change(apiserver, driver):
    path = f"/api/v1/namespaces/{BOBS}/pods"
    made = asking({"schedulingGates": [{"name": "example.org/wait"}]})
    made["metadata"] = {"name": "waiting"}
    status, answer = ask(apiserver, driver, "POST", path, made)
    assert status == 201, answer
    path += "/waiting"
    more = [*answer["spec"]["tolerations"], {"operator": "Exists"}]
    for wanted, told in (
        ({"tolerations": more}, "tolerations: "),
        ({"nodeSelector": {CONTROL_PLANE: ""}}, "nodeSelector: "),
        ({"affinity": REFUSED["a node by affinity"][0]["affinity"]}, "affinity, "),
    ):
        status, answer = patch(apiserver, driver, path, {"spec": wanted})
        assert status == 422, wanted
        assert f"denied request: {told}" in answer["message"]
    labels = {"metadata": {"labels": {"spark-exec-inactive": "true"}}}
    assert patch(apiserver, driver, path, labels)[0] == 200
    # The scheduler and the control plane still do their work on it.
    gates = {"spec": {"schedulingGates": None}}
    assert patch(apiserver, driver, path, gates)[0] == 200
    target = {"apiVersion": "v1", "kind": "Node", "name": "hub-host"}
    bound = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "waiting"}, "target": target}
    assert ask(apiserver, "admin", "POST", f"{path}/binding", bound)[0] == 201
    assert patch(apiserver, driver, path, labels)[0] == 200
    assert ask(apiserver, driver, "DELETE", f"{path}?gracePeriodSeconds=0")[0] == 200


@pytest.mark.usefixtures("bare")
def test_a_pod_of_before_the_rules_can_be_changed_and_removed(apiserver):
    old = "physics-old"
    create(apiserver, namespace(old))
    for account in ("spark-executor", "default"):
        meta = {"name": account, "namespace": old}
        create(apiserver, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
    path, made = f"/api/v1/namespaces/{old}/pods", asking({"tolerations": [{"operator": "Exists"}]})
    made["metadata"] = {"name": "old", "finalizers": ["example.org/wait"]}
    assert ask(apiserver, "admin", "POST", path, made)[0] == 201
    assert patch(apiserver, "admin", f"/api/v1/namespaces/{old}", {"metadata": {"labels": OURS}})[0] == 200
    until(lambda: ask(apiserver, "admin", "POST", f"{path}?dryRun=All", executor())[0] == 422)
    assert patch(apiserver, "admin", f"{path}/old", {"metadata": {"finalizers": None}})[0] == 200


def limited(**resources):
    made = executor()
    made["spec"]["containers"][0]["resources"] = resources
    return made


@pytest.mark.usefixtures("bare")
def test_a_drivers_pods_have_the_limits_of_the_largest_flavor(apiserver, driver):
    path = f"/api/v1/namespaces/{BOBS}/pods?dryRun=All"
    status, answer = ask(apiserver, driver, "POST", path, executor())
    assert status == 201, answer
    usual = {"cpu": "1", "memory": "1Gi"}
    assert answer["spec"]["containers"][0]["resources"] == {"limits": usual, "requests": usual}
    largest = {"cpu": "4", "memory": "8Gi"}
    assert ask(apiserver, driver, "POST", path, limited(limits=largest))[0] == 201
    for limits, requests, told in (
        ({"cpu": "4100m", "memory": "8Gi"}, {}, "maximum cpu usage per Pod is 4"),
        ({"cpu": "4", "memory": "8193Mi"}, {}, "maximum memory usage per Pod is 8Gi"),
        (largest, {"cpu": "4", "memory": "4Gi"}, "memory max limit to request ratio per Container is 1"),
        (largest, {"cpu": "500m", "memory": "8Gi"}, "cpu max limit to request ratio per Container is 4"),
    ):
        status, answer = ask(apiserver, driver, "POST", path, limited(limits=limits, requests=requests))
        assert status == 403
        assert told in answer["message"]
    two = limited(limits=largest)
    two["spec"]["containers"].append({**two["spec"]["containers"][0], "name": "second"})
    assert "maximum cpu usage per Pod is 4" in ask(apiserver, driver, "POST", path, two)[1]["message"]


KINDS = (
    "pods",
    "configmaps",
    "services",
    "persistentvolumeclaims",
    "secrets",
    "serviceaccounts",
    "resourcequotas",
    "events",
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("secrets")
def test_a_driver_sees_nothing_of_another_user(apiserver, driver, homes, kind):
    adas = homes[1]
    for method, path in (
        ("GET", f"/api/v1/namespaces/{adas}/{kind}"),
        ("GET", f"/api/v1/namespaces/{adas}/{kind}/one"),
        ("POST", f"/api/v1/namespaces/{adas}/{kind}"),
        ("DELETE", f"/api/v1/namespaces/{adas}/{kind}/one"),
        ("DELETE", f"/api/v1/namespaces/{adas}/{kind}"),
        ("GET", f"/api/v1/{kind}"),
    ):
        status, answer = ask(apiserver, driver, method, path, {} if method == "POST" else None)
        assert status == 403, (method, path)
        assert "cannot" in answer["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/api/v1/namespaces/{BOBS}/secrets"),
        ("GET", f"/api/v1/namespaces/{BOBS}/secrets/keys"),
        ("POST", f"/api/v1/namespaces/{BOBS}/serviceaccounts/spark-driver/token"),
        ("POST", f"/api/v1/namespaces/{BOBS}/pods/one/exec?command=id"),
        ("DELETE", f"/api/v1/namespaces/{BOBS}/resourcequotas/user"),
        ("DELETE", f"/apis/networking.k8s.io/v1/namespaces/{BOBS}/networkpolicies/server"),
        ("POST", f"{RBAC}/namespaces/{BOBS}/rolebindings"),
        ("DELETE", f"{RBAC}/namespaces/{BOBS}/rolebindings/jupyterhub-hub"),
        ("GET", f"/api/v1/namespaces/{BOBS}"),
        ("GET", "/api/v1/namespaces"),
        ("GET", "/api/v1/nodes"),
    ],
)
@pytest.mark.usefixtures("secrets")
def test_a_driver_has_no_other_rights_in_its_own(apiserver, driver, method, path):
    status, answer = ask(apiserver, driver, method, path, {} if method == "POST" else None)
    assert status == 403, answer
    assert "cannot" in answer["message"]


@pytest.mark.usefixtures("secrets")
def test_an_executor_has_no_rights_at_all(apiserver):
    account = sign_in(apiserver, BOBS, "spark-executor")
    for kind in KINDS:
        assert ask(apiserver, account, "GET", f"/api/v1/namespaces/{BOBS}/{kind}")[0] == 403


def test_the_token_of_a_server_ends_with_it(apiserver, homes):
    """Whoever copied it out of the pod cannot use it afterwards; the API server may remember it for seconds."""
    for name in homes:
        path = f"/api/v1/namespaces/{name}/pods"
        assert until(lambda: ask(apiserver, f"{name}.spark-driver.pod", "GET", path)[0] == 401)  # noqa: B023
