"""Help, the tour and the preferences in the real window."""

from __future__ import annotations

import pytest
from napari.settings import get_plugin_settings
from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QDesktopServices, QPalette
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QCheckBox, QFrame, QPushButton, QTabWidget, QWidget

from cubeseg import open_cube
from napari_cubeseg import samples
from napari_cubeseg.layers import cube_layer
from napari_cubeseg.qt.help_window import HelpWindow
from napari_cubeseg.qt.hints import HelpButton
from napari_cubeseg.session import session_of
from tests.napari_cubeseg.test_viewer import (  # noqa: F401
    DIST,
    button,
    docks,
    mouse,
    no_worker_left,
    on_canvas,
    options,
    viewer,
    wait,
)


def click(widget, place=None):
    at = widget.rect().center() if place is None else place
    QTest.mouseClick(widget, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, at)


@pytest.fixture
def newcomer(make_napari_viewer, settings_folder, monkeypatch, painting_file):
    """An empty window with the dock, opened by somebody new; the sample is a small one."""
    (settings_folder / "tour-offered").unlink()
    monkeypatch.setattr(samples, "painting", lambda: [cube_layer(open_cube(painting_file))])
    monkeypatch.setattr(samples, "holds", lambda cube: cube is not None and cube.source.path == str(painting_file))
    made = make_napari_viewer(show=True)
    made.window.resize(1280, 800)
    _, dock = made.window.add_plugin_dock_widget(DIST, "Segment datacube")
    wait(dock.findChild(QWidget, "cubeseg.tour").isVisible)
    return made, dock


def test_every_panel_leads_to_its_page(viewer, docks):  # noqa: F811
    window = viewer.window._qt_window
    buttons = [b for dock in docks for b in dock.findChildren(HelpButton)]
    assert len(buttons) >= 8
    for one in buttons:
        one.click()
        (help_,) = window.findChildren(HelpWindow)
        assert help_.name == one.page.partition("#")[0]
        assert "Not here" not in help_.text.toPlainText()
    assert help_.isVisible()


def test_pages_are_read_with_links_and_the_way_back(viewer, docks, monkeypatch):  # noqa: F811
    outside = []
    monkeypatch.setattr(QDesktopServices, "openUrl", outside.append)
    menu = button(docks[0], "cubeseg.help.menu").menu()
    next(a for a in menu.actions() if a.data() == "index.md").trigger()
    (help_,) = viewer.window._qt_window.findChildren(HelpWindow)
    assert not help_.back.isEnabled()
    help_.text.anchorClicked.emit(QUrl("tutorials/galaxy.md"))
    assert help_.text.toPlainText().startswith("A galaxy in ten minutes")
    help_.text.anchorClicked.emit(QUrl("../formats.md#fits-in-particular"))
    assert help_.name == "formats.md"
    assert help_.text.verticalScrollBar().value() > 0
    help_.text.anchorClicked.emit(QUrl("https://arxiv.org/abs/2401.17695"))
    assert [url.host() for url in outside] == ["arxiv.org"]
    assert help_.name == "formats.md"
    help_.text.anchorClicked.emit(QUrl("cli.md"))
    assert "not on this computer" in help_.text.toPlainText()
    for name in ("formats.md", "tutorials/galaxy.md", "index.md"):
        click(help_.back)
        assert help_.name == name
    assert not help_.back.isEnabled()


def test_links_can_be_read_in_both_themes(viewer, docks):  # noqa: F811
    docks[0].findChild(HelpButton).click()
    (help_,) = viewer.window._qt_window.findChildren(HelpWindow)
    help_.go("index.md")
    colours = set()
    for theme in ("dark", "light"):
        viewer.theme = theme
        QTest.qWait(300)
        block, found = help_.text.document().begin(), None
        while found is None and block.isValid():
            there = block.begin()
            while not there.atEnd():
                if there.fragment().charFormat().isAnchor():
                    found = there.fragment().charFormat().foreground().color()
                there += 1
            block = block.next()
        text = help_.text.palette().color(QPalette.ColorRole.Text)
        # light on dark, dark on light, as the text is
        assert (found.lightness() > 128) == (text.lightness() > 128), theme
        colours.add(found.name())
    assert len(colours) == 2


