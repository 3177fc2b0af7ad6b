"""Several open cubes under one set of classes, in a viewer without a window."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cubeseg import FitConfig
from cubeseg.cube import Source
from cubeseg.samples import leaf
from napari_cubeseg import layers as our
from napari_cubeseg.session import session_of

TOGETHER = FitConfig(method="global", patch=16, clusters=(3, 3), epochs=1)


def day(number, bands=24):
    return replace(leaf(32, number, 0, bands).cube, source=Source(dataset=f"day {number}"))


@pytest.fixture
def two(viewer):
    session = session_of(viewer)
    for number in (0, 5):
        session.add(our.cube_layer(day(number)))
    return session


@pytest.fixture
def told(monkeypatch):
    seen = []
    monkeypatch.setattr("napari_cubeseg.run.show_error", seen.append)
    monkeypatch.setattr("napari_cubeseg.session.show_error", seen.append)
    return seen


def labels_of(session):
    return [layer for layer in session.viewer.layers if our.role(layer) == "labels"]


def test_open_cubes_share_their_classes(two, told):
    active = two.cube_layer
    two.start(TOGETHER, together=True)
    layers = labels_of(two)
    assert told == []
    assert len(layers) == 2
    results = [our.result_of(layer) for layer in layers]
    first, second = ([c.colour for c in r.classes] for r in results)
    assert first == second
    np.testing.assert_allclose(results[0].centroids, results[1].centroids)
    assert {r.source.dataset for r in results} == {"day 0", "day 5"}
    # the cube that was active stays so, with its own labels shown
    assert two.cube_layer is active
    assert two.labels_layer.visible
    assert two.result.source.dataset == "day 5"
    assert not two.running


def test_a_cube_that_does_not_fit_is_named_and_the_others_go_on(two, told):
    odd = replace(day(3, 20), axis=replace(day(3, 20).axis, unit="keV", kind="energy"))
    two.add(our.cube_layer(odd))
    two.viewer.layers.selection.active = our.cube_layers(two.viewer)[0]
    two.start(TOGETHER, together=True)
    assert len(labels_of(two)) == 2
    assert len(told) == 1
    assert not two.running
