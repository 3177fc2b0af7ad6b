"""What to show of a cube: maps of elements, lines and windows, false and true colour."""

from __future__ import annotations

import re
from typing import Any

from napari.utils.theme import get_theme
from qtpy.QtCore import Qt
from qtpy.QtGui import QStandardItemModel
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QCompleter,
    QDoubleSpinBox,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QWidget,
)
from superqt import QCollapsible

from cubeseg.axis import SpectralAxis
from cubeseg.errors import ConfigError
from cubeseg.maps.colour import TrueColour
from cubeseg.maps.windows import limits_text, parse_window, three_windows
from cubeseg.spectroscopy.lines import holds_xrays
from cubeseg.spectroscopy.rest_lines import rest_lines
from napari_cubeseg.maps import Made
from napari_cubeseg.qt.hints import HelpButton, Hint
from napari_cubeseg.session import Session

__all__ = ["ImagePanel"]

_SYMBOLS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb "
    "Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au "
    "Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf"
)
_KINDS = (
    ("elements", "Elements", "How much of an element each pixel has, from its main X-ray line"),
    ("true", "True colour", "The cube as an eye would see it"),
    ("false", "False colour", "Three windows of the spectrum as red, green and blue"),
    ("lines", "Lines", "Light of atoms and molecules, less the continuum beside the line"),
    ("window", "A window", "The sum of the bands between two limits"),
    ("sum", "Sum of all bands", "All that each pixel has"),
    ("mean", "Mean of all bands", "The sum divided by the number of bands that have a value"),
    ("max", "Largest value", "The highest point of each pixel's spectrum: shows what only a few bands have"),
)
_FIELDS = {
    "elements": ("elements", "background", "picture"),
    "lines": ("lines", "redshift", "width", "background", "picture"),
    "window": ("window", "background"),
    "false": ("red", "green", "blue"),
}


