"""``/alerts``: what fires, what is quiet and why, what is about to fire, what just ended, and history.

Always true: pages stand before warnings and the oldest first; every alert that the store has is counted in
its tab, and a page shows at most 50 of them, however large their labels are (tests/console/test_alerts.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from watchkeeper.console.console import Console
from watchkeeper.console.gate import Reader
from watchkeeper.monitoring import alert_list, silences
from watchkeeper.monitoring.alert_list import Listed
from watchkeeper.monitoring.promql.ast import Matcher
from watchkeeper.store.errors import StoreError

PAGE_ROWS = 50
HISTORY_ROWS = 2000
"""Of what resolved longer ago, so many of the newest are looked through."""
LABEL_LENGTH = 120
LABELS_SHOWN = 12
KINDS = {
    "firing": "Firing",
    "quiet": "Firing, but quiet",
    "pending": "Pending",
    "resolved": "Resolved in the last 15 minutes",
    "history": "Resolved",
}
TABS = (
    ("now", "Now"), ("firing", "Firing"), ("quiet", "Quiet"), ("pending", "Pending"),
    ("resolved", "Resolved"), ("history", "History"),
)  # fmt: skip
_OWN = ("alertname", "severity", "layer", "signal", "clause")
_WORD = re.compile(r'(?:[^\s,"]|"[^"]*")+')
Text = Annotated[str, Query(max_length=1000)]


@dataclass(frozen=True, slots=True)
class Row:
    """One alert in the list. ``quiet``: who or what speaks for it; ``kind`` is a key of :data:`KINDS`."""

    alert: Listed
    kind: str

    @property
    def href(self) -> str:
        """Its page; of the one life of it that this row is about."""
        where = f"/alerts/{quote(self.alert.fingerprint, safe='')}"
        return f"{where}?episode={quote(self.alert.episode)}" if self.kind == "history" else where

    @property
    def mark(self) -> str:
        """The state that its mark shows."""
        if self.kind == "quiet":
            return "silenced" if is_silence(self.alert.inhibited_by) else "inhibited"
        if self.kind == "firing":
            return "page" if self.alert.severity == "page" else "warn"
        return "pending" if self.kind == "pending" else "resolved"

    @property
    def labels(self) -> list[tuple[str, str]]:
        """Its labels, those first that tell alerts of one rule apart; long ones cut."""
        return short_labels(self.alert.labels.items(), LABELS_SHOWN)

    @property
    def more_labels(self) -> int:
        """How many labels are not shown."""
        own = sum(1 for name in self.alert.labels if name not in _OWN)
        return max(0, own - LABELS_SHOWN)


def short_labels(
    pairs: Iterable[tuple[str, str]], most: int, longest: int = LABEL_LENGTH
) -> list[tuple[str, str]]:
    """The first ``most`` labels by name, without those that every alert has, each cut to a length."""
    shown = [(name, value) for name, value in sorted(pairs) if name not in _OWN][:most]
    return [(short(name), short(value, longest)) for name, value in shown]


def short(text: str, longest: int = LABEL_LENGTH) -> str:
    """``text``, cut where it is long."""
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text):,} characters)"


def is_silence(by: str | None) -> bool:
    """Whether it is a silence that keeps an alert quiet, not another alert."""
    return bool(by) and str(by).startswith("silence:")


def kind_of(alert: Listed) -> str:
    """Under which heading an alert of the store stands."""
    return "quiet" if alert.state == "firing" and alert.inhibited_by else alert.state


@dataclass(frozen=True, slots=True)
class Filters:
    """What is looked for. ``state`` is a tab's; the rest narrows it."""

    state: str = "now"
    severity: str = ""
    text: str = ""
    match: str = ""
    matchers: tuple[Matcher, ...] = ()

    @property
    def narrow(self) -> bool:
        """Whether anything is looked for besides a state."""
        return bool(self.severity or self.text or self.match)

    def takes(self, alert: Listed) -> bool:
        """Whether ``alert`` is looked for, whatever its state."""
        if self.severity and alert.severity != self.severity:
            return False
        labels = {"alertname": alert.alertname, **alert.labels} if self.matchers else {}
        if not silences.matches(self.matchers, labels):
            return False
        sought = self.text.lower()
        if not sought:
            return True
        texts = (alert.alertname, alert.summary, alert.fingerprint)
        return any(sought in text.lower() for text in texts) or any(
            sought in f"{name}={value}".lower() for name, value in alert.labels.items()
        )

    def address(self, **changed: str | int) -> str:
        """The page with these filters, some of them ``changed``."""
        given = {"state": self.state, "severity": self.severity, "q": self.text, "match": self.match}
        shown = {name: value for name, value in {**given, **changed}.items() if value not in ("", "now")}
        return f"/alerts?{urlencode(shown)}" if shown else "/alerts"


