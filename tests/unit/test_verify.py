"""What `make verify` concludes from what it sees: objects of the API, answers of test scripts, an API that is away."""

import io
import json
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
import yaml
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from rich.console import Console

from deploy.errors import InputError
from deploy.verify import checks, cluster, evaluate, pods, results, run


def node(name="w1", **conditions):
    conditions = {"Ready": "True"} | conditions
    listed = [{"type": kind, "status": value, "message": f"{kind} says so"} for kind, value in conditions.items()]
    return cluster.typed(client.V1Node, {"metadata": {"name": name}, "status": {"conditions": listed}})


def pod(phase="Running", name="p", **status):
    return cluster.typed(client.V1Pod, {"metadata": {"name": name}, "status": {"phase": phase} | status})


def container(name="c", ready=False, restarts=0, **state):
    return {
        "name": name,
        "ready": ready,
        "restartCount": restarts,
        "image": "i",
        "imageID": "",
        "state": state or {"running": {}},
    }


class TestNodes:
    def test_a_ready_node_has_no_problem(self):
        assert evaluate.node_problem(node(MemoryPressure="False", NetworkUnavailable="False")) is None

    def test_a_node_that_is_not_ready_says_why(self):
        assert evaluate.node_problem(node(Ready="False")) == "is not ready: Ready says so"
        assert evaluate.node_problem(node(Ready="Unknown")) == "is not ready: Ready says so"

    @pytest.mark.parametrize("trouble", evaluate.TROUBLES)
    def test_trouble_of_a_ready_node_is_a_problem(self, trouble):
        assert evaluate.node_problem(node(**{trouble: "True"})) == f"has {trouble}: {trouble} says so"

    def test_a_node_that_never_reported_is_a_problem(self):
        assert evaluate.node_problem(client.V1Node(metadata=client.V1ObjectMeta(name="w1"))) == "has not reported yet"


class TestPods:
    @pytest.mark.parametrize("fine", [pod(containerStatuses=[container(ready=True)]), pod("Succeeded")])
    def test_pods_that_are_well(self, fine):
        assert evaluate.pod_problem(fine) is None

    def test_an_image_that_is_not_there(self):
        waiting = {"reason": "ErrImagePull", "message": "not found: busybox:9"}
        problem = evaluate.pod_problem(pod("Pending", containerStatuses=[container(waiting=waiting)]))
        assert problem == "cannot start container c: ErrImagePull: not found: busybox:9"

    def test_an_init_container_that_ended_badly(self):
        ended = {"exitCode": 3, "reason": "Error"}
        problem = evaluate.pod_problem(pod("Pending", initContainerStatuses=[container("init", terminated=ended)]))
        assert problem == "container init ended with 3 (Error)"

    def test_a_pod_that_no_node_takes(self):
        condition = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
        problem = evaluate.pod_problem(pod("Pending", conditions=[condition]))
        assert problem == "is not scheduled: 0/3 nodes are available"

    def test_a_pod_that_is_still_made(self):
        creating = container(waiting={"reason": "ContainerCreating"})
        assert evaluate.pod_problem(pod("Pending", containerStatuses=[creating])) == "is Pending"

    def test_a_running_pod_that_is_not_ready_names_the_container(self):
        statuses = [container("a", ready=True), container("b")]
        assert evaluate.pod_problem(pod(containerStatuses=statuses)) == "runs, but is not ready (container b)"

    def test_a_failed_pod(self):
        assert evaluate.pod_problem(pod("Failed", reason="Evicted")) == "failed: Evicted"


class TestPairs:
    def test_every_ordered_pair_of_few_nodes(self):
        plan = evaluate.pairs(["a", "b", "c"], limit=6)
        assert {(start, to) for start, ends in plan.items() for to in ends} == {
            ("a", "b"), ("a", "c"), ("b", "a"), ("b", "c"), ("c", "a"), ("c", "b"),
        }  # fmt: skip

    def test_many_nodes_are_bounded_and_each_one_sends_and_receives(self):
        many = [f"n{number}" for number in range(100)]
        plan = evaluate.pairs(many, limit=300)
        assert sum(map(len, plan.values())) == 300
        assert set(plan) == set(many)
        assert {to for ends in plan.values() for to in ends} == set(many)
        assert all(start not in ends for start, ends in plan.items())

    def test_more_nodes_than_pairs_still_try_one_each(self):
        assert [len(ends) for ends in evaluate.pairs(list("abcdef"), limit=3).values()] == [1] * 6

    def test_one_node_has_nobody_to_reach(self):
        assert evaluate.pairs(["a"], limit=90) == {}


