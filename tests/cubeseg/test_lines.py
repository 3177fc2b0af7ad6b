"""Positions, heights and names of lines beside published values, on axes of every kind."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cubeseg.axis import SpectralAxis
from cubeseg.errors import ConfigError
from cubeseg.spectroscopy.conversion import vacuum_to_air
from cubeseg.spectroscopy.line_positions import doppler
from cubeseg.spectroscopy.lines import (
    element,
    escape_fraction,
    groups,
    lines_for,
    scatter_lines,
    spectral_lines,
    xray_lines,
)
from cubeseg.spectroscopy.rest_lines import rest_lines, selected
from cubeseg.spectroscopy.xray import transitions

KEV = SpectralAxis.from_values(np.linspace(0.5, 38.5, 1024), "keV")
OPTICAL = SpectralAxis(np.linspace(3500, 9600, 900), "Angstrom", medium="air")


def by_label(lines):
    return {line.label: line for line in lines}


def test_energies_of_elements():
    # X-ray Data Booklet (LBNL, 2009), table 1-2, doublets weighted 2:1
    found = by_label(xray_lines(["Fe", "Pb", "Sn"], KEV))
    for label, energy in (
        ("Fe Kα", 6.399), ("Fe Kβ", 7.058), ("Pb Lα", 10.54), ("Pb Mα", 2.3455), ("Sn Kα", 25.19), ("Sn Lα", 3.443),
    ):  # fmt: skip
        assert found[label].position == pytest.approx(energy, abs=0.015), label
    assert found["Pb Lβ"].position == pytest.approx(12.62, abs=0.03)
    assert found["Fe Kα"].note.startswith("K-L3")
    positions = [line.position for line in xray_lines(["Fe", "Pb", "Sn"], KEV)]
    assert positions == sorted(positions)


def test_heights_within_a_family():
    found = by_label(xray_lines(["Fe", "Pb"], KEV))
    assert found["Fe Kα"].height == found["Pb Lα"].height == found["Pb Mα"].height == 1
    # Kβ/Kα of iron 0.13 to 0.14; Lβ/Lα of lead near 0.9 where the sample is thin (Salem et al. 1974; Elam et al. 2002)
    assert found["Fe Kβ"].height == pytest.approx(0.138, abs=0.012)
    assert 0.75 < found["Pb Lβ"].height < 1.1
    assert found["Fe Kβ"].family == "Fe K"


def test_a_tube_opens_only_the_shells_it_can():
    families = {line.family for line in xray_lines(["Pb"], KEV, excitation=14)}
    assert families == {"Pb L", "Pb M"}
    # between the L3 and the L2 edge there is Lα and no Lβ1
    names = {t.siegbahn for t in transitions("Pb", 14) if t.family == "L"}
    assert "La1" in names
    assert "Lb1" not in names
    assert not xray_lines(["Sn-K"], KEV, excitation=20)


def test_single_transitions_and_families_on_request():
    found = by_label(xray_lines(["Pb-L"], KEV, resolved=True))
    assert found["Pb Lα1"].note == "L3-M5"
    assert found["Pb Lα1"].position == pytest.approx(10.5515, abs=0.003)
    assert found["Pb Lα2"].height == pytest.approx(0.11, abs=0.01)
    assert {line.family for line in found.values()} == {"Pb L"}


def test_transitions_of_equal_energy():
    # Lβ3 and Lβ4 of iron are one in the tables
    found = xray_lines(["Fe-L"], KEV, resolved=True)
    assert len([line for line in found if line.position == pytest.approx(0.7919)]) == 2


def test_escape_and_sum_peaks():
    found = by_label(xray_lines(["Fe", "Ca-K"], KEV, escape="Si", sums=True))
    assert found["Fe Kα escape"].position == pytest.approx(6.40 - 1.74, abs=0.01)
    assert found["Fe Kα escape"].kind == "escape"
    assert found["2 × Fe Kα"].position == pytest.approx(12.80, abs=0.01)
    assert any("Ca Kα" in name and "Fe Kα" in name for name in found)
    # half a percent and less for silicon at iron, falling with energy; nothing below the edge; far more in germanium
    assert 0.002 < escape_fraction(6.4) < 0.008
    assert escape_fraction(10) < escape_fraction(6.4) < escape_fraction(2.3)
    assert escape_fraction(1.7) == 0
    assert escape_fraction(12, "Ge") > 0.05


def test_scattered_tube_lines():
    found = by_label(scatter_lines("Rh", KEV, angle=90))
    # 20.17 keV loses 0.77 keV at 90 degrees (Compton)
    assert found["Rh Kα Rayleigh"].position == pytest.approx(20.167, abs=0.01)
    assert found["Rh Kα Compton"].position == pytest.approx(20.167 / (1 + 20.167 / 511), abs=0.01)
    assert found["Rh Kα Compton"].kind == "compton"
    back = by_label(scatter_lines("Rh", KEV, angle=180))
    assert back["Rh Kα Compton"].position < found["Rh Kα Compton"].position
    with pytest.raises(ConfigError, match="not between 0 and 180"):
        scatter_lines("Rh", KEV, angle=0)


@pytest.mark.parametrize(
    ("given", "advice"), [("Xy", "did you mean Xe"), ("leed", r"did you mean Pb \(lead\)"), ("", "no element ''")]
)
def test_unknown_elements(given, advice):
    with pytest.raises(ConfigError, match=advice):
        xray_lines([given], KEV)


def test_elements_by_name():
    assert element("lead") == element("pb") == element(" PB ") == "Pb"
    assert xray_lines(["iron"], KEV) == xray_lines(["Fe"], KEV)


def test_other_units_of_energy():
    ev = SpectralAxis.from_values(np.linspace(500, 38500, 1024), "eV")
    assert by_label(xray_lines(["Fe"], ev))["Fe Kα"].position == pytest.approx(6400, abs=10)
    crystal = SpectralAxis.from_values(np.linspace(0.1, 0.3, 100), "nm")
    assert by_label(xray_lines(["Fe"], crystal))["Fe Kα"].position == pytest.approx(0.1937, abs=5e-4)


def test_air_wavelengths_of_the_nist_tables():
    found = by_label(spectral_lines(OPTICAL, rank=3))
    for label, air in (
        ("Hα", 6562.80), ("Hβ", 4861.33), ("[O III] 5007", 5006.843), ("[N II] 6583", 6583.45), ("Ca II K", 3933.663),
        ("Na D 5890", 5889.951), ("Mg b 5184", 5183.604), ("[S II] 6731", 6730.82), ("[O I] 6300", 6300.304),
        ("Ca II 8542", 8542.091), ("[S III] 9069", 9068.6), ("He I 5876", 5875.62), ("[O II] 3726", 3726.03),
    ):  # fmt: skip
        assert found[label].position == pytest.approx(air, abs=0.06), label
    assert found["Ca II K"].kind == "absorption"
    vacuum = SpectralAxis(OPTICAL.values, "Angstrom", medium="vacuum")
    assert by_label(spectral_lines(vacuum))["Hα"].position == pytest.approx(6564.61, abs=0.03)


def test_redshift_moves_the_vacuum_wavelength_before_it_goes_through_air():
    line = by_label(spectral_lines(OPTICAL, redshift=0.3))["Hα"]
    assert line.position == pytest.approx(float(vacuum_to_air(np.array([656.4614 * 1.3]))[0]) * 10, abs=0.03)
    near = by_label(spectral_lines(OPTICAL, velocity=300, names=["Hα"]))["Hα"].position
    assert near == pytest.approx(6562.80 * (1 + 300 / 299792.458), abs=0.02)
    assert "Hα" not in by_label(spectral_lines(OPTICAL, redshift=1))


def test_the_sky_stays_where_it_is():
    here = by_label(spectral_lines(OPTICAL, names=["sky [O I]"]))
    there = by_label(spectral_lines(OPTICAL, names=["sky [O I]"], redshift=0.5))
    assert here["sky [O I] 5577"].position == there["sky [O I] 5577"].position == pytest.approx(5577.34, abs=0.01)
    assert not any(line.kind == "sky" for line in spectral_lines(OPTICAL, rank=3))


def test_radio_axes():
    ghz = SpectralAxis(np.linspace(84, 116, 400), "GHz")
    found = by_label(spectral_lines(ghz))
    assert found["CO 1-0"].position == pytest.approx(115.2712018, abs=1e-6)
    assert found["HCN 1-0"].position == pytest.approx(88.6316022, abs=1e-6)
    assert by_label(spectral_lines(ghz, redshift=2))["CO 3-2"].position == pytest.approx(345.7959899 / 3)
    speed = SpectralAxis(np.linspace(-20, 20, 80), "km/s", rest=110.2013543e9)
    (only,) = spectral_lines(speed)
    assert (only.label, only.position) == ("¹³CO 1-0", pytest.approx(0, abs=1e-6))
    moved = spectral_lines(speed, velocity=5, convention="radio")
    assert moved[0].position == pytest.approx(5)
    hi = SpectralAxis(np.linspace(1400, 1430, 50), "MHz")
    assert by_label(spectral_lines(hi))["H I 21 cm"].position == pytest.approx(1420.405751768)


def test_wavenumbers_and_micrometres():
    waves = SpectralAxis.from_values(np.linspace(4000, 5000, 100), "1/cm")
    assert by_label(spectral_lines(waves))["H₂ 1-0 S(1)"].position == pytest.approx(4712.9, abs=0.1)
    um = SpectralAxis.from_values(np.linspace(5, 28, 500), "um")
    found = by_label(spectral_lines(um))
    assert found["[Ne II] 12.81"].position == pytest.approx(12.8136, abs=1e-3)
    assert found["PAH 7.7"].kind == "band"


def test_lines_for_takes_what_the_axis_asks_for():
    assert by_label(lines_for(KEV, ["Fe"], escape="Si", anode="Rh", angle=120)).keys() >= {"Fe Kα", "Rh Kα Compton"}
    assert lines_for(KEV) == ()
    assert "Hα" in by_label(lines_for(OPTICAL))
    assert "Hα" in by_label(lines_for(SpectralAxis.from_values(np.linspace(1.5, 3, 50), "eV")))
    raman = SpectralAxis(np.linspace(100, 3000, 50), "1/cm", "raman_shift")
    for axis in (
        SpectralAxis.from_values([-1.0, 0, 1], "eV"),
        SpectralAxis(np.array([0, 4e5]), "km/s", rest=115e9),
        SpectralAxis(np.array([0, 4e8]), "m/s", rest=115e9),
    ):
        assert lines_for(axis) == ()
    for axis in (SpectralAxis.channels(20), raman, SpectralAxis.from_values([1.0, 2], "km/s")):
        assert lines_for(axis) == ()
        with pytest.raises(ConfigError):
            spectral_lines(axis)


@pytest.mark.parametrize(
    ("given", "label"),
    [("Halpha", "Hα"), ("hb", "Hβ"), ("[OIII]", "[O III] 5007"), ("O III 5007", "[O III] 5007"), ("paschen", "Paα"),
     ("H2 1-0 S(1)", "H₂ 1-0 S(1)"), ("21 cm", "H I 21 cm"), ("13CO", "¹³CO 1-0"), ("stellar", "Mg b 5184")],
)  # fmt: skip
def test_names_as_people_write_them(given, label):
    assert label in {line.label for line in selected([given])}


def test_unknown_names():
    with pytest.raises(ConfigError, match="did you mean"):
        selected(["[O IIII]"])
    with pytest.raises(ConfigError, match="groups such as"):
        selected(["%%%"])


@pytest.mark.parametrize("bad", [-1, -2, np.nan, np.inf])
def test_impossible_redshifts(bad):
    with pytest.raises(ConfigError, match="redshift"):
        doppler(bad)


def test_velocities():
    assert doppler(velocity=3e4, convention="optical") == pytest.approx(1.10007, abs=1e-5)
    assert doppler(velocity=3e4, convention="radio") == pytest.approx(1 / 0.89993, abs=1e-5)
    with pytest.raises(ConfigError, match="speed of light"):
        doppler(velocity=3e5)


def test_the_table_is_whole():
    table = rest_lines()
    assert len({line.label for line in table}) == len(table) > 200
    strongest = {}
    for line in table:
        strongest[line.family] = max(strongest.get(line.family, 0), line.height)
        assert 0 < line.height <= 1
        assert line.rank in (1, 2, 3)
        assert line.kind in ("emission", "absorption", "band", "sky")
    assert set(strongest.values()) == {1}
    assert {"nebular", "stellar", "molecular"} <= set(groups())
    # hydrogen: within 20 ppm of Rydberg's formula with the reduced mass
    series = {"Lyα": (1, 2), "Hα": (2, 3), "Hβ": (2, 4), "Hδ": (2, 6), "Paα": (3, 4), "Paβ": (3, 5), "Brγ": (4, 7)}
    for line in table:
        if line.label in series:
            low, high = series[line.label]
            rydberg = 1e7 / (109677.583 * (1 / low**2 - 1 / high**2))
            assert line.wavelength == pytest.approx(rydberg, rel=2e-5), line.label


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["keV", "eV", "nm", "Angstrom", "um", "GHz", "THz", "1/cm", "mm"]),
    st.floats(1e-3, 1e5),
    st.floats(1.001, 50),
    st.floats(-0.5, 8),
)
def test_all_that_is_returned_lies_on_the_axis(unit, low, ratio, redshift):
    axis = SpectralAxis.from_values(np.linspace(low, low * ratio, 7), unit)
    step = axis.step
    for line in lines_for(axis, redshift=redshift) + xray_lines(["Pb", "Na"], axis, escape="Si"):
        assert low - step <= line.position <= low * ratio + step


def test_imports_stay_cheap():
    code = (
        "import cubeseg.spectroscopy.lines, sys; print([m for m in ('astropy', 'xraydb', 'scipy') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
