"""What to show of a cube: maps of elements, lines and windows, false and true colour."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QStandardItemModel
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QWidget,
)
from superqt import QCollapsible

from cubeseg.axis import SpectralAxis
from cubeseg.errors import ConfigError
from cubeseg.maps.windows import limits_text, parse_window, three_windows
from cubeseg.spectroscopy.rest_lines import rest_lines
from napari_cubeseg.maps import Made
from napari_cubeseg.pictures import FIELDS, KINDS, SYMBOLS, can_show, may_be_element, why_no_colour
from napari_cubeseg.qt.hints import HelpButton, Hint
from napari_cubeseg.qt.list_completer import ListCompleter, words_in
from napari_cubeseg.qt.work_bar import WorkBar
from napari_cubeseg.session import Session

__all__ = ["ImagePanel"]


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
        self._completers: list[ListCompleter] = []
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
        work = WorkBar("cubeseg.image.stop", "Give up the maps that are being made", session.maps.stop, inside)
        self._form.addRow(work)
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
        session.maps.working.connect(work.follow)
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
        self._complete("elements", SYMBOLS.split())
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
        completer = ListCompleter(words, field)
        completer.set_theme(self._session.viewer.theme)
        field.setCompleter(completer)
        self._completers.append(completer)

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
        reason = why_no_colour(axis)
        for kind, text, tip in KINDS:
            if can_show(kind, axis):
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
        shown = FIELDS.get(kind, ())
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
            *whole, last = words_in(self.text("elements"), keep_empty=True)
            # the last one may not be written to its end
            begun = last == "" or any(symbol.startswith(last.capitalize()) for symbol in SYMBOLS.split())
            unknown = [n for n in (*whole, *(() if begun else (last,))) if n and not may_be_element(n)]
            wrong = f"There is no element {', '.join(unknown)}" if unknown else ""
        for name in ("red", "green", "blue", "window"):
            if name in FIELDS.get(kind, ()):
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
            maps.elements(words_in(self.text("elements")), picture=together, background=less)
        elif kind == "lines":
            maps.lines(words_in(self.text("lines")), self._value("redshift"), self._value("width"), together, less)
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

    def _say(self, made: tuple[Made, ...]) -> None:
        """Tell what shares a window with the lines that were mapped."""
        notes = [f"{_whole(one.label)} and {_whole(one.note)}" for one in made if one.note and one.image.ndim == 2]
        self._hint.setText(f"In the same window: {'; '.join(notes)}")
        self._hint.setVisible(bool(notes))


def _whole(labels: str) -> str:
    """Names of lines, which are not broken at their spaces."""
    return ", ".join(label.replace(" ", "\u00a0") for label in labels.split(", "))
