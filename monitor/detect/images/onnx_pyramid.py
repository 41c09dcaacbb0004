"""A backbone, and the features of patches, in ONNX."""

from __future__ import annotations

from typing import Any

from torch import nn

from monitor.detect.deep.onnx_backend import OnnxProgram
from monitor.detect.deep.onnx_graph import Graph
from monitor.detect.images.backbone import Backbone, SameConv
from monitor.detect.images.pyramid import NEIGHBOURS, Pyramid
from monitor.types import Array


class OnnxPyramid:
    """Features of frames of one shape `(C, H, W)`, one frame a call: `(1, C, H, W) ->
    (1, dimensions, rows, columns)`.
    """

    def __init__(self, pyramid: Pyramid, shape: tuple[int, ...]) -> None:
        self._program = OnnxProgram(pyramid, (1, *shape), {Pyramid: write_pyramid})

    def __call__(self, frame: Array) -> Array:
        return self._program(frame)


def write_pyramid(graph: Graph, pyramid: Any, value: str = "x") -> str:
    """See `pyramid.Pyramid`."""
    sides, total = graph.shape[2:], ""
    rows, columns = pyramid.grid(sides)
    maps = write_backbone(graph, pyramid.backbone, value)
    for found, projection in zip(maps, pyramid.projections, strict=True):
        small = graph.add("Conv", [_pooled(graph, found), graph.constant(projection)])
        if total:
            whole = graph.constant((graph.shape[0], pyramid.dimensions, rows, columns))
            total = graph.add("Add", [total, enlarged(graph, small, whole)])
        else:
            total = small
    return total


def write_backbone(graph: Graph, net: Backbone, value: str = "x") -> list[str]:
    """The maps behind a backbone's blocks, as names of values."""
    value = _layers(graph, net.stem, value)
    maps = []
    for place, block in enumerate(net.body):
        value = _block(graph, block, value)
        if place in net.blocks:
            maps.append(value)
    return maps


def enlarged(graph: Graph, value: str, sizes: str) -> str:
    """A map brought to other sizes between its values, as `torch.nn.functional.interpolate`."""
    return graph.add("Resize", [value, "", "", sizes], mode="linear")


def _pooled(graph: Graph, value: str) -> str:
    around = NEIGHBOURS // 2
    return graph.add(
        "AveragePool", [value], kernel_shape=[NEIGHBOURS] * 2, strides=[1, 1], pads=[around] * 4
    )


def _block(graph: Graph, block: Any, value: str) -> str:
    found = _layers(graph, block.layers, value)
    return graph.add("Add", [found, value]) if block.skips else found


def _layers(graph: Graph, layers: nn.Sequential, value: str) -> str:
    for layer in layers:
        if isinstance(layer, SameConv):
            value = _convolution(graph, layer, value)
        else:  # the only other layer there is, ReLU6
            value = graph.add("Clip", [value, graph.number(0.0), graph.number(6.0)])
    return value


def _convolution(graph: Graph, layer: SameConv, value: str) -> str:
    return graph.add(
        "Conv",
        [value, *graph.weights(layer)],
        kernel_shape=list(layer.kernel_size),
        strides=list(layer.stride),
        group=layer.groups,
        auto_pad="SAME_UPPER",
    )
