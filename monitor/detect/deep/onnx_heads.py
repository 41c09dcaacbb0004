"""The heads of nets in ONNX: what turns the output of layers into the parts of a score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from monitor.detect.deep.adversary import Adversary
from monitor.detect.deep.coupling import FARTHEST, MOST_LOG_SCALE, Coupling, Flow
from monitor.detect.deep.elbo import MOST_LOG_VARIANCE, Elbo
from monitor.detect.deep.heads import Deviation, Likeness
from monitor.detect.deep.layered import Layered
from monitor.detect.deep.masking import FLOOR, LEAST_RATIO, Guess
from monitor.detect.deep.nets import Distance, Residual
from monitor.detect.deep.onnx_graph import Graph, linear
from monitor.detect.deep.stacks import StackedErrors

_TINY = torch.full((1,), 1e-12)


def _residual(graph: Graph, head: Any) -> str:
    difference = graph.add("Sub", [graph.sequence(head.net), "x"])
    square = graph.add("Mul", [difference, difference])
    return graph.add("Mul", [graph.mean(square), graph.constant(head.weight)])


def _distance(graph: Graph, head: Any) -> str:
    difference = graph.add("Sub", [graph.sequence(head.net), graph.constant(head.centre)])
    square = graph.add("Mul", [difference, difference])
    return graph.add("Mul", [square, graph.constant(head.weight)])


def _layered(graph: Graph, head: Any) -> str:
    """See `layered.Layered`."""
    inner = graph.sequence(head.stages)
    moved = graph.add("Sub", [inner, graph.constant(head.centre)])
    off = graph.add("Mul", [moved, graph.constant(head.sharpness)])
    looks = graph.mean(graph.add("Mul", [off, off]))
    return graph.add("Concat", [looks, graph.sequence(head.end, inner)], axis=1)


def _deviation(graph: Graph, head: Any) -> str:
    centred = graph.add(
        "Sub", [graph.add("Flatten", [graph.shrunk(head.shrink)]), graph.constant(head.centre)]
    )
    value = graph.add("Div", [centred, graph.constant(head.scale)])
    for operator, limit in (("Max", -head.farthest), ("Min", head.farthest)):
        value = graph.add(operator, [value, graph.constant(torch.full((1,), limit))])
    both = graph.sequence(head.net, value)
    ends = [graph.add("Gather", [both, graph.constant([place])], axis=1) for place in (0, 1)]
    u = graph.add("Sub", ends)
    square = graph.add("Add", [graph.add("Mul", [u, u]), graph.constant(torch.full((1,), 4.0))])
    twice = graph.add("Add", [u, graph.add("Sqrt", [square])])
    return graph.add("Mul", [twice, graph.constant(torch.full((1,), 0.5))])


def _likeness(graph: Graph, head: Any) -> str:
    """See `heads.Likeness`; every example is `count` rows between the shifts and the end."""
    rows, count, size = graph.shape[0], len(head.norm), head.memory.shape[2]
    graph.shape = (rows * count, *head.shrink.shape(graph.shape[1:]))
    seen = graph.sequence(head.encoder, _shifted(graph, head, rows))
    told = graph.add("LogSoftmax", [linear(graph, head.classifier, seen)], axis=1)
    own = graph.constant([place * (count + 1) for place in range(count)])
    told = graph.add("Gather", [graph.reshaped(told, (rows, count * count)), own], axis=1)
    embedding = linear(graph, head.projection, seen)
    square = graph.add("Mul", [embedding, embedding])
    mean = graph.add("GlobalAveragePool", [graph.reshaped(square, (rows * count, 1, size))])
    mean = graph.add("Add", [graph.reshaped(mean, (rows, count, 1)), graph.constant(_TINY)])
    length = graph.add("Sqrt", [mean])
    unit = graph.add("Div", [graph.reshaped(embedding, (rows, count, size)), length])
    memory = graph.constant(head.memory.transpose(1, 2))
    cosines = graph.add("MatMul", [graph.add("Transpose", [unit], perm=[1, 0, 2]), memory])
    nearest = graph.add("ReduceMax", [cosines], axes=[2], keepdims=0)
    nearest = graph.add("Transpose", [nearest], perm=[1, 0])
    share = graph.add("Div", [graph.reshaped(length, (rows, count)), graph.constant(head.norm)])
    share = graph.add("Min", [share, graph.constant(torch.ones(1))])
    unlike = graph.add("Sub", [graph.constant(torch.ones(1)), graph.add("Mul", [nearest, share])])
    parts = graph.add("Concat", [unlike, graph.add("Neg", [told])], axis=1)
    return graph.add("Mul", [graph.add("Relu", [parts]), graph.constant(head.weight)])


def _elbo(graph: Graph, head: Any) -> str:
    """See `elbo.Elbo`; every example is K rows between the draws and their errors."""
    rows, channels = graph.shape[:2]
    draws, latent = head.directions.shape
    code = graph.sequence(head.inward)
    mean = _columns(graph, code, 0, latent)
    logs = graph.add(
        "Min", [_columns(graph, code, latent, 2 * latent), graph.number(MOST_LOG_VARIANCE)]
    )
    logs = graph.add("Max", [logs, graph.number(-MOST_LOG_VARIANCE)])
    deviation = graph.add("Exp", [graph.add("Mul", [logs, graph.number(0.5)])])
    wide = graph.reshaped(deviation, (rows, 1, latent))
    moved = graph.add("Mul", [wide, graph.constant(head.directions)])
    points = graph.add("Add", [graph.reshaped(mean, (rows, 1, latent)), moved])
    rebuilt = _repeated(graph, head.outward, graph.reshaped(points, (-1, latent)), draws)
    given = graph.reshaped("x", (rows, 1, *graph.shape[1:]))
    difference = graph.add("Sub", [rebuilt, given])
    square = graph.add("Mul", [difference, difference])
    square = graph.reshaped(square, (rows * draws, *graph.shape[1:]))
    errors = graph.reshaped(graph.mean(square), (rows, draws, channels))
    errors = graph.mean(graph.add("Transpose", [errors], perm=[0, 2, 1]))
    parts = [errors, _divergence(graph, mean, logs, latent)]
    return graph.add("Mul", [graph.add("Concat", parts, axis=1), graph.constant(head.weight)])


def _divergence(graph: Graph, mean: str, logs: str, latent: int) -> str:
    one, half = graph.number(1.0), graph.number(0.5)
    spread = graph.add("Sub", [graph.add("Sub", [graph.add("Exp", [logs]), one]), logs])
    twice = graph.add("Add", [graph.add("Mul", [mean, mean]), spread])
    terms = graph.add("Relu", [graph.add("Mul", [twice, half])])
    average = graph.mean(graph.reshaped(terms, (graph.shape[0], 1, latent)))
    return graph.add("Mul", [average, graph.number(float(latent))])


def _guess(graph: Graph, head: Any) -> str:
    """See `masking.Guess`; every example is K rows between the masks and the guesses."""
    rows, count = graph.shape[0], len(head.masks)
    given = graph.reshaped("x", (rows, 1, *graph.shape[1:]))
    shown = graph.add("Mul", [given, graph.constant(1 - head.masks)])
    shown = graph.add("Add", [shown, graph.constant(head.masks * head.token)])
    guesses = _repeated(graph, head.net, graph.reshaped(shown, (-1, *graph.shape[1:])), count)
    guesses = graph.add("Mul", [guesses, graph.constant(head.masks)])
    told = graph.add("ReduceSum", [guesses, graph.constant([1])], keepdims=0)
    difference = graph.add("Sub", [told, "x"])
    errors = graph.mean(graph.add("Mul", [difference, difference]))
    ratio = graph.add("Add", [errors, graph.number(FLOOR)])
    ratio = graph.add("Mul", [ratio, graph.constant(head.weight)])
    ratio = graph.add("Max", [ratio, graph.number(LEAST_RATIO)])
    above = graph.add("Sub", [ratio, graph.number(1.0)])
    parts = graph.add("Relu", [graph.add("Sub", [above, graph.add("Log", [ratio])])])
    return graph.add("Div", [parts, graph.number(float(len(head.weight)))])


def _flow(graph: Graph, head: Any) -> str:
    """See `coupling.Flow`."""
    rows, size = graph.shape[0], len(head.centre)
    flat = graph.reshaped(graph.shrunk(head.shrink), (rows, size))
    moved = graph.add("Sub", [flat, graph.constant(head.centre)])
    scaled = graph.add("Mul", [moved, graph.constant(head.inverse)])
    scaled = graph.add("Min", [scaled, graph.number(FARTHEST)])
    value = linear(graph, head.first, graph.add("Max", [scaled, graph.number(-FARTHEST)]))
    logs = []
    for step in head.steps:
        value, scales = _coupling(graph, step, value)
        logs.append(scales)
    total = logs[0] if len(logs) == 1 else graph.add("Sum", logs)
    half = graph.add("Mul", [graph.add("Mul", [value, value]), graph.number(0.5)])
    surprise = graph.reshaped(graph.add("Sub", [half, total]), (rows, 1, size))
    above = graph.add("Sub", [graph.mean(surprise), graph.constant(head.least)])
    return graph.add("Relu", [graph.add("Mul", [above, graph.constant(head.weight)])])


def _stacked(graph: Graph, head: Any) -> str:
    """See `stacks.StackedErrors`; every example is S rows between the stacks and their errors."""
    rows, channels = graph.shape[:2]
    across = graph.add("Transpose", ["x"], perm=[0, 2, 1])
    stacks = graph.add("Gather", [across, graph.constant(head.places.tolist())], axis=1)
    stacks = graph.reshaped(stacks, (-1, head.size))
    error = graph.add("Sub", [graph.sequence(head.net, stacks), stacks])
    error = graph.add("Sub", [error, graph.constant(head.mean)])
    white = graph.add("Gemm", [error, graph.constant(head.whitening)])
    square = graph.add("Mul", [white, white])
    square = graph.reshaped(square, (rows, -1, channels))
    mean = graph.mean(graph.add("Transpose", [square], perm=[0, 2, 1]))
    return graph.add("Div", [mean, graph.number(float(channels))])


def _coupling(graph: Graph, step: Coupling, value: str) -> tuple[str, str]:
    moved = graph.constant(1 - step.kept)
    seen = graph.add("Mul", [value, graph.constant(step.kept)])
    told = graph.add("Tanh", [linear(graph, step.inward, seen)])
    logs = graph.add("Tanh", [linear(graph, step.scales, told)])
    logs = graph.add("Mul", [logs, graph.constant((1 - step.kept) * MOST_LOG_SCALE)])
    scaled = graph.add("Mul", [value, graph.add("Exp", [logs])])
    shift = graph.add("Mul", [linear(graph, step.shifts, told), moved])
    return graph.add("Add", [scaled, shift]), logs


def _adversary(graph: Graph, head: Any) -> str:
    """See `adversary.Adversary`."""
    rows, features = graph.shape[0], head.critic.beside.out_features
    code = graph.sequence(head.inward)
    rebuilt = graph.sequence(head.outward, code)
    beside = linear(graph, head.critic.beside, code)
    seen = []
    for value in (rebuilt, "x"):
        both = [graph.sequence(head.critic.trunk, value), beside]
        seen.append(graph.sequence(head.critic.joint, graph.add("Concat", both, axis=1)))
    errors = graph.mean(graph.add("Abs", [graph.add("Sub", [rebuilt, "x"])]))
    apart = graph.add("Abs", [graph.add("Sub", seen)])
    last = graph.mean(graph.reshaped(apart, (rows, 1, features)))
    parts = graph.add("Concat", [errors, last], axis=1)
    return graph.add("Mul", [parts, graph.constant(head.weight)])


def _repeated(graph: Graph, net: nn.Sequential, value: str, count: int) -> str:
    """`net` of `count` variants of each example: `(N * count, ...) -> (N, count, *shape)`."""
    rows, *sides = graph.shape
    graph.shape = (rows * count, *sides)
    found = graph.sequence(net, value)
    graph.shape = (rows, *sides)
    return graph.reshaped(found, (rows, count, *sides))


def _columns(graph: Graph, value: str, start: int, end: int) -> str:
    bounds = [graph.constant([place]) for place in (start, end, 1)]
    return graph.add("Slice", [value, *bounds])


def _shifted(graph: Graph, head: Any, rows: int) -> str:
    shifts, (_, channels, *sides) = head.shifts, graph.shape
    count, samples = shifts.index.shape
    value = graph.reshaped(graph.shrunk(head.shrink), (rows, channels, samples))
    value = graph.add("Gather", [value, graph.constant(shifts.index.flatten().tolist())], axis=2)
    value = graph.reshaped(value, (rows, channels, count, samples))
    value = graph.add("Mul", [value, graph.constant(shifts.sign[:, None])])
    value = graph.add("Add", [value, graph.constant(shifts.offset)])
    value = graph.add("Transpose", [value], perm=[0, 2, 1, 3])
    return graph.reshaped(value, (rows * count, channels, *sides))


HEADS: dict[type[nn.Module], Callable[[Graph, Any], str]] = {
    Residual: _residual,
    Layered: _layered,
    Distance: _distance,
    Deviation: _deviation,
    Likeness: _likeness,
    Elbo: _elbo,
    Guess: _guess,
    Flow: _flow,
    Adversary: _adversary,
    StackedErrors: _stacked,
}
