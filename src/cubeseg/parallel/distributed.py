"""Parts of a cube worked on by a running Dask cluster; what they make comes back in order, the cube itself does not.

Each worker opens the file itself; a Dask array is computed where it is used; an array in memory is sent once.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from functools import partial
from queue import Empty, SimpleQueue
from threading import Event, Thread
from time import monotonic
from typing import Any, TypeVar
from uuid import uuid4

from cubeseg.cube import Cube
from cubeseg.errors import ConfigError, JobError
from cubeseg.parallel.parcel import PACKAGE, Parcel, check_version, first_line, packed, worked

__all__ = ["Cluster", "connected"]

Item = TypeVar("Item")
Made = TypeVar("Made")

_INSTALL = f"pip install '{PACKAGE}[distributed]'"
# seconds: for a scheduler to answer, for workers to come, between two looks whether one may stop
_ANSWER, _WORKERS, _MOMENT = 5, 60, 0.2
_SETBACKS = 3


@contextmanager
def connected(address: str) -> Iterator[Cluster]:
    """Connect to a running Dask scheduler.

    Parameters
    ----------
    address : str
        For example ``"tcp://10.0.0.1:8786"``.

    Yields
    ------
    Cluster

    Raises
    ------
    ConfigError
        If Dask is not installed here, nothing answers, or other versions of this package run there.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise ConfigError(f"a Dask cluster needs the package 'distributed'; {_INSTALL}") from error
    # what it has to say about connections and workers that are lost is said in one line here
    log = logging.getLogger("distributed.client")
    level = log.level
    log.setLevel(logging.CRITICAL)
    connect = partial(Client, address, timeout=_ANSWER, set_as_default=False)
    try:
        client, failure = _aside(connect).get(timeout=_ANSWER + 1)
    except Empty:
        client, failure = None, TimeoutError(f"no answer after {_ANSWER} s")
    try:
        if client is None:
            # whatever an address that is none, or a server that speaks something else, leads to
            raise ConfigError(
                f"scheduler: no Dask scheduler answers at '{address}' ({first_line(failure or TimeoutError())}); "
                "start one with 'dask scheduler' and give the address that it shows"
            ) from failure
        cluster = Cluster(client)
        try:
            _check_versions(client, address)
            yield cluster
        finally:
            cluster.leave()
    finally:
        log.setLevel(level)


def _aside(action: Callable[[], Made]) -> SimpleQueue[tuple[Made | None, BaseException | None]]:
    """Do something that blocks in another thread; gives where its outcome will lie."""
    answer: SimpleQueue[tuple[Made | None, BaseException | None]] = SimpleQueue()

    def act() -> None:
        try:
            answer.put((action(), None))
        except BaseException as error:
            answer.put((None, error))

    Thread(target=act, daemon=True).start()
    return answer


def _check_versions(client: Any, address: str) -> None:
    """Of the scheduler and of the workers that answer; each worker checks its own again when it begins."""
    try:
        found, _ = _aside(partial(client.get_versions, packages=[PACKAGE])).get(timeout=_ANSWER)
    except Empty:
        return
    if not found:
        return
    mine = found["client"]["packages"][PACKAGE]
    there = {f"the scheduler {address}": found["scheduler"]}
    there |= {f"the worker {worker}": facts for worker, facts in found["workers"].items()}
    for who, facts in there.items():
        if isinstance(facts, dict):
            check_version(who, mine, facts["packages"].get(PACKAGE))


