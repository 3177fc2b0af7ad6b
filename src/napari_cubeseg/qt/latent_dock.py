"""The latent space: codes of all pixels in the colours of their classes, with a lasso, linked with the image."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QRectF, QSignalBlocker, Qt, QTimer
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QPushButton

import pyqtgraph as pg  # isort: skip

from napari.utils.notifications import show_error

from cubeseg.errors import CubeSegError
from cubeseg.segmentation import Segmentation
from napari_cubeseg.jobs import Control, ignore, one
from napari_cubeseg.keys import KEYS
from napari_cubeseg.qt.bottom_dock import BottomDock
from napari_cubeseg.qt.hints import HelpButton, Hint, link
from napari_cubeseg.qt.jobs import run_in_thread
from napari_cubeseg.qt.lasso_box import LassoBox
from napari_cubeseg.qt.lifetime import end_with_window
from napari_cubeseg.qt.plots import ThemedPlot
from napari_cubeseg.scatter import Scatter
from napari_cubeseg.session import session_of

__all__ = ["LatentDock"]

# more points than this are shown as their density
_MANY = 100_000


class LatentDock(BottomDock):
    """Scatter or density of the codes; what is enclosed by a lasso is marked in the image and can be assigned."""

    def __init__(self, napari_viewer: Any) -> None:
        session = session_of(napari_viewer)
        super().__init__(session.viewer)
        self.setObjectName("cubeseg.latent")
        self._session = session
        session.use_threads(run_in_thread)
        self._scatter: Scatter | None = None
        self._of: Segmentation | None = None
        self._control, self._counting = Control(), Control()
        self.box = LassoBox()
        # the two combo boxes above tell what the axes are
        self.plot = ThemedPlot(session.viewer.theme, self, below=24, viewBox=self.box)
        self.plot.setMinimumHeight(150)
        self.points = pg.ScatterPlotItem(size=4, pen=None, pxMode=True)
        self.picture = pg.ImageItem(axisOrder="row-major")
        self.here = pg.ScatterPlotItem(size=14, symbol="+", pen=pg.mkPen("#ffffff", width=2), brush=None)
        for item in (self.picture, self.points, self.here):
            self.plot.addItem(item, ignoreBounds=True)
        self.across, self.up = QComboBox(self), QComboBox(self)
        for box, tip in ((self.across, "What to look along from left to right"), (self.up, "... and upwards")):
            box.setToolTip(f"{tip}; along PC 1 the pixels differ most")
            box.currentTextChanged.connect(self._turned)
        self.density = QCheckBox("Density", self)
        self.density.setToolTip("Show all pixels as a picture of how many lie where, instead of a few thousand points")
        self.density.toggled.connect(self._draw_soon)
        self.lasso = QPushButton("Lasso", self)
        self.lasso.setObjectName("cubeseg.latent.lasso")
        self.lasso.setCheckable(True)
        self.lasso.setShortcut(KEYS["lasso"].keys)
        self.lasso.setToolTip(f"{KEYS['lasso'].what} ({KEYS['lasso'].keys})")
        self.lasso.toggled.connect(self._lasso_toggled)
        self.assign = QPushButton("To chosen class", self)
        self.assign.setObjectName("cubeseg.latent.assign")
        self.assign.setToolTip("Put the marked pixels into the class that is chosen in the table, as a correction")
        self.assign.clicked.connect(self._assign)
        self.new = QPushButton("New class", self)
        self.new.setObjectName("cubeseg.latent.new")
        self.new.setToolTip("Make a new class of the marked pixels")
        self.new.clicked.connect(lambda: session.overlays.assign_marked(None))
        self.forget = QPushButton("Forget", self)
        self.forget.setToolTip("Mark nothing any more")
        self.forget.clicked.connect(lambda: session.overlays.mark(None))
        self._hint = Hint(self)
        self._hint.setWordWrap(False)
        bar = QHBoxLayout()
        for widget in (self.across, self.up, self.density, self.lasso, self._hint):
            bar.addWidget(widget)
        bar.addStretch()
        more = HelpButton("workbench.md#latent-space", "how to use the latent space", self)
        for widget in (self.assign, self.new, self.forget, more):
            bar.addWidget(widget)
        self.rows.addLayout(bar)
        self.rows.addWidget(self.plot, 1)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(60)
        self._soon.timeout.connect(self._draw)
        self.box.drawn.connect(self._drawn)
        self.box.sigRangeChanged.connect(self._zoomed)
        self.plot.scene().sigMouseClicked.connect(self._clicked)
        for signal in (session.result_changed, session.classes_changed, session.selection_changed):
            signal.connect(self._draw_soon)
        session.pixel_changed.connect(self._show_pixel)
        session.overlays.marked_changed.connect(self._show_marked)
        session.viewer.events.theme.connect(self._theme)
        self._draw()
        self._show_marked()
        end_with_window(self, session)

    def showEvent(self, event: Any) -> None:
        """Draw what changed while the dock could not be seen."""
        super().showEvent(event)
        self._draw_soon()

    def _draw_soon(self, *_: Any) -> None:
        if not self._soon.isActive():
            self._soon.start()

    def _draw(self) -> None:
        result = self._session.result
        there = result is not None and bool(result.latent.size)
        for widget in (self.across, self.up, self.density, self.lasso):
            widget.setEnabled(there)
        if result is None or not there:
            self._scatter = self._of = None
            self.points.setData([], [])
            self.picture.clear()
            self.here.setData([], [])
            self._hint.setText(
                "After a run every pixel is a point here; like spectra lie together. "
                + link("workbench.md#latent-space", "How to use it")
            )
            return
        if not self.isVisible() and self._of is not None:
            return
        if self._of is None or self._of.latent is not result.latent:
            self._look(result)
            return
        self._of = result
        self._show_marked()
        chosen = self._session.selected
        colours = {c.id: QColor(c.colour) for c in result.classes if c.visible}
        if self.density.isChecked():
            self._draw_density(result, colours, chosen)
        else:
            self._draw_points(result, colours, chosen)
        self._show_pixel()

    def _look(self, result: Segmentation, turned: bool = False) -> None:
        """Place all pixels along the chosen directions, in the background, and draw."""
        before = self._scatter if turned else None
        names = (self.across.currentText(), self.up.currentText())
        self._control.cancel()
        control = self._control = Control()

        def place() -> Scatter:
            made = Scatter(result) if before is None else before.copy()
            if all(name in made.directions for name in names):
                made.look_along(*names)
            return made

        def placed(made: Scatter) -> None:
            if control.cancelled:
                return
            self._scatter, self._of = made, result
            if before is None:
                self._offer_directions()
                with QSignalBlocker(self.density):
                    self.density.setChecked(len(made.pixels) > _MANY)
            left, right, bottom, top = made.bounds
            self.box.setRange(xRange=(left, right), yRange=(bottom, top), padding=0)
            self.box.clear_lasso()
            self._draw()

        def failed(error: CubeSegError) -> None:
            show_error(str(error))

        self._session.runner(lambda: one(place), control, ignore, placed, failed, ignore)

    def _draw_points(self, result: Segmentation, colours: dict[int, QColor], chosen: tuple[int, ...]) -> None:
        assert self._scatter is not None
        self.picture.clear()
        places, labels = self._scatter.sample(result.labels)
        brushes = {}
        for label, colour in colours.items():
            shown = QColor(colour)
            shown.setAlpha(230 if not chosen or label in chosen else 40)
            brushes[label] = pg.mkBrush(shown)
        # unassigned points are seen too: they may be what the lasso is for
        grey = pg.mkBrush(140, 140, 140, 120)
        keep = np.isin(labels, [0, *brushes])
        # chosen classes last, so that they lie on top
        order = np.argsort(np.isin(labels[keep], chosen), kind="stable")
        places, labels = places[keep][order], labels[keep][order]
        self.points.setData(places[:, 0], places[:, 1], brush=[brushes.get(int(i), grey) for i in labels])

    def _draw_density(self, result: Segmentation, colours: dict[int, QColor], chosen: tuple[int, ...]) -> None:
        scatter = self._scatter
        assert scatter is not None
        self.points.setData([], [])
        (left, right), (bottom, top) = self.box.viewRange()
        seen = {i: (c.red(), c.green(), c.blue()) for i, c in colours.items() if not chosen or i in chosen}
        labels = result.labels.copy()
        self._counting.cancel()
        control = self._counting = Control()

        def counted(image: Any) -> None:
            if not control.cancelled and self.density.isChecked():
                self.picture.setImage(image, autoLevels=False, levels=(0, 255))
                self.picture.setRect(QRectF(left, bottom, right - left, top - bottom))

        def count() -> Any:
            return scatter.density(labels, seen, (left, right, bottom, top))

        self._session.runner(lambda: one(count), control, ignore, counted, ignore, ignore)

    def _offer_directions(self) -> None:
        assert self._scatter is not None
        names = self._scatter.directions
        for number, box in enumerate((self.across, self.up)):
            if [box.itemText(i) for i in range(box.count())] != names:
                with QSignalBlocker(box):
                    box.clear()
                    box.addItems(names)
                    box.setCurrentIndex(min(number, len(names) - 1))

    def _turned(self, *_: Any) -> None:
        if self._of is not None:
            self._look(self._of, turned=True)

    def _zoomed(self, *_: Any) -> None:
        if self.density.isChecked():
            self._draw_soon()

    def _lasso_toggled(self, on: bool) -> None:
        self.box.lasso = on
        if not on:
            self.box.clear_lasso()

    def _drawn(self, corners: list[tuple[float, float]]) -> None:
        if self._scatter is not None:
            self._session.overlays.mark(self._scatter.inside(corners))

    def _show_marked(self) -> None:
        marked, result = self._session.overlays.marked, self._session.result
        for button in (self.assign, self.new, self.forget):
            button.setEnabled(marked is not None)
        if marked is None:
            self.box.clear_lasso()
        elif len(self._session.selected) != 1:
            self.assign.setEnabled(False)
        if result is not None:
            chosen = [c.name for c in result.classes if c.id in self._session.selected]
            self.assign.setText(f"To {chosen[0]}" if len(chosen) == 1 else "To chosen class")
            self._hint.setText("" if marked is None else f"{int(marked.sum()):,} pixels marked")

    def _assign(self) -> None:
        if len(self._session.selected) == 1:
            self._session.overlays.assign_marked(self._session.selected[0])

    def _clicked(self, event: Any) -> None:
        """A click chooses the class of the nearest point that is drawn."""
        if self._scatter is None or self._of is None or event.button() != Qt.MouseButton.LeftButton:
            return
        at = self.box.mapSceneToView(event.scenePos())
        places, labels = self._scatter.sample(self._of.labels)
        (left, right), (bottom, top) = self.box.viewRange()
        apart = ((places - (at.x(), at.y())) / (right - left, top - bottom)) ** 2
        nearest = int(apart.sum(axis=1).argmin()) if len(places) else -1
        if nearest >= 0 and apart[nearest].sum() < 0.02**2 and labels[nearest]:
            self._session.select([int(labels[nearest])])

    def _show_pixel(self) -> None:
        pixel = self._session.pixel
        place = None if pixel is None or self._scatter is None else self._scatter.place(pixel.row, pixel.column)
        self.here.setData([] if place is None else [place[0]], [] if place is None else [place[1]])

    def _theme(self, event: Any = None) -> None:
        self.plot.set_theme(self._session.viewer.theme)
