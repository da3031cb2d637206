"""Every key of the configuration, with its default, range and meaning. Defined here and nowhere else."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

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


class StorageConfig(Section):
    """How s3a:// URLs are reached. Credentials come from the usual AWS environment variables and files."""

    endpoint: str | None = None
    """URL of the S3 endpoint; AWS_ENDPOINT_URL where this is empty, and AWS itself where both are."""
    region: str | None = None
    """Region that requests are signed for; AWS_REGION or the profile's where it is left out, and else us-east-1."""
    path_style: bool = True
    """Whether the bucket is part of the path (MinIO, Ceph) or of the host name (AWS)."""
    ca_bundle: LocalFile | None = None
    """File of CA certificates that the endpoint's certificate is checked against."""
    connect_timeout: Annotated[float, Field(gt=0, le=300), NUMBER] = 10.0
    """Seconds to wait for a connection."""
    read_timeout: Annotated[float, Field(gt=0, le=3600), NUMBER] = 60.0
    """Seconds to wait for an answer."""
    attempts: Annotated[int, Field(ge=1, le=20), NUMBER] = 4
    """How often a request is tried that fails for a passing reason."""


class ExecutorConfig(Section):
    """Executors on Kubernetes. One place sets their number: Spark's and BigDL's settings follow from it."""

    instances: Annotated[int, Field(ge=1, le=10_000), NUMBER] = 2
    """Executors, each a pod; `train.batch` must be a multiple of `instances` times `cores`."""
    cores: Annotated[int, Field(ge=1, le=256), NUMBER] = 1
    """Cores of an executor: tasks it works on at once, and the limit of its pod."""
    cpu: Annotated[str, Form(r"^([1-9][0-9]*m?|[0-9]+\.[0-9]*[1-9])$", "CPU such as 500m, 0.5 or 2")] | None = None
    """CPU that the pod of an executor requests, as Kubernetes writes it; its cores where this is left out."""
    memory: Memory = "1g"
    """Heap of an executor. Its pod gets 40% more, at least 512 MiB, for Python and native memory."""
    pending_timeout: Annotated[int, Field(ge=1, le=86_400), NUMBER] = 300
    """Seconds until a run ends whose executors do not all start."""


class KubernetesConfig(Section):
    """Where and how executor pods are made."""

    image: str | None = None
    """Image of the executors, which must be the driver's own."""
    namespace: str | None = None
    """Namespace of the executors; the driver's own where this is empty."""
    executor_template: LocalFile | None = None
    """File with a pod whose container `executor` is completed by Spark: security context, credentials, node choice."""
    service_account: Annotated[str, StringConstraints(min_length=1)] = "spark-executor"
    """Service account of the executors; it needs no rights."""
    driver_port: Annotated[int, Field(ge=1024, le=65_535), NUMBER] = 7078
    """Port of the driver's pod that executors register at."""
    block_manager_port: Annotated[int, Field(ge=1024, le=65_535), NUMBER] = 7079
    """Port of every pod of the run, the driver's too, at which they exchange data."""


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
    """Heap of the driver, which in local mode does all the work."""
    executor: ExecutorConfig = ExecutorConfig()
    kubernetes: KubernetesConfig = KubernetesConfig()
    event_log: Url | None = None
    """Folder for Spark's event logs, which a history server reads; only on Kubernetes."""
    conf: dict[str, str] = {}
    """Further Spark properties, taken as they are."""

    @property
    def on_kubernetes(self) -> bool:
        """Whether executors are pods; `executor`, `kubernetes` and `event_log` are read only then."""
        return self.master.startswith("k8s://")

    @model_validator(mode="after")
    def _one_place_for_each_fact(self) -> "SparkConfig":
        if self.on_kubernetes:
            for name in self.conf:
                if name in _DERIVED:
                    raise ValueError(f"{name} in spark.conf is set by spark.{_DERIVED[name]}; set it there alone")
        return self


class SimulateConfig(Section):
    """Simulated collision events in Delphes layout."""

    output: Url | None = None
    """Folder that receives one ROOT file per class and chunk."""
    classes: Annotated[tuple[ClassName, ...], Field(min_length=1)] = CLASSES
    """Which processes to simulate."""
    events: Annotated[int, Field(ge=1, le=100_000_000), NUMBER] = 300
    """Events to write per class; each holds a lepton that may pass the selection."""
    events_per_file: Annotated[int, Field(ge=1, le=1_000_000), NUMBER] = 1_000
    """Events in one ROOT file, which is also the unit of parallel work."""
    seed: Annotated[int, Field(ge=0, le=800_000_000), NUMBER] = 42
    """Seed of every random number; the same seed gives the same events whatever the number of workers."""
    pileup: Annotated[float, Field(ge=0, le=200), NUMBER] = 20.0
    """Mean number of further proton collisions in an event."""
    pileup_pool: Annotated[int, Field(ge=1, le=1_000_000), NUMBER] = 2_500
    """Minimum-bias events from which pile-up is drawn."""
    workers: Annotated[int, Field(ge=0, le=1024), NUMBER] = 0
    """Processes that simulate; 0 is one per core."""


