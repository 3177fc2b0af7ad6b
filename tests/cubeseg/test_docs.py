"""What the pages show is what happens."""

from __future__ import annotations

import doctest
import runpy
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def test_examples_of_the_page_on_python(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = doctest.testfile(str(DOCS / "python.md"), module_relative=False, verbose=False)
    assert done.attempted > 30
    assert done.failed == 0


@pytest.mark.slow
def test_the_tutorial(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tutorial.py", "--size", "24", "--epochs", "1", "--folder", str(tmp_path / "t")])
    runpy.run_path(str(DOCS / "tutorial.py"), run_name="__main__")
    said = capsys.readouterr().out
    assert "7. made again from its record: 100.00 %" in said
    assert (tmp_path / "t" / "portrait-classes.h5").is_file()
    assert len(list((tmp_path / "t" / "out").iterdir())) == 3
