"""Spark's properties on Kubernetes, from the configuration and the pod."""

import pytest

from hepspark.cluster.driver import is_in_job
from hepspark.config import SparkConfig, StorageConfig, load
from hepspark.errors import InputError
from hepspark.kubernetes_spark import DriverPod, describe, driver_pod, event_log_uri, executor_memory, properties
from hepspark.spark import _configuration

POD = DriverPod("driver-1", "physics", "10.0.0.7", "demo")


def config(**values):
    return SparkConfig.model_validate(
        {"master": "k8s://https://kubernetes.default.svc", "kubernetes": {"image": "i:1"}, **values}
    )


def test_one_number_of_executors_renders_all_of_spark_and_bigdl():
    found = properties(config(executor={"instances": 3, "cores": 2}), StorageConfig(), POD)
    assert found["spark.executor.instances"] == "3"
    assert found["spark.executor.cores"] == "2"
    assert found["spark.cores.max"] == "6"
    assert found["spark.kubernetes.executor.request.cores"] == found["spark.kubernetes.executor.limit.cores"] == "2"
    assert found["spark.dynamicAllocation.enabled"] == "false"


def test_the_driver_is_the_pod():
    found = properties(config(), StorageConfig(), POD)
    assert found["spark.driver.host"] == found["spark.driver.bindAddress"] == "10.0.0.7"
    assert found["spark.driver.port"] == "7078"
    assert found["spark.driver.blockManager.port"] == "7079"
    assert found["spark.kubernetes.driver.pod.name"] == "driver-1"
    assert found["spark.kubernetes.namespace"] == "physics"
    assert found["spark.kubernetes.executor.label.hepspark/run"] == "demo"
    assert found["spark.authenticate"] == "true"
    elsewhere = config(kubernetes={"image": "i:1", "namespace": "big"})
    assert properties(elsewhere, StorageConfig(), POD)["spark.kubernetes.namespace"] == "big"


@pytest.mark.parametrize(
    ("heap", "overhead"), [("512m", 512), ("1g", 512), ("1280m", 512), ("1281m", 513), ("4g", 1639)]
)
def test_overhead_is_two_fifths_of_the_heap_and_at_least_512_mib(heap, overhead):
    assert executor_memory(config(executor={"memory": heap})).overhead == overhead


def test_what_a_run_takes_is_told_in_one_line():
    assert describe(config(driver_memory="2g")) == (
        "2 executors of 1 core and 1.5 GiB each (1 GiB heap, 512 MiB for Python and native memory); driver with 2g heap"
    )
    assert describe(config(executor={"instances": 1, "cores": 2})).startswith("1 executor of 2 cores and 1.5 GiB (")


def test_event_logs_go_where_the_storage_section_says(monkeypatch):
    monkeypatch.delenv("AWS_REGION", raising=False)
    storage = StorageConfig(endpoint="http://minio:9000", path_style=True)
    found = properties(config(event_log="s3://logs/spark"), storage, POD)
    assert found["spark.eventLog.dir"] == "s3a://logs/spark"
    assert found["spark.eventLog.rolling.enabled"] == "true"
    s3a = {key.removeprefix("spark.hadoop.fs.s3a."): value for key, value in found.items() if ".s3a." in key}
    assert s3a["endpoint"] == "http://minio:9000"
    assert s3a["connection.ssl.enabled"] == "false"
    assert s3a["path.style.access"] == "true"
    assert s3a["endpoint.region"] == "us-east-1"
    assert s3a["directory.marker.retention"] == "keep"
    assert not any("eventLog" in key for key in properties(config(), storage, POD))


@pytest.mark.parametrize(
    ("url", "uri"),
    [
        ("s3a://logs/plain/run-1", "s3a://logs/plain/run-1"),
        ("s3://logs/my [run] é#1%20", "s3a://logs/my%20%5Brun%5D%20%C3%A9%231%2520"),
        ("s3a://logs", "s3a://logs/."),
        ("/logs/plain", "file:///logs/plain"),
        ("/logs/my [run] #1%20", "file:///logs/my%20%5Brun%5D%20%231%2520"),
    ],
)
def test_event_logs_may_have_any_name(url, uri):
    assert event_log_uri(url) == uri


def test_an_image_is_asked_for():
    with pytest.raises(InputError, match=r"spark\.kubernetes\.image is not given"):
        properties(SparkConfig(master="k8s://https://x"), StorageConfig(), POD)


def test_the_pod_is_asked_for():
    with pytest.raises(InputError, match=r"POD_NAMESPACE, POD_IP is not set: the driver must run in a pod"):
        driver_pod({"POD_NAME": "driver-1"})
    told = {"POD_NAME": "driver-1", "POD_NAMESPACE": "physics", "POD_IP": "10.0.0.7", "HEPSPARK_RUN": "demo"}
    assert driver_pod(told) == POD


@pytest.mark.parametrize("name", ["spark.executor.instances", "spark.cores.max", "spark.executor.memory"])
def test_what_follows_from_keys_is_not_given_twice(name):
    overrides = ["spark.master=k8s://https://x", f"spark.conf={{{name}: '4'}}"]
    with pytest.raises(InputError, match=rf"{name} in spark\.conf follows from the key spark\.executor\."):
        load(None, overrides)
    assert load(None, [*overrides, "spark.master=spark://x:7077"]).spark.conf == {name: "4"}


def test_a_run_in_a_job_is_known_by_its_environment():
    whole = {"HEPSPARK_RUN": "demo", "JOB_NAME": "demo-1", "POD_NAME": "p", "POD_NAMESPACE": "n"}
    assert is_in_job(whole)
    assert not is_in_job({"POD_NAME": "p"})
    with pytest.raises(InputError, match="HEPSPARK_RUN is set, but not JOB_NAME, POD_NAMESPACE"):
        is_in_job({"HEPSPARK_RUN": "demo", "POD_NAME": "p"})
    with pytest.raises(InputError, match="'De_mo' is not a name of a run"):
        is_in_job({**whole, "HEPSPARK_RUN": "De_mo"})


def test_options_of_java_add_up():
    own = {"spark.driver.extraJavaOptions": "-Da=user", "spark.executor.extraJavaOptions": "-Xss2m"}
    of_cluster = properties(config(), StorageConfig(), POD)
    made = _configuration(config(conf=own), of_cluster, bigdl=False)
    driver = made.get("spark.driver.extraJavaOptions").split()
    assert "-Dbigdl.utils.LoggerFilter.disable=true" in driver
    assert driver[-2:] == ["-XX:TieredStopAtLevel=1", "-Da=user"]
    executor = made.get("spark.executor.extraJavaOptions").split()
    assert executor[0].startswith("--add-opens=java.base/")
    assert executor[-1] == "-Xss2m"
