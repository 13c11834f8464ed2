"""When Python looks for garbage in cycles: seldom, and never among what stays for good.

The cyclic collector walks every container there is. The role ``watch`` keeps some for every series (its
labels, its place in the scrape cache), so at 100,000 series a full collection costs tenths of a second, in which
neither a scrape nor a rule goes on; and nearly nothing of that is ever garbage. What there is a minute after the
start is therefore moved out of its sight (``gc.freeze``), and young objects are looked at more seldom.
Reference counts free everything else at once, as ever. Measured in docs/operations.md.
"""

from __future__ import annotations

import gc

from watchkeeper.store.clock import Clock

YOUNG = 20_000
"""New containers before the youngest generation is looked at (Python's own: 700)."""
FIRST_SECONDS = 60.0
EVERY_SECONDS = 600.0


async def settle(clock: Clock) -> None:
    """Keep the collector seldom and its field small, until cancelled."""
    gc.set_threshold(YOUNG, 20, 100)
    seconds = FIRST_SECONDS
    while True:
        await clock.wait(seconds)
        gc.collect()
        gc.freeze()
        seconds = EVERY_SECONDS
