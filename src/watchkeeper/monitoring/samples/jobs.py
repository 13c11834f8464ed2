"""Slow work beside the fast path: one thread per lane, results handed back on the caller's thread.

Always true: a lane does one thing at a time; ``done`` and ``failed`` run only inside :meth:`Jobs.poll`
(or :meth:`Jobs.run` when there are no threads), so what they touch needs no lock of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from watchkeeper.monitoring.samples.errors import SampleStoreError

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
        try:
            result = work()
        except (OSError, SampleStoreError) as error:
            failed(error)
        else:
            done(result)

    def poll(self) -> None:
        """Hand back what is finished. An error that is neither the disk's nor ours is raised here."""
        for lane, (future, done, failed) in list(self._running.items()):
            if not future.done():
                continue
            del self._running[lane]
            try:
                result = future.result()
            except (OSError, SampleStoreError) as error:
                failed(error)
            else:
                done(result)

    def close(self) -> None:
        """Wait for what is under way, hand it back, and end the threads."""
        for executor in self._lanes.values():
            executor.shutdown(wait=True)
        self.poll()
        self._lanes.clear()
