"""Where work is done: this machine's cores, or the workers of a Dask cluster."""
