"""What spectra say: lines of elements and species, their positions, peaks, calibration and units of axes."""
