"""The tour on the screen: a quiet strip above the panels, and a frame about what a step is about."""

from __future__ import annotations

from typing import Any

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, Qt, QTimer, Signal
from qtpy.QtWidgets import QFrame, QHBoxLayout, QMainWindow, QPushButton, QScrollArea, QVBoxLayout, QWidget

from napari_cubeseg.preferences import Preferences, with_preferences
from napari_cubeseg.qt.bottom_dock import dock_of
from napari_cubeseg.qt.hints import Hint, link
from napari_cubeseg.session import Session
from napari_cubeseg.tour import STEPS, remember, was_offered

__all__ = ["TourStrip"]

_DIST = "napari-cubeseg"
_COLOUR = "#e69f00"


class TourStrip(QFrame):
    """Offers the tour, and leads through it.

    It holds nothing: where somebody is stands in the session, so the tour goes on when the dock is closed and opened.

    Parameters
    ----------
    session : Session
    area : QScrollArea
        That the panels are in; it is scrolled to what a step is about.
    """

    resized = Signal()
    """It needs more or less room, or none."""

    def __init__(self, session: Session, area: QScrollArea) -> None:
        super().__init__(area)
        self.setObjectName("cubeseg.tour")
        self.setStyleSheet(f"TourStrip {{ border-left: 3px solid {_COLOUR}; }}")
        self._session, self._area = session, area
        self._offering = False
        self._frame: _Frame | None = None
        self._text = Hint(self)
        self._text.setObjectName("cubeseg.tour.text")
        self.go_on = QPushButton(self)
        self.go_on.setObjectName("cubeseg.tour.next")
        self.go_on.setToolTip("The tour works on a small painting")
        self.go_on.clicked.connect(self._next)
        self.leave = QPushButton(self)
        self.leave.setObjectName("cubeseg.tour.skip")
        self.leave.setToolTip("Help in this dock starts the tour at any time")
        self.leave.clicked.connect(self._skip)
        buttons = QHBoxLayout()
        buttons.addStretch()
        buttons.addWidget(self.go_on)
        buttons.addWidget(self.leave)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 6, 8, 6)
        layout.addWidget(self._text)
        layout.addLayout(buttons)
        self._shown: Any = None
        # frames follow widgets that move, and come when a widget does
        self._follow = QTimer(self)
        self._follow.setInterval(300)
        self._follow.timeout.connect(self._keep_up)
        session.tour.changed.connect(self._refresh)
        session.cube_changed.connect(self._refresh)
        self._refresh()
        # who was asked is not asked again
        if not was_offered():
            with_preferences(session.runner, self._offer)

    def _offer(self, found: Preferences) -> None:
        """Ask, unless that is not wanted; those who have something open are not new."""
        if isalive(self) and found.tour and self._session.cube is None and self._session.tour.at is None:
            self._offering = True
            self._refresh()

    def _refresh(self) -> None:
        tour = self._session.tour
        if self._offering and (self._session.cube is not None or tour.at is not None):
            # who opens a cube of their own has found the way
            remember()
            self._offering = False
        self.setVisible(self._offering or tour.at is not None)
        if self._offering:
            self._say("New here? A tour on a small painting, three minutes.", "Start", "Not now")
        elif tour.over:
            more = link("tutorials/painting.md", "A painting, step by step") + " has all of it at more length; "
            self._say(f"That was the tour. {more}Help, above, has the rest.", "Close", "")
        elif tour.opening:
            self._say("The painting is being opened…", "", "Skip tour")
        elif tour.missing:
            self._say("The painting was closed.", "Open it again", "Skip tour")
        elif tour.step is not None:
            where = f"<b>{(tour.at or 0) + 1} of {len(STEPS)}</b>"
            self._say(f"{where}&nbsp; {tour.step.text}<br><b>{tour.step.do}</b>", "Next", "Skip tour")
        self._point()
        self.resized.emit()

    def _say(self, text: str, go_on: str, leave: str) -> None:
        self._text.setText(text)
        for button, words in ((self.go_on, go_on), (self.leave, leave)):
            button.setText(words)
            button.setVisible(bool(words))
        if go_on == "Next":
            self.go_on.setToolTip("Go on without doing this")

    def _next(self) -> None:
        tour = self._session.tour
        if self._offering:
            self._open_spectra()
            tour.start()
        elif tour.missing:
            tour.open()
        else:
            tour.next()

    def _skip(self) -> None:
        self._offering = False
        self._session.tour.stop()

    def _window(self) -> QMainWindow | None:
        dock = dock_of(self._area)
        window = None if dock is None else dock.parent()
        return window if isinstance(window, QMainWindow) else None

    def _open_spectra(self) -> None:
        window = self._window()
        if window is not None and window.findChild(QWidget, "cubeseg.spectra") is None:
            self._session.viewer.window.add_plugin_dock_widget(_DIST, "Spectra")

    def _target(self) -> QWidget | None:
        """What the present step is about, if it can be seen."""
        step, window = self._session.tour.step, self._window()
        if step is None or window is None or self._session.tour.opening or self._session.tour.missing:
            return None
        found = window.findChild(QWidget, step.widget)
        return found if found is not None and found.isVisible() else None

    def _point(self) -> None:
        """Scroll to what the step is about when it begins, and frame it."""
        step = self._session.tour.step
        if step is None:
            self._shown = None
            self._follow.stop()
        elif not self._follow.isActive():
            self._follow.start()
        self._keep_up()

    def _keep_up(self) -> None:
        target, step = self._target(), self._session.tour.step
        if self._frame is not None and (not isalive(self._frame) or self._frame.target is not target):
            self._unframe()
        if target is None or step is None or not self.isVisible():
            return
        if self._frame is None:
            self._frame = _Frame(target)
        if self._shown is not step:
            self._shown = step
            inside = self._area.widget()
            if inside is not None and inside.isAncestorOf(target):
                self._area.ensureWidgetVisible(target, 0, 40)
        self._frame.fit()
        window = self._window()
        if step.seen and window is not None:
            seen = window.findChild(QWidget, step.seen)
            if seen is not None and seen.isVisible():
                self._session.tour.next()

    def _unframe(self) -> None:
        if self._frame is not None and isalive(self._frame):
            self._frame.hide()
            self._frame.deleteLater()
        self._frame = None

    def hideEvent(self, event: Any) -> None:
        """The dock was closed, or is behind another: nothing is framed without a word."""
        super().hideEvent(event)
        self._unframe()

    def changeEvent(self, event: QEvent | None) -> None:
        """Take over other colours, which may need other room."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.StyleChange:
            self.resized.emit()


class _Frame(QFrame):
    """A frame about a widget, beside it in the same parent, through which the mouse goes."""

    def __init__(self, target: QWidget) -> None:
        super().__init__(target.parentWidget())
        self.target = target
        self.setObjectName("cubeseg.tour.frame")
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setStyleSheet(f"QFrame {{ background: transparent; border: 2px solid {_COLOUR}; border-radius: 4px; }}")
        self.fit()
        self.show()

    def fit(self) -> None:
        """Lie about the widget."""
        parent = self.parentWidget()
        if isalive(self.target) and parent is not None:
            self.setGeometry(self.target.geometry().adjusted(-2, -2, 2, 2).intersected(parent.rect()))
            self.raise_()
