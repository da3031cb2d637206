"""Runs training steps in a process of its own, from a state in a file to the states after each step.

python -m tests.integration.step_job MASTER '[{"executors": 2, "first": 0, "count": 3, "source": …, …}, …]'

With `fault`, the second shard lies on the wrong executors: that must be refused, and is then forced through.
"""

import json
import sys
from itertools import groupby
from operator import itemgetter

import numpy as np
import pytest

from hepspark.config import ScheduleConfig, SparkConfig
from hepspark.errors import RunError
from hepspark.model.bigdl import Trainer
from hepspark.model.jvm import java, places
from hepspark.model.network import hlf, initial_weights
from hepspark.model.optimizer import AdamState, fresh, learning_rates
from hepspark.run.plan import lay_out
from hepspark.spark import spark_context

BATCH = 96
ROWS = (4 * BATCH, 4 * BATCH, 2 * BATCH + 17)
"""Events of each shard: the last one ends in a batch that is short."""
STEPS = 12
NAMES = ("weights", "first_moment", "second_moment", "updates")
NETWORK = hlf()


def shard(number):
    """Scaled features and labels that a linear rule gives, with noise; classes of about 1:2:10, in a run's order."""
    generator = np.random.default_rng(number)
    features = generator.normal(size=(ROWS[number], NETWORK.inputs)).astype(np.float32)
    rule = np.random.default_rng(99).normal(size=(NETWORK.inputs, 3))
    scores = features @ rule + 2 * np.log([1, 2, 10]) + generator.gumbel(size=(ROWS[number], 3))
    labels, hashes = scores.argmax(axis=1).astype(np.int8), generator.permutation(ROWS[number])
    layout = lay_out([np.sort(hashes[labels == label]) for label in range(3)], ROWS[number])
    order = layout.order(0, hashes, labels)
    return features[order], labels[order]


def rates():
    return learning_rates(ScheduleConfig(rate=2e-3, scaling="none"), BATCH, STEPS, len(ROWS))


def start():
    return fresh(initial_weights(NETWORK, 1))


def save(path, steps, held):
    """Write the state and the losses after each step, and what partitions hold of the last shard, if it is there."""
    arrays = {} if held is None else {"held": np.array(held, np.float32)}
    for number, (state, losses) in enumerate(steps):
        arrays[f"losses{number}"] = losses
        for name in NAMES:
            arrays[f"{name}{number}"] = getattr(state, name)
    np.savez(path, **arrays)


def read(path):
    """State and losses after each step."""
    with np.load(path) as content:
        return [
            (
                AdamState(*(content[f"{name}{n}"] for name in NAMES[:-1]), int(content[f"updates{n}"])),
                content[f"losses{n}"],
            )
            for n in range(sum(name.startswith("losses") for name in content.files))
        ]


def read_held(path):
    """Features and targets of the last shard in each partition, shape (partitions, rows, 17)."""
    with np.load(path) as content:
        return content["held"]


def held(context, data):
    """What BigDL takes its batches from: the rows of a FeatureSet, partition by partition."""
    text = java(context).java.util.Arrays.toString
    partitions = data.value.originRDD().collect()
    return [[json.loads(text(part.apply(row).getData())) for row in range(part.length())] for part in partitions]


def swapped(context, anchor):
    """An RDD like the anchor, each partition cached where the anchor has the other one."""
    from pyspark import RDD
    from pyspark.serializers import AutoBatchedSerializer, CPickleSerializer

    anchor.count()
    where = places(context, anchor._jrdd.rdd())
    jvm = java(context)
    converters = jvm.scala.collection.JavaConverters
    items = jvm.java.util.ArrayList()
    for number, place in enumerate(reversed(where)):
        preferred = jvm.java.util.ArrayList()
        preferred.add(f"executor_{place}")
        items.add(jvm.scala.Tuple2(number, converters.asScalaBuffer(preferred).toSeq()))
    kind = jvm.scala.reflect.ClassTag.apply(jvm.java.lang.Class.forName("java.lang.Object"))
    numbers = context._jsc.sc().makeRDD(converters.asScalaBuffer(items).toSeq(), kind).toJavaRDD()
    python = jvm.org.apache.spark.api.python.SerDeUtil.javaToPython(numbers)
    moved = RDD(python, context, AutoBatchedSerializer(CPickleSerializer())).map(int).cache()
    assert sorted(moved.collect()) == list(range(len(where)))
    return moved


def steps(context, first, count, source, fault):
    """State and losses after each of some steps, from the last state in a file or from the start; see `save`."""
    state = read(source)[-1][0] if source else start()
    trainer = Trainer(context, NETWORK, state, rates(), BATCH, shard)
    done = []
    for index in range(first, first + count):
        if fault and index == first + 1:
            trainer._anchor = swapped(context, trainer._anchor)
            with pytest.raises(RunError, match=f"shard {index % len(ROWS)} is on executors"):
                trainer.step(index, index % len(ROWS))
            trainer._check_placement = lambda *_: None
        done.append(trainer.step(index, index % len(ROWS)))
    last = len(ROWS) - 1
    return done, held(context, trainer._shards[last]) if last in trainer._shards and not fault else None


def main(master, jobs):
    """Run jobs one after the other; those with the same number of executors follow each other on the same ones."""
    for executors, same in groupby(json.loads(jobs), itemgetter("executors")):
        conf = {"spark.executor.cores": "1", "spark.cores.max": str(executors), "spark.executor.memory": "1g"}
        config = SparkConfig(master=master, conf={} if master.startswith("local") else conf, driver_memory="1g")
        with spark_context(config, bigdl=True) as context:
            for job in same:
                save(job["target"], *steps(context, job["first"], job["count"], job["source"], job["fault"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
