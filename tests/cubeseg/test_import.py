"""What `import cubeseg` brings along: no heavy library, whatever the machine's speed."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {
    "torch",
    "sklearn",
    "scipy",
    "numpy",
    "h5py",
    "astropy",
    "matplotlib",
    "napari",
    "qtpy",
    "PyQt6",
    "dask",
    "tifffile",
}


def test_importing_cubeseg_is_cheap():
    code = "import sys, cubeseg; print(*{name.split('.')[0] for name in sys.modules})"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(said.stdout.split())
