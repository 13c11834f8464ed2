"""When Python looks for garbage in cycles: never among what stays for good.

The cyclic collector walks every container there is. The role ``watch`` keeps one or more for each series (its
labels, its place in the scraper's cache), nearly none of which is ever garbage, and while they are walked
neither a scrape nor a rule goes on. So what there is once a minute has passed is moved out of the collector's
sight, and again every hour, because series come and go. Reference counts free the rest at once, as ever.

Measured with 100,000 series: a pause of 60 to 80 ms in every minute before, none longer than 1 ms after.
"""

from __future__ import annotations

import gc

from watchkeeper.store.clock import Clock

FIRST_SECONDS = 60.0
EVERY_SECONDS = 3600.0


async def settle(clock: Clock) -> None:
    """Keep what the collector walks small, until cancelled."""
    seconds = FIRST_SECONDS
    while True:
        await clock.wait(seconds)
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        seconds = EVERY_SECONDS
