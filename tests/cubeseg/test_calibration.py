"""Calibrations as people say them, and units beside astropy's and published values."""

import numpy as np
import pytest

import cubeseg
from cubeseg.axis import SpectralAxis
from cubeseg.errors import ConfigError, DataError
from cubeseg.io import ChoiceNeeded, open_cube, remember
from cubeseg.spectroscopy.calibration import line_energy, recalibrated
from cubeseg.spectroscopy.conversion import air_to_vacuum, converted, vacuum_to_air


def channels(n=2048):
    return SpectralAxis.channels(n)


def test_coefficients():
    axis = recalibrated(channels(), "-0.96, 0.01 keV".replace(", ", ","))
    assert axis.unit == "keV"
    assert axis.values[0] == pytest.approx(-0.96)
    assert axis.values[100] == pytest.approx(0.04)
    bent = recalibrated(channels(10), "1,2,0.5 nm air")
    assert bent.values[4] == pytest.approx(1 + 8 + 8)
    assert bent.medium == "air"


def test_two_peaks_make_a_line():
    axis = recalibrated(channels(), "640=6.404,1744=17.44 keV")
    assert axis.values[640] == pytest.approx(6.404)
    assert axis.values[1744] == pytest.approx(17.44)


def test_elements_stand_for_their_lines():
    axis = recalibrated(channels(), "640=Fe,1744=Mo")
    assert axis.unit == "keV"
    # K-alpha doublets weighted 2:1 (X-ray data booklet: Fe 6.4038/6.3908, Mo 17.4793/17.3743)
    assert axis.values[640] == pytest.approx(6.399, abs=0.005)
    assert axis.values[1744] == pytest.approx(17.443, abs=0.01)
    assert line_energy("Pb-La1") == pytest.approx(10.5515, abs=0.005)


def test_a_file_of_wavelengths(tmp_path):
    (tmp_path / "axis.csv").write_text("channel,wavelength\n0,400\n1,410.5\n2,420\n")
    axis = recalibrated(channels(3), f"{tmp_path / 'axis.csv'} nm")
    assert axis.values.tolist() == [400, 410.5, 420]
    with pytest.raises(DataError, match="holds 3 values, the cube has 4"):
        recalibrated(channels(4), f"{tmp_path / 'axis.csv'} nm")


def test_only_the_unit():
    axis = recalibrated(SpectralAxis.from_values([400.0, 500, 600]), "nm vacuum")
    assert (axis.unit, axis.medium, axis.values[1]) == ("nm", "vacuum", 500)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "cannot be understood"),
        ("1,2", "does not end with a unit"),
        ("1,2,3,4 keV", "has 4 numbers"),
        ("640=Xx,2=Mo", "no element"),
        ("640=Fe-Lq,2=Mo", "no element or line|has no line"),
        ("5=1,5=2 keV", "at least two peaks"),
        ("a=1,5=2 keV", "no channel number"),
        ("nowhere.csv nm", "neither numbers nor a file"),
        ("640=Fe,1744=Mo nm", "energies in keV"),
    ],
)
def test_what_cannot_be_understood_is_refused(text, complaint):
    with pytest.raises(ConfigError, match=complaint):
        recalibrated(channels(), text)


def test_a_slope_of_zero_is_refused():
    with pytest.raises(DataError, match="neither rise nor fall"):
        recalibrated(channels(), "5,0 keV")


def test_energy_and_wavelength():
    axis = converted(SpectralAxis.from_values([1.0, 2.0], "keV"), "nm")
    # hc = 1.239842 keV nm
    assert axis.values == pytest.approx([1.2398420, 0.6199210], rel=1e-6)
    assert axis.medium == "vacuum"
    back = converted(axis, "keV")
    assert back.values == pytest.approx([1, 2])


