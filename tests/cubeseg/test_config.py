"""Options: what they accept, what they refuse, and that nothing is accepted silently."""

from __future__ import annotations

import pytest

from cubeseg.config import FitConfig, Ramp, parse_clusters, parse_memory
from cubeseg.errors import ConfigError


@pytest.mark.parametrize(("given", "wanted"), [("8", (8, 8)), ("4:12", (4, 12)), (5, (5, 5)), ((2, 3), (2, 3))])
def test_clusters(given, wanted):
    assert parse_clusters(given) == wanted


@pytest.mark.parametrize("given", ["", "a", "3:", "-2", "2.5", "1:2:3", None, True])
def test_clusters_refused(given):
    with pytest.raises(ConfigError, match="neither a number"):
        parse_clusters(given)


@pytest.mark.parametrize(
    ("given", "wanted"), [("1GiB", 1 << 30), ("800MB", 800_000_000), ("1.5 kib", 1536), (7, 7), ("12", 12)]
)
def test_memory(given, wanted):
    assert parse_memory(given) == wanted


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"clusters": "9:3"}, "reversed; write 3:9"),
        ({"clusters": "0"}, "at least 1"),
        ({"clusters": 999}, "at most 255"),
        ({"method": "unmix", "mixing": {"way": "magic"}}, "mixing.way"),
        ({"method": "magic"}, "not one of"),
        ({"noise": "pink"}, "not one of"),
        ({"epochs": 0}, "at least 1"),
        ({"epochs": "ten"}, "of type int"),
        ({"epochs": True}, "of type int"),
        ({"colour": "red"}, "unknown option"),
        ({"memory": "lots"}, "no size"),
        ({"gamma": {"low": -1}}, "negative"),
        ({"gamma": {"steep": 1}}, "table with low"),
    ],
)
def test_senseless_options(options, said):
    with pytest.raises(ConfigError, match=said):
        FitConfig.from_mapping(options)


def test_round_trip_through_plain_values():
    config = FitConfig(clusters=(3, 9), gamma=Ramp(0, 0.2, 0.1, 0.4), network="ae")
    assert FitConfig.from_mapping(config.to_dict()) == config


def test_toml_and_what_overrides_it(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text('clusters = "3:5"\nepochs = 7\ngamma = 0.5\n')
    config = FitConfig.from_toml(path, epochs=9, seed=None)
    assert (config.clusters, config.epochs, config.gamma) == ((3, 5), 9, Ramp(0.5, 0.5))
    path.write_text("epochs = = 3")
    with pytest.raises(ConfigError, match="not valid TOML"):
        FitConfig.from_toml(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        FitConfig.from_toml(tmp_path / "none.toml")


def test_ramp_rises_between_its_ends():
    ramp = Ramp(0, 1, 0.2, 0.6)
    assert [ramp.at(p) for p in (0, 0.2, 0.4, 0.6, 1)] == pytest.approx([0, 0, 0.5, 1, 1])
    assert Ramp(0.3, 0.3).at(0) == 0.3
