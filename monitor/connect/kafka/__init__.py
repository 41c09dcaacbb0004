"""Apache Kafka: reading in a consumer group, writing results; nothing else imports kafka-python."""

import warnings

with warnings.catch_warnings():
    # Its import uses importlib.resources in a way that Python 3.11 calls deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    import kafka

__all__ = ["kafka"]
