"""Every error the product raises on purpose.

    MonitorError
    +-- ConfigError      the configuration, or a command's arguments: exit code 2
    +-- DecodeError      one message; becomes a Rejected record, never a stop
    +-- ModelError       a model file, or training that cannot give a usable model
    +-- StateError       a snapshot that cannot be read or does not fit
    +-- SourceError      the log cannot be read; `retriable` tells whether waiting may help
    +-- ServeError       the address to serve on cannot be listened on
    +-- SinkError        results cannot be delivered; `retriable` as above
        +-- AbortedError     a transaction is gone, and all that was in it

Each message names the offending value, where it stands, and what would be valid.
"""

from __future__ import annotations


class MonitorError(Exception):
    """The root: the command line prints it as one line and exits with `exit_code`."""

    exit_code = 1


class ConfigError(MonitorError):
    """A mistake of the user in the configuration or the arguments."""

    exit_code = 2


class DecodeError(MonitorError):
    """A message that cannot be used. `reason` is a fixed word (see docs/messages.md), counted and
    told.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class ModelError(MonitorError):
    """A model that is missing, damaged, of the wrong shape, or collapsed in training."""


class StateError(MonitorError):
    """A snapshot that is damaged or was written by something else."""


class ServeError(MonitorError):
    """The page, the API and `/metrics` cannot be served where they were to be."""


class _Connection(MonitorError):
    def __init__(self, message: str, *, retriable: bool = False) -> None:
        super().__init__(message)
        self.retriable = retriable


class SourceError(_Connection):
    """The log cannot be read."""


class SinkError(_Connection):
    """Results cannot be delivered, so nothing may be committed."""


class AbortedError(SinkError):
    """A transaction is gone: what is in memory is ahead of the log, so every partition that was in
    it has to be opened again from where the group stands.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, retriable=True)
