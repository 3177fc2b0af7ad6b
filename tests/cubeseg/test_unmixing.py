"""Unmixing: the number of components, exact abundances, the method from the command line to the export."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import nnls

import cubeseg
from cubeseg.axis import SpectralAxis
from cubeseg.cli import main
from cubeseg.config import FitConfig
from cubeseg.cube import Cube
from cubeseg.errors import ConfigError
from cubeseg.explain import explain, prepare
from cubeseg.exporting import export
from cubeseg.mixing import Known, Mixing
from cubeseg.samples import painting
from cubeseg.samples.mixtures import synthetic_mixtures
from cubeseg.steps import finish
from cubeseg.unmixing.abundances import Abundances
from cubeseg.unmixing.ambiguity import matched, spread_of
from cubeseg.unmixing.bound import rank_of
from cubeseg.unmixing.finding import Evidence, find
from cubeseg.unmixing.initial import extreme
from cubeseg.unmixing.selection import components_of, usage
from cubeseg.unmixing.simplex import likeliest_simplex


def cosines(components, others):
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (components, others)]
    return (unit[0] * unit[1][matched(components, others)]).sum(axis=1)


def smooth_cube(seed=0, side=24, bands=60, k=3, noise=0.004):
    """Three smooth components, Dirichlet abundances that vary slowly over the image."""
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 1, bands)
    centres = np.linspace(0.15, 0.85, k)
    components = 0.1 + np.exp(-0.5 * ((x - centres[:, None]) / 0.12) ** 2)
    rows, columns = np.mgrid[:side, :side] / side
    logits = np.stack([8 * np.cos(3 * rows + 2 * j) * np.sin(3 * columns + j) for j in range(k)])
    shares = np.exp(logits) / np.exp(logits).sum(axis=0)
    data = np.einsum("kb,kyx->byx", components, shares) + noise * rng.standard_normal((bands, side, side))
    cube = Cube(np.maximum(data, 0).astype(np.float32), SpectralAxis(np.linspace(400, 1000, bands), "nm", "wavelength"))
    return cube, components, shares


@pytest.fixture(scope="module")
def unmixed():
    cube, components, shares = smooth_cube()
    options = {"method": "unmix", "clusters": 3, "epochs": 2, "mixing": {"restarts": 2}}
    return cube, components, shares, cubeseg.segment(cube, FitConfig.from_mapping(options))


def mixed_without_pure_pixels(seed, k=4, n=2000, bands=80, noise=0.002):
    """Components much alike, no abundance above 0.8, brightness from 0.5 to 2."""
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 1, bands)
    components = 1 + 0.4 * np.sin((2 + np.arange(k)[:, None]) * np.pi * x + np.arange(k)[:, None])
    shares = rng.dirichlet(np.ones(k), 4 * n)
    shares = shares[shares.max(axis=1) < 0.8][:n]
    bright = rng.uniform(0.5, 2, (len(shares), 1))
    return components, (bright * (shares @ components) + noise * rng.standard_normal((len(shares), bands)))


@pytest.mark.parametrize("seed", range(3))
def test_the_likeliest_simplex_finds_components_that_no_pixel_shows(seed):
    components, spectra = mixed_without_pure_pixels(seed)
    start = np.asarray(extreme(spectra / np.linalg.norm(spectra, axis=1, keepdims=True), 4, 10)[1])
    found = likeliest_simplex(spectra, start)
    assert cosines(components, start).min() < 0.999
    assert cosines(components, found).min() > 0.9998
    # neither the order nor the brightness of the start matters
    other = likeliest_simplex(spectra, start[::-1] * np.array([[1.0], [2.0], [0.5], [3.0]]))
    np.testing.assert_allclose(cosines(found, other), 1, atol=1e-5)


def test_white_noise_that_is_not_known_tells_the_number():
    components, spectra = mixed_without_pure_pixels(0, k=6, noise=0.01)
    none = (np.zeros((0, 80), np.float32),) * 2
    evidence = Evidence(spectra.astype(np.float32), None, False, none, np.zeros((0, 80)))
    found = finish(find(evidence, Mixing(restarts=0), (2, 12), 0))
    assert len(found.components) == 6
    assert cosines(components, found.components).mean() > 0.999


def test_explaining_a_component_names_nothing_that_the_class_does_not_show():
    made = painting(48, 400.0, 0, tier=2)
    result = cubeseg.segment(made.cube, FitConfig.from_mapping({"method": "unmix", "mixing": {"restarts": 0}}))
    alone = replace(result.copy(), unmixed=None)
    basis = prepare(result)
    fewer = 0
    for info in result.classes:
        if result.pixels(info.id) < 50:
            continue
        named, shown = ({c.name for c in explain(one, info.id, basis=basis).candidates} for one in (result, alone))
        assert named <= shown
        fewer += len(shown) - len(named)
    assert fewer > 0


@pytest.mark.parametrize(
    "spectra",
    [np.ones((50, 8)), np.random.default_rng(0).random((3, 8)), np.eye(8)[np.arange(50) % 2], np.zeros((50, 8))],
)
def test_where_there_is_no_simplex_the_start_stays(spectra):
    start = np.random.default_rng(1).random((3, 8))
    np.testing.assert_array_equal(likeliest_simplex(spectra, start), start)


@pytest.mark.parametrize(("k", "times", "db"), [(16, 4, 20), (16, 8, 30), (64, 4, 20)])
def test_number_of_components_is_exact(k, times, db):
    made = synthetic_mixtures(k, times, db, seed=3)
    rows = (made.spectra / made.noise[:, None]).astype(np.float32)
    found = finish(components_of(rows, rank_of(rows)[0]))
    assert len(found.components) == k
    assert cosines(made.components, found.components).mean() > 0.99
    assert usage(found.amounts).sum() == pytest.approx(1)
    assert 0.9 < found.chi2 < 1.1


def test_too_many_and_too_few_are_put_right():
    made = synthetic_mixtures(16, 8, 20, seed=1)
    rows = (made.spectra / made.noise[:, None]).astype(np.float32)
    assert len(finish(components_of(rows, 22)).components) == 16
    assert len(finish(components_of(rows, 15)).components) == 16


def test_rank_needs_no_noise_level():
    made = synthetic_mixtures(64, 4, 20, seed=0)
    flat = made.spectra / np.sqrt((made.spectra**2).mean(axis=1, keepdims=True))
    rank, noise = rank_of(flat, None)
    assert rank == 64
    assert noise == pytest.approx(0.1, rel=0.05)
    assert rank_of(np.random.default_rng(0).standard_normal((300, 50)))[0] == 0


def test_abundances_are_those_of_nnls():
    rng = np.random.default_rng(0)
    components = 1 + np.abs(rng.standard_normal((7, 80)))
    spectra = (rng.dirichlet(np.full(7, 0.3), 60) @ components + 0.1 * rng.standard_normal((60, 80))).astype(np.float32)
    found = Abundances(components, np.ones(80), False, False)(spectra)
    assert np.allclose(found, [nnls(components.T, one)[0] for one in spectra], atol=1e-4)
    summed = Abundances(components, np.ones(80), True, False)(spectra)
    assert np.allclose(summed.sum(axis=1), 1, atol=1e-5)
    assert summed.min() >= 0


def test_counts_get_the_most_likely_abundances():
    rng = np.random.default_rng(1)
    components = rng.dirichlet(np.full(50, 0.5), 4)
    spectra = rng.poisson(300 * rng.dirichlet(np.ones(4), 40) @ components).astype(np.float32)
    found = Abundances(components, 1 / np.maximum(spectra.mean(axis=0), 1e-3), False, True)(spectra).astype(float)
    expected = np.full((40, 4), 75.0)
    for _ in range(3000):
        expected *= (spectra / (expected @ components + 1e-12)) @ components.T

    def likelihood(amounts):
        rates = amounts @ components + 1e-9
        return (spectra * np.log(rates) - rates).sum(axis=1)

    assert (likelihood(expected) - likelihood(found)).max() < 0.3


def test_spread_is_zero_for_equal_fits_in_any_order():
    components = np.random.default_rng(0).random((4, 20))
    assert np.allclose(spread_of(components, [3 * components[::-1]]), 0)
    assert spread_of(components, [components + 0.1 * np.eye(4, 20)]).max() > 0.01


def test_components_and_abundances_are_found(unmixed):
    _, components, shares, result = unmixed
    found = result.unmixed
    assert found.components.shape == components.shape
    assert found.abundances.shape == shares.shape
    assert found.abundances.dtype == np.float32
    assert found.spread.max() > 0
    order = matched(components, found.components)
    assert cosines(components, found.components).min() > 0.99
    parts = found.abundances[order] / found.abundances.sum(axis=0)
    assert np.sqrt(((parts - shares) ** 2).mean()) < 0.06


def test_labels_are_the_largest_abundance(unmixed):
    result = unmixed[3]
    assert (result.labels == result.unmixed.abundances.argmax(axis=0) + 1).all()
    assert result.coherence == 0
    assert {c.name for c in result.classes} == {"component 1", "component 2", "component 3"}


def test_the_number_is_found(unmixed):
    options = {"method": "unmix", "epochs": 1, "mixing": {"restarts": 0}}
    result = cubeseg.segment(unmixed[0], FitConfig.from_mapping(options))
    assert len(result.unmixed) == 3
    # light and texture are no white noise: then neighbours decide
    cube = unmixed[0]
    rough = gaussian_filter1d(np.random.default_rng(0).standard_normal(cube.data.shape), 2, axis=0)
    decided = cubeseg.segment(replace(cube, data=(cube.data * (1 + 0.2 * rough)).astype(np.float32)), result.config)
    assert len(decided.unmixed) == max(decided.scores, key=decided.scores.get)


def test_save_load_merge_and_apply(unmixed, tmp_path):
    cube, _, _, result = unmixed
    result.save(tmp_path / "r.h5")
    loaded = cubeseg.load(tmp_path / "r.h5")
    assert np.array_equal(loaded.unmixed.abundances, result.unmixed.abundances)
    assert np.array_equal(loaded.latent, result.latent)
    assert np.allclose(loaded.unmixed.components, result.unmixed.components)
    from cubeseg.editing.hierarchy import coarser

    merged, classes = coarser(loaded, 2).components
    assert len(merged) == len(classes) == 2
    assert np.allclose(merged.abundances.sum(axis=0), result.unmixed.abundances.sum(axis=0), atol=1e-4)
    again = finish(cubeseg.apply(loaded, cube))
    assert np.allclose(again.unmixed.abundances, result.unmixed.abundances, atol=1e-4)
    assert (again.labels == result.labels).mean() > 0.95


def test_exports(unmixed, tmp_path):
    result = unmixed[3]
    paths = export(result, tmp_path, ["abundances", "components", "fits", "hdf5"], "s")
    assert np.array_equal(tifffile.imread(paths[0]), result.unmixed.abundances)
    with paths[1].open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 60
    assert float(rows[0]["component value"]) == pytest.approx(float(result.unmixed.components[0, 0]), rel=1e-4)
    from astropy.io import fits

    assert fits.getdata(paths[2], "ABUNDANCES").shape == (3, 24, 24)
    other = cubeseg.segment(unmixed[0], FitConfig.from_mapping({"method": "pca", "clusters": 3}))
    with pytest.raises(ConfigError, match="results of unmixing"):
        export(other, tmp_path, ["abundances"])


def test_a_known_component_stays(unmixed):
    cube, components, _, _ = unmixed
    known = (Known("first", tuple(components[0].tolist())),)
    config = FitConfig.from_mapping({"method": "unmix", "clusters": 3, "epochs": 1, "mixing": {"known": list(known)}})
    result = cubeseg.segment(cube, FitConfig.from_mapping(config.to_dict()))
    at = result.unmixed.names.index("first")
    assert cosines(components[:1], result.unmixed.components[at : at + 1])[0] == pytest.approx(1, abs=1e-4)
    assert "first" in {c.name for c in result.classes}


@pytest.mark.parametrize("way", ["nmf", "nmf-kl", "ica", "mcr-als", "vca", "n-findr"])
def test_classical_ways(unmixed, way):
    cube, components, _, _ = unmixed
    config = FitConfig.from_mapping({"method": "unmix", "clusters": 3, "mixing": {"way": way}})
    result = cubeseg.segment(cube, config)
    assert len(result.unmixed) <= 3
    assert np.isfinite(result.unmixed.abundances).all()
    if way in ("vca", "n-findr", "mcr-als"):
        assert cosines(components, result.unmixed.components).min() > 0.9


def test_references_only(unmixed):
    cube, components, shares, _ = unmixed
    known = tuple(Known(f"r{j}", tuple(one.tolist())) for j, one in enumerate(components))
    config = FitConfig(method="unmix", clusters=(1, 255), mixing=Mixing(way="references", known=known))
    result = cubeseg.segment(cube, config)
    order = [result.unmixed.names.index(f"r{j}") for j in range(3)]
    assert np.sqrt(((result.unmixed.abundances[order] - shares) ** 2).mean()) < 0.02


def test_absorbance_adds_up_as_depth():
    cube, components, _ = smooth_cube()[0], smooth_cube()[1], None
    dark = Cube(np.exp(-np.asarray(cube.data)).astype(np.float32), cube.axis)
    options = {"method": "unmix", "clusters": 3, "epochs": 1, "mixing": {"aggregation": "absorbance", "restarts": 0}}
    result = cubeseg.segment(dark, FitConfig.from_mapping(options))
    assert cosines(components, result.unmixed.components).min() > 0.98


def test_bad_input(unmixed, tmp_path):
    cube, components, _, _ = unmixed

    def run(data=None, **options):
        options = {"method": "unmix", "epochs": 1, "mixing": {"restarts": 0} | options.pop("mixing", {})} | options
        there = cube if data is None else Cube(data.astype(np.float32), cube.axis)
        return cubeseg.segment(there, FitConfig.from_mapping(options))

    image = np.asarray(cube.data)
    with pytest.raises(ConfigError, match="no more than 60"):
        run(clusters=61)
    one = tuple(components[0].tolist())
    with pytest.raises(ConfigError, match="the same as another"):
        run(mixing={"known": [{"name": "a", "values": one}, {"name": "b", "values": one}]})
    with pytest.raises(ConfigError, match="reference spectra"):
        run(mixing={"way": "references"})
    with pytest.raises(ConfigError, match="above zero"):
        run(mixing={"known": [{"name": "a", "values": [0.0] * 60}]})
    # rank one, and nothing but noise
    assert len(run(np.ones((60, 1, 1)) * np.linspace(1, 2, 576).reshape(24, 24)).unmixed) >= 1
    noise = run(np.abs(np.random.default_rng(0).standard_normal(image.shape)))
    assert np.isfinite(noise.unmixed.abundances).all()
    # bands without values, negative values
    broken = image.copy()
    broken[10:14] = np.nan
    found = run(broken, clusters=3).unmixed
    assert np.isnan(found.components[:, 10:14]).all()
    assert np.isfinite(np.delete(found.components, range(10, 14), axis=1)).all()
    assert (run(image - 0.5, clusters=3).unmixed.abundances >= 0).all()


def test_command_line(unmixed, tmp_path, capsys):
    cube = unmixed[0]
    np.save(tmp_path / "cube.npy", np.moveaxis(np.asarray(cube.data), 0, -1))
    out = tmp_path / "r.h5"
    arguments = ["segment", str(tmp_path / "cube.npy"), "-o", str(out), "--method", "unmix", "--epochs", "1"]
    assert main([*arguments, "--clusters", "3", "--spectral-axis", "2"]) == 0
    assert main(["export", str(out), "-o", str(tmp_path / "e"), "--format", "abundances,components"]) == 0
    assert main(["segment", str(tmp_path / "cube.npy"), "-o", str(out), "--way", "nmf", "--spectral-axis", "2"]) == 2
    assert "belong to --method unmix" in capsys.readouterr().err


def test_other_labels_leave_the_abundances_as_they_are(unmixed):
    from cubeseg.editing.reclustering import reclustered, regrouped

    cube, _, _, result = unmixed
    corrections = np.zeros(result.labels.shape, np.int32)
    corrections[:4, :4] = result.classes[1].id
    refined = finish(cubeseg.refine(result, cube, corrections))
    assert np.array_equal(refined.unmixed.abundances, result.unmixed.abundances)
    assert (refined.labels[:4, :4] == result.classes[1].id).all()
    fewer = finish(reclustered(result, cube, regrouped(result, 2)))
    found, classes = fewer.components
    assert len(fewer.classes) == 2
    assert len(found) == len(classes) == 3
