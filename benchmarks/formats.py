"""Every format: seconds to open, memory that it takes beside the file's size, and what axis comes out.

    python benchmarks/formats.py

Real files where CUBESEG_DATA holds them, and small ones that the tests write. Each is opened in a process of its own,
and one band and one pixel are read.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("CUBESEG_DATA", ROOT.parent / "shared" / "data"))

_CHILD = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np
from cubeseg.io import ChoiceNeeded, formats, open_cube
from cubeseg.pages import mapping
formats()
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024
before, start = peak(), time.perf_counter()
said = {}
try:
    try:
        cube = open_cube(sys.argv[1])
    except ChoiceNeeded as question:
        first = question.candidates[0] if question.candidates else None
        said = {s.name: s.default for s in question.settings}
        dataset, axis = (first.dataset or None, first.spectral_axis) if first else (None, None)
        cube = open_cube(sys.argv[1], dataset=dataset, spectral_axis=axis, **said)
except Exception as error:
    print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
    sys.exit()
opened = time.perf_counter() - start
np.asarray(cube.data[cube.n_bands // 2]), cube.spectrum(0, 0)
lazy = "map" if mapping(cube.data) else "parts" if not isinstance(cube.data, np.ndarray) else "whole"
print(json.dumps({
    "format": cube.source.format, "shape": list(cube.data.shape), "axis": cube.axis.label,
    "from": cube.axis.format(0), "to": cube.axis.format(cube.n_bands - 1), "asked": sorted(said),
    "lazy": lazy, "seconds": opened, "mib": peak() - before,
}))
"""

_REAL = (
    "mpdaf_cubes/CUBE.fits", "mpdaf_cubes/Central_Datacube_bkg.fits", "l1448_13co/l1448_13co.fits",
    "radio_small/example_cube.fits", "_derived_robustness/l1448_int16_bscale.fits", "samson/samson_dataset.mat",
    "moffett/moffett.mat", "houston2018_crop/houston_dataset.mat", "salton_sea/salton_sea_roi.mat",
    "abu_anomaly/abu-beach-4.mat", "raman_chondro/chondro_cube.npz", "xrf_aps_mda/2xfm_0010.mda",
    "xrf_aps_mda/2xfm_0011_2xfm3__0.h5", "eds_bruker_bcf/bcf_v2_50x50px.bcf", "eds_bruker_bcf/test_TEM.bcf",
    "velox_emd/example_velox_EELS_EDS.emd", "jeol_eds/Sample/00_View000/View000_0000006.pts",
    "raman_renishaw/renishaw_test_streamline.wdf", "delmic_cl/sparc-hyperspectral.h5",
)  # fmt: skip


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    sys.path.insert(0, str(ROOT))
    from tests.cubeseg.io.written import healthy_files

    print("| file | format | shape | values | axis | seconds to open | peak memory ÷ file |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        real = [DATA / name for name in _REAL if (DATA / name).is_file()]
        for path in [*real, *healthy_files(Path(folder))]:
            done = subprocess.run(
                [sys.executable, "-c", _CHILD, str(path)], capture_output=True, text=True, check=False
            )
            lines = done.stdout.splitlines()
            found = json.loads(lines[-1]) if lines else {"error": done.stderr[-200:]}
            origin = "real" if path in real else "written"
            if "error" in found:
                print(f"| {path.name} ({origin}) | | | | {found['error'][:90]} | | |")
                continue
            size = path.stat().st_size / 2**20
            print(
                f"| {path.name} ({origin}) | {found['format']} | {' × '.join(map(str, found['shape']))} | "
                f"{found['lazy']}{', asked: ' + ', '.join(found['asked']) if found['asked'] else ''} | "
                f"{found['axis']}: {found['from']} to {found['to']} | {found['seconds']:.2f} | "
                f"{found['mib']:.0f} MiB ÷ {size:.1f} MiB |",
                flush=True,
            )


if __name__ == "__main__":
    main()
