"""Charts: what is drawn, what is said of it, and that nothing makes it large or more than a drawing."""

from __future__ import annotations

import json
import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.console.ground import HOSTILE
from watchkeeper.console.charts import MAX_POINTS, Chart, Level, Line, Mark, bounded, draw, sentence

START = 1_767_614_400_000
MINUTE = 60_000


def chart(*lines: Line, count: int | None = None, **more: object) -> Chart:
    length = count or max((len(line.values) for line in lines), default=0)
    times = tuple(START + number * MINUTE for number in range(length))
    return Chart("Error rate", "ratio", times, lines, **more)  # type: ignore[arg-type]


def paths(drawn: str) -> list[str]:
    return re.findall(r'<path class="curve l\d" d="([^"]*)"/>(?!</svg><span)', drawn)


def data(drawn: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json">(.*?)</script>', drawn)
    assert found
    told: dict[str, object] = json.loads(found[1])
    return told


def test_a_gap_is_where_nothing_is_known() -> None:
    drawn = draw(chart(Line("a", (0.1, 0.2, None, math.nan, 0.3, None, 0.1, 0.1))))
    path = paths(drawn)[0]
    assert path.count("M") == 3
    assert path.count("h0.1") == 1  # what stands alone is a dot, not nothing
    assert data(drawn)["lines"][0]["values"][2] is None  # type: ignore[index]


def test_a_drawing_is_well_formed_and_has_no_style_and_no_script_of_its_own() -> None:
    drawn = draw(
        chart(Line("a", (0.1, 0.2)), Line("b", (0.3, None)), levels=(Level(0.05, "page > 5%", "page"),))
    )
    ElementTree.fromstring(str(drawn).replace(" data-chart>", ">").replace(" data-readout>", ">"))
    assert "style=" not in drawn
    assert re.search(r"\son\w+=", drawn) is None
    assert re.findall(r"<script[^>]*>", drawn) == ['<script type="application/json">']


def test_thousands_of_points_become_few_and_no_spike_is_lost() -> None:
    values = [0.0] * 10_000
    values[4321], values[7777] = 9.0, -9.0
    small = bounded(chart(Line("a", tuple(values))))
    assert len(small.times_ms) == len(small.lines[0].values) == MAX_POINTS
    assert (min(small.lines[0].values), max(small.lines[0].values)) == (-9.0, 9.0)  # type: ignore[type-var]
    assert small.times_ms[0] == START
    assert abs(small.times_ms[-1] - (START + 9999 * MINUTE)) <= MINUTE
    at = small.times_ms[small.lines[0].values.index(9.0)]
    assert abs(at - (START + 4321 * MINUTE)) < 2 * 9999 * MINUTE / MAX_POINTS * 2


def test_of_many_lines_twenty_are_drawn_and_the_rest_is_said() -> None:
    drawn = draw(chart(*(Line(f"line {number}", (1.0, 2.0)) for number in range(30)), lines_in_all=5000))
    assert len(paths(drawn)) == 20
    assert "and 4,980 more that are not drawn" in drawn


def test_lines_not_to_be_crossed_and_moments_are_named_in_drawing_and_sentence() -> None:
    drawn = draw(
        chart(
            Line("", (0.01, 0.02, 0.07, 0.06)),
            levels=(Level(0.05, "page > 5%", "page"), Level(0.03, "warn > 3%", "warn")),
            marks=(Mark(START + MINUTE, "pending", "pending"), Mark(START + 2 * MINUTE, "firing", "page")),
        )
    )
    said = re.search(r'role="img" aria-label="([^"]*)"', drawn)
    assert said
    assert said[1] == (
        "Error rate from 12:00:00 to 12:03:00 UTC; now 6 %, lowest 1 %, highest 7 %; "
        "page &gt; 5%; warn &gt; 3%; pending at 12:01:00; firing at 12:02:00."
    )
    for text in ("page &gt; 5%", "warn &gt; 3%", "pending", "firing"):
        assert f">{text}</text>" in drawn
    assert 'class="level is-page"' in drawn
    assert "12:03:00 UTC  6 %" in drawn


def test_moments_that_fall_together_share_a_line_and_others_never_run_into_each_other() -> None:
    near = [Mark(START + 30 * MINUTE + ms, text, "page") for ms, text in ((0, "pending"), (1, "firing"))]
    more = [Mark(START + (32 + n) * MINUTE, "acknowledged", "page") for n in range(3)]
    drawn = draw(chart(Line("a", (1.0,) * 61), marks=(*near, *more)))
    assert ">pending, firing</text>" in drawn
    heights = re.findall(r'y="-(\d+)" text-anchor="\w+">(?:pending|acknowledged)', drawn)
    assert len(heights) == len(set(heights)) == 4


def test_a_moment_outside_of_the_range_is_not_drawn() -> None:
    drawn = draw(
        chart(
            Line("a", (1.0, 2.0)),
            marks=(Mark(START - 1, "early", "page"), Mark(START + MINUTE, "now", "page")),
        )
    )
    assert "early" not in drawn
    assert ">now</text>" in drawn


@pytest.mark.parametrize("values", [(), (None, None), (math.nan, math.inf)])
def test_without_a_value_a_sentence_stands_there(values: tuple[float | None, ...]) -> None:
    drawn = draw(chart(Line("a", values)))
    assert "no data" in drawn
    assert "<svg" not in drawn


def test_names_cannot_end_the_element_they_stand_in_and_are_cut() -> None:
    name = "</script><img src=x onerror=alert(1)>" + HOSTILE
    drawn = draw(
        chart(Line(name, (1.0, 2.0)), Line("x" * 1_000_000, (1.0, 2.0)), levels=(Level(1, name, "page"),))
    )
    assert "<img" not in drawn
    assert drawn.count("</script>") == 1
    assert "\x1b" not in drawn
    assert len(drawn) < 20_000
    assert data(drawn)["lines"][0]["name"].startswith("</script><img")  # type: ignore[index]


def test_the_script_finds_the_value_of_every_time() -> None:
    told = data(draw(chart(Line("a", (0.1, None, 0.3)))))
    assert told["times"] == [START, START + MINUTE, START + 2 * MINUTE]
    assert told["lines"] == [{"name": "", "values": ["10 %", None, "30 %"]}]
    assert (told["left"], told["right"]) == (0, 1000)


def test_the_table_has_every_nth_value_and_the_last() -> None:
    drawn = draw(chart(Line("a", tuple(number / 1000 for number in range(200)))))
    rows = re.findall(r'<th scope="row">([^<]*)</th><td class="number">([^<]*)</td>', drawn)
    assert 20 <= len(rows) <= 30
    assert rows[-1] == ("05 Jan 15:19:00", "19.9 %")


VALUES = st.one_of(st.none(), st.floats())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(VALUES, min_size=2, max_size=8), min_size=1, max_size=4),
    st.lists(st.floats(), max_size=3),
)
def test_every_figure_there_is_can_be_drawn(rows: list[list[float | None]], levels: list[float]) -> None:
    length = max(map(len, rows))
    lines = [Line(str(n), tuple((row + [None] * length)[:length])) for n, row in enumerate(rows)]
    full = chart(*lines, levels=tuple(Level(value, "line", "page") for value in levels))
    drawn = draw(full)
    assert not re.search(r'"[^"]*\b(nan|inf)\b[^"]*"/>', drawn)
    assert sentence(bounded(full)).endswith(".")
