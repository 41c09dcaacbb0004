"""What detectors of the patches of frames share: a backbone, training frames, backends, maps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch.nn.functional import interpolate

from monitor.arrays import put_under, under
from monitor.detect.classical.crosswise import whole
from monitor.detect.classical.rows import MINIMUM, checked
from monitor.detect.deep import onnx_backend
from monitor.detect.deep.torch_base import BACKENDS
from monitor.detect.deep.training import one_thread
from monitor.detect.images.backbone import check_frames, load_backbone
from monitor.detect.images.onnx_pyramid import OnnxPyramid
from monitor.detect.images.pyramid import Pyramid, frames, patches
from monitor.detect.images.weights import USUAL, check_checksum, checksum_state
from monitor.errors import ConfigError, ModelError
from monitor.types import Array, State

BLOCKS = (4, 10)
MOST = 500
SMOOTHING = 0.5  # cells of the grid: 4 pixels of a frame, as Defard et al. have it
_MEASURED = 64


class Program:
    """The score of frames, ready to run; `backend` is what runs the backbone."""

    def __init__(self, score: Callable[[Array], np.float32], backend: str) -> None:
        self.backend = backend
        self._score = score

    def __call__(self, x: Array) -> Array:
        """`(N, C, H, W) -> (N,)`, frame after frame."""
        return np.fromiter((self._score(frame) for frame in frames(x)), np.float32, len(x))


class PatchDetector(ABC):
    """Detectors of patches. Not a detector itself: a subclass has `_learn`, `_rated` and the arrays
    of its own.

    Every frame goes through the backbone alone, so its score is the same in any company, and what
    the backbone works on stays in the processor's cache. `most` is how many frames are learned
    from, drawn with `seed` where there are more.
    """

    view: ClassVar[str] = "window"

    def __init__(
        self,
        shape: Sequence[int],
        *,
        pyramid: Pyramid,
        trim: float,
        most: int,
        seed: int,
    ) -> None:
        if not isinstance(trim, int | float) or not 0 <= trim < 0.5:
            raise ConfigError(f"trim is {trim!r}; numbers from 0 to under 0.5 are valid")
        self.shape = check_frames(shape)
        self.pyramid = pyramid
        self.grid = pyramid.grid(self.shape[1:])
        self.trim = trim
        self.most = whole("most", most, MINIMUM)
        self.seed = whole("seed", seed, 0)
        self._arrays: State = {}

    def fit(self, x: Array, y: Array | None = None) -> None:
        """Learn from `(N, C, H, W)`, in the order of time; labelled anomalies are left out.

        Raises ModelError for frames that are too few, not finite or of another shape.
        """
        rows = self._usable(x, y)
        self.pyramid.fit(rows[:: -(-len(rows) // _MEASURED)])
        self._arrays = self._learn(self.pyramid.features(rows))

    def score(self, x: Array) -> Array:
        """`(N, C, H, W) -> (N,)`, by torch. Raises ModelError before training and for another
        shape.
        """
        return self._program(self._by_torch, "torch")(self._frames(x))

    def heat_maps(self, x: Array) -> Array:
        """How strange each place is, in the units of the score: `(N, C, H, W) -> (N, H, W)`."""
        self._need_training()
        found = np.empty((len(x), *self.shape[1:]), np.float32)
        for place, frame in enumerate(frames(self._frames(x))):
            distances, _ = self._rated(patches(self._by_torch(frame)))
            found[place] = self._enlarged(self._smoothed(distances))
        return found

    def compile(self, chunk: int, backend: str = "auto") -> Program:
        """The score, with the backbone on the fastest backend; `chunk` changes nothing, for frames
        are taken one by one.

        `onnx` needs the extra `fast`; `auto` takes it where it is installed, else `torch`. Raises
        ConfigError for another backend, and for one that is not installed.
        """
        if backend not in BACKENDS:
            raise ConfigError(f"backend is {backend!r}; valid are {', '.join(BACKENDS)}")
        if backend == "torch" or (backend == "auto" and not onnx_backend.available()):
            return self._program(self._by_torch, "torch")
        return self._program(OnnxPyramid(self.pyramid, self.shape), "onnx")

    def state(self) -> State:
        """What was learned, and the checksum of the backbone's weights, which are not in it.

        Raises ModelError before training.
        """
        self._need_training()
        own = {name: array.copy() for name, array in self._arrays.items()}
        told = checksum_state(self.pyramid.backbone.sha256)
        return {**own, **told, **put_under("pyramid", self.pyramid.state())}

    def restore(self, state: State) -> None:
        """Take arrays from `state()`. Raises ModelError where they do not fit, and where the
        backbone here has other weights than in training.
        """
        check_checksum(state, self.pyramid.backbone.sha256)
        own = {k: v for k, v in state.items() if k != "backbone" and not k.startswith("pyramid/")}
        arrays = checked(own, self._shapes(own))
        self._check(arrays)
        self.pyramid.restore(under("pyramid", state))
        self._arrays = arrays

    @abstractmethod
    def _learn(self, features: Array) -> State:
        """The arrays learned from the patches of frames `(N, P, d)`."""

    @abstractmethod
    def _rated(self, features: Array) -> tuple[Array, np.float32]:
        """How far each patch of one frame is, and the frame's score: `(P, d) -> (P,), ()`."""

    @abstractmethod
    def _shapes(self, state: State) -> dict[str, tuple[int, ...]]:
        """The arrays of `_learn`, and their shapes; what is of any length is as in `state`."""

    @abstractmethod
    def _check(self, arrays: State) -> None:
        """Raises ModelError where arrays of the right shapes hold values that cannot be."""

    def _program(self, features: Callable[[Array], Array], backend: str) -> Program:
        self._need_training()
        return Program(lambda frame: self._rated(patches(features(frame)))[1], backend)

    def _by_torch(self, frame: Array) -> Array:
        with one_thread(), torch.inference_mode():
            found: Array = self.pyramid(torch.from_numpy(frame)).numpy()
        return found

    def _smoothed(self, distances: Array) -> Array:
        """A frame's distances `(P,)` as its grid, each with those around it."""
        whole_grid = distances.reshape(self.grid)
        return np.asarray(gaussian_filter(whole_grid, SMOOTHING, mode="nearest"), np.float32)

    def _enlarged(self, grid: Array) -> Array:
        with one_thread(), torch.inference_mode():
            small = torch.from_numpy(grid)[None, None]
            found: Array = interpolate(small, self.shape[1:], mode="bilinear")[0, 0].numpy()
        return found

    def _usable(self, x: Array, y: Array | None) -> Array:
        rows = self._frames(x)
        if y is not None:
            rows = rows[np.asarray(y) <= 0]
        if len(rows) < MINIMUM:
            raise ModelError(f"{len(rows)} examples are not anomalies; at least {MINIMUM} needed")
        if not np.isfinite(rows).all():
            raise ModelError("the training examples hold NaN or infinity; leave those frames out")
        drawn = np.random.default_rng(self.seed).permutation(len(rows))[: self.most]
        return rows[np.sort(drawn)]

    def _frames(self, x: Array) -> Array:
        if x.shape[1:] != self.shape:
            raise ModelError(f"examples have shape {x.shape[1:]}; valid is {self.shape}")
        return x

    def _need_training(self) -> None:
        if not self._arrays:
            raise ModelError(f"{type(self).__name__} knows nothing yet: call fit or restore first")


def pyramid_of(
    shape: Sequence[int],
    dimensions: int,
    seed: int,
    *,
    backbone: str = USUAL,
    sha256: str | None = None,
    blocks: Sequence[int] = BLOCKS,
) -> Pyramid:
    """The features that a detector of frames of this shape sees. Raises ConfigError for values that
    cannot be used, and where the weights are missing.
    """
    colours, _, _ = check_frames(shape)
    net = load_backbone(backbone, sha256, blocks=blocks, colours=colours)
    return Pyramid(net, whole("dimensions", dimensions, 1), whole("seed", seed, 0))
