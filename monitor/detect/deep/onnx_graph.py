"""The graph of a net in ONNX, written layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from monitor.detect.deep.nets import Crop, Pad
from monitor.detect.deep.patch_net import Patches, Rows, Unpatched
from monitor.detect.deep.sizes import Shrink
from monitor.errors import ModelError

with suppress(ImportError):  # without the extra `fast` nothing here is called
    import onnx


class Graph:
    """Nodes and constants, in order; each method takes the name of a value and returns another."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def sequence(self, net: nn.Sequential, value: str = "x") -> str:
        """The layers, one after the other."""
        for layer in net:
            if type(layer) not in _LAYERS:
                raise ModelError(f"{unknown(layer)}; valid are {names(_LAYERS)}")
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

    def number(self, value: float) -> str:
        """A constant of one element."""
        return self.constant(torch.full((1,), value))

    def mean(self, value: str) -> str:
        """Over all but the first two axes: `(N, C, ...) -> (N, C)`.

        Not ReduceMean: its sums are grouped by where a row lies in memory.
        """
        return self.add("Flatten", [self.add("GlobalAveragePool", [value])])

    def reshaped(self, value: str, sizes: Sequence[int]) -> str:
        """The same numbers in another shape; -1 stands for what is left."""
        return self.add("Reshape", [value, self.constant(sizes)])

    def shrunk(self, layer: Shrink, value: str = "x") -> str:
        """The means of squares of pixels."""
        sides = [layer.factor] * 2
        if layer.factor == 1:
            return value
        return self.add("AveragePool", [value], kernel_shape=sides, strides=sides)

    def weights(self, layer: Any) -> list[str]:
        """The constants of a layer's weight and, where it has one, bias."""
        return [self.constant(p) for p in (layer.weight, layer.bias) if p is not None]


def unknown(part: nn.Module) -> str:
    """The beginning of the message that it cannot be translated."""
    return f"{type(part).__name__} cannot run in ONNX"


def names(table: Mapping[type[nn.Module], object]) -> str:
    """Of the kinds in a table, as a list for people."""
    return ", ".join(sorted(kind.__name__ for kind in table))


def _convolution(operator: str) -> Callable[[Graph, Any, str], str]:
    def write(graph: Graph, layer: Any, value: str) -> str:
        return graph.add(
            operator,
            [value, *graph.weights(layer)],
            kernel_shape=list(layer.kernel_size),
            strides=list(layer.stride),
            pads=list(layer.padding) * 2,
        )

    return write


def linear(graph: Graph, layer: Any, value: str) -> str:
    """A product with weights, and a bias where there is one."""
    return graph.add("Gemm", [value, *graph.weights(layer)], transB=1)


def _leaky(graph: Graph, layer: Any, value: str) -> str:
    return graph.add("LeakyRelu", [value], alpha=layer.negative_slope)


def _flatten(graph: Graph, layer: Any, value: str) -> str:
    return graph.add("Flatten", [value])


def _unflatten(graph: Graph, layer: Any, value: str) -> str:
    return graph.reshaped(value, (graph.shape[0], *layer.unflattened_size))


def _rows(graph: Graph, layer: Any, value: str) -> str:
    return graph.reshaped(value, (-1, layer.length))


def _patches(graph: Graph, layer: Any, value: str) -> str:
    return graph.reshaped(_permuted(graph, layer, value), (graph.shape[0], -1))


def _unpatched(graph: Graph, layer: Any, value: str) -> str:
    return graph.reshaped(_permuted(graph, layer, value), (graph.shape[0], *layer.shape))


def _permuted(graph: Graph, layer: Any, value: str) -> str:
    axes = [0, *(place + 1 for place in layer.order)]
    value = graph.reshaped(value, (graph.shape[0], *layer.sizes))
    return graph.add("Transpose", [value], perm=axes)


def _pad(graph: Graph, layer: Any, value: str) -> str:
    amounts = (0,) * (len(layer.extra) + 2)
    return graph.add("Pad", [value, graph.constant((*amounts, 0, 0, *layer.extra))])


def _crop(graph: Graph, layer: Any, value: str) -> str:
    starts = graph.constant([0] * len(layer.sides))
    axes = graph.constant(range(2, 2 + len(layer.sides)))
    return graph.add("Slice", [value, starts, graph.constant(layer.sides), axes])


_LAYERS: dict[type[nn.Module], Callable[[Graph, Any, str], str]] = {
    nn.Conv1d: _convolution("Conv"),
    nn.Conv2d: _convolution("Conv"),
    nn.ConvTranspose1d: _convolution("ConvTranspose"),
    nn.ConvTranspose2d: _convolution("ConvTranspose"),
    nn.Linear: linear,
    nn.LeakyReLU: _leaky,
    nn.Flatten: _flatten,
    nn.Unflatten: _unflatten,
    Rows: _rows,
    Patches: _patches,
    Unpatched: _unpatched,
    Pad: _pad,
    Crop: _crop,
}
