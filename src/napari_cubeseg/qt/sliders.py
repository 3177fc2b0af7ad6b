"""Sliders that answer at once: number of classes, granularity, coherence; with the scores of the numbers tried."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt, QTimer
from qtpy.QtWidgets import QFormLayout, QProgressBar, QVBoxLayout, QWidget
from superqt import QLabeledDoubleSlider, QLabeledSlider

import pyqtgraph as pg  # isort: skip

from napari_cubeseg.qt.plots import ThemedPlot
from napari_cubeseg.session import Session

__all__ = ["Sliders"]


class Sliders(QWidget):
    """What the sliders show while they move is taken over when they are let go, as one step."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.number = QLabeledSlider(Qt.Orientation.Horizontal, self)
        self.number.setObjectName("cubeseg.classes.number")
        self.number.setToolTip("Group the pixels anew into so many classes; nothing is trained again")
        self.granularity = QLabeledSlider(Qt.Orientation.Horizontal, self)
        self.granularity.setObjectName("cubeseg.classes.granularity")
        self.granularity.setToolTip("Fewer, broader classes: the most alike are merged first, and parted again")
        self.coherence = QLabeledDoubleSlider(Qt.Orientation.Horizontal, self)
        self.coherence.setObjectName("cubeseg.classes.coherence")
        self.coherence.setToolTip(
            "How much a pixel's neighbours count beside its own spectrum; 0 = every pixel for itself"
        )
        self.coherence.setRange(0, 2)
        self.coherence.setSingleStep(0.05)
        self.scores = ScorePlot(session.viewer.theme, self)
        form = QFormLayout()
        form.setContentsMargins(0, 4, 0, 0)
        form.addRow("Classes", self.number)
        form.addRow(self.scores)
        form.addRow("Granularity", self.granularity)
        form.addRow("Coherence", self.coherence)
        self._bar = QProgressBar(self)
        self._bar.setRange(0, 100)
        self._bar.setTextVisible(False)
        self._bar.setFixedHeight(4)
        keep = self._bar.sizePolicy()
        keep.setRetainSizeWhenHidden(True)
        self._bar.setSizePolicy(keep)
        self._bar.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(form)
        layout.addWidget(self._bar)
        # from the keyboard and the wheel nothing tells that the slider was let go
        self._let_go = _timer(self, 500, self._release)
        # a slider that is dragged gives more values than can be worked on
        self._soon = _timer(self, 60, self._ask)
        self._moving: QWidget | None = None
        for slider in (self.number, self.granularity, self.coherence):
            slider.valueChanged.connect(self._moved)
            slider.sliderReleased.connect(self._released)
        session.classes_changed.connect(self.refresh)
        session.result_changed.connect(self.refresh)
        session.adjusting.connect(self._progress)
        session.viewer.events.theme.connect(self._theme)
        self.refresh()

    def refresh(self) -> None:
        """Show what there is."""
        adjustments = self._session.adjustments
        self.setVisible(adjustments is not None)
        if adjustments is None or self._moving is not None:
            return
        result = adjustments.result
        with QSignalBlocker(self.number), QSignalBlocker(self.granularity), QSignalBlocker(self.coherence):
            self.number.setRange(*adjustments.numbers)
            self.number.setValue(len(result.classes))
            least, most = adjustments.granularity
            self.granularity.setRange(least, max(most, least))
            self.granularity.setValue(len(result.classes))
            self.coherence.setValue(result.coherence)
        self.granularity.setEnabled(least < most)
        self.coherence.setEnabled(bool(result.evidence.size))
        self.scores.setVisible(len(result.scores) > 1)
        self.scores.show_scores(result.scores, len(result.classes))

    def _moved(self, *_: Any) -> None:
        adjustments = self._session.adjustments
        if adjustments is None:
            return
        if self._moving is None:
            adjustments.begin()
        sender = self.sender()
        self._moving = sender if isinstance(sender, QWidget) else self._moving
        self._let_go.stop()
        self._soon.start()

    def _ask(self) -> None:
        adjustments, slider = self._session.adjustments, self._moving
        if adjustments is None or slider is None:
            return
        if slider is self.number:
            self.scores.mark(self.number.value())
            adjustments.recluster(self.number.value())
        elif slider is self.granularity:
            adjustments.coarsen(self.granularity.value())
        else:
            adjustments.cohere(self.coherence.value())
        if not slider.isSliderDown():
            self._let_go.start()

    def _released(self) -> None:
        if self._soon.isActive():
            self._soon.stop()
            self._ask()
        self._release()

    def _release(self) -> None:
        self._let_go.stop()
        self._moving = None
        if self._session.adjustments is not None:
            self._session.adjustments.release()

    def _progress(self, part: float | None) -> None:
        self._bar.setVisible(part is not None)
        self._bar.setValue(round(100 * (part or 0)))

    def _theme(self, event: Any = None) -> None:
        self.scores.set_theme(self._session.viewer.theme)


class ScorePlot(ThemedPlot):
    """The score of every number of classes that the run tried, the number that there is now marked."""

    def __init__(self, theme: str, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self.setFixedHeight(76)
        self.setMouseEnabled(x=False, y=False)
        self.setToolTip("How well each number of classes fits (higher is better); the line marks the present one")
        self.getAxis("left").setTicks([])
        self.getAxis("left").setWidth(6)
        self.getAxis("bottom").setHeight(20)
        self._curve = self.plot([], [], pen=pg.mkPen("#0096ff", width=2), symbol="o", symbolSize=5, symbolPen=None)
        self._curve.setSymbolBrush("#0096ff")
        self._best = self.plot([], [], pen=None, symbol="star", symbolSize=14, symbolPen=None)
        self._best.setSymbolBrush("#e69f00")
        self._now = pg.InfiniteLine(angle=90, pen=pg.mkPen("#999999", style=Qt.PenStyle.DashLine))
        self.addItem(self._now, ignoreBounds=True)

    def set_theme(self, theme: str) -> None:
        """Take over the colours; there is no axis title to make room for."""
        super().set_theme(theme)
        self.getAxis("bottom").setHeight(20)

    def show_scores(self, scores: dict[int, float], now: int) -> None:
        """Show a curve; the best number has a star."""
        numbers = sorted(scores)
        self._curve.setData(numbers, [scores[k] for k in numbers])
        best = max(numbers, key=lambda k: scores[k], default=None)
        self._best.setData([] if best is None else [best], [] if best is None else [scores[best]])
        self.getAxis("bottom").setTicks([[(k, str(k)) for k in numbers]])
        self.mark(now)

    def mark(self, number: int) -> None:
        """Mark a number of classes."""
        self._now.setValue(number)


def _timer(parent: QWidget, interval: int, then: Any) -> QTimer:
    made = QTimer(parent)
    made.setSingleShot(True)
    made.setInterval(interval)
    made.timeout.connect(then)
    return made
