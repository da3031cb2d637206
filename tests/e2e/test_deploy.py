"""`make deploy` on a lab whose way out is closed: what stops it, what it makes, and how the cluster grows and shrinks.

The tests are one story, told in order: each begins with what the one before left.
"""

import json
import shlex
import ssl
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml
from kubernetes.utils.quantity import parse_quantity

from deploy.mirror.versions import load_versions
from tests.e2e.facility import ROOMY
from tests.e2e.service import MANIFEST, ONCE, Client

pytestmark = pytest.mark.timeout(1200)

FACILITY = {"lab": ROOMY, "platform": True}

# By its address, which this machine reaches too; its name is known in the lab alone.
MIRROR = "https://10.89.78.2"


def test_hosts_have_no_way_out(facility):
    assert facility.hosts("ssh", "w1", "ip route get 192.0.2.1 && ping -c 1 -W 1 192.0.2.1").code != 0


def test_the_mirror_is_served(facility):
    served = facility.make("serve-mirror")
    assert served.code == 0, served.text


def test_everything_that_is_wrong_is_told_at_once(facility, tmp_path):
    (tmp_path / "more.yml").write_text(
        yaml.safe_dump({"workers": {"hosts": {"ghost": {"ansible_host": "10.89.78.250"}}}})
    )
    wrong = {"preflight_disk_mb": {"/var/lib/kubelet": 9_999_999}, "mirror_urls": {"helm": MIRROR + "/nowhere"}}
    ended = facility.make("site", args=f"--inventory {tmp_path}/more.yml --extra-vars {shlex.quote(json.dumps(wrong))}")
    assert ended.code == 2
    assert "ghost cannot be reached by ssh at 10.89.78.250" in ended.text
    assert "cp1 has too little free disk: /var/lib/kubelet has" in ended.text
    assert "9999999 are needed" in ended.text
    assert f"mirror: {MIRROR}/nowhere/helm-" in ended.text
    assert "answers 404" in ended.text
    assert "changed=0" in ended.text
    assert facility.hosts("ssh", "cp1", "test -e /etc/hepspark").code == 1


def test_a_wrong_checksum_stops_the_installation(facility):
    path = load_versions().components["kubernetes"].paths()["kubelet"]
    folder = f"/var/www/html/{Path(path).parent}"
    tamper = f"""
        sudo mkdir -p {folder} /etc/nginx/mirror.d
        sudo cp /srv/mirror/www/{Path(path).parent}/* {folder}/
        echo more | sudo tee --append /var/www/html/{path} >/dev/null
        echo 'location /tampered/ {{ alias /var/www/html/; }}' | sudo tee /etc/nginx/mirror.d/tampered.conf
        sudo systemctl reload nginx"""
    tampered = facility.hosts("ssh", "mirror", tamper)
    assert tampered.code == 0, tampered.text
    ended = facility.site({"mirror_urls": {"kubernetes": MIRROR + "/tampered"}})
    assert ended.code == 2
    assert "FAILED at cp1: kubernetes : Fetch Kubernetes' programs" in ended.text
    assert f"{MIRROR}/tampered/{path}: The checksum for " in ended.text


def test_deploy_makes_a_verified_cluster_and_the_platform(facility, platform):
    deployed = facility.make("deploy")
    assert deployed.code == 0, deployed.text
    assert "export KUBECONFIG=" in deployed.text
    assert facility.nodes() == {"cp1", "w1", "w2"}
    assert facility.kubeconfig.stat().st_mode & 0o777 == 0o600
    releases = {release["name"] for release in json.loads(facility.helm("list", "--output", "json"))}
    assert releases == {"minio", "spark", "train-hlf"}
    for secret in ("storage", "minio-root"):
        for value in platform.secret(secret).values():
            assert value in ("hepspark", "administrator") or value not in deployed.text
    # The platform is used by the tests of test_platform.py and test_notebooks.py.
    verified = facility.make("verify", args="-e output=json -e platform=false")
    assert verified.code == 0, verified.text
    assert all(check["ok"] for check in json.loads(verified.results)["checks"])


def test_a_host_can_allocate_its_flavour_and_no_more(facility):
    for node in json.loads(facility.kubectl("get", "nodes", "--output", "json"))["items"]:
        allocatable = node["status"]["allocatable"]
        assert allocatable["cpu"] == "2"
        assert parse_quantity(allocatable["memory"]) == 5 * 2**30


def test_secrets_are_encrypted_at_rest(facility):
    facility.kubectl("create", "secret", "generic", "probe", "--from-literal=word=abracadabra")
    facility.kubectl("create", "configmap", "probe", "--from-literal=word=hocuspocus")
    search = "sudo grep --recursive --files-with-matches {} /var/lib/etcd"
    assert facility.hosts("ssh", "cp1", search.format("hocuspocus")).results != ""
    assert facility.hosts("ssh", "cp1", search.format("abracadabra")).results == ""


