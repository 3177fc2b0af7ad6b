"""Damaged files give a cube or a DataError, never anything else; scripts/fuzz.py tries many more."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cubeseg import open_cube
from cubeseg.errors import DataError
from tests.cubeseg.io.written import HEALTHY, healthy_files


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """One healthy file of each format, by name."""
    return {path.name: path for path in healthy_files(tmp_path_factory.mktemp("healthy"))}


def test_every_healthy_file_is_a_cube(originals):
    for path in originals.values():
        assert open_cube(path, spectral_axis=2 if path.suffix == ".rpl" else 0).data.size == 960, path


@pytest.mark.parametrize("name", HEALTHY)
@settings(max_examples=40, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files(originals, tmp_path, name, data):
    content = bytearray(originals[name].read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        # headers are where parsers break, so the beginning is hit more often
        end = data.draw(st.sampled_from([min(600, len(content)), len(content)]))
        at = data.draw(st.integers(0, end - 1))
        if data.draw(st.booleans()):
            content[at] = data.draw(st.integers(0, 255))
        else:
            del content[at : at + data.draw(st.integers(1, 400))]
        if not content:
            break
    for beside in originals[name].parent.glob(f"{originals[name].stem}.raw"):
        shutil.copy(beside, tmp_path)
    path = tmp_path / name
    path.write_bytes(bytes(content))
    cube = said = None
    try:
        cube = open_cube(path)
        # a damaged part may show only when it is read; the corners, for a broken header can make a cube vast
        np.asarray(cube.data[0, :2, :2]), np.asarray(cube.data[-1, -1, -2:])
    except DataError as error:
        said = str(error)
    assert cube is not None or (said and "\n" not in said)
