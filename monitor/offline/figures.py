"""Figures of a command as a JSON file, for other programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monitor.errors import ConfigError


def write_figures(path: Path, figures: Mapping[str, Any]) -> None:
    """Write them, indented. Raises ConfigError where the file cannot be written."""
    text = json.dumps(figures, indent=2, allow_nan=False, default=str) + "\n"
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error
