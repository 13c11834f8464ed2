"""Passwords, kept as Argon2id (RFC 9106, second recommended option: 64 MiB, 3 passes, 4 lanes).

Always true here: at most two are computed at once in a process, so that a flood of sign-ins takes 128 MiB and
no more; a user that does not exist costs what a wrong password costs (tests/access/test_passwords.py).

One takes about a tenth of a second of CPU and waits for its turn: call these **outside any transaction**,
never between ``store.write()`` and its end, where everybody who writes would wait for it.
"""

from __future__ import annotations

import contextlib
import threading
import unicodedata
from collections.abc import Iterator
from datetime import timedelta

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from argon2.profiles import RFC_9106_LOW_MEMORY

from watchkeeper.access.models import AccessError, ThrottledError

SHORTEST = 12
LONGEST_BYTES = 1024
AT_ONCE = 2
PATIENCE = timedelta(seconds=5)
"""How long a caller waits for its turn before it is told to come again."""
NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$GucixmWv3r9jBDewwJwoIQ$4csM2Gab0RoE+07GnX3/wrGk7dG6SCfkoUL6G04Vjq0"
"""A hash that no password has, verified where there is none, so that both take the same time."""

_hasher = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
_turns = threading.BoundedSemaphore(AT_ONCE)


@contextlib.contextmanager
def turn() -> Iterator[None]:
    """Hold one of the process's two turns; :func:`compare` and :func:`compute` want one held.

    Raises :class:`ThrottledError` when none is free for five seconds.
    """
    if not _turns.acquire(timeout=PATIENCE.total_seconds()):
        raise ThrottledError(
            "too many people are signing in at this moment; nothing was decided, try again", PATIENCE
        )
    try:
        yield
    finally:
        _turns.release()


def hash_password(text: str) -> str:
    """The hash to keep of a password, with a salt of its own. CPU heavy; outside any transaction."""
    with turn():
        return compute(text)


def matches(stored: str | None, text: str) -> bool:
    """Whether ``text`` is the password kept as ``stored``, a hash; never for ``None``, in the same time.

    CPU heavy; outside any transaction.
    """
    with turn():
        return compare(stored, text)


def compute(text: str) -> str:
    """:func:`hash_password` for who holds a turn already."""
    return _hasher.hash(_bytes(text))


def compare(stored: str | None, text: str) -> bool:
    """:func:`matches` for who holds a turn already.

    Raises :class:`AccessError` where it cannot be said: no memory for it, a hash that is damaged.
    """
    given = _bytes(text)
    usable = stored is not None and len(given) <= LONGEST_BYTES
    try:
        return _hasher.verify(stored if usable and stored else NOBODY, given[:LONGEST_BYTES]) and usable
    except (VerifyMismatchError, InvalidHashError):
        return False
    except VerificationError as error:
        raise AccessError(f"the password could not be verified ({error}); nothing was decided") from error


def needs_rehash(stored: str) -> bool:
    """Whether the hash ``stored`` was made with other parameters than those of today."""
    return _hasher.check_needs_rehash(stored)


def check_strength(text: str, username: str) -> None:
    """Refuse a password that is too weak to keep. Raises :class:`AccessError`, which says what would do.

    Length decides, as in NIST SP 800-63B; there are no rules about kinds of characters.
    """
    if len(unicodedata.normalize("NFKC", text)) < SHORTEST:
        raise AccessError(f"a password has at least {SHORTEST} characters; several words make a good one")
    if len(_bytes(text)) > LONGEST_BYTES:
        raise AccessError(f"a password has at most {LONGEST_BYTES} bytes")
    if text.strip().casefold() == username.casefold():
        raise AccessError("a password is not the username; several words make a good one")


def _bytes(text: str) -> bytes:
    """The same bytes for the same characters, from whichever keyboard they came (NIST SP 800-63B: NFKC)."""
    return unicodedata.normalize("NFKC", text).encode("utf-8", "surrogatepass")
