"""The section of a stream about what its detectors are given: windows of samples, frames, sound."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from monitor.mel_scale import edges
from monitor.notation import ChannelNames, Seconds
from monitor.section import Settings

MOST_SAMPLES = 1_000_000
MOST_BANDS = 512
COLOURS = {"gray": ("gray",), "rgb": ("red", "green", "blue")}

Rate = Annotated[float, Field(gt=0, le=MOST_SAMPLES)]
Share = Annotated[float, Field(ge=0, le=1)]
Pixels = Annotated[int, Field(ge=4, le=4096)]


class WindowConfig(Settings):
    """How samples become windows. With `input: windows` each message is one, of that length."""

    length: Seconds
    rate: Rate
    channels: Annotated[ChannelNames, Field(min_length=1)]
    hop: Seconds | None = None
    lateness: Seconds = 0.0
    fill: Literal["none", "hold", "linear"] = "none"
    max_gap: Seconds = 0.0
    input: Literal["samples", "windows", "sound"] = "samples"

    @property
    def samples(self) -> int:
        """T, the samples of a window."""
        return round(self.length * self.rate)

    @property
    def hop_samples(self) -> int:
        """Samples from one window's start to the next."""
        return round((self.length if self.hop is None else self.hop) * self.rate)

    @property
    def whole(self) -> bool:
        """Whether each message is one window."""
        return self.input == "windows"

    @property
    def shape(self) -> tuple[int, int]:
        """(C, T)."""
        return len(self.channels), self.samples

    @property
    def model_shape(self) -> tuple[int, int]:
        """What a model is given of a window: `(C, T)`, or `(F, T)` of a sound's spectrogram."""
        return self.shape

    @property
    def model_channels(self) -> tuple[str, ...]:
        """The names of the rows of what a model is given."""
        return tuple(self.channels)

    @property
    def front(self) -> dict[str, Any]:
        """How a model's input is made of what was sent; empty where it is just that."""
        return {}

    @model_validator(mode="after")
    def _fits(self) -> WindowConfig:
        if not 2 <= self.samples <= MOST_SAMPLES:
            raise ValueError(f"length x rate is {self.samples}; 2 to {MOST_SAMPLES} are valid")
        late = round(self.lateness * self.rate)
        if late > MOST_SAMPLES:
            raise ValueError(f"lateness x rate is {late}; 0 to {MOST_SAMPLES} are valid")
        if not 1 <= self.hop_samples <= self.samples:
            raise ValueError(f"hop is {self.hop_samples} samples; 1 to {self.samples} are valid")
        if len(set(self.channels)) != len(self.channels):
            raise ValueError(f"channels {self.channels} name one twice")
        return self


class MelConfig(Settings):
    """A log-mel spectrogram: frames of `fft` samples every `hop` samples, `bands` triangular bands
    from `low` to `high` Hz on the mel scale (`high` left out: half the rate), power in dB over
    `floor`. For the models each `band` is centred and scaled by itself, or the `sound` as a whole,
    so that they see which bands are louder than others.
    """

    bands: Annotated[int, Field(ge=2, le=MOST_BANDS)] = 64
    fft: Annotated[int, Field(ge=16, le=65_536)] = 1024
    hop: Annotated[int, Field(ge=1, le=65_536)] = 512
    low: Annotated[float, Field(ge=0)] = 0.0
    high: Annotated[float, Field(gt=0)] | None = None
    floor: Annotated[float, Field(gt=0, le=1)] = 1e-10
    scale: Literal["band", "sound"] = "band"


