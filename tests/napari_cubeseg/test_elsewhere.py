"""Where numbers have a decimal comma, and folders have names that are not plain ASCII."""

from __future__ import annotations

import csv
import re

import pytest
from qtpy.QtCore import QLocale, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QWidget

import cubeseg
from cubeseg.samples import write_sample
from napari_cubeseg.session import session_of
from tests.napari_cubeseg.test_viewer import DIST, button, no_worker_left, options, run, wait  # noqa: F401


@pytest.fixture
def german():
    before = QLocale()
    QLocale.setDefault(QLocale(QLocale.Language.German))
    yield
    QLocale.setDefault(before)


def test_decimal_commas_and_foreign_letters(make_napari_viewer, german, tmp_path):
    folder = tmp_path / "Gemälde mit Leerzeichen 画"
    folder.mkdir()
    path = folder / "Köpfe 头 1.h5"
    write_sample("painting", path, size=24, counts=300, seed=1)
    viewer = make_napari_viewer(show=True)
    _, segment = viewer.window.add_plugin_dock_widget(DIST, "Segment datacube")
    viewer.open(str(path), plugin=DIST)
    session = session_of(viewer)
    assert session.cube.source.path == str(path)

    redshift = segment.findChild(QWidget, "cubeseg.image.redshift")
    redshift.setValue(0.25)
    assert redshift.text() == "0,25000"
    redshift.selectAll()
    QTest.keyClicks(redshift, "0,5")
    QTest.keyClick(redshift, Qt.Key.Key_Return)
    assert redshift.value() == 0.5
    options(segment)
    panel = segment.findChild(QWidget, "cubeseg.train")
    panel._more["beta"].value = 0.05
    assert panel.config().beta.high == 0.05

    run(viewer, segment)
    session.workbench.rename(1, "Grün, hell")
    export = segment.findChild(QWidget, "cubeseg.export")
    export.folder.setText(str(folder / "Ergebnis ü"))
    done = []
    session.exports.written.connect(done.append)
    button(segment, "cubeseg.export.run").click()
    wait(lambda: done)
    for table in (p for p in done[0] if p.suffix == ".csv"):
        with table.open(encoding="utf-8") as file:
            header, *rows = csv.reader(line for line in file if not line.startswith("#"))
        # a decimal comma would make two cells of one
        assert {len(row) for row in rows} == {len(header)}
        assert not any(re.fullmatch(r"-?\d+,\d+", cell) for row in rows for cell in row)
    (kept,) = [p for p in done[0] if p.suffix == ".h5"]
    result = cubeseg.load(kept)
    assert result.info(1).name == "Grün, hell"
    assert result.source.path == str(path)
