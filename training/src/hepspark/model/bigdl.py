"""Training by BigDL, one step at a time, from any state to the next.

BigDL keeps a copy of the model and a slice of Adam's moments in every partition, where the first data it saw
put them. Two things follow. All data of a run is derived from one cached *anchor* RDD, so that partition i of
every step lies where slice i of the moments lies; `_check_placement` refuses to train otherwise, because BigDL
would go on without a word and train wrongly. And a state from elsewhere (another process, another number of
partitions) enters by overwriting the slices where they lie.

Each batch is split evenly over the partitions. The last batch of an epoch may be short: it is filled up with
rows whose target is zero, which contribute nothing to the gradient, and its other targets are scaled so that
the gradient is the mean over the events that are there. For that, targets are real numbers: the network ends in
a log-softmax and the loss is minus the scalar product of target and output, which for one-hot targets is the
categorical cross-entropy.
"""

import io
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, redirect_stdout
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hepspark.errors import InputError, RunError
from hepspark.model.jvm import array, array_of, gateway, java, places, singleton, tensor
from hepspark.model.network import Floats, Network, unflatten
from hepspark.model.optimizer import AdamState
from hepspark.schema import CLASSES

if TYPE_CHECKING:
    from pyspark import RDD, SparkContext

Events = tuple[Floats, npt.NDArray[np.int8]]
"""Scaled features (n, inputs) and labels (n,) of the events of a shard, in order."""

_PACKAGE = "com.intel.analytics.bigdl.dllib"


class Trainer:
    """Applies steps of a run to a state.

    Args:
        context: A Spark that was started for BigDL.
        network: What is trained.
        state: Where to start.
        rates: Learning rate of every step of the run.
        batch: Events in one global batch.
        load: Reads the events of a shard; called on the executors.

    Raises:
        InputError: the batch cannot be split evenly over the executors.
    """

    def __init__(
        self,
        context: "SparkContext",
        network: Network,
        state: AdamState,
        rates: Sequence[float],
        batch: int,
        load: Callable[[int], Events],
    ) -> None:
        self._context, self._batch, self._load, self._state = context, batch, load, state
        self._partitions, self._cores = check_parallelism(batch)
        self._anchor: RDD[int] = context.parallelize(range(self._partitions), self._partitions).cache()
        with _quiet():
            from bigdl.dllib.estimator.estimator import Estimator
            from bigdl.dllib.nn.criterion import DotProductCriterion

            self._model = _keras_model(network, state.weights)
            self._optimizer = _adam(context, rates)
            self._estimator = Estimator(self._model, self._optimizer)
            self._criterion = DotProductCriterion(size_average=False)
        self._shards: dict[int, Any] = {}
        self._placement: list[str] | None = None

    def step(self, index: int, shard: int) -> tuple[AdamState, list[float]]:
        """Apply every event of a shard once, in order, at the learning rate of the step.

        Args:
            index: Number of the step in the run, from 0.
            shard: Which shard it works on; its data stays cached after the first time.

        Returns:
            The state after the step, and the mean loss over the events of each of its batches.

        Raises:
            RunError: the data does not lie where the optimizer's state lies.
        """
        if shard not in self._shards:
            self._shards[shard] = _feature_set(self._context, self._anchor, self._share(shard))
        data = self._shards[shard]
        if self._placement is None:
            self._restore(data)
        self._check_placement(shard, data)
        self._set_position(index)
        losses = self._pass_over(data, index + 1)
        weights = np.concatenate([part.ravel() for part in self._model.get_weights()]).astype(np.float32)
        updates = int(self._optimizer.value.state().apply("neval")) - 1
        self._state = AdamState(weights, *self._moments(), updates=updates)
        return self._state, losses

    def _share(self, shard: int) -> Callable[[int], list[Any]]:
        return partial(_samples, self._load, shard, self._batch, self._partitions, self._cores)

    def _pass_over(self, data: Any, end: int) -> list[float]:
        """Train until BigDL's count of epochs has passed `end`; gives the loss of each batch."""
        trigger, losses = _noting_losses(self._context, end)
        with _quiet():
            self._estimator.train(data, self._criterion, end_trigger=trigger, batch_size=self._batch)
        # As text, because each element of a list of Java's costs two calls. The first loss is of an earlier pass.
        noted: list[float] = json.loads(losses.toString())
        return noted[1:]

    def _set_position(self, index: int) -> None:
        state = self._optimizer.value.state()
        # BigDL counts epochs and updates from 1. One of our steps is one of its epochs.
        state.update("epoch", index + 1)
        state.update("neval", self._state.updates + 1)
        state.update("recordsProcessedThisEpoch", 0)

    @property
    def _distributed(self) -> Any:
        return self._estimator.value.internalEstimator()

    def _restore(self, data: Any) -> None:
        """Put the state's moments into the partitions, where BigDL's models are."""
        self._set_position(0)
        # Trains nothing, but makes the models and decides where they lie.
        self._pass_over(data, 0)
        jvm = java(self._context)
        models = self._distributed.cachedModels()
        size = len(self._state.weights)
        converters = jvm.scala.collection.JavaConverters
        placed = jvm.java.util.ArrayList()
        locations = places(self._context, models)
        for partition, model in enumerate(models.collect()):
            table = _optimizer_table(model)
            part = _slice(size, self._partitions, partition)
            second = self._state.second_moment[part]
            for key, values in (
                ("s", self._state.first_moment[part]),
                ("r", second),
                ("denom", np.sqrt(second) + np.float32(1e-8)),
            ):
                table.update(key, tensor(self._context, model, values))
            preferred = jvm.java.util.ArrayList()
            preferred.add(f"executor_{locations[partition]}")
            placed.add(jvm.scala.Tuple2(model, converters.asScalaBuffer(preferred).toSeq()))
        kind = jvm.scala.reflect.ClassTag.apply(
            jvm.java.lang.Class.forName(f"{_PACKAGE}.optim.DistriOptimizer$CacheV1")
        )
        restored = self._context._jsc.sc().makeRDD(converters.asScalaBuffer(placed).toSeq(), kind).cache()
        restored.count()
        models.unpersist(True)
        getattr(self._distributed, "cachedModels_$eq")(restored)
        self._placement = places(self._context, restored)

    def _moments(self) -> tuple[Floats, Floats]:
        models = self._distributed.cachedModels().collect()
        tables = [_optimizer_table(model) for model in models]
        first, second = (
            np.concatenate([array(self._context, table.apply(key)) for table in tables]) for key in ("s", "r")
        )
        return first, second

    def _check_placement(self, shard: int, data: Any) -> None:
        found = places(self._context, data.value.originRDD())
        if found != self._placement:
            raise RunError(
                f"shard {shard} is on executors {found}, the optimizer's state on {self._placement}: an executor "
                "was lost or data was moved; run the same command again to continue from the last commit"
            )


