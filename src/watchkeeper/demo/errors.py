"""The demo's one exception base: what happened, and what to do next, for the person at the terminal."""

from __future__ import annotations


class DemoError(Exception):
    """Something of the demo did not work; the message is complete and fit to print."""
