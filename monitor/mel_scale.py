"""The mel scale of Slaney (Auditory Toolbox, 1998): linear below 1 kHz, logarithmic above.

Plain numbers, so that reading a configuration needs no more than this.
"""

from __future__ import annotations

import math

_LINEAR = 200 / 3  # Hz for each mel below the break
_BREAK = 1000.0
_STEP = math.log(6.4) / 27


def mels(hertz: float) -> float:
    """Hz as mels."""
    if hertz < _BREAK:
        return hertz / _LINEAR
    return _BREAK / _LINEAR + math.log(hertz / _BREAK) / _STEP


def hertz(mels: float) -> float:
    """Mels as Hz."""
    edge = _BREAK / _LINEAR
    return mels * _LINEAR if mels < edge else _BREAK * math.exp(_STEP * (mels - edge))


def edges(low: float, high: float, bands: int) -> list[float]:
    """Where triangular bands from `low` to `high` Hz begin, peak and end, evenly spaced in mels:
    band b of them peaks at place b + 1, between its neighbours' peaks; `bands` + 2 places in Hz.
    """
    first, last = mels(low), mels(high)
    step = (last - first) / (bands + 1)
    return [hertz(first + place * step) for place in range(bands + 2)]
