"""Recorded data: read as a source of messages, written as a sink of scores and alerts."""