class TestAnswers:
    def test_all_well(self):
        assert evaluate.answers("ok a\nok b\n", ["a", "b"]) == {}

    def test_a_wrong_answer_is_told(self):
        assert evaluate.answers("ok a\nfail b connection refused \n", ["a", "b"]) == {"b": "connection refused"}

    def test_a_target_that_is_not_mentioned_is_a_problem(self):
        assert evaluate.answers("sh: something else\nok a\n", ["a", "b"]) == {"b": "no answer"}

    def test_no_output_at_all(self):
        assert evaluate.answers("", ["a"]) == {"a": "no answer"}


def test_the_default_class_is_the_one_with_the_annotation():
    def named(name, value):
        metadata = {"name": name, "annotations": {evaluate.DEFAULT_CLASS: value}}
        return cluster.typed(client.V1StorageClass, {"metadata": metadata, "provisioner": "p"})

    chosen = evaluate.default_class([named("a", "false"), named("b", "true")])
    assert chosen is not None
    assert chosen.metadata.name == "b"
    assert evaluate.default_class([named("a", "false")]) is None


def test_nodes_without_metrics_are_found():
    def item(name, cpu):
        return {"metadata": {"name": name}, "usage": {"cpu": cpu, "memory": "1Mi"}}

    told = {"items": [item("a", "12345n"), item("b", "0")]}
    assert evaluate.without_metrics(["a", "b", "c"], told) == ["b", "c"]
    assert evaluate.without_metrics(["a"], {}) == ["a"]


def test_long_lists_of_names_are_cut():
    assert evaluate.names(["a", "b"]) == "a, b"
    assert evaluate.names(list("abcdefg")) == "a, b, c, d, e and 2 more"


class TestScripts:
    """The scripts run in a real shell; the commands that they call are stand-ins."""

    @pytest.fixture
    def shell(self, tmp_path):
        def stand_in(name, script):
            (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
            (tmp_path / name).chmod(0o755)

        def call(script, **stand_ins):
            stand_in("timeout", 'shift; exec "$@"')
            stand_in("sleep", ":")
            for name, body in stand_ins.items():
                stand_in(name, body)
            path = f"{tmp_path}:{os.environ['PATH']}"
            return subprocess.run(["sh", "-c", script], env={"PATH": path}, capture_output=True, text=True, check=True)

        return call

    def test_fetch_accepts_only_the_targets_own_name(self, shell):
        script = pods.fetch_script({"w1": "10.0.0.1:8080", "w2": "10.0.0.2:8080"})
        output = shell(script, wget="echo w1").stdout
        assert evaluate.answers(output, ["w1", "w2"]) == {"w2": "w1"}

    def test_fetch_accepts_any_of_the_given_names(self, shell):
        script = pods.fetch_script({"service": "10.0.0.1:80"}, ["w1", "w2"])
        assert evaluate.answers(shell(script, wget="echo w2").stdout, ["service"]) == {}
        assert evaluate.answers(shell(script, wget="echo w").stdout, ["service"]) == {"service": "w"}

    def test_fetch_tells_what_the_network_says(self, shell):
        script = pods.fetch_script({"w1": "10.0.0.1:8080"})
        output = shell(script, wget="echo no route to host >&2; exit 1").stdout
        assert evaluate.answers(output, ["w1"]) == {"w1": "no route to host"}

    def test_fetch_tells_of_silence(self, shell):
        output = shell(pods.fetch_script({"w1": "10.0.0.1:8080"}), wget="exit 143").stdout
        assert evaluate.answers(output, ["w1"]) == {"w1": "no answer within 3 s"}

    def test_fetch_tries_again(self, shell, tmp_path):
        once = f"test -e {tmp_path}/tried && echo w1 || touch {tmp_path}/tried"
        assert shell(pods.fetch_script({"w1": "10.0.0.1:8080"}), wget=once).stdout == "ok w1\n"

    @pytest.fixture
    def lookup(self, shell):
        def call(answer):
            script = pods.lookup_script([("service", "kubernetes.default", "", "10.96.0.1")])
            search = "echo cluster.example"  # what sed finds in the pod's resolv.conf
            return evaluate.answers(shell(script, sed=search, nslookup=answer).stdout, ["service"])

        return call

    def test_lookup_asks_for_the_name_in_the_clusters_domain(self, lookup):
        asked = '[ "$2" = kubernetes.default.svc.cluster.example. ] && echo "Address: 10.96.0.1"'
        assert lookup(asked) == {}

    def test_lookup_tells_a_wrong_address(self, lookup):
        assert "10.96.0.99" in lookup("echo Name: kubernetes; echo Address: 10.96.0.99")["service"]

    def test_an_address_that_only_begins_alike_is_wrong(self, lookup):
        assert "10.96.0.11" in lookup("echo Address: 10.96.0.11")["service"]

    def test_the_servers_own_address_is_no_answer(self, lookup):
        assert lookup("printf 'Server: x\\nAddress:\\t10.96.0.1:53\\n\\nNXDOMAIN\\n'")["service"]


class TestTestPods:
    @pytest.mark.parametrize(
        "manifest",
        [pods.agent("a", "w1", "reg/busybox:1"), pods.with_volume("v", "data", "true", "reg/busybox:1")],
        ids=["agent", "volume"],
    )
    def test_they_fit_the_restricted_standard(self, manifest):
        made = cluster.typed(client.V1Pod, manifest)
        assert made.spec.security_context.run_as_non_root
        assert made.spec.security_context.seccomp_profile.type == "RuntimeDefault"
        assert made.spec.automount_service_account_token is False
        for part in made.spec.containers:
            assert part.security_context.capabilities.drop == ["ALL"]
            assert part.security_context.allow_privilege_escalation is False
            assert part.image == "reg/busybox:1"

    def test_an_agent_asks_the_registry_at_each_start(self):
        assert cluster.typed(client.V1Pod, pods.agent("a", "w1", "i")).spec.containers[0].image_pull_policy == "Always"


def wait(seconds=0.0):
    return cluster.Wait(seconds, threading.Event())


class TestWaiting:
    def test_until_it_is_there(self):
        seen = iter([None, None, "there"])
        assert wait(5).until(lambda: next(seen)) == "there"

    def test_no_longer_than_allowed(self):
        assert wait().until(lambda: None) is None

    def test_a_stop_ends_it(self):
        waiting = wait(60)
        waiting.stop.set()
        with pytest.raises(cluster.Interrupted):
            waiting.until(lambda: None)


KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "c",
    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    "users": [{"name": "u", "user": {"token": "t"}}],
    "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
}


