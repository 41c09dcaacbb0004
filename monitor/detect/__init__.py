"""The table of detectors and how to make one. Importing this package imports no torch.

A new detector is one file, one line here and one paragraph in docs/detectors.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from monitor.errors import ConfigError

DETECTORS = {
    "adacos": "monitor.detect.deep.adacos:AdaCos",
    "ae_mahalanobis": "monitor.detect.deep.ae_mahalanobis:MahalanobisAutoencoder",
    "contrastive": "monitor.detect.deep.contrastive:Contrastive",
    "conv_ae": "monitor.detect.deep.conv_ae:ConvAutoencoder",
    "deep_gaussian": "monitor.detect.images.deep_gaussian:DeepGaussian",
    "deep_sad": "monitor.detect.deep.deep_sad:DeepSAD",
    "deep_svdd": "monitor.detect.deep.deep_svdd:DeepSVDD",
    "deviation": "monitor.detect.deep.deviation:DeviationNetwork",
    "dense_ae": "monitor.detect.deep.dense_ae:DenseAutoencoder",
    "doc": "monitor.detect.deep.doc:DeepOneClass",
    "ensemble": "monitor.detect.ensemble:Ensemble",
    "fastflow": "monitor.detect.images.fastflow:FastFlow",
    "flow": "monitor.detect.deep.flow:NormalisingFlow",
    "gan": "monitor.detect.deep.gan:AdversarialAutoencoder",
    "gmm": "monitor.detect.classical.gmm:GaussianMixture",
    "iforest": "monitor.detect.classical.iforest:IsolationForest",
    "kde": "monitor.detect.classical.kde:KernelDensity",
    "knn": "monitor.detect.classical.knn:NearestNeighbours",
    "l2_softmax": "monitor.detect.deep.l2_softmax:L2Softmax",
    "lof": "monitor.detect.classical.lof:LocalOutlierFactor",
    "mahalanobis": "monitor.detect.classical.mahalanobis:Mahalanobis",
    "masked_ae": "monitor.detect.deep.masked_ae:MaskedAutoencoder",
    "neighbours": "monitor.detect.online.neighbours:Neighbours",
    "novelty": "monitor.detect.online.novelty:Novelty",
    "ocsvm": "monitor.detect.classical.ocsvm:OneClassSVM",
    "online_iforest": "monitor.detect.online.online_iforest:OnlineIsolationForest",
    "padim": "monitor.detect.images.padim:Padim",
    "patch_memory": "monitor.detect.patches.patch_memory:PatchMemory",
    "patchcore": "monitor.detect.images.patchcore:PatchCore",
    "pca": "monitor.detect.classical.pca:PrincipalComponents",
    "random_kernels": "monitor.detect.patches.random_kernels:RandomKernels",
    "residual": "monitor.detect.online.residual:Residual",
    "vae": "monitor.detect.deep.vae:VariationalAutoencoder",
}

RIVER = "river:"


def detector_class(name: str) -> Any:
    """The class called `name` in the table, that of a model of river, such as
    `river:HalfSpaceTrees`, or the one at a path `module:Class`.

    Raises ConfigError naming the choices where there is no such class.
    """
    if name.startswith(RIVER):
        return import_module("monitor.detect.online.river_models").river_class(name[len(RIVER) :])
    module, _, attribute = DETECTORS.get(name, name).partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError, SyntaxError) as error:
        raise ConfigError(
            f"detector {name!r} cannot be loaded ({error}); valid are "
            f"{', '.join(sorted(DETECTORS))}, 'river:Model' for an anomaly model of river, or "
            "'module:Class' of an importable module"
        ) from error


def build(name: str, shape: tuple[int, ...], **params: Any) -> Any:
    """Make the detector called `name` for examples of `shape`; ConfigError for unknown params.

    The parameter `view` is not the detector's own: who makes the examples follows it.
    """
    own = {key: value for key, value in params.items() if key != "view"}
    try:
        return detector_class(name)(shape, **own)
    except TypeError as error:
        raise ConfigError(f"detector {name!r} does not take {params}: {error}") from error


def view_of(name: str, params: Mapping[str, Any], *, frames: bool = False) -> str:
    """What the detector is given of a window, one of `monitor.features.VIEWS`: the parameter
    `view`, or else what its class asks for, or else the scaled `window` itself.

    Of a frame a class asks by `frame_view`; without that it is given the whole frame `(C, H, W)`,
    or its `pixels` where it would be given numbers of a window instead of the window.
    """
    kind = detector_class(name)
    asked = getattr(kind, "view", "window")
    if frames:
        asked = getattr(kind, "frame_view", "window" if asked == "window" else "pixels")
    return str(params.get("view", asked))


def learns_online(name: str) -> bool:
    """Whether it learns in the stream instead of being trained before."""
    return hasattr(detector_class(name), "score_learn")


def check_exported(name: str) -> None:
    """Raise ConfigError where the detector's memory cannot be kept in snapshots. Only some models
    of river are such: they serve in replays and evaluations, where nothing is kept.
    """
    found = detector_class(name)
    if not getattr(found, "exported", True):
        raise ConfigError(
            f"{name} cannot be run live: its memory cannot be kept in snapshots; those of river "
            f"that can are {', '.join(found.choices)}. `monitor replay` and `monitor evaluate` "
            "take any"
        )
