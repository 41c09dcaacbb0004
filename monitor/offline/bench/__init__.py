"""`monitor bench`: microseconds per window, by stage, and against a naive pipeline.

Reading order: workload.py (what is streamed), naive.py and ours.py (the two sides), measure.py (how
time is taken), main.py, and then stages.py, components.py, latency.py, report.py.
"""

from monitor.offline.bench.main import Options, run, run_bench

__all__ = ["Options", "run", "run_bench"]