class TestConnecting:
    @pytest.mark.parametrize("content", ["", "just text", "clusters: []", "- 1"])
    def test_not_a_kubeconfig(self, tmp_path, content):
        file = tmp_path / "config"
        file.write_text(content)
        with pytest.raises(InputError, match="config: not a kubeconfig that can be used"):
            cluster.connect(file)

    def test_an_api_server_that_does_not_answer(self, tmp_path):
        file = tmp_path / "config"
        file.write_text(yaml.safe_dump(KUBECONFIG))
        with pytest.raises(InputError, match=r"https://127.0.0.1:1: the API server of .*config does not answer"):
            cluster.connect(file)


class Core:
    """The namespaces of a cluster that exists only here."""

    def __init__(self, *stale):
        self.namespaces = dict(stale)
        self.calls = []

    def list_namespace(self, **_):
        items = [
            client.V1Namespace(metadata=client.V1ObjectMeta(name=name, creation_timestamp=made))
            for name, made in self.namespaces.items()
        ]
        return SimpleNamespace(items=items)

    def create_namespace(self, body, **_):
        self.namespaces[body.metadata.name] = datetime.now(UTC)

    def delete_namespace(self, name, **_):
        self.calls.append(name)
        if self.namespaces.pop(name, None) is None:
            raise ApiException(status=404)

    def read_namespace(self, name, **_):
        if name not in self.namespaces:
            raise ApiException(status=404)


class TestNamespace:
    def test_it_is_removed_at_the_end(self):
        core = Core()
        with cluster.throw_away_namespace(SimpleNamespace(core=core, kubectl="kubectl"), pytest.fail) as name:
            assert name in core.namespaces
        assert core.namespaces == {}

    @pytest.mark.parametrize("error", [KeyboardInterrupt, ApiException(status=500), SystemExit(1)])
    def test_it_is_removed_whatever_happens(self, error):
        core = Core()
        with (
            pytest.raises(type(error) if isinstance(error, BaseException) else error),
            cluster.throw_away_namespace(SimpleNamespace(core=core, kubectl="kubectl"), pytest.fail),
        ):
            raise error
        assert core.namespaces == {}

    def test_what_a_killed_run_left_is_removed_and_a_running_one_spared(self):
        now = datetime.now(UTC)
        core = Core(("verify-old", now - timedelta(hours=1)), ("verify-running", now))
        with cluster.throw_away_namespace(SimpleNamespace(core=core, kubectl="kubectl"), pytest.fail):
            pass
        assert list(core.namespaces) == ["verify-running"]

    def test_what_hinders_the_removal_is_told(self):
        hindrance = {"type": "NamespaceDeletionDiscoveryFailure", "status": "True", "message": "metrics API is away"}
        left = cluster.typed(client.V1Namespace, {"status": {"conditions": [hindrance]}})
        core = SimpleNamespace(read_namespace=lambda *_, **__: left)
        assert cluster._hindrance(core, "verify-x") == ": metrics API is away"

    def test_a_removal_that_fails_is_told_with_its_remedy(self):
        core, said = Core(), []
        core.delete_namespace = lambda *_, **__: (_ for _ in ()).throw(ApiException(status=500, reason="broken"))
        with cluster.throw_away_namespace(SimpleNamespace(core=core, kubectl="kubectl"), said.append) as name:
            pass
        assert said == [
            f"namespace {name} could not be removed (broken); remove it by: kubectl delete namespace {name}"
        ]


