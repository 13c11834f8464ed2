"""Watchkeeper: your operations runbook, running.

Importing this package imports nothing else of it, so that the command line starts fast
(measured by ``bench startup``).
"""

__version__ = "0.1.0"
