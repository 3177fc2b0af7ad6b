"""What can be done with the chosen classes: buttons, keys and the table's menu, all from one list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtGui import QAction, QKeySequence
from qtpy.QtWidgets import QGridLayout, QPushButton, QSpinBox, QWidget

from napari_cubeseg import layers as our
from napari_cubeseg.keys import KEYS, Key
from napari_cubeseg.session import Session
from napari_cubeseg.workbench import Workbench

__all__ = ["ClassActions"]


@dataclass(frozen=True)
class _Action:
    """One of them; `least` and `most` classes must be chosen, and none is done without."""

    key: Key
    do: Callable[[Workbench, tuple[int, ...]], object]
    least: int = 1
    most: int = 1000

    @property
    def name(self) -> str:
        return self.key.name


class ClassActions(QWidget):
    """The buttons; their actions are in :attr:`actions_by_name`.

    Parameters
    ----------
    session : Session
    rename, recolour : callable
        Ask for a class's new name, its new colour.
    """

    def __init__(
        self,
        session: Session,
        rename: Callable[[int], None],
        recolour: Callable[[int], None],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._session = session
        self.parts = QSpinBox(self)
        self.parts.setObjectName("cubeseg.classes.parts")
        self.parts.setRange(2, 12)
        self.parts.setPrefix("in ")
        self.parts.setToolTip("Into how many parts; change it right after a split to see another number")
        self.parts.valueChanged.connect(self._split_again)
        self._actions = (
            _Action(KEYS["merge"], lambda w, ids: w.merge(ids), 2),
            _Action(KEYS["split"], lambda w, ids: w.split(ids[0], self.parts.value()), 1, 1),
            _Action(KEYS["delete"], lambda w, ids: w.delete(ids)),
            _Action(KEYS["lock"], lambda w, ids: w.lock(ids)),
            _Action(KEYS["hide"], lambda w, ids: w.hide(ids)),
            _Action(KEYS["solo"], lambda w, ids: w.solo(ids)),
            _Action(KEYS["rename"], lambda w, ids: rename(ids[0]), 1, 1),
            _Action(KEYS["recolour"], lambda w, ids: recolour(ids[0]), 1, 1),
            _Action(KEYS["up"], lambda w, ids: w.move(ids, -1)),
            _Action(KEYS["down"], lambda w, ids: w.move(ids, 1)),
            _Action(KEYS["undo"], lambda w, ids: self._back(w, "undo"), 0),
            _Action(KEYS["redo"], lambda w, ids: self._back(w, "redo"), 0),
        )
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(2)
        self.actions_by_name: dict[str, QAction] = {}
        for action in self._actions:
            made = self.actions_by_name[action.name] = QAction(action.key.text, self)
            made.setObjectName(f"cubeseg.classes.{action.name}")
            made.setShortcut(QKeySequence(action.key.keys))
            # the keys work wherever one is in the window
            made.setShortcutContext(Qt.ShortcutContext.WindowShortcut)
            made.setToolTip(f"{action.key.what} ({QKeySequence(action.key.keys).toString()})")
            made.triggered.connect(self._doing(action))
            self.addAction(made)
        places = {"merge": (0, 0), "split": (0, 1), "delete": (0, 4), "lock": (0, 5), "hide": (1, 0), "solo": (1, 1),
                  "up": (1, 2), "down": (1, 3), "undo": (1, 4), "redo": (1, 5)}  # fmt: skip
        for name, place in places.items():
            grid.addWidget(_button(self.actions_by_name[name], name, self), *place)
        grid.addWidget(self.parts, 0, 2, 1, 2)
        for column in range(6):
            grid.setColumnStretch(column, 1)
        session.classes_changed.connect(self.refresh)
        session.selection_changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Enable what can be done."""
        workbench, chosen = self._session.workbench, len(self._session.selected)
        for action in self._actions:
            there = workbench is not None and action.least <= chosen <= action.most
            self.actions_by_name[action.name].setEnabled(there)
        if workbench is not None:
            for name, step in (("undo", workbench.history.last), ("redo", workbench.history.next)):
                self.actions_by_name[name].setEnabled(step is not None)
                keys = QKeySequence(KEYS[name].keys).toString()
                self.actions_by_name[name].setToolTip(
                    f"{name.capitalize()}: {step.title} ({keys})" if step is not None else f"Nothing to {name}"
                )
            infos = [c for c in workbench.result.classes if c.id in self._session.selected]
            self.actions_by_name["lock"].setText("Unlock" if infos and all(c.locked for c in infos) else "Lock")
            hidden = infos and not any(c.visible for c in infos)
            self.actions_by_name["hide"].setText("Show" if hidden else "Hide")
        self.parts.setEnabled(workbench is not None)

    def _doing(self, action: _Action) -> Callable[[], None]:
        def do() -> None:
            workbench, chosen = self._session.workbench, self._session.selected
            if workbench is not None and action.least <= len(chosen) <= action.most:
                action.do(workbench, chosen)

        return do

    def _back(self, workbench: Workbench, name: str) -> None:
        """Undo or redo; in a labels layer that is not ours, what was painted there."""
        active = self._session.viewer.layers.selection.active
        foreign = isinstance(active, Labels) and our.role(active) is None
        getattr(active if foreign else workbench, name)()

    def _split_again(self, n: int) -> None:
        workbench = self._session.workbench
        if workbench is not None and workbench.split_last is not None:
            workbench.split(workbench.split_last, n)


def _button(action: QAction, name: str, parent: QWidget) -> QPushButton:
    """A button that follows an action; Qt's own tool buttons look like mere text in napari's themes."""
    button = QPushButton(parent)
    button.setObjectName(f"cubeseg.classes.button.{name}")
    button.setMinimumWidth(30)
    # the focus stays in the table, where the arrow keys go on choosing
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)

    def follow() -> None:
        button.setText(action.text())
        button.setEnabled(action.isEnabled())
        button.setToolTip(action.toolTip())

    action.changed.connect(follow)
    button.clicked.connect(action.trigger)
    follow()
    return button
