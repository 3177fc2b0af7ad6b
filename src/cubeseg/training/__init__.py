"""One training loop and what uses it: fit, label, refine from corrections, apply to other cubes, learn a series."""