class TestFindings:
    def run_with(self, **core):
        fake = SimpleNamespace(core=SimpleNamespace(**core))
        return checks.Run(fake, "verify-x", "reg/busybox:1", wait())

    def test_nodes_names_the_bad_one(self):
        listed = SimpleNamespace(items=[node("cp1"), node("w1", Ready="False")])
        finding = checks.nodes(self.run_with(list_node=lambda **_: listed))
        assert finding == results.failed("w1: is not ready: Ready says so", "describe node w1")

    def test_system_pods_ignores_those_that_are_leaving(self):
        leaving = pod("Pending", name="old")
        leaving.metadata.deletion_timestamp = datetime.now(UTC)
        listed = SimpleNamespace(items=[pod(name="p", containerStatuses=[container(ready=True)]), leaving])
        assert checks.system_pods(self.run_with(list_namespaced_pod=lambda *_, **__: listed)).ok

    def test_no_system_pods_are_no_good_sign(self):
        listed = SimpleNamespace(items=[])
        assert not checks.system_pods(self.run_with(list_namespaced_pod=lambda *_, **__: listed)).ok

    def test_the_image_check_tells_the_node_and_the_reason(self):
        agents = checks.Agents({"cp1": "10.244.0.5"}, {"w1": "not found"})
        finding = checks.image_pull(self.run_with(), agents)
        assert finding == results.failed(
            "the test pod with reg/busybox:1 did not start: w1: not found", "describe node w1"
        )

    @pytest.mark.parametrize("check", [checks.dns, checks.pod_traffic, checks.service])
    def test_without_test_pods_nothing_is_said_to_be_well(self, check):
        assert not check(self.run_with(), checks.Agents({}, {"w1": "not found"})).ok

    def test_a_refusal_of_the_api_server_is_told_in_its_words(self):
        refusal = ApiException(status=403, reason="Forbidden")
        refusal.body = json.dumps({"message": 'namespaces is forbidden: User "x"'})

        def refuse():
            raise refusal

        result = run.timed("volume", refuse)
        assert not result.finding.ok
        assert result.finding.message == 'the API server refused: namespaces is forbidden: User "x"'


RESULTS = [
    results.Result("nodes", results.passed("3 nodes ready"), 0.12),
    results.Result("dns", results.failed("no server", "--namespace kube-system get pods"), 4.0),
]


class TestReport:
    def test_json_is_complete(self):
        told = json.loads(results.as_json(RESULTS, "kubectl"))
        assert told == {
            "ok": False,
            "checks": [
                {"check": "nodes", "ok": True, "message": "3 nodes ready", "next": None, "seconds": 0.1},
                {
                    "check": "dns",
                    "ok": False,
                    "message": "no server",
                    "next": "kubectl --namespace kube-system get pods",
                    "seconds": 4.0,
                },
            ],
        }

    def printed(self, which):
        console = Console(width=100, record=True, file=io.StringIO())
        results.print_table(which, "kubectl --kubeconfig /a/very/long/path/to/a/kubeconfig/of/a/cluster", console)
        return console.export_text()

    def test_the_table_gives_the_next_command_in_one_line(self):
        text = self.printed(RESULTS)
        assert "FAILED" in text
        assert (
            "\n  kubectl --kubeconfig /a/very/long/path/to/a/kubeconfig/of/a/cluster --namespace kube-system get pods\n"
            in text
        )
        assert "is ready" not in text

    def test_all_well(self):
        assert "The cluster is ready." in self.printed(RESULTS[:1])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--registry", "https://reg/x", "--kubeconfig", "k"], "give HOST or HOST:PORT"),
        (["--registry", "reg", "--kubeconfig", "nowhere"], "nowhere: no such kubeconfig"),
        (["--registry", "reg"], "no kubeconfig: give --kubeconfig FILE or set KUBECONFIG"),
    ],
)
def test_wrong_input_ends_with_2_and_one_line(arguments, says):
    environment = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
    ended = subprocess.run(
        [sys.executable, "-m", "deploy.verify", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("verify: ")
    assert says in ended.stderr
    assert ended.stderr.count("\n") == 1
