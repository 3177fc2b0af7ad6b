"""Which array is the cube and which axis is spectral, where only shapes and names tell."""

from __future__ import annotations

import numpy as np
import pytest

from cubeseg.errors import DataError
from cubeseg.io import Candidate, ChoiceNeeded, ReadOptions
from cubeseg.io.layout import (
    Vector,
    check_claim,
    check_memory,
    choose,
    guess_axis,
    in_usual_unit,
    make_axis,
    wavelength_unit,
)


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((128, 128, 48), 2),
        ((100, 100, 102), 2),
        ((48, 128, 128), 0),
        ((25, 35, 300), 2),
        ((2048, 11, 9), 0),
        ((16, 20, 2048), 2),
        ((20, 2048, 16), 1),
        # an image that is rather long, with as many bands as it is wide: nothing tells
        ((300, 200, 180), None),
        ((60, 300, 80), None),
        ((100, 102, 100), None),
        ((9, 9, 9), None),
    ],
)
def test_the_axis_that_differs(shape, axis):
    assert guess_axis("something", shape, []) == axis


def test_a_vector_of_fitting_length_goes_before_the_shape():
    assert guess_axis("a", (40, 128, 100), [Vector("energy", np.arange(100.0))]) == 2
    assert guess_axis("a", (40, 128, 100), [Vector("position", np.arange(100.0))]) == 0
    assert guess_axis("a", (40, 128, 100), [Vector("position", np.arange(100.0), "keV")]) == 2
    assert guess_axis("a", (40, 128, 100), [Vector("position", np.arange(100.0), "um")]) == 0


def test_a_picture_is_no_rival_of_a_spectrum():
    found = [("preview", (512, 512, 3), "u1"), ("scan", (4, 4, 512), "u2")]
    assert choose("f", found, [], ReadOptions()) == Candidate("scan", (4, 4, 512), "uint16", 2)


def test_the_only_array_is_taken_though_it_is_a_picture():
    assert choose("f", [("preview", (512, 512, 3), "u1")], [], ReadOptions()).dataset == "preview"


def test_rivals_are_listed_best_first():
    found = [("one", (30, 30, 60), "f4"), ("counters", (30, 30, 4), "f4"), ("two", (30, 30, 80), "f4")]
    with pytest.raises(ChoiceNeeded) as asked:
        choose("f", found, [], ReadOptions())
    assert [c.dataset for c in asked.value.candidates] == ["two", "one", "counters"]


def test_metres_become_what_people_read():
    axis, _ = make_axis(3, [Vector("wavelength", np.array([4e-7, 5e-7, 6e-7]), "m")])
    assert axis.unit == "nm"
    np.testing.assert_allclose(axis.values, [400, 500, 600])
    assert in_usual_unit(np.array([3e-6, 9e-6]))[1] == "um"
    assert in_usual_unit(np.array([0.21]))[1] == "m"


@pytest.mark.parametrize(
    ("values", "unit"), [([400, 1000], "nm"), ([0.4, 2.5], "um"), ([900, 4000], ""), ([4750, 9350], ""), ([0, 9], "")]
)
def test_units_are_guessed_only_where_they_are_plain(values, unit):
    assert wavelength_unit(values) == unit


def test_claims_beyond_reason_are_refused_with_both_sizes():
    check_claim("f", 3 << 30, 2 << 40)
    with pytest.raises(DataError, match=r"f: .*2 TiB.*1 KiB"):
        check_claim("f", 1024, 2 << 40)
    with pytest.raises(DataError, match=r"f: .*1024 TiB.*memory"):
        check_memory("f", 1 << 50)
