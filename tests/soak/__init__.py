"""The soak test: one process at its highest sustainable rate, while sensors come and go.

Beside it `restore`: how long the state of many sensors takes to come back.
"""