def test_frequency_and_velocity():
    # 13CO 1-0 at 110.201354 GHz
    axis = SpectralAxis(np.array([110.2, 110.3]), "GHz", rest=110.201354e9)
    velocity = converted(axis, "km/s")
    assert velocity.values == pytest.approx((1 - axis.values / 110.201354) * 299792.458)
    assert converted(velocity, "GHz").values == pytest.approx(axis.values)
    with pytest.raises(ConfigError, match="rest frequency"):
        converted(SpectralAxis.from_values([1.0, 2.0], "GHz"), "km/s")


def test_air_and_vacuum():
    # NIST: H-alpha 656.279 nm in air, 656.460 in vacuum; [O III] 500.684 and 500.824
    assert vacuum_to_air(np.array([656.460])) == pytest.approx([656.279], abs=2e-3)
    assert air_to_vacuum(np.array([500.684])) == pytest.approx([500.824], abs=2e-3)
    there = air_to_vacuum(np.linspace(250, 2500, 50))
    assert vacuum_to_air(there) == pytest.approx(np.linspace(250, 2500, 50), rel=1e-10)
    axis = SpectralAxis(np.array([5000.0, 6000]), "Angstrom", medium="air")
    assert (converted(axis, "Angstrom", medium="vacuum").values > axis.values).all()
    assert converted(axis, "eV").values[0] == pytest.approx(12398.42 / (5000 * 1.000279), rel=1e-5)


def test_channels_cannot_be_converted():
    with pytest.raises(ConfigError, match="cannot be converted"):
        converted(channels(), "nm")


def written_twice(tmp_path):
    import h5py

    path = tmp_path / "two.h5"
    with h5py.File(path, "w") as file:
        file["a/cube"] = np.ones((4, 5, 20), np.float32)
        file["b/cube"] = np.full((4, 5, 20), 2, np.float32)
        file["b/numbers"] = np.linspace(1, 2, 20)
    return path


def test_a_vector_of_the_file_is_the_axis(tmp_path):
    path = written_twice(tmp_path)
    cube = open_cube(path, dataset="b/cube", spectral_axis=2, axis="dataset:b/numbers keV")
    assert cube.axis.unit == "keV"
    assert cube.axis.values[-1] == 2
    with pytest.raises(DataError, match="no vector 'b/nothing'"):
        open_cube(path, dataset="b/cube", spectral_axis=2, axis="dataset:b/nothing keV")


def test_answers_are_remembered_for_the_same_layout(tmp_path, monkeypatch):
    monkeypatch.setenv("CUBESEG_SETTINGS", str(tmp_path / "settings"))
    path = written_twice(tmp_path)
    with pytest.raises(ChoiceNeeded) as asked:
        open_cube(path)
    remember(asked.value, dataset="b/cube", spectral_axis=2, axis="dataset:b/numbers keV")
    cube = open_cube(path)
    assert cube.data[0, 0, 0] == 2
    assert cube.axis.unit == "keV"
    assert cube.source.axis == "dataset:b/numbers keV"
    (tmp_path / "settings" / "layouts.json").write_text("{ broken")
    with pytest.raises(ChoiceNeeded):
        open_cube(path)


def test_unknown_settings_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no setting 'grid' for HDF5"):
        open_cube(written_twice(tmp_path), grid="nearest")


def test_info_with_another_axis(tmp_path, capsys):
    from cubeseg.cli import main

    path = str(written_twice(tmp_path))
    assert main(["info", path, "--dataset", "a/cube", "--spectral-axis", "2", "--axis=-1,0.5 keV"]) == 0
    assert "Energy -1 to 8.5 keV" in capsys.readouterr().out


def test_a_result_reopens_its_cube_with_what_was_said(tmp_path):
    from cubeseg.io import reopen

    path = written_twice(tmp_path)
    cube = open_cube(path, dataset="a/cube", spectral_axis=2, axis="0,0.5 keV")
    assert reopen(cube.source).axis.values.tolist() == cube.axis.values.tolist()
    assert cubeseg.open_cube(path, dataset="a/cube", spectral_axis=2).source.same_data(cube.source)
