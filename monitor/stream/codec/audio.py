"""Files of sound as messages: WAV, FLAC and OGG (Vorbis, Opus), decoded by libsndfile.

What a file claims in its head is checked before anything is decoded. One that is cut short is used
as far as it goes, where its kind allows that.
"""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO
from typing import BinaryIO, NamedTuple

import numpy as np

from monitor.errors import ConfigError, DecodeError
from monitor.settings import StreamConfig
from monitor.stream.codec.limits import Shaper, check_size
from monitor.stream.codec.naming import namer
from monitor.stream.codec.telling import told
from monitor.stream.codec.times import start_of
from monitor.types import Array, Record, Samples

with suppress(ImportError):  # `check_installed` tells
    import soundfile

KINDS = {"WAV": b"RIFF", "FLAC": b"fLaC", "OGG": b"OggS"}


class Heard(NamedTuple):
    """A decoded file: Hz, and `(C, n)` in -1 to 1."""

    rate: int
    data: Array


class AudioCodec:
    """Decodes the messages of one stream, each a whole file of sound.

    Several channels become their mean. Raises ConfigError where soundfile is not installed.
    """

    def __init__(self, stream: StreamConfig) -> None:
        check_installed()
        self._name = namer(stream.sensor)
        self._shaper = Shaper(stream.window, stream.limits)
        self._most, self._samples = stream.limits.message, stream.limits.samples
        self._rate = stream.window.rate

    def decode(self, record: Record) -> list[Samples]:
        """As `Codec.decode`."""
        check_size(len(record.value) if record.value else 0, self._most)
        name, start = self._name(record), start_of(record)
        heard = read_audio(BytesIO(record.value), self._samples)
        if heard.rate != self._rate:
            raise DecodeError(
                "wrong_rate",
                f"the sound has {heard.rate} samples/s; the stream's window.rate is "
                f"{self._rate:g}: send it at that rate, or change window.rate and train anew",
            )
        data = mixed(heard.data)
        data.flags.writeable = False
        return [self._shaper.samples(name, start, data)]


def check_installed() -> None:
    """Raises ConfigError where files of sound cannot be read for lack of the extra `audio`."""
    if "soundfile" not in globals():
        raise ConfigError(
            "files of sound need the package soundfile: pip install 'monitor[audio]'; the formats "
            "float32, json and msgpack carry sound without it"
        )


def read_audio(file: BinaryIO, most: int) -> Heard:
    """All of a file, if it is at most `most` numbers, its channels together.

    Raises DecodeError `bad_audio` for bytes that are no such file, `too_many_samples` for too many.
    """
    head = file.read(4)
    if head not in KINDS.values():
        raise DecodeError(
            "bad_audio", f"the sound starts with {told(head)}; valid are {', '.join(KINDS)} files"
        )
    file.seek(0)
    try:
        with soundfile.SoundFile(file) as sound:
            if sound.frames * sound.channels > most:
                raise DecodeError(
                    "too_many_samples",
                    f"the sound claims {sound.frames} samples of {sound.channels} channels; "
                    f"limits.samples is {most}",
                )
            data: Array = sound.read(dtype="float32", always_2d=True)
            return Heard(sound.samplerate, np.ascontiguousarray(data.T))
    except soundfile.LibsndfileError as error:
        why = " ".join(str(error.error_string).split())[:200]
        raise DecodeError("bad_audio", f"the sound cannot be read: {why!a}") from error


def mixed(data: Array) -> Array:
    """One channel, the mean of all: `(C, n) -> (1, n)`."""
    mean: Array = data if len(data) == 1 else data.mean(axis=0, keepdims=True, dtype=np.float32)
    return mean


def encode_audio(data: Array, rate: float, kind: str = "FLAC") -> bytes:
    """One message of the samples `(1, n)`, in -1 to 1 (beyond it is clipped): 16 bits a sample.

    Raises ConfigError for a kind that is none of KINDS, and for a rate that is no whole number.
    """
    check_installed()
    if kind not in KINDS or rate != int(rate):
        raise ConfigError(
            f"sound as {kind!r} of {rate:g} samples/s: valid are {', '.join(KINDS)} and whole "
            "numbers"
        )
    file = BytesIO()
    soundfile.write(file, np.clip(data, -1, 1).T, int(rate), format=kind)
    return file.getvalue()
