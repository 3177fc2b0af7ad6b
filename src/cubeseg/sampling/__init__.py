"""From the cube to what is learned from: usable bands, drawn spectra and patches, scaling, other axes."""
