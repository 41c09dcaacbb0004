"""The data path: records, windows, scores, thresholds, alerts. No I/O, no clock, no torch."""