def test_the_tour_with_the_mouse(newcomer, settings_folder):
    made, dock = newcomer
    window, session = made.window._qt_window, session_of(made)

    def press(name):
        click(window.findChild(QPushButton, name))

    assert button(dock, "cubeseg.tour.next").text() == "Start"
    press("cubeseg.tour.next")
    wait(lambda: session.cube is not None)
    assert window.findChild(QWidget, "cubeseg.spectra") is not None
    assert (settings_folder / "tour-offered").exists()
    wait(lambda: session.overview is not None)
    mouse(made, [on_canvas(made, session.cube_layer, 20, 11)])
    wait(lambda: session.tour.at == 1)
    options(dock, "pca", (6, 6))
    frame = window.findChild(QFrame, "cubeseg.tour.frame")
    assert frame.target.objectName() == "cubeseg.train"
    press("cubeseg.train.run")
    wait(lambda: session.tour.at == 2)
    # whatever becomes of the docks, it goes on where it was
    made.window.remove_dock_widget(dock)
    QTest.qWait(50)
    assert not any(f.isVisible() for f in window.findChildren(QFrame, "cubeseg.tour.frame"))
    session.select([2])
    assert session.tour.at == 3
    _, again = made.window.add_plugin_dock_widget(DIST, "Segment datacube")
    wait(again.isVisible)
    assert "4 of 7" in again.findChild(QWidget, "cubeseg.tour.text").text()
    session.select([2, 3])
    press("cubeseg.classes.button.merge")
    wait(lambda: session.tour.at == 4)
    press("cubeseg.classes.button.undo")
    wait(lambda: session.tour.at == 5)
    press("cubeseg.spectra.tools")
    side = window.findChild(QTabWidget, "cubeseg.spectra.side")
    click(side.tabBar(), side.tabBar().tabRect(1).center())
    assert session.tour.at == 5
    press("cubeseg.spectra.explain")
    wait(lambda: session.tour.at == 6)
    made.layers.clear()
    wait(lambda: button(again, "cubeseg.tour.next").text() == "Open it again")
    press("cubeseg.tour.skip")
    assert not again.findChild(QWidget, "cubeseg.tour").isVisible()
    assert not any(f.isVisible() for f in window.findChildren(QFrame, "cubeseg.tour.frame"))
    menu = button(again, "cubeseg.help.menu")
    menu.tour.trigger()
    wait(lambda: session.cube is not None)
    assert session.tour.at == 0
    made.close()


def test_who_says_not_now_is_not_asked_again(newcomer):
    made, dock = newcomer
    strip = dock.findChild(QWidget, "cubeseg.tour")
    assert strip.isVisible()
    click(button(dock, "cubeseg.tour.skip"))
    assert not strip.isVisible()
    assert dock.viewportMargins().top() == 0
    made.window.remove_dock_widget(dock)
    _, again = made.window.add_plugin_dock_widget(DIST, "Segment datacube")
    wait(again.isVisible)
    assert not again.findChild(QWidget, "cubeseg.tour").isVisible()


def test_who_opens_a_cube_instead_is_not_asked_again(newcomer, settings_folder, painting_file):
    made, dock = newcomer
    made.open(str(painting_file), plugin=DIST)
    assert not dock.findChild(QWidget, "cubeseg.tour").isVisible()
    assert (settings_folder / "tour-offered").exists()


def test_who_has_a_cube_is_not_asked(viewer, settings_folder):  # noqa: F811
    (settings_folder / "tour-offered").unlink()
    _, dock = viewer.window.add_plugin_dock_widget(DIST, "Segment datacube")
    wait(dock.isVisible)
    assert not dock.findChild(QWidget, "cubeseg.tour").isVisible()


def test_what_is_preferred_is_there_at_the_start(make_napari_viewer, settings_folder):
    (settings_folder / "tour-offered").unlink()
    settings = get_plugin_settings(DIST)
    settings.run.method, settings.work.tour = "pca", False
    made = make_napari_viewer(show=True)
    _, dock = made.window.add_plugin_dock_widget(DIST, "Segment datacube")
    wait(lambda: dock.findChild(QWidget, "cubeseg.train").method.value == "pca")
    QTest.qWait(50)
    assert not dock.findChild(QWidget, "cubeseg.tour").isVisible()


def test_the_preferences_are_in_the_dialog_of_napari(viewer, settings_folder):  # noqa: F811
    dialog = viewer.window._open_preferences_dialog()
    names = [dialog._list.item(n).text() for n in range(dialog._list.count())]
    dialog._list.setCurrentRow(names.index(DIST))
    for box in dialog._stack.currentWidget().findChildren(QCheckBox):
        box.setChecked(False)
    dialog._button_ok.click()
    assert not get_plugin_settings(DIST).work.keep
    assert "keep: false" in (settings_folder / f"{DIST}.yaml").read_text()
