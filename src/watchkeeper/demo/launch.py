"""Becomes another program that cannot outlive its parent. Standard library only: it starts in 15 ms.

Usage: ``launch.py PARENT SIGNAL USER PROGRAM [ARGUMENT...]``. The kernel sends ``SIGNAL`` to the program
when the process ``PARENT`` ends in any way (``PR_SET_PDEATHSIG``); ``USER`` is ``-``, or whom to become
first (PostgreSQL refuses to run as root). The order matters: changing the user clears that request.
"""

from __future__ import annotations

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    parent, signal_number, user, *program = arguments
    if user != "-":
        import pwd

        entry = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
        os.environ["HOME"] = "/"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != int(parent):  # it ended before the request was made
        sys.exit(0)
    os.execv(program[0], program)  # noqa: S606 - no shell is meant; the program is given by the demo


if __name__ == "__main__":
    main(sys.argv[1:])
