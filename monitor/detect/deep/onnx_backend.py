"""Runs a net in ONNX Runtime: two to six times as fast as torch for small calls.

The graph is written layer by layer, in memory, for one fixed shape: no exporter, no file. The
extra `fast` installs what it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from monitor.detect.deep.heads import Deviation, Likeness
from monitor.detect.deep.nets import Crop, Distance, Pad, Residual
from monitor.detect.deep.patch_net import Patches, Rows, Unpatched
from monitor.errors import ConfigError, ModelError
from monitor.types import Array

try:
    import onnx
    import onnxruntime

    _INSTALLED = True
except ImportError:  # the extra `fast` is not there
    _INSTALLED = False

_OPSET = 17
_IR_VERSION = 8
_TINY = torch.full((1,), 1e-12)


def available() -> bool:
    """Whether ONNX Runtime can be used here."""
    return _INSTALLED


class OnnxProgram:
    """A head, one of those in `_HEADS`, as a session on one thread, for one fixed shape of calls.

    Raises ConfigError where onnx or onnxruntime is not installed, ModelError for a net with a part
    that cannot be translated.
    """

    def __init__(self, head: nn.Module, shape: tuple[int, ...]) -> None:
        if not available():
            raise ConfigError(
                "backend 'onnx' needs the packages onnx and onnxruntime (pip install "
                "'monitor[fast]'); valid without them are 'auto' and 'torch'"
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            _Graph(shape).model(head), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, x: Array) -> Array:
        """`(N, *shape) -> (N, P)`."""
        (parts,) = self._session.run(None, {"x": x})
        return np.asarray(parts, np.float32)


class _Graph:
    """Nodes and constants, in order; each method takes the name of a value and returns another."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def model(self, head: nn.Module) -> bytes:
        """The whole model, input `x`, output the last node's."""
        if type(head) not in _HEADS:
            raise ModelError(f"{_unknown(head)}; valid are {_names(_HEADS)}")
        value = _HEADS[type(head)](self, head)
        kind = onnx.TensorProto.FLOAT
        graph = onnx.helper.make_graph(
            self.nodes,
            "monitor",
            [onnx.helper.make_tensor_value_info("x", kind, self.shape)],
            [onnx.helper.make_tensor_value_info(value, kind, None)],
            self.constants,
        )
        opsets = [onnx.helper.make_opsetid("", _OPSET)]
        model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
        return bytes(model.SerializeToString())

    def sequence(self, net: nn.Sequential, value: str = "x") -> str:
        """The layers, one after the other."""
        for layer in net:
            if type(layer) not in _LAYERS:
                raise ModelError(f"{_unknown(layer)}; valid are {_names(_LAYERS)}")
            value = _LAYERS[type(layer)](self, layer, value)
        return value

    def add(self, operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        """One more node; returns the name of its output."""
        name = f"{operator}_{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(operator, inputs, [name], **attributes))
        return name

    def constant(self, data: Tensor | Sequence[int]) -> str:
        """One more constant: weights, or whole numbers that say sizes."""
        array = data.detach().numpy() if isinstance(data, Tensor) else np.array(data, np.int64)
        name = f"constant_{len(self.constants)}"
        self.constants.append(onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def reshaped(self, value: str, sizes: Sequence[int]) -> str:
        """The same numbers in another shape; -1 stands for what is left."""
        return self.add("Reshape", [value, self.constant(sizes)])

    def weights(self, layer: Any) -> list[str]:
        """The constants of a layer's weight and, where it has one, bias."""
        return [self.constant(p) for p in (layer.weight, layer.bias) if p is not None]


def _unknown(part: nn.Module) -> str:
    return f"{type(part).__name__} cannot run in ONNX"


def _names(table: Mapping[type[nn.Module], object]) -> str:
    return ", ".join(sorted(kind.__name__ for kind in table))


def _residual(graph: _Graph, head: Any) -> str:
    difference = graph.add("Sub", [graph.sequence(head.net), "x"])
    square = graph.add("Mul", [difference, difference])
    # Not ReduceMean: its sums are grouped by where a row lies in memory.
    mean = graph.add("Flatten", [graph.add("GlobalAveragePool", [square])])
    return graph.add("Mul", [mean, graph.constant(head.weight)])


def _distance(graph: _Graph, head: Any) -> str:
    difference = graph.add("Sub", [graph.sequence(head.net), graph.constant(head.centre)])
    square = graph.add("Mul", [difference, difference])
    return graph.add("Mul", [square, graph.constant(head.weight)])


def _deviation(graph: _Graph, head: Any) -> str:
    return graph.add("Softplus", [graph.sequence(head.net)])


def _likeness(graph: _Graph, head: Any) -> str:
    """See `heads.Likeness`; every example is `count` rows between the shifts and the end."""
    rows, count, size = graph.shape[0], len(head.norm), head.memory.shape[2]
    graph.shape = (rows * count, *graph.shape[1:])
    seen = graph.sequence(head.encoder, _shifted(graph, head.shifts, rows))
    told = graph.add("LogSoftmax", [_linear(graph, head.classifier, seen)], axis=1)
    own = graph.constant([place * (count + 1) for place in range(count)])
    told = graph.add("Gather", [graph.reshaped(told, (rows, count * count)), own], axis=1)
    embedding = _linear(graph, head.projection, seen)
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


def _shifted(graph: _Graph, shifts: Any, rows: int) -> str:
    _, channels, samples = graph.shape
    count = len(shifts.index)
    value = graph.add("Gather", ["x", graph.constant(shifts.index.flatten().tolist())], axis=2)
    value = graph.reshaped(value, (rows, channels, count, samples))
    value = graph.add("Mul", [value, graph.constant(shifts.sign[:, None])])
    value = graph.add("Add", [value, graph.constant(shifts.offset)])
    value = graph.add("Transpose", [value], perm=[0, 2, 1, 3])
    return graph.reshaped(value, (rows * count, channels, samples))


def _convolution(operator: str) -> Callable[[_Graph, Any, str], str]:
    def write(graph: _Graph, layer: Any, value: str) -> str:
        return graph.add(
            operator,
            [value, *graph.weights(layer)],
            kernel_shape=list(layer.kernel_size),
            strides=list(layer.stride),
            pads=list(layer.padding) * 2,
        )

    return write


def _linear(graph: _Graph, layer: Any, value: str) -> str:
    return graph.add("Gemm", [value, *graph.weights(layer)], transB=1)


def _leaky(graph: _Graph, layer: Any, value: str) -> str:
    return graph.add("LeakyRelu", [value], alpha=layer.negative_slope)


def _flatten(graph: _Graph, layer: Any, value: str) -> str:
    return graph.add("Flatten", [value])


def _unflatten(graph: _Graph, layer: Any, value: str) -> str:
    return graph.reshaped(value, (graph.shape[0], *layer.unflattened_size))


def _rows(graph: _Graph, layer: Any, value: str) -> str:
    return graph.reshaped(value, (-1, layer.length))


def _patches(graph: _Graph, layer: Any, value: str) -> str:
    return graph.reshaped(_permuted(graph, layer, value), (graph.shape[0], -1))


def _unpatched(graph: _Graph, layer: Any, value: str) -> str:
    return graph.reshaped(_permuted(graph, layer, value), (graph.shape[0], *layer.shape))


def _permuted(graph: _Graph, layer: Any, value: str) -> str:
    axes = [0, *(place + 1 for place in layer.order)]
    value = graph.reshaped(value, (graph.shape[0], *layer.sizes))
    return graph.add("Transpose", [value], perm=axes)


def _pad(graph: _Graph, layer: Any, value: str) -> str:
    amounts = (0,) * (len(layer.extra) + 2)
    return graph.add("Pad", [value, graph.constant((*amounts, 0, 0, *layer.extra))])


def _crop(graph: _Graph, layer: Any, value: str) -> str:
    starts = graph.constant([0] * len(layer.sides))
    axes = graph.constant(range(2, 2 + len(layer.sides)))
    return graph.add("Slice", [value, starts, graph.constant(layer.sides), axes])


_LAYERS: dict[type[nn.Module], Callable[[_Graph, Any, str], str]] = {
    nn.Conv1d: _convolution("Conv"),
    nn.Conv2d: _convolution("Conv"),
    nn.ConvTranspose1d: _convolution("ConvTranspose"),
    nn.ConvTranspose2d: _convolution("ConvTranspose"),
    nn.Linear: _linear,
    nn.LeakyReLU: _leaky,
    nn.Flatten: _flatten,
    nn.Unflatten: _unflatten,
    Rows: _rows,
    Patches: _patches,
    Unpatched: _unpatched,
    Pad: _pad,
    Crop: _crop,
}

_HEADS: dict[type[nn.Module], Callable[[_Graph, Any], str]] = {
    Residual: _residual,
    Distance: _distance,
    Deviation: _deviation,
    Likeness: _likeness,
}
