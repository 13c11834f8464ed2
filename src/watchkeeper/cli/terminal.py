"""Draws the overview on a terminal. Pure: a document and a size in, something Rich can print out.

Colour only repeats what a mark and a word already say, so the view reads on any terminal and in any eye.
What does not fit is counted, never silently dropped (tests/cli/test_terminal.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from watchkeeper.cli.plain import plain
from watchkeeper.monitoring.figures import duration, figure, sparkline

MARKS = {
    "met": ("●", "green"),
    "ok": ("●", "green"),
    "missed": ("▲", "yellow"),
    "warn": ("▲", "yellow"),
    "pending": ("△", "yellow"),
    "unknown": ("◌", "bright_black"),
    "waived": ("◇", "blue"),
    "page": ("■", "bold red"),
    "firing": ("■", "bold red"),
    "shown": ("·", "bright_black"),
}
Document = Mapping[str, Any]


def mark(state: str) -> Text:
    """The shape of a state, in its colour."""
    shape, style = MARKS.get(state, MARKS["unknown"])
    return Text(shape, style=style)


def render(overview: Document, width: int, height: int) -> RenderableType:
    """The whole view for a terminal of ``width`` by ``height`` characters."""
    head = [_title(overview, width), *_alerts(overview, width)]
    tail = _deliveries(overview)
    room = height - _lines(head) - _lines(tail) - 1
    return Group(*head, *_layers(overview, width, room), *tail)


def _lines(parts: Sequence[RenderableType]) -> int:
    return sum(part.row_count if isinstance(part, Table) else 1 for part in parts)


def _title(overview: Document, width: int) -> RenderableType:
    counts = overview["counts"]
    title = Table.grid(expand=True)
    title.add_column(no_wrap=True, ratio=1)
    title.add_column(justify="right", no_wrap=True)
    right = Text()
    for state in ("met", "missed", "unknown", "waived"):
        if counts.get(state):
            right.append_text(mark(state)).append(f" {counts[state]} {state}  ")
    targets = overview["targets"]
    style = "bold red" if targets["down"] else ""
    right.append(f"targets {targets['up']}/{targets['up'] + targets['down']} up", style=style)
    if width >= 100:
        right.append(f"  {_clock(overview['time_ms'])} UTC", style="bright_black")
    title.add_row(
        Text(f"{overview['platform']} · Operations Runbook", style="bold", overflow="ellipsis"), right
    )
    return title


def _alerts(overview: Document, width: int) -> list[RenderableType]:
    problem = overview["runbook"].get("problem")
    parts: list[RenderableType] = []
    if problem:
        text = f"▲ the runbook on disk is broken; the one loaded before runs on: {problem.splitlines()[0]}"
        parts.append(Text(plain(text), style="bold yellow", overflow="ellipsis", no_wrap=True))
    if overview.get("halted"):
        parts.append(
            Text(plain(f"▲ {overview['halted']}"), style="bold red", overflow="ellipsis", no_wrap=True)
        )
    alerts = overview["alerts"]
    firing = [alert for alert in alerts if alert["state"] == "firing"]
    parts.append(Rule("Alerts", align="left", style="bright_black"))
    if not alerts:
        parts.append(Text(" nothing fires", style="bright_black"))
        return parts
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True, min_width=9)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column(no_wrap=True, justify="right", max_width=max(20, width // 3), overflow="ellipsis")
    order = {"page": 0, "warn": 1}
    ranked = sorted(
        alerts, key=lambda a: (a["state"] != "firing", order.get(a["severity"], 2), a["active_ms"])
    )
    for alert in ranked[:8]:
        state = alert["severity"] if alert["state"] == "firing" else "pending"
        shape, style = MARKS.get(state, MARKS["warn"])
        since = duration((overview["time_ms"] - alert["active_ms"]) / 1000)
        quiet = f", quiet: {alert['inhibited_by']} says it" if alert.get("inhibited_by") else ""
        labels = ", ".join(f"{name}={value}" for name, value in alert["labels"].items())
        table.add_row(
            Text(f"{shape} {state.upper() if state == 'page' else state}", style=style),
            Text(plain(alert["summary"] or labels)),
            Text(plain(f"{alert['state']} {since}{quiet}")),
        )
    parts.append(table)
    if len(ranked) > 8:
        more = f" and {len(ranked) - 8} more ({len(firing)} firing in all): watchkeeper alerts"
        parts.append(Text(more, style="bright_black"))
    return parts


def _layers(overview: Document, width: int, room: int) -> list[RenderableType]:
    layers = overview["layers"]
    full = sum(len(layer["signals"]) + 1 for layer in layers)
    keep = _everything if full <= room else _with_threshold
    kept = sum(sum(map(keep, layer["signals"])) + 1 for layer in layers)
    if kept > room:
        keep = _notable
    bars = max(8, min(40, width - 84))
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(width=1)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=3)
    table.add_column(no_wrap=True, justify="right", min_width=9)
    table.add_column(no_wrap=True, width=bars)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=2)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=2)
    for layer in layers:
        shown = [signal for signal in layer["signals"] if keep(signal)]
        hidden = len(layer["signals"]) - len(shown)
        first = not table.row_count
        table.add_row(
            "",
            Text(layer["title"], style="bold"),
            Text("now" if first else "", style="bright_black"),
            Text("last 15 min" if first else "", style="bright_black"),
            Text("warn" if first else "", style="bright_black"),
            Text(
                ("page" if first else "") + (f"  +{hidden} not shown" if hidden else ""), style="bright_black"
            ),
        )
        for signal in shown:
            _signal_row(table, signal, bars)
    return [Rule("Signals", align="left", style="bright_black"), table]


def _everything(_: Document) -> bool:
    return True


def _with_threshold(signal: Document) -> bool:
    return bool(signal["warn"] or signal["page"])


def _notable(signal: Document) -> bool:
    return signal["state"] in ("page", "warn", "pending")


def _signal_row(table: Table, signal: Document, bars: int) -> None:
    unknown = signal["value"] is None
    why = signal.get("why") or ""
    why = "" if why == "no data" else why  # the figure says that already
    shape, style = MARKS.get(signal["state"], MARKS["unknown"])
    hot = style if signal["state"] in ("page", "warn") else ""
    table.add_row(
        Text(shape, style=style),
        Text(signal["title"]),
        Text(figure(signal["value"], signal["unit"]), style="bright_black" if unknown else hot),
        Text(
            plain(why) if unknown else sparkline(signal["points"], bars),
            style="bright_black" if unknown else hot,
        ),
        Text(" · ".join(signal["warn"]), style="bright_black"),
        Text(" · ".join(signal["page"]), style="bright_black"),
    )


def _deliveries(overview: Document) -> list[RenderableType]:
    deliveries = overview["deliveries"][-5:]
    parts: list[RenderableType] = [Rule("Pages sent", align="left", style="bright_black")]
    if not deliveries:
        parts.append(Text(" none yet", style="bright_black"))
        return parts
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True, min_width=8)
    table.add_column(no_wrap=True, min_width=12, max_width=24, overflow="ellipsis")
    table.add_column(no_wrap=True, min_width=7)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=48)
    for delivery in deliveries:
        done = delivery["state"] == "delivered"
        table.add_row(
            Text(_clock(delivery["at_ms"]), style="bright_black"),
            mark("met" if done else "missed") + Text(f" {delivery['receiver']}"),
            Text(delivery["kind"]),
            Text(plain(delivery["summary"])),
            Text(
                "" if done else plain(f"{delivery['state']}: {delivery.get('error') or ''}"), style="yellow"
            ),
        )
    parts.append(table)
    return parts


def _clock(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%H:%M:%S")