class IngestConfig(Section):
    """ROOT files in, a data set of features and particle sequences out."""

    input: dict[str, tuple[Url, ...]] = {}
    """Class to files, folders or globs: {ttbar: [/data/ttbar/*.root]}; the class `unlabelled` is for real data."""
    output: Url | None = None
    """The data set; new files are added to one that is there."""
    on_bad_file: Literal["fail", "skip"] = "fail"
    """Whether a file that cannot be read, or events that are in two files, stop the run; or whether the file is set
    aside, each event is taken once, and the manifest lists them."""
    particles: bool = True
    """Whether to store the particle sequences beside the 14 features."""
    compatibility: Literal["none", "sparkdltrigger"] = "none"
    """`sparkdltrigger` reproduces the published code where it differs from its description."""
    entries_per_task: Annotated[int, Field(ge=100, le=10_000_000), NUMBER] = 10_000
    """Entries of a file that one task reads; longer files are split."""
    entries_per_chunk: Annotated[int, Field(ge=10, le=100_000), NUMBER] = 1_000
    """Entries that are in memory at once, which bounds the memory of a task."""

    @model_validator(mode="after")
    def _classes_are_known(self) -> "IngestConfig":
        known = (*CLASSES, UNLABELLED)
        for name in self.input:
            if name not in known:
                raise ValueError(f"unknown class {name!r}: the classes are {', '.join(known)}")
        return self


class BalanceConfig(Section):
    """How many events of each class training sees."""

    mode: Literal["smallest", "none"] = "smallest"
    """`smallest` takes as many events of every class as the rarest one has; `none` takes all."""
    max_per_class: Annotated[int, Field(ge=1), NUMBER] | None = None
    """Upper bound on the training events of one class."""


class ScheduleConfig(Section):
    """The learning rate from the first committed step to the last."""

    rate: Annotated[float, Field(gt=0, le=10), NUMBER] = 4e-3
    """Learning rate at `reference_batch` events a batch."""
    reference_batch: Annotated[int, Field(ge=1), NUMBER] = 768
    """Batch size that `rate` belongs to."""
    scaling: Literal["linear", "sqrt", "none"] = "linear"
    """How the rate grows when the batch is larger than the reference."""
    max_rate: Annotated[float, Field(gt=0, le=10), NUMBER] = 1e-2
    """Bound on the scaled rate."""
    warmup_epochs: Annotated[float, Field(ge=0, le=100), NUMBER] = 1.0
    """Epochs over which the rate climbs linearly to its full value."""
    decay: Literal["cosine", "constant"] = "cosine"
    """How the rate falls after the warm-up."""
    final_fraction: Annotated[float, Field(ge=0, le=1), NUMBER] = 0.02
    """Share of the full rate that is left at the end of the decay."""


Width = Annotated[int, Field(ge=1, le=1000), NUMBER]


class TrainConfig(Section):
    """A training run: its data, its network, its steps."""

    input: tuple[Url, ...] = ()
    """Data sets made by ingest, or folders of the published SparkDLTrigger HLF Parquet."""
    test_input: tuple[Url, ...] = ()
    """Separate test data. All events of published Parquet in `input` then train; a data set keeps its own split."""
    output: Url | None = None
    """Run directory: plan, commits, metrics and the model. The same command continues an interrupted run."""
    network: Literal["hlf"] = "hlf"
    """Which network is trained."""
    hidden: Annotated[tuple[Width, ...], Field(min_length=1, max_length=10)] | None = None
    """Widths of its hidden layers, from the input on; those of the published network where left out."""
    epochs: Annotated[int, Field(ge=1, le=10_000), NUMBER] = 30
    """Passes over the training events."""
    batch: Annotated[int, Field(ge=1, le=1_000_000), NUMBER] = 2304
    """Events in one global batch, the same whatever the number of executors, which must share it evenly."""
    batches_per_step: Annotated[int, Field(ge=1, le=100_000), NUMBER] = 16
    """Batches between two commits."""
    schedule: ScheduleConfig = ScheduleConfig()
    balance: BalanceConfig = BalanceConfig()
    early_stopping_epochs: Annotated[int, Field(ge=0, le=10_000), NUMBER] = 8
    """Stop after so many epochs without a better validation loss; 0 never stops."""
    seed: Annotated[int, Field(ge=0, lt=2**31), NUMBER] = 42
    """Seed of the initial weights."""
    validation_fraction: Annotated[float, Field(gt=0, lt=0.5), NUMBER] = 0.1
    """Share of the training side that is held out for validation; the test side is never looked at."""


class EvaluateConfig(Section):
    """Figures and pictures of a trained model on the test side of its data."""

    model: Url | None = None
    """Model directory that train wrote."""
    input: tuple[Url, ...] = ()
    """Data sets whose test side is scored; empty takes those that the model was trained on."""
    output: Url | None = None
    """Folder for evaluation.json and report.html."""
    signal: ClassName = "ttbar"
    """The class whose efficiency is quoted."""
    background_efficiencies: tuple[Annotated[float, Field(gt=0, lt=1), NUMBER], ...] = (0.001, 0.01, 0.1)
    """Background efficiencies at which the signal efficiency is quoted."""


class PredictConfig(Section):
    """Class probabilities for every event of a data set."""

    model: Url | None = None
    """Model directory that train wrote."""
    input: tuple[Url, ...] = ()
    """Data sets to score."""
    output: Url | None = None
    """Folder that receives the scores as Parquet."""


class DataConfig(Section):
    """How files are carried to and from a store."""

    threads: Annotated[int, Field(ge=1, le=32), NUMBER] = 4
    """Parts that are under way at once."""
    part_mb: Annotated[int, Field(ge=5, le=5_000), NUMBER] = 8
    """Size of a part in MiB; S3 takes none below 5, and larger ones are used where 10,000 would not do."""
    public_address: Annotated[str, Form(r"^https?://", "an address that begins with https:// or http://")] = (
        "https://sparkdltrigger.web.cern.ch/sparkdltrigger"
    )
    """Web folder of the published data sets: CERN's own, or a copy with the same layout."""


class Config(Section):
    """The whole configuration: one section per step, and what they share."""

    folder: Url | None = None
    """Folder of a run: what a step needs and is not given lies in its `dataset`, `run`, `report` and `scores`.

    `{folder}` in a path of a step stands for it.
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
