"""Plain synchronous Adam on dense networks, with the two roundings that BigDL makes.

BigDL cuts to the upper 16 bits of a float: the weights it computes gradients with, and each partition's
gradient and their running sum. The weights it updates keep 32 bits.
"""

import numpy as np


def cut(values):
    """The upper 16 bits of each 32-bit float."""
    return (np.asarray(values, "<f4").view("<u4") & np.uint32(0xFFFF0000)).view("<f4")


def gradient(layers, features, targets):
    """Mean cross-entropy over the rows, and its gradient, flat; `targets` are weights in the column of the class."""
    activations = [features]
    depth = len(layers) // 2
    for k in range(depth):
        out = activations[-1] @ layers[2 * k].T + layers[2 * k + 1]
        activations.append(np.maximum(out, 0) if k < depth - 1 else out)
    logits = activations[-1]
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -(targets * log_p).sum() / len(features)
    probability = np.exp(log_p)
    delta = (probability * targets.sum(axis=1, keepdims=True) - targets) / len(features)
    parts = []
    for k in reversed(range(depth)):
        parts = [(delta.T @ activations[k]).ravel(), delta.sum(axis=0), *parts]
        if k:
            delta = (delta @ layers[2 * k]) * (activations[k] > 0)
    return loss, np.concatenate(parts).astype(np.float32)


def train(shapes, weights, first, second, updates, batches, rate, partitions):
    """Apply one update per batch.

    `batches` is a list of (features, labels); a batch may be short. Returns (weights, first, second, updates), and the
    mean loss over the events of each batch.
    """
    losses = []
    sizes = [int(np.prod(shape)) for shape in shapes]
    for features, labels in batches:
        cut_layers = [
            part.reshape(shape)
            for part, shape in zip(np.split(cut(weights), np.cumsum(sizes)[:-1]), shapes, strict=True)
        ]
        targets = np.eye(shapes[-1][0], dtype=np.float32)[labels]
        total, loss = None, 0.0
        # The mean over the batch is the mean over the partitions' means, each weighted by its number of rows.
        for rows in np.array_split(np.arange(len(labels)), partitions):
            own, part = (
                gradient(cut_layers, features[rows], targets[rows]) if len(rows) else (0, np.zeros_like(weights))
            )
            loss += own * len(rows) / len(labels)
            part = cut(part * np.float32(len(rows) * partitions / len(labels)))
            total = part if total is None else cut(total + part)
        mean = total / np.float32(partitions)
        updates += 1
        first = np.float32(0.9) * first + np.float32(0.1) * mean
        second = np.float32(0.999) * second + np.float32(0.001) * mean * mean
        size = np.float32(rate * np.sqrt(1 - 0.999**updates) / (1 - 0.9**updates))
        weights = weights - size * first / (np.sqrt(second) + np.float32(1e-8))
        losses.append(loss)
    return (weights, first, second, updates), losses
