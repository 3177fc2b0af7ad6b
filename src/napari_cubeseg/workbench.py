"""Work by hand on one labels layer: strokes and operations on classes, in one history of undo and redo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.notifications import show_error, show_info
from numpy.typing import NDArray
from psygnal import Signal

from cubeseg import editing
from cubeseg.cube import Cube
from cubeseg.editing.again import repeated
from cubeseg.editing.edits import Edit
from cubeseg.editing.history import History, Replacement
from cubeseg.errors import CubeSegError
from cubeseg.record.logbook import Entry
from cubeseg.segmentation import Segmentation
from napari_cubeseg import layers as our
from napari_cubeseg.counting import Counting
from napari_cubeseg.jobs import Runner

__all__ = ["Workbench"]

# napari takes an unfinished stroke back when the mode changes or the layer is hidden, and says nothing else of it then
_EVENTS = ("labels_update", "paint", "set_data", "data", "mode", "visible")


class Workbench:
    """Keeps a segmentation and its labels layer in step, whoever changes which.

    napari tells of a stroke while it is drawn (``labels_update``) and when it ends (``paint``), but of other changes
    only by ``set_data``, which it also sends when nothing has changed. So every event leads to a comparison with the
    segmentation's own labels, and the difference is what was painted. The layer's own undo and redo lead here, so that
    there is one history.

    Parameters
    ----------
    layer : Labels
        Holds a segmentation.
    cube : callable
        Gives the cube, or None where it is not open: where the spectra of painted pixels are read.
    runner : callable
        Gives the runner of jobs.
    """

    changed = Signal()
    """Labels, classes or their spectra are others now."""
    stepping = Signal()
    """Undo or redo begins."""
    replaced = Signal()
    """Another segmentation has taken the place of the one before."""

    def __init__(self, layer: Labels, cube: Callable[[], Cube | None], runner: Callable[[], Runner]) -> None:
        self.layer = layer
        self.history = History()
        self._stroke: Edit | None = None
        self._own = False
        self._preview: NDArray[np.int32] | None = None
        self._counting = Counting(layer, cube, runner, self.changed.emit)
        for name in _EVENTS:
            getattr(layer.events, name).connect(self._painted)
        layer.undo, layer.redo = self.undo, self.redo
        self.catch_up()

    @property
    def result(self) -> Segmentation:
        """What the layer holds."""
        found = our.result_of(self.layer)
        assert found is not None
        return found

    @property
    def settled(self) -> bool:
        """Whether the class spectra hold all that was painted, as far as it can be read."""
        return self._counting.settled

    def when_settled(self, then: Callable[[], None]) -> None:
        """Call back once they do; now if so already."""
        self._close_stroke()
        self._counting.when_settled(then)

    def catch_up(self) -> None:
        """Read what could not be read before, where the cube has come."""
        self._counting.catch_up()

    def stop(self) -> None:
        """Listen no longer; the layer's own undo comes back, and its labels instead of a preview."""
        self.preview(None)
        for name in _EVENTS:
            getattr(self.layer.events, name).disconnect(self._painted)
        for name in ("undo", "redo"):
            vars(self.layer).pop(name, None)
        self._counting.stop()

    # operations

    def merge(self, class_ids: Sequence[int]) -> bool:
        """Make classes one; the first keeps its name."""
        return self._make(lambda: editing.merge(self.result, class_ids, self._counting.complete))

    def delete(self, class_ids: Sequence[int]) -> bool:
        """Take classes away; their pixels are unassigned."""
        return self._make(lambda: editing.delete(self.result, class_ids, self._counting.complete))

    @property
    def split_last(self) -> int | None:
        """The class that was split by the last step; None after any other step."""
        last = self.history.last
        operation = last.operation if isinstance(last, Edit) and last.result is self.result else {}
        return operation["class"] if operation.get("operation") == "split" else None

    def split(self, class_id: int, n: int) -> bool:
        """Part a class by its pixels' codes; right after a split of the same class, into another number of parts."""
        self._close_stroke()
        if self.split_last == class_id:
            self.undo()
        return self._make(lambda: editing.split(self.result, class_id, n))

    def rename(self, class_id: int, name: str) -> bool:
        """Give a class another name."""
        return self._make(lambda: editing.rename(self.result, class_id, name))

    def recolour(self, class_id: int, colour: str) -> bool:
        """Give a class another colour."""
        return self._make(lambda: editing.recolour(self.result, class_id, colour))

    def annotate(self, class_id: int, note: str) -> bool:
        """Write a note about a class."""
        return self._make(lambda: editing.annotate(self.result, class_id, note))

    def lock(self, class_ids: Sequence[int]) -> bool:
        """Lock classes, or unlock them where all are locked."""
        locked = all(self.result.info(i).locked for i in class_ids)
        return bool(class_ids) and self._make(lambda: editing.lock(self.result, class_ids, not locked))

    def hide(self, class_ids: Sequence[int]) -> bool:
        """Hide classes, or show them where all are hidden."""
        shown = [c.id for c in self.result.classes if c.visible]
        hidden = not any(i in shown for i in class_ids)
        wanted = [*shown, *class_ids] if hidden else [i for i in shown if i not in class_ids]
        return bool(class_ids) and self._make(lambda: editing.show(self.result, wanted))

    def solo(self, class_ids: Sequence[int]) -> bool:
        """Show these classes alone, or all where these are alone already."""
        shown = {c.id for c in self.result.classes if c.visible}
        wanted = [c.id for c in self.result.classes] if shown == set(class_ids) else list(class_ids)
        return bool(class_ids) and self._make(lambda: editing.show(self.result, wanted))

    def move(self, class_ids: Sequence[int], by: int) -> bool:
        """Move classes up (-1) or down (1) in the order of the table."""
        order = [c.id for c in self.result.classes]
        places = sorted((order.index(i) for i in class_ids), reverse=by > 0)
        if not places or not 0 <= places[0] + by < len(order):
            return False
        for place in places:
            order[place], order[place + by] = order[place + by], order[place]
        return self._make(lambda: editing.reorder(self.result, order))

    def assign(self, pixels: NDArray[np.bool_], class_id: int) -> bool:
        """Correct all these pixels (y, x) at once; those of locked classes and masked ones stay."""
        result = self.result
        locked = [c.id for c in result.classes if c.locked]
        free = pixels & np.isfinite(result.reconstruction_error) & ~np.isin(result.labels, locked)
        where = np.flatnonzero((free & (result.labels != class_id)).ravel())
        return bool(len(where)) and self._make(
            lambda: editing.paint(result, where, np.full(len(where), class_id, np.int32))
        )

    def repeat(self, said: Entry) -> bool:
        """Do an operation of a log; those that no edit does, as refining, are left out."""
        return self._make(lambda: repeated(self.result, said, self._counting.complete))

    def new_class(self) -> int:
        """An id that no class has."""
        return max([int(self.result.labels.max(initial=0)), *(c.id for c in self.result.classes)]) + 1

    def replace(self, made: Segmentation, title: str, since: Segmentation | None = None) -> None:
        """Let another segmentation take the place of the present one; `since` is what undo brings back."""
        self._close_stroke()
        self._counting.replaced(made)
        step = Replacement(title, since or self.result, made)
        self.history.add(step)
        self._hold(step.do())

    def preview(self, made: Segmentation | NDArray[np.int32] | None) -> None:
        """Show other labels or another segmentation without taking it over; None for what there is."""
        self._close_stroke()
        if made is None and self._preview is None:
            return
        held = made if isinstance(made, Segmentation) else self.result
        labels = made if isinstance(made, np.ndarray) else held.labels
        self._show_labels(labels)
        self._preview = None if made is None else labels
        there = {c.id for c in held.classes}
        new = [] if made is held or made is None else [int(i) for i in np.unique(labels) if i and int(i) not in there]
        our.show_classes(self.layer, held, new)

    # the way back

    def undo(self) -> None:
        """Undo the last step."""
        self.stepping.emit()
        self._close_stroke()
        step = self.history.last
        made = self.history.undo()
        if made is None or step is None:
            self.preview(None)
            show_info("There is nothing to undo")
            return
        self._hold(made)

    def redo(self) -> None:
        """Do again what was undone last."""
        self.stepping.emit()
        self._close_stroke()
        step = self.history.next
        made = self.history.redo()
        if made is None or step is None:
            self.preview(None)
            show_info("There is nothing to redo")
            return
        if isinstance(step, Edit):
            self._counting.read(step)
        self._hold(made)

    # inside

    def _make(self, make: Callable[[], Edit | None]) -> bool:
        self._close_stroke()
        try:
            edit = make()
        except CubeSegError as error:
            show_error(str(error))
            return False
        if edit is None:
            return False
        edit.do()
        self.history.add(edit)
        self._counting.read(edit)
        if edit.pixels:
            self._show_labels(self.result.labels)
        our.show_classes(self.layer, self.result)
        self.changed.emit()
        return True

    def _hold(self, made: Segmentation) -> None:
        other = made is not self.result
        self.layer.metadata[our.KEY]["result"] = made
        self._show_labels(made.labels)
        our.show_classes(self.layer, made)
        if other:
            self.replaced.emit()
        self.changed.emit()

    def _show_labels(
        self,
        labels: NDArray[np.int32],
        where: NDArray[np.intp] | slice = slice(0),
        others: NDArray[Any] | int = 0,
    ) -> None:
        """Let the layer hold these labels, and others at some of the pixels."""
        self._own = True
        self._preview = None
        try:
            if self.layer.data.shape != labels.shape:
                self.layer.data = labels.copy()
            elif self.layer.data is not labels:
                self.layer.data[...] = labels
            self.layer.data.flat[where] = others
            self.layer.refresh()
        finally:
            self._own = False

    def _painted(self, event: Any = None) -> None:
        """Something may have changed in the layer: the difference is what was painted."""
        if self._own:
            return
        result, shown, data = self.result, self._preview, self.layer.data
        shown = result.labels if shown is None else shown
        if data.shape != shown.shape:
            self._refuse(f"the labels are {data.shape}, the segmentation is {shown.shape}")
            return
        where = np.flatnonzero(np.not_equal(data, shown).ravel())
        if where.size:
            self._take_over(where, np.asarray(data.flat[where]))
        # a private flag of napari's: whether a stroke goes on. Without it, every move would be a step of its own
        if getattr(event, "type", "") == "paint" or not getattr(self.layer, "_block_history", False):
            self._close_stroke()

    def _take_over(self, where: NDArray[np.intp], labels: NDArray[Any]) -> None:
        result = self.result
        if self._preview is not None:
            # people paint on what they see, but it is not there yet: their pixels go into what there is
            self.preview(None)
            self._show_labels(result.labels, where, labels)
        locked = np.isin(result.labels.reshape(-1)[where], [c.id for c in result.classes if c.locked])
        if locked.any():
            self._show_labels(self.layer.data, where[locked], result.labels.reshape(-1)[where[locked]])
            where, labels = where[~locked], labels[~locked]
        try:
            edit = editing.paint(result, where, labels)
        except CubeSegError as error:
            self._refuse(str(error))
            return
        if not len(where):
            return
        known = len(result.classes)
        edit.do()
        self._counting.read(edit)
        if self._stroke is None:
            self._stroke = edit
            self.history.add(edit)
        else:
            self._stroke.extend(edit)
        if len(result.classes) > known:
            our.show_classes(self.layer, result)
        self.changed.emit()

    def _refuse(self, why: str) -> None:
        show_error(f"{why}; the classes stay as they were")
        self._show_labels(self.result.labels)

    def _close_stroke(self) -> None:
        stroke, self._stroke = self._stroke, None
        if stroke is None:
            return
        if not stroke.changes and self.history.last is stroke:
            # drawn and taken back within one stroke
            self.history.forget()
        # names and numbers in the status bar need not follow at every move
        our.show_classes(self.layer, self.result)
