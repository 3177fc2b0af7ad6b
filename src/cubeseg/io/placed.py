"""A list of spectra seen as an image, by what says where each of them lies."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeseg.errors import DataError
from cubeseg.io.lazy import Lazy, full_key

__all__ = ["PlacedSpectra"]

Array = np.ndarray[Any, Any]
Index = NDArray[np.intp]

# spectra between two wanted ones that are read along, rather than reading twice
_GAP = 32
_BYTES = 32 << 20


class PlacedSpectra(Lazy):
    """Spectra (n, bands) of a file as (bands, y, x); several in one pixel are added up, none gives 0.

    Parameters
    ----------
    source : sliceable, shape (n, bands)
        Read in slices only; reading must be safe from any thread (HDF5 datasets and memory maps are).
    spectra, pixels : arrays of int, shape (m,)
        Spectrum `spectra[k]` lies in pixel `pixels[k]`, counted row by row.
    image_shape : (int, int)
    name : str
        The file, for messages.

    Raises
    ------
    DataError
        On reading, where the file turns out to be damaged.
    """

    def __init__(
        self, source: Any, spectra: Index, pixels: Index, image_shape: tuple[int, int], name: str = "this cube"
    ) -> None:
        order = np.argsort(pixels, kind="stable")
        self._source, self._name, self._spectra = source, name, np.asarray(spectra, np.intp)[order]
        self._image = image_shape
        self._first = np.searchsorted(pixels[order], np.arange(image_shape[0] * image_shape[1] + 1)).astype(np.intp)
        stored = np.dtype(source.dtype)
        # sums of many counts need more room than one
        wide = {"u": np.dtype(np.uint32), "i": np.dtype(np.int32)}.get(stored.kind, stored)
        self.dtype: np.dtype[Any] = np.promote_types(stored, wide) if self.per_pixel.max(initial=0) > 1 else stored
        self.shape: tuple[int, ...] = (int(source.shape[1]), *image_shape)
        self.ndim = 3

    @property
    def per_pixel(self) -> NDArray[np.intp]:
        """How many spectra lie in each pixel, shape (y, x)."""
        return np.diff(self._first).reshape(self._image)

    def __getitem__(self, key: Any) -> Any:
        bands, rows, columns = full_key(key)
        pixels = np.arange(len(self._first) - 1).reshape(self._image)[rows, columns]
        chosen = np.arange(self.shape[0])[bands]
        values = self._sums(np.ravel(pixels), np.ravel(chosen))
        return values.T.reshape(np.shape(chosen) + np.shape(pixels))

    def sum_of(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum over the spectra of each pixel of something that each spectrum has one of, shape (y, x)."""
        pixels = np.repeat(np.arange(len(self._first) - 1), np.diff(self._first))
        total = np.bincount(pixels, values[self._spectra], len(self._first) - 1)
        return np.asarray(total, dtype=np.float64).reshape(self._image)

    def _sums(self, pixels: Index, bands: Index) -> Array:
        """Shape (pixels, bands)."""
        result = np.zeros((len(pixels), len(bands)), self.dtype)
        counts = self._first[pixels + 1] - self._first[pixels]
        for nth in range(int(counts.max(initial=0))):
            there = np.flatnonzero(counts > nth)
            wanted, place = np.unique(self._spectra[self._first[pixels[there]] + nth], return_inverse=True)
            result[there] += self._read(wanted, bands)[place]
        return result

    def _read(self, wanted: Index, bands: Index) -> Array:
        """Spectra of rising numbers, in few reads."""
        result = np.empty((len(wanted), len(bands)), self._source.dtype)
        low, high = int(bands.min(initial=self.shape[0])), int(bands.max(initial=-1)) + 1
        most = max(1, _BYTES // max(1, (high - low) * result.itemsize))
        ends = [*(np.flatnonzero(np.diff(wanted) > _GAP) + 1), len(wanted)]
        begin = 0
        for end in ends if high > low else ():
            while begin < end:
                stop = min(end, int(np.searchsorted(wanted, wanted[begin] + most)))
                first, last = int(wanted[begin]), int(wanted[stop - 1])
                try:
                    part = np.asarray(self._source[first : last + 1, low:high])
                except (OSError, RuntimeError, ValueError) as error:
                    # what h5py and zlib throw at a damaged part, long after the file was opened
                    reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
                    raise DataError(f"{self._name}: a part of it cannot be read, it is damaged ({reason})") from error
                result[begin:stop] = part[np.ix_(wanted[begin:stop] - first, bands - low)]
                begin = stop
        return result
