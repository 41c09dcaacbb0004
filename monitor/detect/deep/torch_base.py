"""What detectors made of a net share: scores, backends, weights in and out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from monitor.detect.deep import onnx_backend
from monitor.detect.deep.nets import check_shape, check_weights
from monitor.detect.deep.sizes import usual_widths
from monitor.detect.deep.training import one_thread, whole_number
from monitor.errors import ConfigError, ModelError
from monitor.types import Array, State

BACKENDS = ("auto", "torch", "onnx")
_OF_PARTS = "weight"  # see the heads in nets.py


class Program:
    """The score of a fixed number of examples, ready to run; `backend` is what runs it."""

    def __init__(self, parts: Callable[[Array], Array], backend: str) -> None:
        self.parts = parts
        self.backend = backend

    def __call__(self, x: Array) -> Array:
        """`(chunk, *shape) -> (chunk,)`."""
        total: Array = self.parts(x).sum(axis=1)
        return total


class PartsDetector:
    """A detector whose score is the sum of the parts that a net's head gives for an example.

    `net` is the inference form: batch normalisation folded, weights fixed. Set `show_progress`
    to see a bar while it trains; `metrics` tells afterwards how it went.
    """

    view: ClassVar[str] = "window"
    net: nn.Module

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.show_progress = False
        self.metrics: dict[str, float] = {}
        self.ready = False

    def score(self, x: Array) -> Array:
        """`(N, *shape) -> (N,)`, by torch. In calls of another N the last bits may differ.

        Raises ModelError before training and for examples of another shape.
        """
        return Program(self.parts, "torch")(x)

    def parts(self, x: Array) -> Array:
        """What the score is the sum of: `(N, *shape) -> (N, P)`; see `nets.py`."""
        return self._through(self.net, x)

    def compile(self, chunk: int, backend: str = "auto") -> Program:
        """The score for calls of exactly `chunk` examples, as fast as the backend can.

        `onnx` needs the extra `fast`; `auto` takes it where it is installed, else `torch`.
        Raises ConfigError for another backend, and for one that is not installed.
        """
        if backend not in BACKENDS:
            raise ConfigError(f"backend is {backend!r}; valid are {', '.join(BACKENDS)}")
        self._need_weights()
        if backend == "torch" or (backend == "auto" and not onnx_backend.available()):
            return Program(self.parts, "torch")
        return Program(onnx_backend.OnnxProgram(self.net, (chunk, *self.shape)), "onnx")

    def state(self) -> State:
        """The weights of the inference form. Raises ModelError before training."""
        self._need_weights()
        return {key: value.numpy().copy() for key, value in self.net.state_dict().items()}

    def restore(self, state: State) -> None:
        """Take weights from `state()`. Raises ModelError where they do not fit; nothing is kept."""
        wanted = self.net.state_dict()
        odd = sorted(state.keys() ^ wanted.keys())
        if odd:
            raise ModelError(f"weights do not fit the net: only one of them has {odd[0]!r}")
        for key, tensor in wanted.items():
            _check_weights(key, state[key], tuple(tensor.shape))
        for key, tensor in wanted.items():
            tensor.copy_(torch.from_numpy(np.array(state[key])))
        self.ready = True

    def _through(self, part: Callable[[Tensor], Tensor], x: Array) -> Array:
        """What a part of the net gives for examples `(N, *shape)`, each by itself."""
        self._need_weights()
        if x.shape[1:] != self.shape:
            raise ModelError(f"examples have shape {x.shape[1:]}; the net is for {self.shape}")
        with one_thread(), torch.inference_mode():
            found: Array = part(torch.from_numpy(np.ascontiguousarray(x, np.float32))).numpy()
        return found

    def _need_weights(self) -> None:
        if not self.ready:
            raise ModelError(f"{type(self).__name__} has no weights yet: call fit or restore first")


class NetDetector(PartsDetector):
    """One whose net is convolutional: stages of `widths` channels, and `latent` numbers inside;
    `sizes.py` has the usual ones.
    """

    def __init__(self, shape: Sequence[int], widths: Sequence[int] | None, latent: int) -> None:
        super().__init__(check_shape(shape))
        self.widths = checked_widths(usual_widths(self.shape) if widths is None else widths)
        whole_number("latent", latent, 1, 4096)
        check_weights(self.shape, self.widths, latent)
        self.latent = latent


def channel_shares(parts: Array) -> Array:
    """What each part is of the sum of its row: `(N, C) -> (N, C)`; 0 where that is 0."""
    total = parts.sum(axis=1, keepdims=True)
    shares: Array = parts / (total + (total == 0))
    return shares


def checked_widths(widths: Sequence[int]) -> tuple[int, ...]:
    """The widths as a tuple. Raises ConfigError for anything but 1 to 6 numbers up to 4096."""
    if not isinstance(widths, list | tuple) or not 1 <= len(widths) <= 6:
        raise ConfigError(f"widths is {widths!r}; valid is a list of 1 to 6 whole numbers")
    for width in widths:
        whole_number("widths: each", width, 1, 4096)
    return tuple(widths)


def _check_weights(name: str, found: NDArray[Any], shape: tuple[int, ...]) -> None:
    if found.dtype != np.float32 or found.shape != shape:
        raise ModelError(
            f"weights {name!r} are {found.dtype} {found.shape}; valid is float32 {shape}"
        )
    if not np.isfinite(found).all():
        raise ModelError(f"weights {name!r} hold NaN or infinity")
    if name == _OF_PARTS and (found < 0).any():
        raise ModelError(f"weights {name!r} are negative, which would make scores negative")
