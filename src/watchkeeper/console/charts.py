"""Draws series over time as SVG, on the server: one drawing for a page, a message and a document. Pure.

Always true: a drawing is bounded (20 lines, 300 points of each, every spike kept), has a gap where nothing
is known, and nothing of it is styled or scripted by itself; what it shows is also said in a sentence
and in a table (tests/console/test_charts.py).

Two SVGs lie on each other. One holds the curves and is stretched to any width; the other holds the words and
straight lines at shares of the width, so that letters keep their size from 360 px up (docs/adr/0013).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from markupsafe import Markup

from watchkeeper.console.axes import figure_in_words, time_ticks, value_range, value_ticks
from watchkeeper.console.rendering import clean
from watchkeeper.store.clock import from_ms

MAX_LINES = 20
MAX_POINTS = 300
MAX_MARKS = 12
MAX_LEVELS = 8
NAME_LENGTH = 120
TABLE_ROWS = 30
TABLE_LINES = 8
NAMED = 8
"""Lines with a dash pattern of their own; the rest share one."""
WIDTH, HEIGHT = 1000, 240
NARROWEST = 270
"""Pixels that the curves have on a phone: labels that fit there fit everywhere."""
LETTER, ROW = 7, 15
"""The width of a letter and the height of a line of marks, in pixels."""
EXTREME = 1e300


@dataclass(frozen=True, slots=True)
class Line:
    """One series: a value for each of the chart's times, None where there is none."""

    name: str
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Level:
    """A line not to be crossed; ``state`` is ``warn`` or ``page``."""

    value: float
    text: str
    state: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment: ``state`` is one of rendering's, for its shape and colour."""

    at_ms: int
    text: str
    state: str


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn. ``times_ms`` are evenly spaced; ``lines_in_all`` counts those that are not given too."""

    title: str
    unit: str
    times_ms: tuple[int, ...]
    lines: tuple[Line, ...]
    levels: tuple[Level, ...] = ()
    marks: tuple[Mark, ...] = ()
    lines_in_all: int = 0
    name: str = "chart"
    """Told apart from other charts of a page by it."""


def draw(chart: Chart) -> Markup:
    """The chart as a ``<figure>``; a sentence instead where there is nothing to be drawn."""
    chart = bounded(chart)
    known = [value for line in chart.lines for value in line.values if _finite(value)]
    if not known or len(chart.times_ms) < 2:
        when = (
            f" from {_clock(chart.times_ms, 0)} to {_clock(chart.times_ms, -1)} UTC" if chart.times_ms else ""
        )
        said = clean(f"{chart.title}: no data{when}.")
        return Markup('<figure class="chart is-bare"><figcaption>{}</figcaption></figure>').format(said)
    shown = _Drawing(chart, [value for value in known if value is not None])
    return Markup(
        '<figure class="chart" data-chart><div class="plot is-with-{rows}">{curves}{words}</div>'
        "<figcaption data-readout>{caption}</figcaption>{legend}{data}{table}</figure>"
    ).format(
        legend=_legend(chart),
        rows=shown.mark_rows,
        curves=shown.curves(),
        words=shown.words(),
        caption=clean(_now(chart)),
        data=_data(chart),
        table=_table(chart),
    )


def bounded(chart: Chart) -> Chart:
    """``chart`` with as many lines, points, levels and marks as can be seen."""
    lines = tuple(
        Line(_cut(line.name), tuple(_clamped(value) for value in line.values)) for line in chart.lines
    )
    times, lines = _thinned(chart.times_ms, lines[:MAX_LINES])
    marks = _merged(chart.marks, times) if len(times) > 1 else []
    return replace(
        chart,
        title=_cut(chart.title),
        times_ms=times,
        lines=lines,
        levels=tuple(
            replace(level, value=_clamped(level.value) or 0.0) for level in chart.levels[:MAX_LEVELS]
        ),
        marks=tuple(marks[:MAX_MARKS]),
        lines_in_all=max(chart.lines_in_all, len(chart.lines)),
    )


def _merged(marks: Iterable[Mark], times: Sequence[int]) -> list[Mark]:
    """The moments of the range, in order; those that fall together share a line and are named in order."""
    step, close = times[1] - times[0], (times[-1] - times[0]) / 150
    found: list[Mark] = []
    for mark in sorted(marks, key=lambda mark: mark.at_ms):
        if not times[0] <= mark.at_ms <= times[-1] + step:
            continue
        if found and mark.at_ms - found[-1].at_ms <= close:
            state = found[-1].state if mark.state == "unknown" else mark.state
            found[-1] = Mark(found[-1].at_ms, f"{found[-1].text}, {mark.text}", state)
        else:
            found.append(replace(mark, at_ms=min(mark.at_ms, times[-1])))
    return found


def _cut(name: str) -> str:
    return name if len(name) <= NAME_LENGTH else f"{name[:NAME_LENGTH]}…"


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _clamped(value: float | None) -> float | None:
    if value is None or not math.isfinite(value):
        return value
    return max(-EXTREME, min(EXTREME, value))


def _thinned(times: tuple[int, ...], lines: tuple[Line, ...]) -> tuple[tuple[int, ...], tuple[Line, ...]]:
    """Fewer points: of each stretch the lowest and the highest, in their order, so that no spike is lost."""
    if len(times) <= MAX_POINTS:
        return times, lines
    stretches = MAX_POINTS // 2
    edges = [round(number * len(times) / stretches) for number in range(stretches + 1)]
    spans = list(pairwise(edges))
    span_ms = (times[-1] - times[0]) / (2 * stretches - 1)
    kept = tuple(round(times[0] + number * span_ms) for number in range(2 * stretches))
    return kept, tuple(Line(line.name, tuple(_extremes(line.values, spans))) for line in lines)


def _extremes(values: Sequence[float | None], spans: Iterable[tuple[int, int]]) -> Iterable[float | None]:
    for start, end in spans:
        part = [(value, place) for place, value in enumerate(values[start:end]) if _finite(value)]
        if not part:
            yield from (None, None)
            continue
        (low, low_at), (high, high_at) = min(part), max(part)
        yield from (low, high) if low_at <= high_at else (high, low)


class _Drawing:
    def __init__(self, chart: Chart, known: list[float]) -> None:
        self._chart = chart
        self._start, self._end = chart.times_ms[0], chart.times_ms[-1]
        levels = [level.value for level in chart.levels if math.isfinite(level.value)]
        self._low, self._high = value_range([*known, *levels])
        self._rows = _rows([(mark, self._x(mark.at_ms)) for mark in chart.marks])
        self.mark_rows = min(4, max((row for _, _, row in self._rows), default=-1) + 1)

    def _x(self, at_ms: float) -> float:
        """The share of the width, in percent."""
        return 100 * (at_ms - self._start) / (self._end - self._start)

    def _y(self, value: float) -> float:
        """The share of the height from above, in percent."""
        return 100 * (self._high / 2 - value / 2) / (self._high / 2 - self._low / 2)

    def curves(self) -> Markup:
        """What is stretched: the series, and the line under the pointer."""
        paths = Markup("").join(
            Markup('<path class="curve l{}" d="{}"/>').format(min(number, NAMED), self._path(line.values))
            for number, line in reversed(list(enumerate(self._chart.lines)))
        )
        return Markup(
            '<svg class="curves" viewBox="0 0 {w} {h}" preserveAspectRatio="none" role="img" '
            'aria-label="{label}">'
            '{paths}<line class="cross" x1="0" x2="0" y1="0" y2="{h}" visibility="hidden"/></svg>'
        ).format(w=WIDTH, h=HEIGHT, label=clean(sentence(self._chart)), paths=paths)

    def _path(self, values: Sequence[float | None]) -> str:
        parts, drawing = [], False
        step = WIDTH / max(1, len(values) - 1)
        for number, value in enumerate(values):
            if value is None or not math.isfinite(value):
                drawing = False
                continue
            alone = not drawing and not (number + 1 < len(values) and _finite(values[number + 1]))
            place = f"{number * step:.1f} {self._y(value) / 100 * HEIGHT:.1f}"
            parts.append(f"{'L' if drawing else 'M'}{place}{'h0.1' if alone else ''}")
            drawing = True
        return "".join(parts)

    def words(self) -> Markup:
        """What keeps its size: axes, levels, marks. All of it is said in the sentence and the table too."""
        pieces = [*self._figures(), *self._times(), *self._levels(), *self._marks()]
        return Markup('<svg class="words" aria-hidden="true">{}</svg>').format(Markup("").join(pieces))

    def _figures(self) -> Iterable[Markup]:
        for tick in value_ticks(self._low, self._high, self._chart.unit):
            yield Markup(
                '<line class="grid" x1="0" x2="100%" y1="{y:.2f}%" y2="{y:.2f}%"/>'
                '<text x="0" dx="-8" y="{y:.2f}%" dy="4" text-anchor="end">{text}</text>'
            ).format(y=self._y(tick.at), text=tick.text)

    def _times(self) -> Iterable[Markup]:
        yield Markup('<text x="0" dx="-8" y="100%" dy="20" text-anchor="end">UTC</text>')
        for tick in time_ticks(self._start, self._end):
            yield Markup(
                '<g{dense}><line class="tick" x1="{x:.2f}%" x2="{x:.2f}%" y1="100%" y2="100%"/>'
                '<text x="{x:.2f}%" y="100%" dy="20" text-anchor="middle">{text}</text></g>'
            ).format(dense=Markup(' class="dense"') if tick.dense else "", x=self._x(tick.at), text=tick.text)

    def _levels(self) -> Iterable[Markup]:
        taken: list[float] = []
        finite = [level for level in self._chart.levels if math.isfinite(level.value)]
        for level in sorted(finite, key=lambda level: -level.value):
            y = self._y(level.value)
            close = any(abs(y - other) < 8 for other in taken)
            taken.append(y)
            yield Markup(
                '<g class="level is-{state}"><line x1="0" x2="100%" y1="{y:.2f}%" y2="{y:.2f}%"/>'
                '<text x="0" dx="4" y="{y:.2f}%" dy="{dy}" text-anchor="start">{text}</text></g>'
            ).format(
                state=_state(level.state), y=y, dy=14 if close or y < 7 else -5, text=clean(_cut(level.text))
            )

    def _marks(self) -> Iterable[Markup]:
        for mark, x, row in self._rows:
            row = min(row, 3)
            left = x > 60
            yield Markup(
                '<g class="moment is-{state}"><line x1="{x:.2f}%" x2="{x:.2f}%" y1="-{up}" y2="100%"/>'
                '<text x="{x:.2f}%" dx="{dx}" y="-{word}" text-anchor="{anchor}">{text}</text></g>'
            ).format(
                state=_state(mark.state), x=x, up=row * ROW + 14, dx=-4 if left else 4, word=row * ROW + 4,
                anchor="end" if left else "start", text=clean(_cut(mark.text)),
            )  # fmt: skip


def _state(name: str) -> str:
    return name if name.isalpha() else "unknown"


def _rows(marks: Sequence[tuple[Mark, float]]) -> list[tuple[Mark, float, int]]:
    """Each mark with the lowest row in which its words run into no others, on the narrowest screen."""
    taken: list[list[tuple[float, float]]] = []
    found = []
    for mark, x in marks:
        width = 100 * (len(mark.text) * LETTER + 12) / NARROWEST
        begin, end = (x - width, x) if x > 60 else (x, x + width)
        row = next(
            (
                number
                for number, spans in enumerate(taken)
                if all(end <= start or begin >= stop for start, stop in spans)
            ),
            len(taken),
        )
        if row == len(taken):
            taken.append([])
        taken[row].append((begin, end))
        found.append((mark, x, row))
    return found


def _last(line: Line) -> float | None:
    """The newest value; None where the newest time has none."""
    return line.values[-1] if line.values else None


def _now(chart: Chart) -> str:
    """What stands below the curves until somebody points at another time."""
    at = f"{_clock(chart.times_ms, -1)} UTC"
    return at if len(chart.lines) > 1 else f"{at}  {figure_in_words(_last(chart.lines[0]), chart.unit)}"


def sentence(chart: Chart) -> str:
    """The chart in words, for those who cannot see it."""
    start, end = _clock(chart.times_ms, 0), _clock(chart.times_ms, -1)
    parts = [f"{chart.title} from {start} to {end} UTC"]
    for line in chart.lines[:4]:
        known = [value for value in line.values if value is not None and math.isfinite(value)]
        name = f"{line.name}: " if line.name and len(chart.lines) > 1 else ""
        if known:
            low, high, last = (figure_in_words(v, chart.unit) for v in (min(known), max(known), _last(line)))
            parts.append(f"{name}now {last}, lowest {low}, highest {high}")
        else:
            parts.append(f"{name}no data")
    if chart.lines_in_all > 4:
        parts.append(f"{chart.lines_in_all} lines in all")
    parts += [f"{level.text}" for level in chart.levels]
    parts += [f"{mark.text} at {from_ms(mark.at_ms):%H:%M:%S}" for mark in chart.marks]
    return "; ".join(parts) + "."


def _clock(times_ms: Sequence[int], place: int) -> str:
    moment = from_ms(times_ms[place])
    long = times_ms[-1] - times_ms[0] > 86_400_000
    return f"{moment:%d %b %H:%M}" if long else f"{moment:%H:%M:%S}"


def _legend(chart: Chart) -> Markup:
    rows = [
        Markup(
            '<li><svg class="swatch" viewBox="0 0 28 8" aria-hidden="true">'
            '<path class="curve l{}" d="M0 4H28"/></svg><span class="mono">{}</span> '
            '<span class="figure">{}</span></li>'
        ).format(min(number, NAMED), clean(line.name) or "value", figure_in_words(_last(line), chart.unit))
        for number, line in enumerate(chart.lines)
        if len(chart.lines) > 1
    ]
    hidden = chart.lines_in_all - len(chart.lines)
    if hidden > 0:
        rows.append(Markup('<li class="quiet">and {:,} more that are not drawn</li>').format(hidden))
    return Markup('<ul class="legend">{}</ul>').format(Markup("").join(rows)) if rows else Markup("")


def _data(chart: Chart) -> Markup:
    """What the script reads out under the pointer; a text that is no script and cannot end the element."""
    lines = [
        {
            "name": clean(line.name) if len(chart.lines) > 1 else "",
            "values": [None if v is None else figure_in_words(v, chart.unit) for v in line.values],
        }
        for line in chart.lines[:TABLE_LINES]
    ]
    said = {"left": 0, "right": WIDTH, "times": list(chart.times_ms), "lines": lines}
    text = json.dumps(said, ensure_ascii=True, separators=(",", ":"))
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return Markup('<script type="application/json">{}</script>').format(Markup(text))  # noqa: S704 - no < > & in it


def _table(chart: Chart) -> Markup:
    lines = chart.lines[:TABLE_LINES]
    step = max(1, math.ceil(len(chart.times_ms) / TABLE_ROWS))
    places = range((len(chart.times_ms) - 1) % step, len(chart.times_ms), step)
    head = Markup("").join(
        Markup('<th scope="col" class="number">{}</th>').format(clean(line.name) or "value") for line in lines
    )
    rows = Markup("").join(
        Markup('<tr><th scope="row">{}</th>{}</tr>').format(
            f"{from_ms(chart.times_ms[place]):%d %b %H:%M:%S}",
            Markup("").join(
                Markup('<td class="number">{}</td>').format(figure_in_words(line.values[place], chart.unit))
                for line in lines
            ),
        )
        for place in places
    )
    more = len(chart.lines) - len(lines)
    note = Markup('<p class="hint">{} more lines are not in this table.</p>').format(more) if more else ""
    return Markup(
        '<details class="values" id="{}"><summary>Values</summary>'
        '<div class="scroll" tabindex="0" role="region" aria-label="Values"><table><thead><tr>'
        '<th scope="col">UTC</th>{}</tr></thead><tbody>{}</tbody></table></div>{}</details>'
    ).format(f"{chart.name}-values", head, rows, note)
