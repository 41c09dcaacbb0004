"""The chaos harness: whatever dies, moves or lies, results are those of an undisturbed run.

Reading order: `scenarios.py` (what happens), `trial.py` (one run of it), `compare.py` (verdict).
"""

import monitor.connect.kafka  # noqa: F401  kafka-python's import warns; this one makes it quiet
