"""Unmixing in the viewer: abundance layers, component curves, known components."""

from __future__ import annotations

import numpy as np
import pytest

from cubeseg import FitConfig, open_cube
from napari_cubeseg import layers as our
from napari_cubeseg.curves import Look, curves

UNMIX = FitConfig.from_mapping({"method": "unmix", "clusters": 3, "epochs": 1, "mixing": {"restarts": 1}})


@pytest.fixture
def unmixed(session):
    session.start(UNMIX)
    assert session.result is not None
    return session


def test_one_layer_for_each_abundance(unmixed):
    layers, result = unmixed.components.layers, unmixed.result
    assert [layer.metadata[our.KEY]["class"] for layer in layers] == [c.id for c in result.classes]
    assert np.array_equal(layers[0].data, result.unmixed.abundances[0])
    assert {layer.blending for layer in layers} == {"additive"}
    layers[0].contrast_limits = (0, 7)
    assert all(tuple(layer.contrast_limits) == (0, 7) for layer in layers)
    unmixed.components.show(True)
    assert all(layer.visible for layer in layers)
    assert not unmixed.labels_layer.visible
    unmixed.components.show(False)
    assert unmixed.labels_layer.visible


def test_components_are_curves_with_their_spread(unmixed):
    found = {curve.key: curve for curve in curves(unmixed, Look())}
    assert {key for key in found if key[0] == "component"} == {("component", c.id) for c in unmixed.result.classes}
    curve = found["component", 1]
    assert (curve.high >= curve.low).all()
    assert not [c for c in curves(unmixed, Look(components=False)) if c.key[0] == "component"]


def test_names_and_merges_reach_the_layers(unmixed):
    first, second = (c.id for c in unmixed.result.classes[:2])
    unmixed.workbench.rename(first, "lead white")
    assert any(layer.name.endswith("abundance lead white") for layer in unmixed.components.layers)
    total = unmixed.result.unmixed.abundances[[0, 1]].sum(axis=0)
    unmixed.workbench.merge([first, second])
    layers = unmixed.components.layers
    assert len(layers) == len(unmixed.result.unmixed) - 1
    np.testing.assert_allclose(layers[0].data, total, rtol=1e-5)
    unmixed.workbench.undo()
    assert len(unmixed.components.layers) == len(unmixed.result.unmixed)


def test_a_class_can_be_frozen_and_run_again(unmixed):
    unmixed.select([2])
    spectrum = unmixed.components.spectrum(2)[0]
    unmixed.components.freeze_classes()
    name = unmixed.result.info(2).name
    assert [one.name for one in unmixed.components.known] == [name]
    options = UNMIX.to_dict() | {"mixing": unmixed.components.mixing()}
    unmixed.start(FitConfig.from_mapping(options))
    found = unmixed.result.unmixed
    mine = found.components[found.names.index(name)]
    cosine = (mine @ spectrum) / np.linalg.norm(mine) / np.linalg.norm(spectrum)
    assert cosine == pytest.approx(1, abs=1e-4)
    unmixed.components.release()
    assert not unmixed.components.known


def test_a_kept_spectrum_can_be_frozen(unmixed):
    unmixed.inspect(5, 5)
    unmixed.named.keep_pixel()
    unmixed.components.freeze_kept()
    assert len(unmixed.components.known) == 1


def test_other_results_have_no_abundances(done):
    assert not done.components.layers
    assert done.components.spectrum(1) is None


def test_abundances_are_those_of_the_active_segmentation(unmixed):
    first = unmixed.labels_layer
    names = [layer.name for layer in unmixed.components.layers]
    unmixed.start(FitConfig.from_mapping({"method": "pca", "clusters": 3}))
    assert not unmixed.components.layers
    active = unmixed.viewer.layers.selection.active = first
    assert [layer.name for layer in unmixed.components.layers] == names
    assert unmixed.viewer.layers.selection.active is active
    # what the user takes away stays away
    for layer in unmixed.components.layers:
        unmixed.viewer.layers.remove(layer)
    unmixed.workbench.rename(1, "lead white")
    assert not unmixed.components.layers


def test_one_file_opened_twice(unmixed, painting_file):
    """Activating a segmentation that fits two cubes keeps the cube that is active."""
    first = unmixed.labels_layer
    unmixed.start(UNMIX)
    other = unmixed.add(our.cube_layer(open_cube(painting_file)))
    assert unmixed.cube_layer is other
    for layer in (first, other, first):
        unmixed.viewer.layers.selection.active = layer
    assert unmixed.labels_layer is first
    assert unmixed.cube_layer is other
