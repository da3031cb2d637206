"""Every key of the configuration, with its default, range and meaning. Defined here and nowhere else."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from hepspark.config.base import NUMBER, Form, LocalFile, Section, Url
from hepspark.place import place
from hepspark.schema import CLASSES, UNLABELLED

Memory = Annotated[str, Form(r"^[1-9][0-9]*[mg]$", "an amount of memory such as 2g or 512m")]

ClassName = Literal["qcd", "ttbar", "wjets"]

_DERIVED = {
    "spark.executor.instances": "executor.instances",
    "spark.cores.max": "executor.instances",
    "spark.dynamicAllocation.enabled": "executor.instances",
    "spark.executor.cores": "executor.cores",
    "spark.executor.memory": "executor.memory",
}
"""Spark properties that follow from keys: BigDL fails, or trains wrongly, where they contradict each other."""


def _of_spark(value: Any) -> Any:
    """A property as Spark has it. A number with a point stays as it is, and is refused: 3.10 was read as 3.1."""
    return str(value).lower() if isinstance(value, bool | int) else value


class StorageConfig(Section):
    """How s3a:// URLs are reached. Credentials come from the usual AWS environment variables and files."""

    endpoint: str | None = None
    """URL of the S3 endpoint. Default: AWS_ENDPOINT_URL; if that is not set, AWS itself."""
    region: str | None = None
    """Region for the signature of requests. Default: AWS_REGION, the region of the profile, or us-east-1."""
    path_style: bool = True
    """Whether the bucket is part of the path (MinIO, Ceph) or of the host name (AWS)."""
    ca_bundle: LocalFile | None = None
    """File with CA certificates. They verify the certificate of the endpoint."""
    connect_timeout: Annotated[float, Field(gt=0, le=300), NUMBER] = 10.0
    """Seconds to wait for a connection."""
    read_timeout: Annotated[float, Field(gt=0, le=3600), NUMBER] = 60.0
    """Seconds to wait for an answer."""
    attempts: Annotated[int, Field(ge=1, le=20), NUMBER] = 4
    """How often a request is tried if it fails for a temporary reason."""


class ExecutorConfig(Section):
    """Executors on Kubernetes. The settings of Spark and BigDL follow from these keys."""

    instances: Annotated[int, Field(ge=1, le=10_000), NUMBER] = 2
    """Number of executors. Each is a pod. `train.batch` must be a multiple of `instances` times `cores`."""
    cores: Annotated[int, Field(ge=1, le=256), NUMBER] = 1
    """Cores of an executor: the number of tasks that it runs at the same time, and the CPU limit of its pod."""
    cpu: Annotated[str, Form(r"^([1-9][0-9]*m?|[0-9]+\.[0-9]*[1-9])$", "CPU such as 500m, 0.5 or 2")] | None = None
    """CPU that the pod of an executor requests, in the notation of Kubernetes. Default: `cores`."""
    memory: Memory = "1g"
    """Heap of an executor. Its pod gets 40% more, at least 512 MiB, for Python and native memory."""
    pending_timeout: Annotated[int, Field(ge=1, le=86_400), NUMBER] = 300
    """Longest time, in seconds, until all executors have started. After that time the run ends with an error."""


class KubernetesConfig(Section):
    """Where and how Spark makes executor pods."""

    image: str | None = None
    """Image of the executors. It must be the image of the driver."""
    namespace: str | None = None
    """Namespace of the executors. Default: the namespace of the driver."""
    executor_template: LocalFile | None = None
    """File with a pod, as a template for executors: security context, credentials, choice of nodes. Spark completes the
    container `executor` of this pod."""
    service_account: Annotated[str, StringConstraints(min_length=1)] = "spark-executor"
    """Service account of the executors. It needs no rights."""
    driver_port: Annotated[int, Field(ge=1024, le=65_535), NUMBER] = 7078
    """Port of the driver's pod. Executors register there."""
    block_manager_port: Annotated[int, Field(ge=1024, le=65_535), NUMBER] = 7079
    """Port of every pod of the run, also of the driver. The pods exchange data there."""


