"""The pictures of what a View has evidence of: where they are, and their bytes, drawn once."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from monitor.pictures import png
from monitor.types import Evidence
from monitor.view import View

Step = tuple[str, float]  # an alert, and the time of one of its steps


def address(evidence: Evidence) -> str:
    """Where its picture is, from the page's own address on."""
    return f"api/v1/alerts/{quote(evidence.alert, safe='')}/picture.png?offset={evidence.offset}"


class Gallery:
    """Draws the pictures that are asked for, and keeps each as long as the View has its evidence.

    Calls come from one thread, that of the server.
    """

    def __init__(self, draw: Callable[[Evidence], bytes] = png) -> None:
        self._draw = draw
        self._drawn: dict[Step, bytes] = {}

    def picture(self, view: View, alert: str, offset: int | None) -> bytes | None:
        """The picture of an alert as PNG: of its step at an offset, else its newest one; None
        where the View has none.
        """
        of_alert = [e for e in view.evidence if e.alert == alert and offset in (None, e.offset)]
        if not of_alert:
            return None
        kept = {_step(evidence) for evidence in view.evidence}
        self._drawn = {step: drawn for step, drawn in self._drawn.items() if step in kept}
        step = _step(of_alert[-1])
        if step not in self._drawn:
            self._drawn[step] = self._draw(of_alert[-1])
        return self._drawn[step]


def _step(evidence: Evidence) -> Step:
    return evidence.alert, evidence.time
