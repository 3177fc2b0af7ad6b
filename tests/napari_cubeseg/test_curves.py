"""Which curves are shown and how; spectra that are kept."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest

from napari_cubeseg.curves import Look, curves, readable_unit, smoothed
from tests.napari_cubeseg.helpers import paint


def named(found):
    return {curve.key: curve for curve in found}


def test_before_a_run_there_is_the_mean(session):
    (only,) = curves(session, Look())
    assert only.key == ("mean", 0)
    np.testing.assert_allclose(only.values, session.typical)


def test_classes_with_their_spread(done):
    found = named(curves(done, Look()))
    assert set(found) == {("class", i) for i in range(1, 7)}
    mean, std = done.result.spectra.mean(3), done.result.spectra.std(3)
    np.testing.assert_allclose(found["class", 3].values, mean)
    np.testing.assert_allclose(found["class", 3].low, mean - std)
    assert named(curves(done, Look(spread="none")))["class", 3].low is None


def test_selection_makes_others_faint_or_leaves_them_out(done):
    done.select([2])
    found = curves(done, Look())
    assert [c.key for c in found if not c.faint] == [("class", 2)]
    assert found[-1].chosen
    assert found[0].low is None
    assert [c.key for c in curves(done, Look(only=True))] == [("class", 2)]


def test_hidden_classes_are_not_shown(done):
    done.workbench.hide([2])
    assert ("class", 2) not in named(curves(done, Look()))


def test_median_and_percentiles_come_from_the_pixels(done):
    look = Look(statistic="median", spread="percentiles")
    curve = named(curves(done, look))["class", 2]
    mine = done.cube.block(slice(None), slice(None)).data[:, done.result.labels == 2]
    assert mine.shape[1] <= 400
    np.testing.assert_allclose(curve.values, np.median(mine, axis=1))
    np.testing.assert_allclose(curve.low, np.percentile(mine, 16, axis=1), rtol=1e-5)
    np.testing.assert_allclose(named(curves(done, Look(statistic="largest")))["class", 2].values, mine.max(axis=1))
    paint(done.labels_layer, (0, 6), (0, 6), 2)
    mine = done.cube.block(slice(None), slice(None)).data[:, done.result.labels == 2]
    curve = named(curves(done, look))["class", 2]
    np.testing.assert_allclose(curve.values, np.median(mine, axis=1))


def test_normalised_heights(done):
    for curve in curves(done, Look(normalise="largest")):
        assert np.abs(curve.values).max() == pytest.approx(1)
    for curve in curves(done, Look(normalise="area")):
        assert np.abs(curve.values).mean() == pytest.approx(1)


def test_smoothing_keeps_the_area_and_ignores_gaps():
    values = np.zeros(101)
    values[50] = 1
    assert smoothed(values, 9).sum() == pytest.approx(1, abs=0.02)
    assert smoothed(values, 9).max() < 0.2
    assert smoothed(values, 0) is values
    flat = np.full(40, 3.0)
    flat[7] = np.nan
    np.testing.assert_allclose(np.delete(smoothed(flat, 5), 7), 3.0)
    assert np.isnan(smoothed(flat, 5)[7])
    assert len(smoothed(np.ones(5), 99)) == 5


def test_difference_and_ratio_of_the_first_two_chosen(done):
    done.select([3, 1])
    one, other = done.result.spectra.mean(3), done.result.spectra.mean(1)
    (difference,) = curves(done, Look(compare="difference"))
    np.testing.assert_allclose(difference.values, one - other)
    assert difference.name.startswith("class 3")
    (ratio,) = curves(done, Look(compare="ratio"))
    finite = np.isfinite(ratio.values)
    np.testing.assert_allclose(ratio.values[finite], (one / np.where(other == 0, np.nan, other))[finite])
    done.select([3])
    assert len(curves(done, Look(compare="ratio"))) == 6


def test_a_box_about_the_clicked_pixel(done):
    done.inspection.box = 3
    done.inspect(5, 7)
    data = done.cube.block(slice(4, 7), slice(6, 9)).data
    np.testing.assert_allclose(done.pixel.spectrum, data.mean(axis=(1, 2)), rtol=1e-6)
    assert "3×3" in named(curves(done, Look()))["pixel", 0].name
    done.inspect(0, 0)
    data = done.cube.block(slice(0, 2), slice(0, 2)).data
    np.testing.assert_allclose(done.pixel.spectrum, data.mean(axis=(1, 2)), rtol=1e-6)


def test_kept_spectra_are_exported(done, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("napari_cubeseg.named.show_error", said.append)
    done.named.keep_pixel()
    assert "Click a pixel" in said[-1]
    done.inspect(5, 7)
    done.named.keep_pixel()
    done.named.rename(0, "azurite?")
    done.overlays.mark(done.result.labels == 4)
    done.named.keep_marked()
    assert [k.name for k in done.named.kept] == ["azurite?", "marked"]
    np.testing.assert_allclose(done.named.kept[1].values, done.result.spectra.mean(4), rtol=1e-5)
    done.named.write(tmp_path / "kept.csv")
    with (tmp_path / "kept.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["Energy (keV)", "azurite?", "marked"]
    assert len(rows) == 1025
    assert float(rows[9][1]) == pytest.approx(done.cube.spectrum(5, 7)[8])
    done.named.remove(0)
    assert [k.name for k in done.named.kept] == ["marked"]
    assert ("kept", 0) in named(curves(done, Look()))


@pytest.mark.parametrize("kind", ["rectangle", "ellipse", "polygon", "path"])
def test_regions_of_a_shapes_layer(done, kind):
    corners = np.array([[4, 4], [4, 11], [15, 11], [15, 4]], float)
    shapes = done.viewer.add_shapes([corners * 500], shape_type=kind, name="roi")
    done.named.keep_shapes()
    (kept,) = done.named.kept
    expected = {"rectangle": 12 * 8, "polygon": 12 * 8, "ellipse": np.pi * 5.5 * 3.5, "path": 7 + 11 + 7 + 1}[kind]
    assert kept.pixels == pytest.approx(expected, rel=0.08)
    if kind == "rectangle":
        data = done.cube.block(slice(4, 16), slice(4, 12)).data
        np.testing.assert_allclose(kept.values, data.mean(axis=(1, 2)), rtol=1e-5)
    assert kept.name == f"{shapes.name} 1"


def test_regions_that_hold_nothing(done, monkeypatch):
    said = []
    monkeypatch.setattr("napari_cubeseg.named.show_error", said.append)
    done.named.keep_shapes()
    assert "Draw a region first" in said[-1]
    done.viewer.add_shapes([np.array([[-40, -40], [-40, -30], [-30, -30]]) * 500.0], shape_type="polygon")
    done.named.keep_shapes()
    assert "holds no pixel" in said[-1]
    assert not done.named.kept


def test_masked_pixels_are_not_in_regions(done):
    mask = np.ones(done.cube.image_shape, bool)
    mask[:10] = False
    layer = done.cube_layer
    layer.metadata["cubeseg"]["cube"] = replace(done.cube, mask=mask)
    done.viewer.add_shapes([np.array([[4, 4], [4, 11], [15, 11], [15, 4]]) * 500.0], shape_type="rectangle")
    done.named.keep_shapes()
    assert done.named.kept[0].pixels == 6 * 8


@pytest.mark.parametrize(
    ("unit", "seen"),
    [
        ("10**-20 Angstrom-1 cm-2 erg s-1", "10⁻²⁰ Å⁻¹ cm⁻² erg s⁻¹"),
        ("10**(-20)*erg/s/cm**2/Angstrom", "10⁻²⁰*erg/s/cm²/Å"),
        ("1e-17 erg/s/cm^2", "1e-17 erg/s/cm²"),
        ("Jy/beam", "Jy/beam"),
        ("", ""),
    ],
)
def test_units_as_people_write_them(unit, seen):
    assert readable_unit(unit) == seen
