"""Images of a cube: sums, windows of bands, elements, lines, colour; made in one pass over the file."""
