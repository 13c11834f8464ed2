"""Slow work beside the fast path: one thread per lane, results handed back on the caller's thread.

Always true: a lane does one thing at a time; ``done`` and ``failed`` run only inside :meth:`Jobs.poll`
(or :meth:`Jobs.run` when there are no threads), so what they touch needs no lock of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from watchkeeper.monitoring.samples.errors import SampleStoreError

_LOG = logging.getLogger(__name__)
T = TypeVar("T")
Failed = Callable[[OSError | SampleStoreError], None]


class Jobs:
    """``threads`` False: everything is done at once, on the caller's thread (tests, tools)."""

    def __init__(self, *, threads: bool) -> None:
        self._threads = threads
        self._lanes: dict[str, ThreadPoolExecutor] = {}
        self._running: dict[str, tuple[Future[Any], Callable[[Any], None], Failed]] = {}

    def busy(self, lane: str) -> bool:
        """Is something under way in ``lane``?"""
        return lane in self._running

    def run(self, lane: str, work: Callable[[], T], done: Callable[[T], None], failed: Failed) -> None:
        """Start ``work`` in ``lane``, which is not busy."""
        if self._threads:
            executor = self._lanes.get(lane)
            if executor is None:
                executor = ThreadPoolExecutor(1, thread_name_prefix=f"samples-{lane}")
                self._lanes[lane] = executor
            self._running[lane] = (executor.submit(work), done, failed)
            return
        future: Future[T] = Future()
        try:
            future.set_result(work())
        except Exception as error:  # noqa: BLE001 - told in _hand_back, as from a thread
            future.set_exception(error)
        _hand_back(future, done, failed)

    def poll(self) -> None:
        """Hand back what is finished."""
        for lane, (future, done, failed) in list(self._running.items()):
            if future.done():
                del self._running[lane]
                _hand_back(future, done, failed)

    def close(self) -> None:
        """Wait for what is under way, hand it back, and end the threads."""
        for executor in self._lanes.values():
            executor.shutdown(wait=True)
        self.poll()
        self._lanes.clear()


def _hand_back(future: Future[T], done: Callable[[T], None], failed: Failed) -> None:
    error = future.exception()
    if error is None:
        done(future.result())
    elif isinstance(error, (OSError, SampleStoreError)):
        failed(error)
    elif isinstance(error, Exception):  # a mistake of ours in upkeep must not stop the watch: it is told
        _LOG.error("upkeep of the sample store failed", exc_info=error)
        failed(SampleStoreError(f"an internal error: {error!r}"))
    else:
        raise error