def matchers_of(text: str) -> tuple[Matcher, ...]:
    """The matchers that somebody wrote, with spaces or commas between. Raises SilenceError."""
    return tuple(silences.matcher(word) for word in _WORD.findall(text))


def arranged(found: Iterable[Listed], filters: Filters) -> dict[str, list[Row]]:
    """The alerts that are looked for, by kind in the order of the page; pages first, oldest first."""
    kinds: dict[str, list[Row]] = {kind: [] for kind in KINDS}
    for alert in found:
        if filters.takes(alert):
            kind = kind_of(alert)
            kinds[kind].append(Row(alert, kind))
    for rows in kinds.values():
        rows.sort(key=lambda row: (row.alert.severity != "page", _since(row.alert)))
    return kinds


def _since(alert: Listed) -> float:
    return alert.active_at.timestamp() if alert.active_at else 0.0


def router(console: Console) -> APIRouter:
    """``/alerts``."""
    routes = APIRouter(include_in_schema=False)

    def read(history: bool) -> tuple[list[Listed], list[Listed]]:
        with console.store.read() as conn:
            found = alert_list.current(conn)
            return found, alert_list.earlier(conn, found, HISTORY_ROWS) if history else []

    @routes.get("/alerts")
    async def alerts(
        request: Request,
        identity: Reader,
        state: Text = "now",
        severity: Text = "",
        q: Text = "",
        match: Text = "",
        page: Annotated[int, Query(ge=1, le=100_000)] = 1,
    ) -> Response:
        problem, matchers = "", tuple[Matcher, ...]()
        try:
            matchers = matchers_of(match)
        except silences.SilenceError as error:
            problem = f"{str(error)[:1].upper()}{str(error)[1:]}."
        filters = Filters(
            state if state in dict(TABS) else "now",
            severity if severity in ("page", "warn") else "",
            q.strip(),
            match.strip(),
            matchers,
        )

        def work() -> tuple[dict[str, list[Row]], bool]:
            found, earlier = read(filters.state == "history")
            kinds = arranged(found if not problem else (), filters)
            kinds["history"] = [Row(one, "history") for one in earlier if filters.takes(one) and not problem]
            return kinds, len(earlier) >= HISTORY_ROWS

        try:
            kinds, cut = await run_in_threadpool(work)
        except StoreError as error:
            kinds, cut, problem = arranged((), filters), False, f"The store cannot be read: {error}"
        rows = _chosen(kinds, filters.state)
        pages = max(1, -(-len(rows) // PAGE_ROWS))
        page = min(page, pages)
        return await console.page(
            request,
            identity,
            "alerts.html",
            status=400 if problem else 200,
            filters=filters,
            problem=problem,
            tabs=[(key, word, len(_chosen(kinds, key)) if key != "history" else None) for key, word in TABS],
            groups=_groups(rows[(page - 1) * PAGE_ROWS : page * PAGE_ROWS]),
            kinds=KINDS,
            total=len(rows),
            first=(page - 1) * PAGE_ROWS + 1,
            last=min(page * PAGE_ROWS, len(rows)),
            page=page,
            last_page=pages,
            cut=cut,
            history_rows=HISTORY_ROWS,
        )

    return routes


def _chosen(kinds: dict[str, list[Row]], state: str) -> list[Row]:
    if state == "now":
        return [row for kind, rows in kinds.items() if kind != "history" for row in rows]
    return kinds.get(state, [])


def _groups(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """The rows of a page under their headings."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.kind, []).append(row)
    return list(groups.items())