def _quiet() -> AbstractContextManager[Any]:
    """BigDL tells of each object it makes on standard output, which is for results."""
    return redirect_stdout(io.StringIO())


def check_parallelism(batch: int) -> tuple[int, int]:
    """Number of partitions, and of cores in each, that BigDL trains on in the running Spark.

    Raises:
        InputError: they cannot share the batch evenly.
    """
    with _quiet():
        from bigdl.dllib.utils.common import get_node_and_core_number

        partitions, cores = get_node_and_core_number()
    check_batch(batch, partitions, cores)
    return partitions, cores


def set_parallelism(context: "SparkContext", executors: int, cores: int) -> None:
    """Tell BigDL, which counted them when it started, how many executors of how many cores it trains on from now on."""
    singleton(context, f"{_PACKAGE}.utils.Engine").setNodeAndCore(executors, cores)


def check_batch(batch: int, executors: int, cores: int) -> None:
    """Refuse a batch that cannot be split evenly.

    Raises:
        InputError: with the nearest numbers of executors that can share the batch.
    """
    if batch % (executors * cores) == 0:
        return
    fitting = [n for n in range(1, max(2 * executors, 2) + 1) if batch % (n * cores) == 0]
    nearest = sorted(fitting, key=lambda n: (abs(n - executors), n))[:2]
    multiple = executors * cores
    advice = f"use {' or '.join(map(str, sorted(nearest)))} executors, or " if nearest else ""
    raise InputError(
        f"train.batch: {batch} events cannot be split evenly over {executors} executors of {cores} cores; "
        f"{advice}a batch that is a multiple of {multiple}, such as {max(round(batch / multiple), 1) * multiple}"
    )


def _samples(
    load: Callable[[int], Events], shard: int, batch: int, partitions: int, cores: int, partition: int
) -> list[Any]:
    """One partition's part of every batch of a shard, in order, as BigDL's samples."""
    from bigdl.dllib.utils.common import Sample

    features, targets = fill_up(*load(shard), batch)
    share = batch // partitions
    # The criterion sums over the rows of one core; BigDL then takes the mean over all cores.
    targets *= cores / share
    rows = np.arange(len(features)).reshape(-1, partitions, share)[:, partition].ravel()
    return [Sample.from_ndarray(features[row], targets[row]) for row in rows]


