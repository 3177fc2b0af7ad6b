"""Unmixing: component spectra and how much of each a pixel holds, with as many components as the data demand.

The model is that of EB-gMCR (Chang & Chen, arXiv 2507.23600): components times gates times concentrations. What is
repaired, and how the parts work together, is told in docs/how-it-works.md.
"""
