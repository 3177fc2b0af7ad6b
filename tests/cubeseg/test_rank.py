"""The rank above the noise, and what follows for the number of classes."""

from __future__ import annotations

import numpy as np
import pytest

from cubeseg import FitConfig, segment
from cubeseg.clustering.rank import most_classes, noise_rank
from tests.cubeseg.cubes import counts_cube, shapes


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("k", [1, 2, 4])
def test_rank_of_mixtures_is_the_number_of_their_spectra(k, seed):
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(k), 3000)
    assert noise_rank(rng.poisson(100 * weights @ shapes(k=k)).astype(np.float32)) == k


def test_nothing_but_noise_is_not_cut_into_many_classes():
    cube, _ = counts_cube(200)
    data = np.random.default_rng(0).poisson(3.0, cube.data.shape).astype(np.uint16)
    result = segment(type(cube)(data, cube.axis, unit="counts"), FitConfig(clusters=(1, 9), epochs=2))
    assert len(result.classes) == 1
    assert "stand out of the noise" in result.notes[0]


def test_bounds():
    assert [most_classes(r) for r in (0, 1, 2, 4, 8)] == [1, 1, 3, 10, 36]