class Cluster:
    """An executor (:class:`cubeseg.parallel.executor.Executor`) on the workers of a Dask cluster.

    A worker that dies is replaced by the others; what it was at is done again.

    Parameters
    ----------
    client : distributed.Client
    """

    in_turn = False

    def __init__(self, client: Any) -> None:
        self._client = client
        self._address = client.scheduler.address
        self._threads, self._manned, self._left = 0, monotonic(), Event()
        Thread(target=self._count, name="cubeseg-cluster", daemon=True).start()

    def map(
        self, work: Callable[[Cube, Item], Made], cube: Cube, items: Iterable[Item]
    ) -> Generator[Made | None, None, None]:
        """See :class:`cubeseg.parallel.executor.Executor`.

        Raises
        ------
        DataError
            If a worker cannot open the cube's file, or sees another one.
        ConfigError
            If a worker that joined later has another version of this package.
        JobError
            If the scheduler or all workers are gone, or workers die again and again.
        """
        parcel, arrays = packed(work, cube)
        name = getattr(work, "__name__", type(work).__name__).strip("_").lower()
        rest = iter(items)
        under_way: deque[tuple[Item, Any]] = deque()
        setbacks = 0
        try:
            shared = yield from self._send(parcel, arrays)
            while True:
                while len(under_way) < 2 * self._threads + 2:
                    try:
                        item = next(rest)
                    except StopIteration:
                        break
                    under_way.append((item, self._submit(name, shared, item)))
                if not under_way:
                    return
                try:
                    made = yield from self._waiting(under_way[0][1].result)
                except CancelledError as error:
                    # all workers that held the parcel are gone, and it with them
                    setbacks += 1
                    if setbacks > _SETBACKS:
                        raise JobError(f"the workers of {self._address} die again and again; see their logs") from error
                    shared = yield from self._send(parcel, arrays)
                    under_way = deque((item, self._submit(name, shared, item)) for item, _ in under_way)
                    continue
                setbacks = 0
                under_way.popleft()
                yield made
        finally:
            if under_way and self._client.status == "running":
                self._client.cancel([future for _, future in under_way])

    def leave(self) -> None:
        """Close the connection."""
        self._left.set()
        # a scheduler that does not answer must not keep anyone
        with suppress(Exception):
            self._client.close(timeout=2)

    def _submit(self, name: str, shared: list[Any], item: Any) -> Any:
        if self._client.status != "running":
            raise self._lost()
        return self._client.submit(worked, shared[0], item, *shared[1:], key=f"{name}-{uuid4().hex}")

    def _send(self, parcel: Parcel, arrays: list[Any]) -> Generator[None, None, list[Any]]:
        """To all workers, so that the end of one does not lose it."""
        while not self._threads:
            yield from self._waiting(partial(self._left.wait, _MOMENT))
        send = partial(self._client.scatter, [parcel, *arrays], broadcast=True, hash=False)
        shared: list[Any] = yield from self._waiting(send)
        return shared

    def _waiting(self, action: Callable[[], Made]) -> Generator[None, None, Made]:
        """Do something that blocks, with a step every moment."""
        answer = _aside(action)
        while True:
            try:
                made, error = answer.get(timeout=_MOMENT)
            except Empty:
                if monotonic() - self._manned > _WORKERS:
                    raise JobError(
                        f"the scheduler {self._address} has had no workers for {_WORKERS} s; "
                        f"start some with 'dask worker {self._address}'"
                    ) from None
                yield None
                continue
            if error is not None:
                raise self._explained(error) from error
            return made  # type: ignore[return-value]

    def _explained(self, error: BaseException) -> BaseException:
        from distributed import KilledWorker
        from distributed.comm.core import CommClosedError

        if isinstance(error, KilledWorker):
            return JobError(
                f"a part of the cube ended every worker of {self._address} that took it, which is mostly for lack of "
                "memory; set a smaller 'memory', or give the workers more"
            )
        if isinstance(error, CommClosedError) or self._client.status != "running":
            return self._lost()
        return error

    def _lost(self) -> JobError:
        return JobError(f"the connection to the scheduler {self._address} was lost; see its log and run again")

    def _count(self) -> None:
        """Keep an eye on the workers, who come and go."""
        while not self._left.is_set():
            with suppress(Exception):
                self._threads = sum(self._client.nthreads().values())
            if self._threads:
                self._manned = monotonic()
            self._left.wait(1 if self._threads else _MOMENT)
