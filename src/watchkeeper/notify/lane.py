"""The sends to one receiver that are under way, and how many there may be at a time.

Always true here (tests/notify/test_lane.py): never more are under way than the receiver takes; how
many, it has to earn: one at first, one more for each that it accepts, half as many after one
that it does not, and one again after it asked for time; what was sent stays here until it is settled; whoever
waits is woken by the end of a send or by :meth:`Lane.ring`, and a ring that nobody waited for is not lost.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from watchkeeper.notify.answers import Answer, Said
from watchkeeper.notify.models import Notification
from watchkeeper.store import outbox

MOST_UNDER_WAY = 16
"""Sends at a time to a receiver that takes several. So many may be sent twice when this process dies."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One send and what came of it; ``notification`` is None for a row that could not be read.

    ``number`` grows with each send of the lane, in the order in which they were begun.
    """

    row: outbox.Claimed
    notification: Notification | None
    answer: Answer
    number: int = 0


class Lane:
    """The sends of one receiver. One thread begins and settles them; any may ring."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._ended: list[Attempt] = []
        self._flying = 0
        self._rung = False
        self._begun = 0
        self._careful = False
        self.width = 1
        """How many may be under way."""
        self.warned = 0
        """Sends with a smaller number had been begun when the receiver last failed."""

    @property
    def idle(self) -> bool:
        """Nothing is under way, and everything is settled."""
        with self._changed:
            return not self._flying and not self._ended

    def room(self, most: int) -> int:
        """How many more may be begun now, of ``most`` that the receiver takes at the same time."""
        with self._changed:
            return 0 if self._careful else max(0, min(self.width, most) - self._flying)

    def send(self, act: Callable[[int], Attempt], *, alone: bool) -> None:
        """Begin a send: ``act`` does it, is given its number, and does not raise.

        With ``alone`` it ends before this returns: for receivers that take one at a time.
        """
        number, self._begun = self._begun, self._begun + 1
        if alone:
            self._end(act(number))
            return
        with self._changed:
            self._flying += 1
        try:
            threading.Thread(target=self._fly, args=(act, number), name="notify-send", daemon=True).start()
        except RuntimeError:  # there is no thread to be had: then here, one after the other
            self._fly(act, number)

    def _fly(self, act: Callable[[int], Attempt], number: int) -> None:
        attempt = act(number)
        with self._changed:
            self._flying -= 1
            self._ended.append(attempt)
            self._changed.notify_all()

    def _end(self, attempt: Attempt) -> None:
        with self._changed:
            self._ended.append(attempt)

    def ended(self) -> list[Attempt]:
        """What was sent and is to be settled now, oldest first."""
        with self._changed:
            return self._ended[:1] if self._careful else list(self._ended)

    def settled(self, attempts: Sequence[Attempt]) -> None:
        """``attempts``, the oldest of those that had ended, are settled: durably."""
        with self._changed:
            del self._ended[: len(attempts)]
            self._careful = self._careful and bool(self._ended)
        self.width = width_after(self.width, [attempt.answer for attempt in attempts])

    def defect(self) -> None:
        """What :meth:`ended` gave cannot be settled, because of a defect of ours.

        From here on it is settled one by one, and nothing is begun meanwhile; the one that cannot be is let
        go: its claim ends, and it is sent again.
        """
        with self._changed:
            if self._careful:
                del self._ended[:1]
            self._careful = bool(self._ended)

    def failed(self) -> None:
        """The receiver was found to fail: what is under way was begun before that was known."""
        self.warned = self._begun

    def ring(self) -> None:
        """There may be something to send."""
        with self._changed:
            self._rung = True
            self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Until a send ends or somebody rings, at most ``seconds``."""
        with self._changed:
            self._changed.wait_for(lambda: self._rung or self._ended, seconds)
            self._rung = False


def width_after(width: int, answers: Sequence[Answer]) -> int:
    """How many sends may be under way after ``answers``, in the manner of TCP's congestion window."""
    for answer in answers:
        if answer.retry_after is not None:
            width = 1
        elif answer.said is Said.TRY_AGAIN:
            width = max(1, width // 2)
        else:
            width = min(MOST_UNDER_WAY, width + 1)
    return width