class SoundConfig(WindowConfig):
    """Sound: one channel of samples in -1 to 1, whose windows become log-mel spectrograms."""

    channels: Annotated[ChannelNames, Field(min_length=1, max_length=1)] = Field(["sound"])
    input: Literal["sound"]
    mel: MelConfig = MelConfig()

    @property
    def high(self) -> float:
        """The upper end of the highest band in Hz."""
        return self.rate / 2 if self.mel.high is None else self.mel.high

    @property
    def model_shape(self) -> tuple[int, int]:
        return self.mel.bands, 1 + (self.samples - self.mel.fft) // self.mel.hop

    @property
    def model_channels(self) -> tuple[str, ...]:
        peaks = edges(self.mel.low, self.high, self.mel.bands)[1:-1]
        return tuple(f"band{number:03d}_{peak:.0f}Hz" for number, peak in enumerate(peaks))

    @property
    def front(self) -> dict[str, Any]:
        made = self.mel.model_dump() | {"high": self.high}
        return {"mel": made, "rate": self.rate, "samples": self.samples}

    @model_validator(mode="after")
    def _bands_fit(self) -> SoundConfig:
        if self.mel.fft > self.samples:
            raise ValueError(
                f"mel.fft is {self.mel.fft} samples, a window has {self.samples}; make the window "
                "longer or fft smaller"
            )
        if not self.mel.low < self.high <= self.rate / 2:
            raise ValueError(
                f"mel.low is {self.mel.low:g} and mel.high {self.high:g} Hz; valid are low < high "
                f"<= {self.rate / 2:g}, half the rate"
            )
        return self


def _region(value: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = value
    if not (left < right and top < bottom):
        raise ValueError(f"{list(value)} is no region: left, top, right, bottom as shares, 0 to 1")
    return value


class CameraConfig(Settings):
    """Pictures: one frame is one example of `size` (width, height) pixels.

    `region` is the part of a picture that is looked at: left, top, right, bottom as shares of its
    sides. At most `rate` frames/s of a camera are scored, the others counted.
    """

    input: Literal["frames"]
    size: tuple[Pixels, Pixels]
    rate: Annotated[float, Field(gt=0, le=1000)] = 1.0
    color: Literal["gray", "rgb"] = "rgb"
    region: Annotated[tuple[Share, Share, Share, Share], AfterValidator(_region)] = (0, 0, 1, 1)

    # What the pipeline needs to know of any window; a frame lasts until the next may come.
    whole: ClassVar[bool] = True
    samples: ClassVar[int] = 1
    hop_samples: ClassVar[int] = 1
    lateness: ClassVar[float] = 0.0
    max_gap: ClassVar[float] = 0.0
    fill: ClassVar[str] = "none"

    @property
    def length(self) -> float:
        """Seconds."""
        return 1 / self.rate

    @property
    def channels(self) -> list[str]:
        """The colours."""
        return list(COLOURS[self.color])

    @property
    def frame(self) -> tuple[int, int]:
        """(H, W)."""
        return self.size[1], self.size[0]

    @property
    def shape(self) -> tuple[int, int]:
        """(C, H * W): the pipeline carries pixels row after row."""
        return len(self.channels), self.size[0] * self.size[1]

    @property
    def model_shape(self) -> tuple[int, int]:
        """The same; a detector is given `(C, H, W)`."""
        return self.shape

    @property
    def model_channels(self) -> tuple[str, ...]:
        """The colours."""
        return tuple(self.channels)

    @property
    def front(self) -> dict[str, Any]:
        """How a frame was made of a picture, as a model's manifest tells it."""
        return {"frame": list(self.frame), "color": self.color, "region": list(self.region)}


Window = WindowConfig | CameraConfig  # SoundConfig is a WindowConfig


def _kind(value: Any) -> str:
    given = value.get("input") if isinstance(value, dict) else getattr(value, "input", None)
    return f"<{given}>" if given in ("sound", "frames") else "<samples>"


KINDS: dict[str, type[Settings]] = {
    "<samples>": WindowConfig,
    "<sound>": SoundConfig,
    "<frames>": CameraConfig,
}
AnyWindow = Annotated[
    Annotated[WindowConfig, Tag("<samples>")]
    | Annotated[SoundConfig, Tag("<sound>")]
    | Annotated[CameraConfig, Tag("<frames>")],
    Discriminator(_kind),
]