def test_strangers_see_only_health_and_what_joining_needs(facility):
    server = yaml.safe_load(facility.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    anybody = ssl._create_unverified_context()

    def status(path):
        try:
            return urllib.request.urlopen(server + path, context=anybody, timeout=10).status
        except urllib.error.HTTPError as error:
            return error.code

    assert [status(path) for path in ("/livez", "/api/v1/namespaces/kube-public/configmaps/cluster-info")] == [200, 200]
    assert [status(path) for path in ("/version", "/api", "/api/v1/secrets")] == [401, 401, 401]


def test_kubelets_show_certificates_that_the_cluster_signed(facility):
    # The API server asks a kubelet for logs only when its certificate is in order.
    assert facility.kubectl("logs", "--namespace", "kube-system", "--selector", "k8s-app=kube-proxy") != ""
    requests = json.loads(facility.kubectl("get", "certificatesigningrequests", "--output", "json"))["items"]
    serving = [one for one in requests if one["spec"]["signerName"] == "kubernetes.io/kubelet-serving"]
    assert {one["spec"]["username"] for one in serving} == {"system:node:cp1", "system:node:w1", "system:node:w2"}
    assert all(one["status"]["certificate"] for one in serving)


def test_pods_are_restricted_unless_their_namespace_says_otherwise(facility):
    refused = facility.run(*facility.kubectl_command("run", "root", "--image=any"))
    assert refused.code != 0
    assert 'violates PodSecurity "restricted:latest"' in refused.text


def test_a_second_run_changes_nothing(facility, platform):
    before = platform.secret("storage")
    again = facility.make("deploy")
    assert again.code == 0, again.text
    assert "changed=0" in again.text, again.text
    assert platform.secret("storage") == before


def test_a_worker_is_added(facility):
    made = facility.hosts("add", "w3")
    assert made.code == 0, made.text
    own = {
        "worker_labels": {"disk": "fast"},
        "worker_taints": [{"key": "disk", "value": "fast", "effect": "PreferNoSchedule"}],
        "mirrored_registries": ["images.example.org"],
    }
    added = facility.make("add-node", "NODE=w3", args=f"--extra-vars {shlex.quote(json.dumps(own))}")
    assert added.code == 0, added.text
    assert facility.nodes() == {"cp1", "w1", "w2", "w3"}
    node = json.loads(facility.kubectl("get", "node", "w3", "--output", "json"))
    assert node["metadata"]["labels"]["disk"] == "fast"
    assert own["worker_taints"][0] in node["spec"]["taints"]
    facility.kubectl("taint", "node", "w3", "disk-")
    # The pod names a registry that this closed site does not reach.
    image = "images.example.org/" + load_versions().components["busybox"].references()["busybox"]
    facility.kubectl("apply", "--filename", "-", stdin=ONCE.replace("REGISTRY/IMAGE", image).replace("NODE", "w3"))
    facility.kubectl("wait", "pod/once", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")


def test_what_was_asked_of_the_cluster_is_in_its_audit_log(facility):
    what = '"resource":"pods","namespace":"default","name":"once"'
    found = facility.hosts("ssh", "cp1", f"sudo grep --count {shlex.quote(what)} /var/log/kubernetes/audit.log")
    assert int(found.results) > 0


def test_a_worker_is_removed_while_a_service_answers_every_request(facility):
    image = "mirror.lab.internal/" + load_versions().components["busybox"].references()["busybox"]
    facility.kubectl("apply", "--filename", "-", stdin=MANIFEST.replace("REGISTRY/IMAGE", image))
    facility.kubectl("--namespace", "replicated", "rollout", "status", "deployment/web", "--timeout", "120s")
    hosts = json.loads(facility.hosts("status", "--output", "json").results)
    address = next(host["address"] for host in hosts["hosts"] if host["name"] == "cp1")
    refused = facility.make("remove-node", "NODE=all")
    assert refused.code == 2
    assert "'all' is no worker of the inventory: give NODE=NAME[,NAME] of " in refused.text
    client = Client(address)
    client.start()
    try:
        removed = facility.make("remove-node", "NODE=w3")
    finally:
        client.stop()
    assert removed.code == 0, removed.text
    assert client.failures == []
    assert client.answered > 50
    assert facility.nodes() == {"cp1", "w1", "w2"}
    look = """
        ls /etc/kubernetes /etc/hepspark /usr/local/bin/kubelet
        ip -brief link
        ps -e -o comm= | grep -E 'kube|containerd|etcd'"""
    left = facility.hosts("ssh", "w3", look)
    assert "cannot access '/etc/kubernetes'" in left.text
    assert "cni0" not in left.text
    assert "containerd" not in left.text.replace("/run/containerd", "")
    gone = facility.hosts("remove", "w3")
    assert gone.code == 0, gone.text
