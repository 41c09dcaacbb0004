"""The section of a stream about guards: what is wrong with a sensor rather than with a machine."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from monitor.notation import Seconds
from monitor.section import Settings
from monitor.types import Rule

EVERY = "*"
OF_SAMPLES: tuple[Rule, ...] = ("range", "stuck", "saturated")
OF_FRAMES: tuple[Rule, ...] = ("dark", "covered", "frozen")
OF_WINDOWS = len(OF_SAMPLES) + len(OF_FRAMES)  # the others look at messages
GUARDS: tuple[Rule, ...] = (*OF_SAMPLES, *OF_FRAMES, "missing", "skew")

Share = Annotated[float, Field(gt=0, le=1)]
Number = Annotated[float, Field(ge=-1e30, le=1e30)]


def _ascending(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] >= value[1]:
        raise ValueError(f"{list(value)} is no range: lowest valid value, then highest")
    return value


Range = Annotated[tuple[Number, Number], AfterValidator(_ascending)]


class GuardConfig(Settings):
    """When a sensor itself is at fault; each guard is off unless it is set. Channels by name, `*`
    for all that are not named.

    `range` is from the lowest to the highest valid value. A channel is `stuck` that keeps one value
    for so long, and `saturated` where so large a share of a window's samples is at the window's
    highest or lowest value. A camera's frame is `dark` whose mean brightness, 0 to 255, is below a
    level, and `covered` where nothing is to be seen: the standard deviation of its brightness is
    below so much; a camera is `frozen` that sends the very same frame for so long. A sensor is
    `missing` samples that sends, but makes no whole window for so long; with `skew` one whose clock
    is ahead, see event_time.max_skew, is alerted too.
    """

    range: dict[str, Range] = Field(default_factory=dict)
    stuck: dict[str, Annotated[Seconds, Field(gt=0)]] = Field(default_factory=dict)
    saturated: dict[str, Share] = Field(default_factory=dict)
    dark: Annotated[float, Field(gt=0, le=255)] | None = None
    covered: Annotated[float, Field(gt=0, le=128)] | None = None
    frozen: Annotated[Seconds, Field(gt=0)] | None = None
    missing: Annotated[Seconds, Field(gt=0)] | None = None
    skew: bool = False

    @property
    def of_windows(self) -> bool:
        """Whether any guard looks at windows."""
        return bool(self.range or self.stuck or self.saturated or self.of_frames)

    @property
    def of_frames(self) -> tuple[str, ...]:
        """Those of the guards for cameras that are set."""
        return tuple(name for name in OF_FRAMES if getattr(self, name) is not None)

    @property
    def of_messages(self) -> bool:
        """Whether any guard looks at messages."""
        return self.missing is not None or self.skew

    def strange(self, channels: list[str]) -> str | None:
        """The first channel that is guarded but not one of the stream's."""
        named = (*self.range, *self.stuck, *self.saturated)
        return next((name for name in named if name not in (*channels, EVERY)), None)