class SparkConfig(Section):
    """How Spark is started."""

    master: Annotated[
        str,
        Form(
            r"^(local(\[(\*|[1-9][0-9]*)\])?|spark://.+|k8s://.+)$",
            "local[*], local[N] with a number of cores, spark://host:port, or k8s://https://host",
        ),
    ] = "local[*]"
    """Where executors run: local[N], spark://host:port or k8s://https://kubernetes.default.svc"""
    app_name: str = "hepspark"
    """Name that Spark shows."""
    driver_memory: Memory = "3g"
    """Heap of the driver. In local mode the driver does all the work."""
    executor: ExecutorConfig = ExecutorConfig()
    kubernetes: KubernetesConfig = KubernetesConfig()
    event_log: Url | None = None
    """Folder for Spark's event logs, for a history server. Only on Kubernetes."""
    conf: dict[str, Annotated[str, BeforeValidator(_of_spark, json_schema_input_type=bool | int | str)]] = {}
    """More properties of Spark. hepspark does not change them."""

    @property
    def on_kubernetes(self) -> bool:
        """Whether executors are pods; `executor`, `kubernetes` and `event_log` are read only then."""
        return self.master.startswith("k8s://")

    @model_validator(mode="after")
    def _one_place_for_each_fact(self) -> "SparkConfig":
        if self.on_kubernetes:
            for name in self.conf:
                if name in _DERIVED:
                    raise ValueError(
                        f"{name} in spark.conf follows from the key spark.{_DERIVED[name]}; set only the key"
                    )
        return self


class SimulateConfig(Section):
    """Simulated collision events in Delphes layout."""

    output: Url | None = None
    """Folder for the ROOT files, one or more per class."""
    classes: Annotated[tuple[ClassName, ...], Field(min_length=1)] = CLASSES
    """Which processes to simulate."""
    events: Annotated[int, Field(ge=1, le=100_000_000), NUMBER] = 300
    """Events to write per class. Each event has a lepton that may pass the selection."""
    events_per_file: Annotated[int, Field(ge=1, le=1_000_000), NUMBER] = 1_000
    """Events in one ROOT file. One process makes one file at a time."""
    seed: Annotated[int, Field(ge=0, le=800_000_000), NUMBER] = 42
    """Seed of all random numbers. The same seed gives the same events with any number of workers."""
    pileup: Annotated[float, Field(ge=0, le=200), NUMBER] = 20.0
    """Mean number of further proton collisions in an event."""
    pileup_pool: Annotated[int, Field(ge=1, le=1_000_000), NUMBER] = 2_500
    """Number of minimum-bias events. Pile-up is taken from them at random."""
    workers: Annotated[int, Field(ge=0, le=1024), NUMBER] = 0
    """Number of processes that simulate. 0: one per core."""


class IngestConfig(Section):
    """Makes a data set of features and particle sequences from ROOT files."""

    input: dict[str, tuple[Url, ...]] = {}
    """Files, folders or globs of each class: {ttbar: [/data/ttbar/*.root]}. Class `unlabelled` is for real data."""
    output: Url | None = None
    """Folder of the data set. If the data set exists, new files are added to it."""
    on_bad_file: Literal["fail", "skip"] = "fail"
    """What happens when a file cannot be read, or when events are in two files. `fail`: the run stops. `skip`: the file
    is left out, each event is taken once, and the manifest lists both."""
    particles: bool = True
    """Whether to store the particle sequences beside the 14 features."""
    compatibility: Literal["none", "sparkdltrigger"] = "none"
    """`sparkdltrigger` computes what the published code computes, also where the code differs from its description."""
    entries_per_task: Annotated[int, Field(ge=100, le=10_000_000), NUMBER] = 10_000
    """Entries of a file that one task reads. Longer files are divided among tasks."""
    entries_per_chunk: Annotated[int, Field(ge=10, le=100_000), NUMBER] = 1_000
    """Entries in memory at the same time. A smaller number needs less memory."""

    @model_validator(mode="after")
    def _classes_are_known(self) -> "IngestConfig":
        known = (*CLASSES, UNLABELLED)
        for name in self.input:
            if name not in known:
                raise ValueError(f"unknown class {name!r}: the classes are {', '.join(known)}")
        return self


