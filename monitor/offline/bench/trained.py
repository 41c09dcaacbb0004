"""The nets that both sides use, trained briefly on simulated normal windows, and their sizes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import nn

from monitor.connect.store import ModelStore
from monitor.model import Model
from monitor.offline.bench.ours import NAME, NETS
from monitor.offline.bench.workload import LENGTH, RATE, Workload
from monitor.recipe import Recipe, train


def train_nets(workload: Workload, windows: int, epochs: int, root: Path) -> list[Model]:
    """Train each net, put it into a store at `root`, and return the models."""
    data = workload.training(windows)
    store = ModelStore(root)
    models = []
    for net in NETS:
        params = {"epochs": epochs}
        recipe = Recipe(net, NAME, (1, LENGTH), ("vibration",), float(RATE), params)
        models.append(train(recipe, data))
        store.publish(models[-1])
    return models


def sizes(models: Sequence[Model]) -> dict[str, dict[str, int]]:
    """Parameters of each net, and its multiplications per window."""
    return {
        model.label: {
            "parameters": sum(p.numel() for p in _net(model).parameters()),
            "macs": multiplications(_net(model), model.shape),
        }
        for model in models
    }


def multiplications(net: nn.Module, shape: Sequence[int]) -> int:
    """Multiply-accumulates of the convolutions and linear layers for one example of `shape`."""
    counted: list[int] = []

    def count(layer: Any, inputs: Any, output: torch.Tensor) -> None:
        """Every weight is used once per place: of the output, or of a transposed one's input."""
        transposed = isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d)
        places = prod((inputs[0] if transposed else output).shape[2:])
        counted.append(layer.weight.numel() * places)

    kinds = nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d | nn.ConvTranspose2d | nn.Linear
    hooks = [m.register_forward_hook(count) for m in net.modules() if isinstance(m, kinds)]
    with torch.inference_mode():
        net(torch.zeros(1, *shape))
    for hook in hooks:
        hook.remove()
    return sum(counted)


def _net(model: Model) -> nn.Module:
    found: nn.Module = model.detector.net  # type: ignore[attr-defined]
    return found
