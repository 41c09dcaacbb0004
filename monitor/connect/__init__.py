"""Every socket and every file: logs to read from, places to write to."""
