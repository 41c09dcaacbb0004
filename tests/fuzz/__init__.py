"""Hostile input for every reader of the product: `python -m tests.fuzz`, or `make fuzz`.

`draws.py` and `mutations.py` make payloads, each `Target` feeds them to one reader exactly as the
product does, `trial.py` counts, times and weighs, `guided.py` lets atheris choose by coverage.
"""
