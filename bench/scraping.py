"""Watchkeeper's real scrape loop over the real sample store, as a process: ``python -m bench.scraping PLAN``.

``PLAN`` is a JSON file: ``metrics`` as in the runbook, ``directory`` of the store, and ``counts``, a file
that is rewritten every second with the totals of the scraper.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from watchkeeper.monitoring.fetch import HttpFetcher
from watchkeeper.monitoring.samples.store import SampleStore
from watchkeeper.monitoring.scrape import Scraper
from watchkeeper.monitoring.targets import jobs_of
from watchkeeper.runbook.models.metrics import Metrics
from watchkeeper.store.clock import SystemClock


async def run(plan: dict[str, Any]) -> None:
    """Scrape until the process is told to end."""
    clock = SystemClock()
    store = SampleStore.open(Path(plan["directory"]), clock=clock)
    counts = Path(plan["counts"])
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    try:
        async with HttpFetcher(os.environ) as fetcher:
            scraper = Scraper(store, fetcher, clock)
            metrics = Metrics.model_validate(plan["metrics"])
            scraper.configure(jobs_of(metrics), metrics.evaluation_interval.total_seconds())
            loop = asyncio.ensure_future(scraper.run())
            while not ended.is_set():
                store.tick()
                fresh = counts.with_suffix(".new")
                fresh.write_text(json.dumps(asdict(scraper.totals)))
                fresh.replace(counts)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(ended.wait(), 1.0)
            loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await loop
    finally:
        store.close()


if __name__ == "__main__":
    gc.freeze()
    asyncio.run(run(json.loads(Path(sys.argv[1]).read_text())))
