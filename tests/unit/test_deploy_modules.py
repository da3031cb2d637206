"""The Ansible modules and the output of a deployment, without hosts."""

import http.server
import json
import shutil
import socket
import ssl
import threading
from types import SimpleNamespace

import pytest
from ansible.module_utils import basic

from deploy.library import host_files, host_probe, mirror_probe, network_cleanup
from deploy.plugins.callback import phases
from deploy.plugins.filter import artefacts, readiness

SAVED = """\
*nat
:PREROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:FLANNEL-POSTRTG - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A PREROUTING -p tcp --dport 80 -j REDIRECT
-A POSTROUTING -j CNI-0123
COMMIT
"""


class Module:
    """Stands in for AnsibleModule where only commands are run; remembers what they were given."""

    def __init__(self, answers):
        self.answers, self.ran = answers, []

    def run_command(self, command, check_rc=False, data=None):  # noqa: ARG002 - as Ansible calls it
        self.ran.append((" ".join(command), data))
        return 0, self.answers.get(" ".join(command), ""), ""

    def get_bin_path(self, name):
        return f"/usr/sbin/{name}"


def test_networks_may_overlap_neither_with_routes_nor_with_each_other():
    found = host_probe.clashes(["10.244.0.0/16", "10.96.0.0/16", "10.96.128.0/24"], ["10.244.3.0/24", "192.0.2.0/24"])
    assert found == [
        "10.244.0.0/16 overlaps with this host's route to 10.244.3.0/24",
        "10.96.0.0/16 overlaps with 10.96.128.0/24",
    ]


def test_a_network_may_be_written_with_the_address_of_a_host():
    assert host_probe.clashes(["10.244.0.1/16"], ["10.244.3.0/24"]) != []


def test_addresses_are_those_of_all_links():
    told = [{"addr_info": [{"local": "127.0.0.1"}]}, {"addr_info": [{"local": "192.0.2.11"}, {"local": "10.0.0.1"}]}]
    module = Module({"ip -json -4 address show": json.dumps(told)})
    assert host_probe.addresses(module) == ["127.0.0.1", "192.0.2.11", "10.0.0.1"]


def test_a_socket_that_nobody_listens_at_is_no_runtime(tmp_path):
    path = str(tmp_path / "containerd.sock")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        assert not host_probe.answers(path)
        server.listen()
        assert host_probe.answers(path)
    assert not host_probe.answers(path)


@pytest.mark.parametrize("url", ["https://localhost:5000x/file", "https://https:/v2/", "file"])
def test_an_address_that_is_none_is_told(url):
    assert url in mirror_probe.problem(url, ssl.create_default_context())


