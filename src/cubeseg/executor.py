"""Where the parts of a cube are worked on: here, one after the other, or elsewhere (:mod:`cubeseg.distributed`)."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Protocol, TypeVar

from cubeseg.cube import Cube

__all__ = ["HERE", "Executor", "Here"]

Item = TypeVar("Item")
Made = TypeVar("Made")


class Executor(Protocol):
    """Maps work over parts of a cube.

    Attributes
    ----------
    in_turn : bool
        An item is taken only when what the items before it made has been used; so items may depend on that.
    """

    in_turn: bool

    def map(
        self, work: Callable[[Cube, Item], Made], cube: Cube, items: Iterable[Item]
    ) -> Generator[Made | None, None, None]:
        """Do ``work(cube, item)`` for all items.

        Parameters
        ----------
        work : callable (cube, item) -> made
            Picklable, as are the items and what is made of them. Reads what it needs from the cube that it is given.
        cube : Cube
        items : iterable
            Taken as the work goes on, a bounded number of them ahead.

        Yields
        ------
        object or None
            What was made, in the order of the items; None, never made of an item, where there is nothing yet and one
            may stop or show that it goes on. Closing the generator stops the work.
        """


class Here:
    """In this thread, one item after the other."""

    in_turn = True

    def map(
        self, work: Callable[[Cube, Item], Made], cube: Cube, items: Iterable[Item]
    ) -> Generator[Made | None, None, None]:
        """See :class:`Executor`."""
        for item in items:
            yield work(cube, item)


HERE = Here()
