"""The configuration: its models, and how a file and overrides become one."""

from hepspark.config.load import checked, given, load, schema
from hepspark.config.models import (
    BalanceConfig,
    Config,
    DataConfig,
    EvaluateConfig,
    ExecutorConfig,
    IngestConfig,
    KubernetesConfig,
    PredictConfig,
    ScheduleConfig,
    SimulateConfig,
    SparkConfig,
    StorageConfig,
    TrainConfig,
)

__all__ = [
    "BalanceConfig",
    "Config",
    "DataConfig",
    "EvaluateConfig",
    "ExecutorConfig",
    "IngestConfig",
    "KubernetesConfig",
    "PredictConfig",
    "ScheduleConfig",
    "SimulateConfig",
    "SparkConfig",
    "StorageConfig",
    "TrainConfig",
    "checked",
    "given",
    "load",
    "schema",
]