class BalanceConfig(Section):
    """How many events of each class are used for training."""

    mode: Literal["smallest", "none"] = "smallest"
    """`smallest`: of every class as many events as the class with the fewest events has. `none`: all events."""
    max_per_class: Annotated[int, Field(ge=1), NUMBER] | None = None
    """Upper limit of the number of training events of each class."""


class ScheduleConfig(Section):
    """The learning rate, from the first step to the last."""

    rate: Annotated[float, Field(gt=0, le=10), NUMBER] = 4e-3
    """Learning rate for batches of `reference_batch` events."""
    reference_batch: Annotated[int, Field(ge=1), NUMBER] = 768
    """Batch size at which the rate is `rate`."""
    scaling: Literal["linear", "sqrt", "none"] = "linear"
    """How the rate depends on the batch size: linearly, by the square root, or not."""
    max_rate: Annotated[float, Field(gt=0, le=10), NUMBER] = 1e-2
    """Upper limit of the rate after the scaling."""
    warmup_epochs: Annotated[float, Field(ge=0, le=100), NUMBER] = 1.0
    """Number of epochs at the beginning in which the rate grows linearly to its full value."""
    decay: Literal["cosine", "constant"] = "cosine"
    """How the rate falls after the warm-up."""
    final_fraction: Annotated[float, Field(ge=0, le=1), NUMBER] = 0.02
    """Rate at the end of the decay, as a fraction of the full rate."""


Width = Annotated[int, Field(ge=1, le=1000), NUMBER]


class TrainConfig(Section):
    """A training: its data, its network and its steps."""

    input: tuple[Url, ...] = ()
    """Data sets of `ingest`, or published SparkDLTrigger HLF Parquet: files, folders or globs."""
    test_input: tuple[Url, ...] = ()
    """Separate test data. Then all events of published Parquet in `input` are training events. The events of a data set
    keep their side (train or test)."""
    output: Url | None = None
    """Folder of the run: plan, commits, metrics and the model. The same command continues an interrupted run."""
    network: Literal["hlf"] = "hlf"
    """The network."""
    hidden: Annotated[tuple[Width, ...], Field(min_length=1, max_length=10)] | None = None
    """Widths of the hidden layers, from the input to the output. Default: those of the published network."""
    epochs: Annotated[int, Field(ge=1, le=10_000), NUMBER] = 30
    """Number of epochs. In each epoch every training event is used once."""
    batch: Annotated[int, Field(ge=1, le=1_000_000), NUMBER] = 2304
    """Events in one batch, over all executors. It does not depend on the number of executors, and must be a multiple of
    the number of all their cores."""
    batches_per_step: Annotated[int, Field(ge=1, le=100_000), NUMBER] = 16
    """Batches in one step. Each step ends with a commit."""
    schedule: ScheduleConfig = ScheduleConfig()
    balance: BalanceConfig = BalanceConfig()
    early_stopping_epochs: Annotated[int, Field(ge=0, le=10_000), NUMBER] = 8
    """Number of epochs without a better validation loss after which the training ends. 0: it does not end early."""
    seed: Annotated[int, Field(ge=0, lt=2**31), NUMBER] = 42
    """Seed of the initial weights."""
    validation_fraction: Annotated[float, Field(gt=0, lt=0.5), NUMBER] = 0.1
    """Fraction of the training side that is used for validation. Events of the test side are not used."""


