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
from hepspark.spark import spark_context

BATCH = 96
ROWS = (4 * BATCH, 4 * BATCH, 2 * BATCH + 17)
"""Events of each shard: the last one ends in a batch that is short."""
STEPS = 12
NETWORK = hlf()


def shard(number):
    """Scaled features and labels that a linear rule gives, with noise."""
    generator = np.random.default_rng(number)
    features = generator.normal(size=(ROWS[number], NETWORK.inputs)).astype(np.float32)
    rule = np.random.default_rng(99).normal(size=(NETWORK.inputs, 3))
    return features, (features @ rule + generator.gumbel(size=(ROWS[number], 3))).argmax(axis=1).astype(np.int8)


def rates():
    return learning_rates(ScheduleConfig(rate=2e-3, scaling="none"), BATCH, STEPS, len(ROWS))


def start():
    return fresh(initial_weights(NETWORK, 1))


def save(path, states):
    np.savez(
        path,
        **{
            f"{name}{number}": getattr(state, name)
            for number, state in enumerate(states)
            for name in ("weights", "first_moment", "second_moment", "updates")
        },
    )


def read(path):
    with np.load(path) as content:
        return [
            AdamState(
                content[f"weights{n}"],
                content[f"first_moment{n}"],
                content[f"second_moment{n}"],
                int(content[f"updates{n}"]),
            )
            for n in range(len(content.files) // 4)
        ]


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
    """States after each of some steps, from the last state in a file or from the start."""
    state = read(source)[-1] if source else start()
    trainer = Trainer(context, NETWORK, state, rates(), BATCH, shard)
    states = []
    for index in range(first, first + count):
        if fault and index == first + 1:
            trainer._anchor = swapped(context, trainer._anchor)
            with pytest.raises(RunError, match=f"shard {index % len(ROWS)} lies on executors"):
                trainer.step(index, index % len(ROWS))
            trainer._check_placement = lambda *_: None
        states.append(trainer.step(index, index % len(ROWS))[0])
    return states


def main(master, jobs):
    """Run jobs one after the other; those with the same number of executors follow each other on the same ones."""
    for executors, same in groupby(json.loads(jobs), itemgetter("executors")):
        conf = {"spark.executor.cores": "1", "spark.cores.max": str(executors), "spark.executor.memory": "1g"}
        config = SparkConfig(master=master, conf={} if master.startswith("local") else conf, driver_memory="1g")
        with spark_context(config, bigdl=True) as context:
            for job in same:
                save(job["target"], steps(context, job["first"], job["count"], job["source"], job["fault"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
