"""Small files of every format, and what must come out of them."""

from __future__ import annotations

import gzip

import h5py
import numpy as np
import tifffile
from astropy.io import fits
from scipy.io import savemat

BANDS, HEIGHT, WIDTH = 20, 6, 8
CUBE = np.random.default_rng(0).integers(0, 200, (BANDS, HEIGHT, WIDTH))
AXIS = np.linspace(400, 780, BANDS)
HEALTHY = [
    "a.hdr", "b.fits", "c.fits.gz", "d.fits", "e.npy", "f.npz", "g.npz", "h.mat", "i.mat", "j.mat", "k.h5", "l.nxs",
    "m.nxs", "n.h5", "o.tif", "p.tif", "q.tif", "r.rpl", "s.dms",
]  # fmt: skip


def same(cube, data=CUBE):
    assert cube.data.shape == data.shape
    np.testing.assert_allclose(cube.block(slice(None), slice(None)).data, data)
    np.testing.assert_allclose(cube.data[3], data[3])
    np.testing.assert_allclose(cube.spectrum(2, 5), data[:, 2, 5])
    np.testing.assert_allclose(cube.data[2:5, 1:3, 4], data[2:5, 1:3, 4])


def matlab_v73(path):
    with h5py.File(path, "w", userblock_size=512) as file:
        file["cube"] = CUBE.transpose(1, 2, 0).transpose()
        file["WL"] = AXIS[:, None]
        file["bbl"] = (np.arange(BANDS) != 4)[:, None].astype(float)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    return path


def fits_cube(path, data, **header):
    keywords = {
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CTYPE3": "AWAV", "CUNIT1": "deg", "CUNIT2": "deg",
        "CUNIT3": "Angstrom", "CRVAL1": 10.0, "CRVAL2": 20.0, "CRVAL3": 4750.0, "CRPIX1": 4.0, "CRPIX2": 3.0,
        "CRPIX3": 1.0, "CD1_1": -0.2 / 3600, "CD2_2": 0.2 / 3600, "CD3_3": 1.25, "CD1_2": 0.0, "CD2_1": 0.0,
    } | header  # fmt: skip
    hdu = fits.ImageHDU(data.astype(np.float32), name="DATA")
    for key, value in keywords.items():
        hdu.header[key] = value
    stat = fits.ImageHDU((data + 1).astype(np.float32), name="STAT")
    fits.HDUList([fits.PrimaryHDU(), hdu, stat]).writeto(path)


def envi(folder, interleave="bsq", dtype="u2", order="<", offset=0, **extra):
    number = {"u1": 1, "i2": 2, "i4": 3, "f4": 4, "f8": 5, "u2": 12, "u4": 13}[dtype]
    stored = CUBE.transpose({"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}.get(interleave, (0, 1, 2)))
    (folder / "a.raw").write_bytes(b"x" * offset + np.ascontiguousarray(stored).astype(order + dtype).tobytes())
    fields = {
        "samples": WIDTH, "lines": HEIGHT, "bands": BANDS, "data type": number, "interleave": interleave,
        "byte order": int(order == ">"), "header offset": offset, "wavelength units": "Nanometers",
        "wavelength": "{" + ",\n".join(map(str, AXIS)) + "}",
    } | {k.replace("_", " "): v for k, v in extra.items()}  # fmt: skip
    lines = [f"{k} = {v}" for k, v in fields.items() if v is not None]
    (folder / "a.hdr").write_text("ENVI\n; a comment\n" + "\n".join(lines))
    return folder / "a.hdr"


def nexus(path, **options):
    """A cube with all that HDF5 offers to find things by: links, scales, labels, references, texts."""
    with h5py.File(path, "w", **options) as file:
        file.attrs.update({"default": "entry", "note": "written by a test", "sizes": np.arange(6.0)})
        entry = file.create_group("entry", track_order=True)
        entry.attrs.update({"NX_class": "NXentry", "default": "data"})
        group = entry.create_group("data")
        group.attrs.update({"NX_class": "NXdata", "signal": "counts", "axes": ["y", "x", "energy"]})
        counts = group.create_dataset(
            "counts", data=CUBE.transpose(1, 2, 0).astype("u2"), chunks=(2, 3, 7), compression="gzip",
            shuffle=True, fletcher32=True, maxshape=(None, None, BANDS),
        )  # fmt: skip
        group["energy"] = AXIS / 100
        group["energy"].attrs["units"] = "keV"
        group["energy"].make_scale("energy")
        counts.dims[2].attach_scale(group["energy"])
        counts.dims[2].label = "energy"
        entry["names"] = [f"band {n}" for n in range(BANDS)]
        entry["linked"] = h5py.SoftLink("/entry/data/counts")
        entry["elsewhere"] = h5py.ExternalLink("other.h5", "/entry")
        for number in range(12):
            entry[f"image{number}"] = CUBE[number].astype("f4")
    return path


def healthy_files(folder):
    """One small healthy file of each format that needs no optional package, for tests that damage them."""
    from cubeseg import open_cube
    from cubeseg.io.cubefile import copied

    envi(folder)
    fits_cube(folder / "b.fits", CUBE)
    (folder / "c.fits.gz").write_bytes(gzip.compress((folder / "b.fits").read_bytes()))
    fits.CompImageHDU(CUBE.astype(np.float32)).writeto(folder / "d.fits")
    np.save(folder / "e.npy", CUBE)
    np.savez(folder / "f.npz", cube=CUBE.transpose(1, 2, 0), wavelength=AXIS)
    np.savez_compressed(folder / "g.npz", cube=CUBE.transpose(1, 2, 0), wavelength=AXIS)
    savemat(folder / "h.mat", {"cube": CUBE.transpose(1, 2, 0), "wl": AXIS})
    savemat(folder / "i.mat", {"cube": CUBE.transpose(1, 2, 0), "wl": AXIS}, do_compression=True)
    matlab_v73(folder / "j.mat")
    with h5py.File(folder / "k.h5", "w") as file:
        file.create_dataset("img", data=CUBE.transpose(1, 2, 0), chunks=(3, 4, 5), compression="gzip")
        file["axis"] = AXIS
        file["axis"].attrs["unit"] = "keV"
    nexus(folder / "l.nxs")
    nexus(folder / "m.nxs", libver="latest")
    list(copied(open_cube(folder / "b.fits"), folder / "n.h5"))
    tifffile.imwrite(folder / "o.tif", CUBE.astype("u2"), photometric="minisblack")
    labels = {"axes": "CYX", "Labels": [f"{value:g} nm" for value in AXIS]}
    tifffile.imwrite(folder / "p.tif", CUBE.astype("u2"), imagej=True, metadata=labels)
    tifffile.imwrite(folder / "q.tif", CUBE.astype("u2"), compression="zlib", tile=(16, 16), photometric="minisblack")
    (folder / "r.raw").write_bytes(CUBE.transpose(1, 2, 0).astype("<u2").tobytes())
    rows = {
        "key": "value", "width": WIDTH, "height": HEIGHT, "depth": BANDS, "offset": 0, "data-length": 2,
        "data-type": "unsigned", "byte-order": "little-endian", "record-by": "vector", "depth-scale": 0.01,
    }  # fmt: skip
    (folder / "r.rpl").write_text("".join(f"{key}\t{value}\n" for key, value in rows.items()))
    maps = f"2\n{WIDTH} {HEIGHT} {BANDS}\n".encode() + CUBE.astype("<f4").tobytes()
    (folder / "s.dms").write_bytes(maps + "".join(f"E{n}-K\n" for n in range(BANDS)).encode())
    return [folder / name for name in HEALTHY]
