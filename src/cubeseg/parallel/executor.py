"""Where the parts of a cube are worked on: here, or elsewhere (:mod:`cubeseg.parallel.distributed`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

from cubeseg.cube import Block, Cube
from cubeseg.parallel.threads import allowed, limited

__all__ = ["HERE", "Crew", "Executor", "Here", "Piecewise"]

Item = TypeVar("Item")
Made = TypeVar("Made")
Piece = TypeVar("Piece")
Out = TypeVar("Out", covariant=True)
# rows and columns within a block
Place = tuple[slice, slice]


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


class Piecewise(ABC, Generic[Item, Piece, Out]):
    """Work on a block of a cube that falls into pieces, which may be worked on at the same time."""

    @abstractmethod
    def read(self, cube: Cube, item: Item) -> Block:
        """The block."""

    @abstractmethod
    def pieces(self, item: Item) -> Sequence[Place]:
        """The pieces of the block."""

    @abstractmethod
    def piece(self, block: Block, item: Item, at: Place) -> Piece:
        """Work on one of them."""

    @abstractmethod
    def joined(self, item: Item, pieces: Sequence[Piece]) -> Out:
        """What was made of all of them, in their order."""

    def __call__(self, cube: Cube, item: Item) -> Out:
        """One piece after the other."""
        block = self.read(cube, item)
        return self.joined(item, [self.piece(block, item, at) for at in self.pieces(item)])


class Crew:
    """On all cores: one thread reads ahead, the others work on pieces of what has been read.

    Each core works on pieces of its own: libraries that share out every single step over the cores wait more than they
    work. Two blocks are in memory at a time, however many cores there are.

    Parameters
    ----------
    threads : int, optional
        As many as numerical libraries take where not given.
    """

    def __init__(self, threads: int = 0) -> None:
        self._threads = threads or allowed()

    def map(
        self, work: Piecewise[Item, Piece, Made], cube: Cube, items: Iterable[Item]
    ) -> Generator[Made | None, None, None]:
        """See :class:`Executor`."""
        rest = iter(items)

        def read() -> tuple[Item, Block] | None:
            for item in rest:
                return item, work.read(cube, item)
            return None

        reader, crew = ThreadPoolExecutor(1, "cubeseg-reader"), ThreadPoolExecutor(self._threads, "cubeseg-crew")
        under_way: tuple[Item, list[Future[Piece]]] | None = None
        try:
            with limited(1):
                reading = reader.submit(read)
                while True:
                    found = reading.result()
                    before, under_way = under_way, None
                    if found is not None:
                        item, block = found
                        under_way = item, [crew.submit(work.piece, block, item, at) for at in work.pieces(item)]
                    if before is not None:
                        yield work.joined(before[0], [piece.result() for piece in before[1]])
                    if found is None:
                        return
                    # the next block is read only when the one before is out of memory
                    del before, found, block
                    reading = reader.submit(read)
        finally:
            for pool in (crew, reader):
                pool.shutdown(cancel_futures=True)
