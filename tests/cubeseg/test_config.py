"""Options: what they accept, what they refuse, and that nothing is accepted silently."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cubeseg.config import FitConfig, Ramp, parse_clusters, parse_memory
from cubeseg.errors import ConfigError

_SIMPLE = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400)
_VALUES = st.recursive(_SIMPLE, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
    st.sampled_from(["low", "high", "start", "end", "known", "way", "name", "values", "x"]), inner, max_size=3
), max_leaves=4)  # fmt: skip


@pytest.mark.parametrize(("said", "wanted"), [("8", (8, 8)), ("4:12", (4, 12)), (5, (5, 5)), ((2, 3), (2, 3))])
def test_clusters(said, wanted):
    assert parse_clusters(said) == wanted


@pytest.mark.parametrize("said", ["", "a", "3:", "-2", "2.5", "1:2:3", None, True])
def test_clusters_refused(said):
    with pytest.raises(ConfigError, match="neither a number"):
        parse_clusters(said)


@pytest.mark.parametrize(
    ("said", "wanted"), [("1GiB", 1 << 30), ("800MB", 800_000_000), ("1.5 kib", 1536), (7, 7), ("12", 12)]
)
def test_memory(said, wanted):
    assert parse_memory(said) == wanted


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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epochs = " + "9" * 5000, "not valid TOML"),
        ("a = " + "[" * 100_000, "not valid TOML"),
        ("learning_rate = nan", "learning_rate must be"),
        ("learning_rate = inf", "learning_rate must be"),
        ("learning_rate = " + "9" * 400, "makes no sense"),
        ("epochs = " + "9" * 40, "epochs must be at most"),
        ("latent = 1000000000", "latent must be at most 4096"),
        ("seed = 99999999999999999999", "seed must be at most"),
        ("memory = '" + "9" * 400 + "GiB'", "makes no sense"),
        ("clusters = '" + "9" * 5000 + "'", "makes no sense"),
        ("coherence = [1]", "neither a number nor auto"),
        ("beta = nan", "not negative"),
        ("gamma = {low = 'x'}", "makes no sense"),
        ("gamma = {low = [1]}", "makes no sense"),
        ("method = [1]", "of type str"),
        ("preset = ['paper']", "preset"),
        ("mixing = {known = 5}", "mixing: "),
        ("mixing = {strength = " + "9" * 400 + "}", "mixing"),
        ('"a\\nb" = 1', "unknown option"),
        ('noise = """a\nb"""', "not one of"),
        ("epochs = 1979-05-27", "of type int"),
        ("\0", "not valid TOML"),
        (".".join("a" * 20_000) + " = 1", "more than 64 parts"),
        ("mixing = {" + ".".join("a" * 20_000) + " = 1}", "more than 64 parts"),
        ("threads = 1000000", "threads must be at most 1024"),
    ],
)
def test_hostile_toml_is_one_line(tmp_path, text, said):
    path = tmp_path / "hostile.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said) as caught:
        FitConfig.from_toml(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


def test_the_mark_that_windows_editors_write_is_no_fault(tmp_path):
    path = tmp_path / "c.toml"
    path.write_bytes(b"\xef\xbb\xbfepochs = 3\n")
    assert FitConfig.from_toml(path).epochs == 3


def test_a_file_without_end_is_no_configuration():
    with pytest.raises(ConfigError, match="too long"):
        FitConfig.from_toml("/dev/zero")


@settings(max_examples=300, derandomize=True, deadline=None)
@given(name=st.sampled_from([f.name for f in fields(FitConfig)]), value=_VALUES)
def test_any_value_is_taken_or_refused(name, value):
    try:
        config = FitConfig.from_mapping({name: value})
    except ConfigError:
        return
    assert FitConfig.from_mapping(config.to_dict()) == config