def fill_up(features: Floats, labels: npt.NDArray[np.int8], batch: int) -> tuple[Floats, Floats]:
    """Whole batches and their targets.

    A last batch of m < batch events is filled with rows of zero target, and its other targets are scaled by
    batch / m, so that the mean gradient over the rows is the mean gradient over the m events.

    Returns:
        Features (k * batch, inputs), and targets (k * batch, classes): minus the weight of the row in the column
        of its class.
    """
    count = len(labels)
    rows = -(-count // batch) * batch
    tail = count % batch
    targets = np.zeros((rows, len(CLASSES)), np.float32)
    targets[np.arange(count), labels] = -1
    if tail:
        targets[count - tail : count] *= batch / tail
    padded = np.zeros((rows, features.shape[1]), np.float32)
    padded[:count] = features
    return padded, targets


def mean_loss(losses: Sequence[float], batch: int, rows: int) -> float:
    """The mean loss over the events of a step from that of each batch, of which the last may be short.

    Args:
        losses: Mean loss over the events of each batch.
        batch: Events in a whole batch.
        rows: Events in the step.
    """
    sizes = np.minimum(batch, rows - batch * np.arange(len(losses)))
    return float(np.average(losses, weights=sizes))


def _feature_set(context: "SparkContext", anchor: "RDD[int]", samples: Callable[[int], list[Any]]) -> Any:
    from bigdl.dllib.feature.common import FeatureSet
    from bigdl.dllib.utils.common import JavaCreator, _py2java

    jvm = java(context)
    rdd = _py2java(gateway(context), anchor.flatMap(samples)).rdd()
    rdd = _to_java_samples(context, JavaCreator, rdd)
    companion = singleton(context, f"{_PACKAGE}.feature.DRAMFeatureSet")
    kind = jvm.scala.reflect.ClassTag.apply(jvm.java.lang.Class.forName(f"{_PACKAGE}.feature.dataset.Sample"))
    sequential, shuffle = True, False
    data = FeatureSet(jvalue=companion.rdd(rdd, sequential, shuffle, kind))
    data.value.cache()
    data.value.originRDD().count()
    return data


def _to_java_samples(context: "SparkContext", creator: Any, rdd: Any) -> Any:
    """BigDL spreads its entry points over several objects; one of them has this one."""
    from py4j.protocol import Py4JError

    for entry in creator.instance("float", gateway(context)).value:
        try:
            return entry.toJSample(rdd)
        except Py4JError as error:
            if "does not exist" not in str(error):
                raise
    raise RunError("this BigDL has no toJSample; install the versions of requirements/bigdl.txt")


def _keras_model(network: Network, weights: Floats) -> Any:
    from bigdl.dllib.keras.layers import Dense
    from bigdl.dllib.keras.models import Sequential

    model = Sequential()
    for number, layer in enumerate(network.layers):
        shape = {"input_shape": (network.inputs,)} if number == 0 else {}
        # The loss takes logarithms; see the module's docstring.
        activation = "log_softmax" if layer.activation == "softmax" else layer.activation
        model.add(Dense(layer.units, activation=activation, **shape))
    model.set_weights(unflatten(network, weights))
    return model


def _adam(context: "SparkContext", rates: Sequence[float]) -> Any:
    """Adam whose learning rate is looked up by the number of the step, which BigDL takes for its epoch."""
    from bigdl.dllib.keras.optimizers import Adam
    from bigdl.dllib.utils.common import JavaValue

    jvm = java(context)
    regime = getattr(jvm, f"{_PACKAGE}.optim.SGD$Regime")
    regimes = []
    for step, rate in enumerate(rates, start=1):
        table = _empty_table(jvm)
        table.update("learningRate", float(rate))
        regimes.append(regime(step, step, table))
    schedule = getattr(jvm, f"{_PACKAGE}.optim.SGD$EpochSchedule")(array_of(context, regime, *regimes))
    return Adam(lr=float(rates[0]), schedule=JavaValue(schedule, "float"))


def _noting_losses(context: "SparkContext", end: int) -> tuple[Any, Any]:
    """A trigger that ends training after an epoch, and the list in which it notes the loss whenever BigDL asks it.

    BigDL keeps the loss of the last batch alone, and asks the trigger before the first batch and after each one. Java
    puts this trigger together out of methods that are there, so that no batch waits for Python.
    """
    from bigdl.dllib.utils.common import JavaValue

    jvm = java(context)
    invoke, class_of = jvm.java.lang.invoke, jvm.java.lang.Class.forName
    handles, lookup, signature = invoke.MethodHandles, invoke.MethodHandles.publicLookup(), invoke.MethodType.methodType
    thing, table, trigger = map(class_of, ("java.lang.Object", f"{_PACKAGE}.utils.Table", f"{_PACKAGE}.optim.Trigger"))
    losses = jvm.java.util.LinkedList()
    after_epoch = getattr(jvm, f"{_PACKAGE}.optim.Trigger").maxEpoch(end)
    ends = lookup.bind(after_epoch, "apply", signature(jvm.java.lang.Boolean.TYPE, table))
    append = lookup.bind(losses, "addLast", signature(jvm.java.lang.Void.TYPE, thing))
    entry = lookup.findVirtual(table, "apply", signature(thing, thing))
    loss = handles.insertArguments(entry, 1, array_of(context, jvm.java.lang.Object, "Loss"))
    note = handles.filterArguments(append, 0, array_of(context, invoke.MethodHandle, loss))
    noting = invoke.MethodHandleProxies.asInterfaceInstance(trigger, handles.foldArguments(ends, note))
    return JavaValue(noting, "float"), losses


def _empty_table(jvm: Any) -> Any:
    return getattr(jvm, f"{_PACKAGE}.utils.T").apply()


def _optimizer_table(model: Any) -> Any:
    return model.optimMethods().values().head().state()


def _slice(size: int, partitions: int, partition: int) -> slice:
    """Which weights a partition updates, as BigDL's AllReduceParameter divides them."""
    length, extra = divmod(size, partitions)
    start = partition * length + min(partition, extra)
    return slice(start, start + length + (partition < extra))