class ImagePanel(QWidget):
    """A folded form: what to show, of which lines or windows, and the button that makes it."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("cubeseg.image")
        self._session = session
        self._axis: SpectralAxis | None = None
        inside = QWidget(self)
        self._form = QFormLayout(inside)
        self._form.setContentsMargins(0, 0, 0, 0)
        self._form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.kind = QComboBox(inside)
        self.kind.setObjectName("cubeseg.image.kind")
        self.kind.setToolTip("What is shown of the cube, as a layer above it")
        self.kind.currentIndexChanged.connect(self._kind_chosen)
        self.kind.activated.connect(self._remember)
        self._wanted = ""
        self._form.addRow("Show", self.kind)
        self._fields: dict[str, QWidget] = {}
        self._completers: list[_ListCompleter] = []
        self._make_fields(inside)
        self._hint = QLabel(inside)
        self._hint.setObjectName("cubeseg.image.note")
        self._hint.setWordWrap(True)
        self._form.addRow(self._hint)
        self.make = QPushButton("Make", inside)
        self.make.setObjectName("cubeseg.image.make")
        self.make.setToolTip("Make it in the background and show it above the cube; what was made before is replaced")
        self.make.clicked.connect(self._make)
        self._form.addRow(self.make)
        self._form.addRow(self._make_work(inside))
        fold = QCollapsible("Image: maps and colours")
        fold.setObjectName("cubeseg.image.fold")
        fold.setDuration(0)
        fold.layout().setContentsMargins(0, 0, 0, 0)
        fold.toggleButton().setToolTip("Maps of elements and lines, windows of the spectrum, false and true colour")
        self._empty = Hint(self)
        self._empty.setText("Once a cube is open, maps of its elements and lines and colour pictures are made here.")
        fold.addWidget(self._empty)
        fold.addWidget(inside)
        self._inside = inside
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(fold, 1)
        page = "tutorials/painting.md#2-look-at-elements"
        layout.addWidget(HelpButton(page, "how to make maps", self), 0, Qt.AlignmentFlag.AlignTop)
        session.cube_changed.connect(self._refresh)
        session.cubes.overview_changed.connect(self._fill)
        session.maps.working.connect(self._show_work)
        session.maps.made.connect(self._say)
        session.viewer.events.theme.connect(self._theme)
        self._refresh()

    def text(self, name: str) -> str:
        """What a field says."""
        field = self._fields[name]
        assert isinstance(field, QLineEdit)
        return field.text().strip()

    # making the widgets

    def _make_fields(self, parent: QWidget) -> None:
        self._line(parent, "elements", "Elements", "Pb, Cu, Fe", "Symbols or names; Pb-M for a family of lines")
        self._line(parent, "lines", "Lines", "Hα, [N II]", "Names of lines, such as Hα, [O III] 5007, CO 2-1")
        self._complete("elements", _SYMBOLS.split())
        self._complete("lines", list(dict.fromkeys(x for line in rest_lines() for x in (line.label, line.family))))
        redshift = QDoubleSpinBox(parent)
        redshift.setDecimals(5)
        redshift.setRange(-0.1, 20)
        redshift.setSingleStep(0.001)
        self._field(redshift, "redshift", "Redshift", "z of the source: 0 = at rest; 0.01 is about 3000 km/s")
        width = QDoubleSpinBox(parent)
        width.setDecimals(0)
        width.setRange(0, 20_000)
        width.setSingleStep(50)
        width.setPrefix("± ")
        width.setSuffix(" km/s")
        width.setSpecialValueText("automatic")
        self._field(width, "width", "Width", "How far from the line its light is summed up, to either side")
        self._line(parent, "window", "Window", "low–high", "The two limits, in the unit of the spectral axis")
        for name in ("red", "green", "blue"):
            self._line(parent, name, name.capitalize(), "low–high", f"The window that is shown in {name}: two limits")
        background = QCheckBox("Less the background", parent)
        background.setChecked(True)
        self._field(background, "background", "", "Take off what lies beneath the line, by a straight line beside it")
        picture = QCheckBox("Also in red, green, blue", parent)
        picture.setChecked(True)
        self._field(picture, "picture", "", "Show the first three together in one picture too")

    def _line(self, parent: QWidget, name: str, label: str, placeholder: str, tip: str) -> None:
        field = QLineEdit(parent)
        field.setPlaceholderText(placeholder)
        field.textChanged.connect(self._check)
        field.returnPressed.connect(self._make)
        self._field(field, name, label, tip)

    def _field(self, field: QWidget, name: str, label: str, tip: str) -> None:
        field.setObjectName(f"cubeseg.image.{name}")
        field.setToolTip(tip)
        self._fields[name] = field
        self._form.addRow(label, field)

    def _complete(self, name: str, words: list[str]) -> None:
        field = self._fields[name]
        assert isinstance(field, QLineEdit)
        completer = _ListCompleter(words, field)
        completer.set_theme(self._session.viewer.theme)
        field.setCompleter(completer)
        self._completers.append(completer)

    def _make_work(self, parent: QWidget) -> QWidget:
        self._work = QWidget(parent)
        self._work_text = QLabel(self._work)
        self._bar = QProgressBar(self._work)
        self._bar.setTextVisible(False)
        self._bar.setFixedHeight(6)
        stop = QPushButton("Stop", self._work)
        stop.setObjectName("cubeseg.image.stop")
        stop.setToolTip("Give up the maps that are being made")
        stop.clicked.connect(self._session.maps.stop)
        layout = QGridLayout(self._work)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._work_text, 0, 0)
        layout.addWidget(self._bar, 1, 0)
        layout.addWidget(stop, 0, 1, 2, 1)
        self._work.hide()
        return self._work

    # following the session

    def _refresh(self) -> None:
        cube = self._session.cube
        self._inside.setVisible(cube is not None)
        self._empty.setVisible(cube is None)
        axis = None if cube is None else cube.axis
        if axis is self._axis and self.kind.count():
            return
        self._axis = axis
        self.kind.blockSignals(True)
        self.kind.clear()
        reason = _no_colour(axis)
        for kind, text, tip in _KINDS:
            if _fits(kind, axis):
                self.kind.addItem(text, kind)
                at = self.kind.count() - 1
                self.kind.setItemData(at, reason if kind == "true" and reason else tip, Qt.ItemDataRole.ToolTipRole)
                if kind == "true" and reason:
                    model = self.kind.model()
                    assert isinstance(model, QStandardItemModel)
                    model.item(at).setEnabled(False)
        usable = [n for n in range(self.kind.count()) if self.kind.itemData(n) != "true" or not reason]
        kept = self.kind.findData(self._wanted)
        self.kind.setCurrentIndex(kept if kept in usable else usable[0])
        self.kind.blockSignals(False)
        for name in ("red", "green", "blue", "window"):
            self._fields[name].clear()
        self._fill()
        self._kind_chosen()

    def _fill(self) -> None:
        """Windows to begin with, unless somebody has written some."""
        axis, typical = self._session.cube and self._session.cube.axis, self._session.typical
        if axis is None:
            return
        found = three_windows(axis, typical)
        for name, limits in zip(("red", "green", "blue", "window"), (*found, found[0]), strict=True):
            field = self._fields[name]
            assert isinstance(field, QLineEdit)
            if not field.isModified() or not field.text():
                field.setText(limits_text(axis, *limits))
                field.setModified(False)

    def _kind_chosen(self, *_: int) -> None:
        kind = self.kind.currentData()
        shown = _FIELDS.get(kind, ())
        for name, field in self._fields.items():
            self._form.setRowVisible(field, name in shown)
        background = self._fields["background"]
        assert isinstance(background, QCheckBox)
        # what is summed up by hand is usually all that is there
        background.setChecked(kind in ("elements", "lines"))
        self._check()

    def _remember(self, *_: int) -> None:
        """What somebody chose is kept for the next cube, if it can be had there."""
        self._wanted = self.kind.currentData()

    def _check(self, *_: str) -> None:
        """Say what is wrong with what is written, as far as that is known at once."""
        kind = self.kind.currentData()
        wrong = ""
        if kind == "elements":
            *whole, last = _names(self.text("elements"), keep_empty=True)
            # the last one may not be written to its end
            begun = last == "" or any(symbol.startswith(last.capitalize()) for symbol in _SYMBOLS.split())
            unknown = [n for n in (*whole, *(() if begun else (last,))) if n and not _may_be_element(n)]
            wrong = f"There is no element {', '.join(unknown)}" if unknown else ""
        for name in ("red", "green", "blue", "window"):
            if name in _FIELDS.get(kind, ()):
                try:
                    parse_window(self.text(name))
                except ConfigError:
                    wrong = wrong or f"{name.capitalize()}: write two numbers, such as {self._example()}"
        self._hint.setText(wrong)
        self._hint.setVisible(bool(wrong))
        self.make.setEnabled(not wrong)

    def _example(self) -> str:
        axis = self._axis
        return "6.2–6.6" if axis is None else limits_text(axis, *three_windows(axis)[0])

    def _make(self) -> None:
        if not self.make.isEnabled():
            return
        maps, kind = self._session.maps, self.kind.currentData()
        less, together = self._checked("background"), self._checked("picture")
        if kind == "elements":
            maps.elements(_names(self.text("elements")), picture=together, background=less)
        elif kind == "lines":
            maps.lines(_names(self.text("lines")), self._value("redshift"), self._value("width"), together, less)
        elif kind == "window":
            maps.window(*parse_window(self.text("window")), background=less)
        elif kind == "false":
            maps.rgb([parse_window(self.text(name)) for name in ("red", "green", "blue")])
        elif kind == "true":
            maps.true_colour()
        else:
            maps.total(kind)

    def _checked(self, name: str) -> bool:
        box = self._fields[name]
        return isinstance(box, QCheckBox) and box.isChecked()

    def _value(self, name: str) -> float:
        box = self._fields[name]
        return box.value() if isinstance(box, QDoubleSpinBox) else 0.0

    def _theme(self, event: Any = None) -> None:
        for completer in self._completers:
            completer.set_theme(self._session.viewer.theme)

    def _show_work(self, work: tuple[str, float | None] | None) -> None:
        self._work.setVisible(work is not None)
        if work is not None:
            text, part = work
            self._work_text.setText(text if part is None else f"{text}: {part:.0%}")
            self._bar.setRange(0, 0 if part is None else 100)
            self._bar.setValue(round(100 * (part or 0)))

    def _say(self, made: tuple[Made, ...]) -> None:
        """Tell what shares a window with the lines that were mapped."""
        notes = [f"{_whole(one.label)} and {_whole(one.note)}" for one in made if one.note and one.image.ndim == 2]
        self._hint.setText(f"In the same window: {'; '.join(notes)}")
        self._hint.setVisible(bool(notes))


class _ListCompleter(QCompleter):
    """Completes the last of several words that commas part."""

    def __init__(self, words: list[str], field: QLineEdit) -> None:
        # not the field's: PySide6 would delete the list twice when the dock is collected
        super().__init__(words)
        self._field = field
        self.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)

    def set_theme(self, theme_id: str) -> None:
        """Take over the colours of the window, which the list, being a window of its own, does not inherit."""
        theme, list_ = get_theme(theme_id), self.popup()
        assert list_ is not None
        list_.setStyleSheet(
            f"QListView {{ background: {theme.foreground.as_hex()}; color: {theme.text.as_hex()};"
            f" selection-background-color: {theme.current.as_hex()}; }}"
        )

    def splitPath(self, path: str | None) -> list[str]:
        """What is to be completed."""
        return [_names(path or "", keep_empty=True)[-1]]

    def pathFromIndex(self, index: object) -> str:
        """The text with the last word completed."""
        before = re.match(r"(.*[,;]\s*)?", self._field.text())
        return (before[0] if before else "") + super().pathFromIndex(index)


def _names(text: str, keep_empty: bool = False) -> list[str]:
    parts = [part.strip() for part in re.split(r"[,;]", text)]
    return parts if keep_empty else [part for part in parts if part]


def _whole(labels: str) -> str:
    """Names of lines, which are not broken at their spaces."""
    return ", ".join(label.replace(" ", "\u00a0") for label in labels.split(", "))


def _may_be_element(name: str) -> bool:
    """Whether a name is a symbol, with a family or without, or long enough to be a word, which is looked up later."""
    symbol = re.sub(r"[-_ ][KLM]$", "", name, flags=re.IGNORECASE)
    return len(symbol) > 2 or symbol.capitalize() in _SYMBOLS.split()


def _fits(kind: str, axis: SpectralAxis | None) -> bool:
    if kind == "elements":
        return axis is not None and holds_xrays(axis)
    if kind == "lines":
        if axis is None or holds_xrays(axis) or not axis.calibrated or axis.kind == "raman_shift":
            return False
        return axis.kind != "velocity" or axis.rest > 0
    if kind == "true":
        return axis is None or not holds_xrays(axis)
    return True


def _no_colour(axis: SpectralAxis | None) -> str:
    """Why there is no true colour; empty where there is."""
    if axis is None:
        return "Open a cube first"
    try:
        TrueColour(axis)
    except ConfigError as error:
        return str(error)
    return ""
