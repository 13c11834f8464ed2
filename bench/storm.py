"""Ten thousand alerts fire at once: what reaches a PagerDuty that fails and throttles, and how soon.

``watchkeeper serve`` with all its roles scrapes one target with 10,000 services. At one scrape all of them
cross the line, and a while later all come back. PagerDuty is the tests' stateful fake: 5 % of the requests
fail (500), 2 % meet a 429, and it counts its own limit a minute. Two runs:

- *as shipped*: the storm is one incident; what counts is how soon somebody is woken;
- *one by one* (``grouping.storm`` raised, and both limits): every alert is an incident of its own, so each
  one's way can be followed.

PagerDuty documents 120 events a minute for an integration, which is what the runbook's ``rate_limit`` is as
shipped, and what the first run obeys. The second shows what Watchkeeper itself is able to do: there the
``rate_limit`` and the fake's limit are 60,000 a minute, as for an account whose limit was raised. At the
documented limit 10,000 single pages take as long as arithmetic says: ``default_limit_minutes``.

``violations`` counts alerts that PagerDuty never heard of (lost) or heard of more than once at the same stage
(doubled), resolves before their trigger (out of order), and incidents still open at the end, all counted from
what PagerDuty accepted. The faults refuse a request before it is taken in, so nothing excuses a double.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench.report import report
from bench.rules import Watchkeeper, memory_of
from tests.fakes.exporter import Ask, Exporter, Reply
from tests.fakes.pagerduty import ROUTING_KEY, FakePagerDuty

FAULTS = {"500": 5.0, "429": 2.0}
SHIPPED_STORM, NO_STORM = 30, 100_000
RUNBOOK = {
    "runbook": 1,
    "platform": "Storm",
    "monitoring": {
        "layers": [
            {
                "id": "api",
                "title": "API",
                "signals": [
                    {
                        "id": "queue",
                        "title": "Queue depth",
                        "expr": "storm_queue_depth",
                        "page": {"above": 100},
                    }
                ],
            }
        ]
    },
}


@dataclass(frozen=True)
class Outcome:
    """What one run showed; seconds from the scrape that crossed the line being served."""

    first: float
    last: float
    resolved: float
    events: int
    refused: int
    lost: int
    doubled: int
    disordered: int
    left_open: int
    memory: int

    @property
    def violations(self) -> int:
        """What must be zero."""
        return self.lost + self.doubled + self.disordered + self.left_open


def main(argv: Sequence[str]) -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(prog="python -m bench storm")
    parser.add_argument("--alerts", type=int, default=10_000)
    parser.add_argument("--wait", type=float, default=900, help="seconds at most for each half of a run")
    options = parser.parse_args(argv)
    os.environ["STORM_KEY"] = ROUTING_KEY
    shipped = _run(options.alerts, options.wait, SHIPPED_STORM, limit=120)
    single = _run(options.alerts, options.wait, NO_STORM, limit=60_000)
    rows = [
        (
            label,
            f"{one.first:.1f} s",
            f"{one.last:.1f} s",
            f"{one.resolved:.1f} s",
            f"{one.events:,}",
            f"{one.refused:,}",
            f"{one.violations}",
            f"{one.memory / 1e6:,.0f} MB",
        )
        for label, one in (("as shipped", shipped), ("one by one", single))
    ]
    report(
        f"{options.alerts:,} alerts at once, PagerDuty with 5 % errors and 2 % throttled",
        ("", "first page", "last page", "last resolve", "events", "refused", "violations", "memory"),
        rows,
        {
            "violations": shipped.violations + single.violations,
            "lost": shipped.lost + single.lost,
            "doubled": shipped.doubled + single.doubled,
            "out_of_order": shipped.disordered + single.disordered,
            "left_open": shipped.left_open + single.left_open,
            "first_page_seconds": round(shipped.first, 1),
            "first_page_seconds_one_by_one": round(single.first, 1),
            "last_page_seconds_one_by_one": round(single.last, 1),
            "pages_per_second_one_by_one": round(options.alerts / (single.last - single.first), 1),
            "default_limit_minutes": round(options.alerts / (1 - sum(FAULTS.values()) / 100) / 120, 1),
            "memory_mb": round(max(shipped.memory, single.memory) / 1e6),
        },
    )
    return 0


class _Services:
    """``count`` services whose queue is short, long once :attr:`high` is set, short again at :attr:`low`."""

    def __init__(self, count: int) -> None:
        self.high, self.low = threading.Event(), threading.Event()
        self.crossed = self.back = 0.0
        self._short, self._long = (
            "".join(
                f'storm_queue_depth{{service="s{n}",env="prod",region="eu"}} {depth}\n' for n in range(count)
            ).encode()
            for depth in (1, 500)
        )

    def answer(self, _: Ask) -> Reply:
        """One scrape; notes when the line was crossed, and when all was well again."""
        if self.high.is_set() and not self.low.is_set():
            self.crossed = self.crossed or time.monotonic()
            return Reply(self._long)
        if self.low.is_set():
            self.back = self.back or time.monotonic()
        return Reply(self._short)


def _run(count: int, wait: float, storm: int, limit: int) -> Outcome:
    services = _Services(count)
    with (
        tempfile.TemporaryDirectory() as name,
        Exporter({"/metrics": services.answer}) as exporter,
        FakePagerDuty(limit_per_minute=limit, now=time.monotonic) as pagerduty,
    ):
        directory = Path(name)
        pagerduty.random_faults(7, FAULTS)
        runbook = directory / "runbook.yaml"
        runbook.write_text(
            yaml.safe_dump({**RUNBOOK, "notifications": _notifications(pagerduty, storm, limit)})
        )
        scrapes: list[dict[str, object]] = [
            {"job_name": "storm", "static_configs": [{"targets": [exporter.address]}]}
        ]
        with Watchkeeper(directory, runbook, scrapes, "5s") as ours:
            time.sleep(20)  # a few evaluations without anything
            services.high.set()
            wanted = count if storm == NO_STORM else 1
            triggered = _until(pagerduty, "trigger", wanted, wait)
            time.sleep(10)
            memory = sum(memory_of(pid) for pid in ours.pids())
            services.low.set()
            _until(pagerduty, "resolve", wanted, wait)
            time.sleep(10)  # whatever is doubled or out of order shows by now
        return _judge(pagerduty, services, count, storm, triggered, memory)


def _notifications(pagerduty: FakePagerDuty, storm: int, limit: int) -> dict[str, object]:
    settings = {
        "routing_key": {"env": "STORM_KEY"},
        "url": pagerduty.url,
        "rate_limit": f"{limit}/min",
        "timeout": "5s",
    }
    by = ["alertname", "service", "env", "region"]
    return {
        "receivers": [{"id": "pagerduty", "pagerduty": settings}],
        "grouping": {"by": by, "interval": "1m", "storm": storm},
    }


def _until(pagerduty: FakePagerDuty, action: str, wanted: int, seconds: float) -> int:
    """Wait until ``wanted`` incidents have had ``action``, or the time is over; how many have."""
    deadline = time.monotonic() + seconds
    while True:
        keys = {event.dedup_key for event in list(pagerduty.events) if event.action == action}
        if len(keys) >= wanted or time.monotonic() > deadline:
            return len(keys)
        time.sleep(0.2)


def _judge(
    pagerduty: FakePagerDuty, services: _Services, count: int, storm: int, triggered: int, memory: int
) -> Outcome:
    events = list(pagerduty.events)
    triggers = [event for event in events if event.action == "trigger"]
    resolves = [event for event in events if event.action == "resolve"]
    histories: dict[str, list[str]] = {}
    for event in events:
        histories.setdefault(event.dedup_key, []).append(event.action)
    if storm == NO_STORM:
        lost = count - triggered
        doubled = sum(
            max(0, history.count("trigger") - 1) + max(0, history.count("resolve") - 1)
            for history in histories.values()
        )
    else:  # one incident whose text counts every alert; updates of the group may follow its trigger
        told = [f"{count:,} alerts" in event.body["payload"]["summary"] for event in triggers]
        lost = 0 if any(told) else count
        doubled = max(0, len(histories) - 1)
    disordered = sum(
        "resolve" in history and "trigger" not in history[: history.index("resolve")]
        for history in histories.values()
    )
    return Outcome(
        first=min((event.received_at for event in triggers), default=float("inf")) - services.crossed,
        last=max((event.received_at for event in triggers), default=float("inf")) - services.crossed,
        resolved=max((event.received_at for event in resolves), default=float("inf")) - services.back,
        events=len(events),
        refused=pagerduty.requests - len(events),
        lost=lost,
        doubled=doubled,
        disordered=disordered,
        left_open=len(pagerduty.open_incidents()),
        memory=memory,
    )
