"""monitor: a streaming monitor for machines."""

__version__ = "0.1.0"
