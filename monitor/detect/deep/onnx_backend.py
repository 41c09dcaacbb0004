"""Runs a net in ONNX Runtime: two to six times as fast as torch for small calls.

The graph is written layer by layer, in memory, for one fixed shape: no exporter, no file. The
extra `fast` installs what it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import nn

from monitor.detect.deep.onnx_graph import Graph, names, unknown
from monitor.detect.deep.onnx_heads import HEADS
from monitor.errors import ConfigError, ModelError
from monitor.types import Array

try:
    import onnx
    import onnxruntime

    _INSTALLED = True
except ImportError:  # the extra `fast` is not there
    _INSTALLED = False

Heads = Mapping[type[nn.Module], Callable[[Graph, Any], str]]
_OPSET = 17
_IR_VERSION = 8


def available() -> bool:
    """Whether ONNX Runtime can be used here."""
    return _INSTALLED


class OnnxProgram:
    """A head, one of those in `heads`, as a session on one thread, for one fixed shape of calls.

    Raises ConfigError where onnx or onnxruntime is not installed, ModelError for a net with a part
    that cannot be translated.
    """

    def __init__(self, head: nn.Module, shape: tuple[int, ...], heads: Heads = HEADS) -> None:
        if not available():
            raise ConfigError(
                "backend 'onnx' needs the packages onnx and onnxruntime (pip install "
                "'monitor[fast]'); valid without them are 'auto' and 'torch'"
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            _model(head, shape, heads), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, x: Array) -> Array:
        """`(N, *shape) -> (N, P)`."""
        (parts,) = self._session.run(None, {"x": x})
        return np.asarray(parts, np.float32)


def _model(head: nn.Module, shape: tuple[int, ...], heads: Heads) -> bytes:
    """The whole model, input `x`, output the last node's."""
    if type(head) not in heads:
        raise ModelError(f"{unknown(head)}; valid are {names(heads)}")
    graph, kind = Graph(shape), onnx.TensorProto.FLOAT
    value = heads[type(head)](graph, head)
    whole = onnx.helper.make_graph(
        graph.nodes,
        "monitor",
        [onnx.helper.make_tensor_value_info("x", kind, shape)],
        [onnx.helper.make_tensor_value_info(value, kind, None)],
        graph.constants,
    )
    opsets = [onnx.helper.make_opsetid("", _OPSET)]
    model = onnx.helper.make_model(whole, opset_imports=opsets, ir_version=_IR_VERSION)
    return bytes(model.SerializeToString())
