"""Reference spectra: libraries, the files that hold them, and what in them matches a class."""
