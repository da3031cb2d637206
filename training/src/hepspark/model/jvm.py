"""Passing arrays to and from Spark's JVM, and asking it where data lies."""

from typing import TYPE_CHECKING, Any

import numpy as np

from hepspark.model.network import Floats

if TYPE_CHECKING:
    from pyspark import SparkContext


def java(context: "SparkContext") -> Any:
    """The classes of the JVM."""
    return context._jvm


def gateway(context: "SparkContext") -> Any:
    """The connection to the JVM."""
    return context._gateway


def singleton(context: "SparkContext", name: str) -> Any:
    """An object of Scala, by which its methods are there that are private to a package of Scala, too."""
    return java(context).java.lang.Class.forName(f"{name}$").getField("MODULE$").get(None)


def array_of(context: "SparkContext", kind: Any, *items: Any) -> Any:
    """An array of Java's of some class, with these items."""
    made = gateway(context).new_array(kind, len(items))
    for index, item in enumerate(items):
        made[index] = item
    return made


def places(context: "SparkContext", rdd: Any) -> list[str]:
    """Host and executor of every cached partition."""
    jvm = java(context)
    master = context._jsc.sc().env().blockManager().master()
    found = []
    for partition in range(rdd.getNumPartitions()):
        locations = master.getLocations(jvm.org.apache.spark.storage.RDDBlockId(rdd.id(), partition))
        if locations.isEmpty():
            found.append("nowhere")
        else:
            found.append(f"{locations.head().host()}_{locations.head().executorId()}")
    return found


def tensor(context: "SparkContext", model: Any, values: Floats) -> Any:
    """A BigDL tensor of given values, shape (n,); `model` is any cached model, whose kind of tensor is taken."""
    jvm = java(context)
    buffer = jvm.java.nio.ByteBuffer.wrap(bytearray(np.ascontiguousarray(values, "<f4").tobytes()))
    array = gateway(context).new_array(jvm.float, len(values))
    buffer.order(jvm.java.nio.ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(array)
    tensor = model.modelWeights()[0].narrow(1, 1, len(values)).clone()
    jvm.java.lang.System.arraycopy(array, 0, tensor.storage().array(), tensor.storageOffset() - 1, len(values))
    return tensor


def array(context: "SparkContext", tensor: Any) -> Floats:
    """The values of a BigDL tensor, flat."""
    jvm = java(context)
    count, offset = tensor.nElement(), tensor.storageOffset() - 1
    buffer = jvm.java.nio.ByteBuffer.allocate(4 * count).order(jvm.java.nio.ByteOrder.LITTLE_ENDIAN)
    buffer.asFloatBuffer().put(tensor.storage().array(), offset, count)
    return np.frombuffer(buffer.array(), "<f4").astype(np.float32)
