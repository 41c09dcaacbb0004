"""Tests against a real broker process on loopback."""

import monitor.connect.kafka  # noqa: F401  kafka-python's import warns; this one makes it quiet