def test_folders_of_one_disk_need_their_space_together(tmp_path):
    free = shutil.disk_usage(tmp_path).free // 2**20
    first, second = str(tmp_path / "not/yet/there"), str(tmp_path)
    assert host_probe.lacking_disk({first: free // 10, second: free // 10}) == []
    (told,) = host_probe.lacking_disk({first: free * 6 // 10, second: free * 6 // 10})
    assert told.startswith(f"{first} and {second} have ")
    assert told.endswith(f" MiB free, {free * 6 // 10 * 2} are needed")
    assert host_probe.lacking_disk({first: 2 * free})[0].startswith(f"{first} has ")


def test_a_damaged_marker_is_no_cluster(tmp_path, monkeypatch):
    monkeypatch.setattr(host_probe, "MARKER", tmp_path / "cluster.json")
    assert host_probe.cluster() is None
    (tmp_path / "cluster.json").write_text("{")
    assert host_probe.cluster() is None
    (tmp_path / "cluster.json").write_text('{"name": "lab", "version": "v1"}')
    assert host_probe.cluster() == {"name": "lab", "version": "v1"}


@pytest.fixture
def server():
    """A mirror with one file, and a registry that wants a token that it gives to everybody."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            token = f"http://127.0.0.1:{self.server.server_port}/token"
            known = self.path in ("/there", "/v2/some/tool/manifests/1") or self.path.startswith("/token")
            wanted = self.path.startswith("/v2/") and self.headers.get("Authorization") != "Bearer word"
            self.send_response(401 if wanted else 200 if known else 404)
            self.send_header("WWW-Authenticate", f'Bearer realm="{token}",service="registry",scope="repository:x:pull"')
            self.end_headers()
            if self.path == "/token?service=registry&scope=repository%3Ax%3Apull" and self.command == "GET":
                self.wfile.write(json.dumps({"token": "word"}).encode())

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_what_a_mirror_lacks_is_named(server):
    context = ssl.create_default_context()
    assert mirror_probe.problem(f"http://{server}/there", context) == ""
    assert mirror_probe.problem(f"http://{server}/missing", context) == f"http://{server}/missing answers 404 Not Found"
    assert mirror_probe.problem(mirror_probe.manifest(f"{server}/some/tool:1", "http"), context) == ""
    assert "answers 404" in mirror_probe.problem(mirror_probe.manifest(f"{server}/some/tool:2", "http"), context)
    assert "cannot be reached: " in mirror_probe.problem("http://127.0.0.1:1/there", context)


def test_only_rules_of_kubernetes_are_removed():
    module = Module({"iptables-save": SAVED})
    assert network_cleanup.remove_rules(module, "iptables") == ["4 lines of iptables"]
    kept = module.ran[-1][1]
    assert kept == "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp --dport 80 -j REDIRECT\nCOMMIT\n"
    clean = Module({"iptables-save": kept})
    assert network_cleanup.remove_rules(clean, "iptables") == []
    assert len(clean.ran) == 1


def test_only_links_and_tables_of_kubernetes_are_removed():
    links = Module({"ip -json link show": json.dumps([{"ifname": "eth0"}, {"ifname": "cni0"}])})
    assert network_cleanup.remove_links(links) == ["link cni0"]
    tables = [{"table": {"family": "ip", "name": name}} for name in ("filter", "kube-proxy", "flannel-ipv4")]
    module = Module({"nft --json list tables": json.dumps({"nftables": [{"metainfo": {}}, *tables]})})
    assert network_cleanup.remove_tables(module) == ["nftables table ip kube-proxy", "nftables table ip flannel-ipv4"]


def test_a_failure_is_told_with_its_message_and_the_end_of_what_a_command_said():
    assert phases.reason({"msg": "non-zero return code", "stderr": "one\ntwo\n"}) == [
        "non-zero return code",
        "one",
        "two",
    ]
    failed = {"failed": True, "_ansible_item_label": "kubelet", "msg": "wrong"}
    assert phases.reason({"msg": "items failed", "results": [{"failed": False}, failed]}) == ["kubelet: wrong"]
    assert len(phases.reason({"msg": "", "stdout": "\n".join(map(str, range(100)))})) == 15


def test_unreachable_hosts_that_a_task_expects_are_no_failure():
    callback = phases.CallbackModule()
    result = SimpleNamespace(
        _host=SimpleNamespace(get_name=lambda: "w1"),
        _task=SimpleNamespace(get_name=lambda: "Reach the host", ignore_unreachable=True),
        _result={"msg": "no route"},
    )
    callback.v2_runner_on_unreachable(result)
    assert callback._failures == []
    result._task.ignore_unreachable = False
    callback.v2_runner_on_unreachable(result)
    assert callback._failures == [("w1", "Reach the host", ["no route"])]


def test_a_source_of_its_own_replaces_the_mirror_for_its_components_alone():
    versions = "deploy/mirror/versions.yaml"
    files = artefacts.artefact_files(versions, "https://mirror.example.org/", {"helm": "https://helm.example.org"})
    assert files["helm"].startswith("https://helm.example.org/helm-v")
    assert files["kubeadm"].startswith("https://mirror.example.org/release/v")
    images = artefacts.artefact_images(versions, "mirror.example.org", {"library": "library.example.org"})
    assert images["busybox"].startswith("library.example.org/library/busybox:")
    assert images["pause"].startswith("mirror.example.org/pause:")


@pytest.fixture
def host_file(tmp_path):
    """A file in folders that are not there yet, and how it is brought about."""
    path = tmp_path / "etc" / "deep" / "example.conf"
    return path, lambda content, mode=0o644: host_files.put(path, content, mode)


def test_a_file_of_a_host_is_made_with_its_folders_and_then_left(host_file):
    path, put = host_file
    assert host_files.differs(path, "a\n", 0o600)
    put("a\n", 0o600)
    assert (path.read_text(), path.stat().st_mode & 0o7777) == ("a\n", 0o600)
    assert not host_files.differs(path, "a\n", 0o600)
    assert host_files.differs(path, "a\n", 0o644)
    assert host_files.differs(path, "b\n", 0o600)
    put("b\n", 0o644)
    assert [found.name for found in path.parent.iterdir()] == [path.name]
    assert not host_files.differs(path, "b\n", 0o644)


def run_host_files(monkeypatch, capsys, **parameters):
    """What the module answers, run as Ansible runs it."""
    asked = {"ANSIBLE_MODULE_ARGS": parameters}
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps(asked).encode())
    monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy")
    with pytest.raises(SystemExit):
        host_files.main()
    return json.loads(capsys.readouterr().out)


def test_a_change_that_no_handler_acted_on_is_reported_again(tmp_path, monkeypatch, capsys):
    path, mark = tmp_path / "etc" / "a.conf", tmp_path / "pending" / "a"

    def run(**more):
        answer = run_host_files(monkeypatch, capsys, files={str(path): "a"}, pending=str(mark), **more)
        return answer["changed"], answer["paths"]

    assert run(_ansible_check_mode=True) == (True, [str(path)])
    assert not path.exists()
    assert run() == (True, [str(path)])
    assert run() == (True, [])
    mark.unlink()
    assert run() == (False, [])


def test_a_file_that_cannot_be_written_is_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "a").write_text("not a folder")
    answer = run_host_files(monkeypatch, capsys, files={f"{tmp_path}/a/b": "x"})
    assert answer["msg"].startswith(f"{tmp_path}/a/b: ")
    assert answer["failed"]


def test_a_file_of_a_host_that_is_not_wanted_is_removed(host_file):
    path, put = host_file
    assert not host_files.differs(path, None, 0o644)
    put("a\n")
    assert host_files.differs(path, None, 0o644)
    put(None)
    assert not path.exists()


def test_what_is_not_ready_is_named_with_the_next_command():
    def resource(kind, name, status):
        place = {"namespace": "kube-system"} if kind == "Pod" else {}
        return {"kind": kind, "metadata": {"name": name, **place}, "status": status}

    def ready(status, message):
        return {"conditions": [{"type": "Ready", "status": status, "message": message}]}

    pull = {"name": "app", "image": "a", "imageID": "", "ready": False, "restartCount": 0}
    pull["state"] = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    found = readiness.not_ready(
        [
            resource("Node", "w1", ready("False", "cni plugin not initialized")),
            resource("Node", "w2", ready("True", "well")),
            resource("Pod", "a", {"phase": "Pending", "containerStatuses": [pull]}),
            resource("Pod", "b", {"phase": "Running"}),
            resource("Pod", "c", {"phase": "Succeeded"}),
        ],
        "kubectl --kubeconfig k",
    )
    assert found == [
        "node w1 is not ready: cni plugin not initialized; see kubectl --kubeconfig k describe node w1",
        "pod a cannot start container app: ImagePullBackOff: no such image; "
        "see kubectl --kubeconfig k --namespace kube-system describe pod a",
    ]
