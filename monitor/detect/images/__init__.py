"""Detectors that look at frames with a backbone trained on photographs.

Reading order: weights.py (the file), backbone.py (the net of a file), pyramid.py (features of
patches), patches.py (what detectors of patches share), padim.py and patchcore.py.
"""