class EvaluateConfig(Section):
    """Measures a trained model on the test side of its data, and writes a report."""

    model: Url | None = None
    """Folder of the model, from `train`."""
    input: tuple[Url, ...] = ()
    """Data sets. The events of their test side are scored. Default: the data of the training."""
    output: Url | None = None
    """Folder for evaluation.json and report.html."""
    signal: ClassName = "ttbar"
    """The signal class. The report gives its efficiency."""
    background_efficiencies: tuple[Annotated[float, Field(gt=0, lt=1), NUMBER], ...] = (0.001, 0.01, 0.1)
    """Background efficiencies for which the report gives the signal efficiency."""


class PredictConfig(Section):
    """Computes the class probabilities of every event of data sets."""

    model: Url | None = None
    """Folder of the model, from `train`."""
    input: tuple[Url, ...] = ()
    """Data sets to score."""
    output: Url | None = None
    """Folder for the scores, as Parquet."""


class DataConfig(Section):
    """How files are copied to and from a store."""

    threads: Annotated[int, Field(ge=1, le=32), NUMBER] = 4
    """Number of parts that are copied at the same time."""
    part_mb: Annotated[int, Field(ge=5, le=5_000), NUMBER] = 8
    """Size of a part in MiB, 5 or more. Parts are larger where a file would have more than 10,000 parts."""
    public_address: Annotated[str, Form(r"^https?://", "an address that begins with https:// or http://")] = (
        "https://sparkdltrigger.web.cern.ch/sparkdltrigger"
    )
    """Web folder of the published data sets: that of CERN, or a copy with the same layout."""


class Config(Section):
    """The whole configuration: one section for each step, and the sections that all steps use."""

    folder: Url | None = None
    """Folder of a run. A step whose inputs or outputs are not given uses the folders `dataset`, `run`, `report` and
    `scores` in it. In a path of a step, `{folder}` means this folder.
    """
    storage: StorageConfig = StorageConfig()
    spark: SparkConfig = SparkConfig()
    simulate: SimulateConfig = SimulateConfig()
    ingest: IngestConfig = IngestConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    predict: PredictConfig = PredictConfig()
    data: DataConfig = DataConfig()

    @model_validator(mode="before")
    @classmethod
    def _places_in_the_folder(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not isinstance(data.get("folder"), str):
            return data
        try:
            folder = place(data["folder"])
        except ValueError:
            return data  # the check of the key tells it
        sections = {name: {} if data.get(name) is None else data[name] for name in _STEPS}
        if not all(isinstance(section, dict) for section in sections.values()):
            return data  # the check of the section tells it
        data_set, model = f"{folder}/dataset", f"{folder}/run/model"
        trained = sections["train"].get("input") or [data_set]
        scored = [data_set] if sections["ingest"].get("input") else trained
        places: dict[str, dict[str, Any]] = {
            "simulate": {},
            "ingest": {"output": data_set} if sections["ingest"].get("input") else {},
            "train": {"input": trained, "output": f"{folder}/run"},
            "evaluate": {"model": model, "output": f"{folder}/report"},
            "predict": {"model": model, "output": f"{folder}/scores"}
            # What is no list is told once, by the check of train.input.
            | ({"input": scored} if isinstance(scored, list | tuple) else {}),
        }
        given = {
            name: {key: value for key, value in sections[name].items() if key != "input" or value not in _NOTHING}
            for name in _STEPS
        }
        return data | {name: _with_folder(places[name] | given[name], folder) for name in _STEPS}


_STEPS = ("simulate", "ingest", "train", "evaluate", "predict")
_NOTHING: tuple[Any, ...] = (None, [], (), {})


def _with_folder(value: Any, folder: str) -> Any:
    """A section, or what is in it, with the folder where text has `{folder}`."""
    if isinstance(value, dict):
        return {key: _with_folder(inner, folder) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_with_folder(inner, folder) for inner in value]
    return value.replace("{folder}", folder) if isinstance(value, str) else value
