"""Pixel sizes that the scales of an HDF5 dataset give."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from cubeseg import open_cube
from tests.cubeseg.io.written import BANDS, CUBE, HEIGHT, WIDTH


@pytest.mark.parametrize(
    ("y", "x", "size", "unit"),
    [
        ((3e-6, "m"), (2e-6, "m"), (3, 2), "um"),
        ((3e-9, "m"), (2e-9, "m"), (3, 2), "nm"),
        ((30.0, "m"), (20.0, "m"), (30, 20), "m"),
        # positions, that rise and fall
        ((np.arange(HEIGHT) * 0.5, "mm"), (7 - 0.25 * np.arange(WIDTH), "mm"), (0.5, 0.25), "mm"),
        # what does not tell
        ((3e-6, "m"), (2.0, "um"), (1, 1), "pixel"),
        ((3.0, "s"), (2.0, "s"), (1, 1), "pixel"),
        ((0.0, "m"), (2.0, "m"), (1, 1), "pixel"),
        ((np.nan, "m"), (2.0, "m"), (1, 1), "pixel"),
        ((np.arange(HEIGHT) ** 2.0, "mm"), (np.arange(WIDTH) * 1.0, "mm"), (1, 1), "pixel"),
    ],
)
@pytest.mark.parametrize("how", ["scales", "nexus"])
def test_pixel_size_from_the_scales_of_the_axes(tmp_path, y, x, size, unit, how):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file.create_group("data")
        group["counts"] = CUBE.transpose(1, 2, 0)
        group["energy"] = np.linspace(1, 20, BANDS)
        group["energy"].attrs["units"] = "keV"
        for n, (name, (values, said)) in enumerate({"y": y, "x": x}.items()):
            group[name] = values
            group[name].attrs["UNIT"] = said
            if how == "scales":
                group[name].make_scale(name)
                group["counts"].dims[n].attach_scale(group[name])
        if how == "nexus":
            group.attrs.update({"NX_class": "NXdata", "signal": "counts", "axes": ["y", "x", "energy"]})
    cube = open_cube(tmp_path / "a.h5")
    np.testing.assert_allclose(cube.spatial.pixel_size, size)
    assert cube.spatial.unit == unit
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file.attrs.update(pixel_size=[5.0, 4.0], pixel_unit="um")
    # what was said on purpose holds
    assert open_cube(tmp_path / "a.h5").spatial.pixel_size == (5, 4)
