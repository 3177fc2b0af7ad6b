"""Reading cubes: one module per format, one registry."""

from cubeseg.io.registry import Candidate, ChoiceNeeded, Format, ReadOptions, formats, open_cube, reader

__all__ = ["Candidate", "ChoiceNeeded", "Format", "ReadOptions", "formats", "open_cube", "reader"]
