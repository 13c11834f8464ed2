"""An end for calls into libraries that have none of their own: SMTP, Slack's client, Apprise.

Always true here (tests/notify/test_bounded.py): :meth:`Bounded.run` is back within its timeout, whatever the
call does; what an abandoned call comes to afterwards is dropped; at most ``MAX_ABANDONED`` calls of one
receiver hang at the same time, so that a receiver that never answers cannot fill the process with threads.

Those libraries limit each single read, which a server that sends a byte a second never exceeds; and the
resolver has no limit at all. So the call runs in a thread that can be left behind.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from watchkeeper.notify.models import NotifyError

MAX_ABANDONED = 8
T = TypeVar("T")


class TooLongError(NotifyError):
    """The call did not end in time. What it was to do may or may not happen."""


class Bounded:
    """Runs the calls of one receiver."""

    def __init__(self) -> None:
        self._abandoned: list[threading.Thread] = []

    def run(self, act: Callable[[], T], timeout: float, abandon: Callable[[], None] | None = None) -> T:
        """What ``act`` returns or raises. Raises :class:`TooLongError` after ``timeout`` seconds.

        ``abandon`` is called then, to make the call that is left behind end soon and do no more.
        """
        self._abandoned = [thread for thread in self._abandoned if thread.is_alive()]
        if len(self._abandoned) >= MAX_ABANDONED:
            raise TooLongError(f"{len(self._abandoned)} attempts before this one still hang")
        returned: list[T] = []
        raised: list[Exception] = []

        def call() -> None:
            try:
                returned.append(act())
            except Exception as error:  # noqa: BLE001 - raised anew in the caller's thread
                raised.append(error)

        thread = threading.Thread(target=call, name="notify-bounded", daemon=True)
        thread.start()
        thread.join(timeout)
        if returned:
            return returned[0]
        if raised:
            raise raised[0]
        self._abandoned.append(thread)
        if abandon is not None:
            abandon()
        raise TooLongError(f"no complete answer within {timeout:g} s")
