"""A run in writing says the same when it is read."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cubeseg import FitConfig
from cubeseg.cli import _parser, main
from cubeseg.config import Ramp
from cubeseg.cube import Source
from cubeseg.errors import ConfigError, DataError
from cubeseg.mixing import Known, Mixing
from cubeseg.record.recipe import as_command, as_toml, read_options

numbers = st.floats(0, 100, allow_nan=False)
ramps = st.builds(Ramp, numbers, numbers, st.floats(0, 0.5), st.floats(0.5, 1))
knowns = st.builds(Known, st.text(max_size=8), st.tuples(st.floats(0.1, 10), st.floats(0, 1e30)))
mixings = st.builds(
    Mixing,
    way=st.sampled_from(["gates", "nmf", "vca"]),
    positive=st.booleans(),
    prior=st.sampled_from(["volume", "sparse"]),
    strength=numbers,
    restarts=st.integers(0, 9),
)
configs = st.builds(
    FitConfig,
    method=st.sampled_from(["deep", "global", "pca", "unmix"]),
    clusters=st.sampled_from([(4, 12), (5, 5), (1, 255)]),
    epochs=st.integers(1, 99),
    seed=st.integers(0, 2**31 - 1),
    device=st.sampled_from(["auto", "cpu"]),
    memory=st.integers(64 << 20, 1 << 40),
    coherence=st.one_of(st.just("auto"), st.floats(0, 10)),
    beta=ramps,
    gamma=ramps,
    refine=st.booleans(),
    scaling=st.sampled_from(["auto", "shape", "signal+brightness"]),
    learning_rate=st.floats(1e-9, 1),
    mixing=mixings,
)


@settings(max_examples=100, deadline=None)
@given(configs, st.lists(knowns, max_size=2))
def test_toml_and_back(tmp_path_factory, config, known):
    from dataclasses import replace

    config = replace(config, mixing=replace(config.mixing, known=tuple(known)))
    path = tmp_path_factory.getbasetemp() / "c.toml"
    path.write_text(as_toml(config), encoding="utf-8")
    assert FitConfig.from_toml(path) == config


@settings(max_examples=100, deadline=None)
@given(configs)
def test_command_and_back(config):
    from dataclasses import replace

    source = Source("/a b/it's.h5", dataset="d/e f", spectral_axis=2, axis="-0.96,0.01 keV", settings=(("x", "1"),))
    words = shlex.split(as_command(config, source))
    assert words[0] == "cubeseg"
    options = _parser().parse_args(words[1:])
    assert (options.cube, options.output) == (["/a b/it's.h5"], "/a b/it's-classes.h5")
    assert (options.dataset, options.spectral_axis, options.axis) == ("d/e f", 2, "-0.96,0.01 keV")
    assert options.set == ["x=1"]
    names = ("method", "clusters", "epochs", "seed", "device", "noise", "coherence", "memory")
    said = {n: getattr(options, n) for n in names if getattr(options, n) is not None}
    found = FitConfig.from_mapping(read_options(options.option) | said)
    assert replace(found, mixing=replace(found.mixing, way=options.way or "gates")) == config


def test_only_what_is_not_usual_is_written():
    config = FitConfig(method="pca", clusters=(3, 3))
    assert as_toml(config) == 'method = "pca"\nclusters = "3"\nepochs = 20\nseed = 0\n'
    assert as_command(config, Source("c.h5"), "r.h5") == "cubeseg segment c.h5 -o r.h5 --method pca --clusters 3"


def test_what_fits_on_no_line():
    with pytest.raises(DataError, match="in no file"):
        as_command(FitConfig(), Source())
    with pytest.raises(ConfigError, match="--config"):
        as_command(FitConfig(mixing=Mixing(known=(Known("a", (1.0,)),))), Source("c.h5"))


@pytest.mark.parametrize(
    ("text", "said"), [("latent", "NAME=VALUE"), ("beta={low=", "as in TOML"), ("latent=", "as in TOML")]
)
def test_options_that_cannot_be_read(text, said):
    with pytest.raises(ConfigError, match=said):
        read_options([text])


def test_any_option_on_the_command_line(tmp_path, capsys, painting_file):
    from cubeseg import load

    given = ["--method", "pca", "--clusters", "3", "--option", "latent=4", "--option", "scaling=hellinger"]
    assert main(["segment", str(painting_file), "-o", str(tmp_path / "r.h5"), *given]) == 0
    config = load(tmp_path / "r.h5").config
    assert (config.latent, config.scaling) == (4, "hellinger")
    assert main(["segment", str(painting_file), "-o", str(tmp_path / "s.h5"), "--option", "colour=red"]) == 2
    assert "unknown option 'colour'" in capsys.readouterr().err
