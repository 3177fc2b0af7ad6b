"""The latent view without a window: positions, density, lasso, and what becomes of marked pixels."""

from __future__ import annotations

import numpy as np
import pytest

from napari_cubeseg import layers as our
from napari_cubeseg.scatter import Scatter
from tests.napari_cubeseg.helpers import check_spectra


@pytest.fixture
def scatter(done):
    return Scatter(done.result)


def test_every_pixel_with_a_code_has_a_place(done, scatter):
    assert len(scatter.positions) == len(scatter.pixels) == done.result.labels.size
    assert scatter.positions[:, 0].std() >= scatter.positions[:, 1].std()
    row, column = 3, 7
    assert scatter.place(row, column) == tuple(scatter.positions[row * 32 + column].tolist())
    assert scatter.place(row, column + 10**6) is None


def test_looking_along_a_code(done, scatter):
    scatter.look_along("code 2", "code 1")
    latent = done.result.latent.reshape(-1, done.result.latent.shape[-1]).astype(np.float32)
    np.testing.assert_allclose(scatter.positions, latent[:, [1, 0]], atol=1e-6)


def test_a_lasso_takes_what_it_encloses(scatter):
    left, right, bottom, top = scatter.bounds
    middle = (left + right) / 2
    found = scatter.inside([(left, bottom), (middle, bottom), (middle, top), (left, top)])
    x, y = scatter.positions.T
    expected = (x > left) & (x < middle) & (y > bottom) & (y < top)
    assert (found.ravel() == expected).mean() > 0.99
    assert not scatter.inside([(left, bottom), (right, top)]).any()


def test_density_counts_all_points_in_the_colours_of_their_classes(done, scatter):
    colours = {1: (255, 0, 0), 2: (0, 255, 0)}
    image = scatter.density(done.result.labels, colours, scatter.bounds, 64)
    assert image.shape == (64, 64, 4)
    seen = image[image[..., 3] > 0]
    assert len(seen)
    assert (seen[:, 2] == 0).all()
    assert (seen[:, :2].sum(axis=1) >= 250).all()
    assert not scatter.density(done.result.labels, {}, scatter.bounds, 64).any()


def test_masked_pixels_are_nowhere(done):
    done.result.latent[:2] = np.nan
    scatter = Scatter(done.result)
    assert len(scatter.pixels) == 30 * 32
    assert scatter.place(0, 0) is None


def test_marked_pixels_become_a_class(done):
    pixels = np.zeros(done.result.labels.shape, bool)
    pixels[4:9, 4:9] = True
    done.overlays.mark(pixels)
    assert any(our.role(layer) == "marked" for layer in done.viewer.layers)
    assert done.viewer.layers.selection.active is done.labels_layer
    done.overlays.assign_marked(None)
    assert (done.result.labels[4:9, 4:9] == 7).all()
    assert done.selected == (7,)
    assert done.overlays.marked is None
    assert not any(our.role(layer) == "marked" for layer in done.viewer.layers)
    check_spectra(done)
    done.workbench.undo()
    assert not (done.result.labels == 7).any()


def test_marked_pixels_of_locked_classes_stay(done):
    locked = int(done.result.labels[5, 5])
    done.workbench.lock([locked])
    mine = done.result.labels == locked
    done.overlays.mark(np.ones(mine.shape, bool))
    done.overlays.assign_marked(next(c.id for c in done.result.classes if c.id != locked))
    assert ((done.result.labels == locked) == mine).all()


def test_marks_go_with_their_segmentation(done):
    done.overlays.mark(np.ones(done.result.labels.shape, bool))
    done.viewer.layers.remove(done.labels_layer)
    assert done.overlays.marked is None


def test_classes_that_are_not_chosen_are_darkened(done):
    def veils():
        return [layer for layer in done.viewer.layers if our.role(layer) == "veil"]

    done.select([1])
    assert not veils()
    done.overlays.fade_others(True)
    (veil,) = veils()
    assert done.viewer.layers.selection.active is done.labels_layer
    np.testing.assert_array_equal(veil.data == 0, done.result.labels == 1)
    done.select([1, 2])
    np.testing.assert_array_equal(veil.data == 0, np.isin(done.result.labels, (1, 2)))
    done.workbench.merge([2, 3])
    done.select([2])
    np.testing.assert_array_equal(veil.data == 0, done.result.labels == 2)
    done.select([])
    # kept, but not seen: napari takes long to remove a layer
    assert veils() == [veil]
    assert not veil.visible
    done.select([2])
    assert veil.visible
    done.overlays.fade_others(False)
    assert not veils()
