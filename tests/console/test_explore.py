"""Asking in PromQL: answers, errors with their place, and that no question is too large."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.console.asgi import Answer, Answering, Grounds, call
from tests.console.ground import HOSTILE, grounds_with_runbook
from tests.console.test_signals import ELSEWHERE, matrix
from watchkeeper.access.models import Role
from watchkeeper.app.wire import WireError
from watchkeeper.console.pages.explore import FUNCTIONS, place_of
from watchkeeper.monitoring.promql.ast import PromQLError
from watchkeeper.monitoring.promql.parser import parse


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Grounds]:
    found = grounds_with_runbook(tmp_path)
    yield found
    found.store.close()


def vector(*rows: tuple[dict[str, str], str], **more: object) -> bytes:
    result = [{"metric": labels, "value": [0, value]} for labels, value in rows]
    return json.dumps(
        {"status": "success", "data": {"resultType": "vector", "result": result}, **more}
    ).encode()


def ask(on: Grounds, roles: Answering, as_: Role | None = Role.VIEWER, **given: str) -> Answer:
    return call(roles, f"/explore?{urlencode(given)}", on=on, as_=as_, headers={"Accept": "text/html"})


def test_the_answer_is_a_table_and_a_chart(on: Grounds) -> None:
    series = {"__name__": "up", "service": "api"}
    roles = Answering(query=vector((series, "1"), warnings=["mind this"]), query_range=matrix(series))
    text = ask(on, roles, query="up", end="2026-01-05T12:00:00Z").body.decode()
    assert '<td class="mono">up service=api</td><td class="number">1</td>' in text
    assert '<figure class="chart" data-chart>' in text
    assert "mind this" in text
    assert "One point every 15 s" in text
    assert next(one[1] for one in roles.asked if one[0] == "query")["time_ms"] == 1_767_614_400_000


@pytest.mark.parametrize(
    ("step", "range_", "says"),
    [
        ("1ms", "30d", "2,592,000,001 points of each series"),
        ("0.001", "1h", "3,600,001 points"),
        ("", "1h", ""),
    ],
)
def test_a_million_points_are_not_asked_for_and_the_page_says_so(
    on: Grounds, step: str, range_: str, says: str
) -> None:
    roles = Answering(query=vector(), query_range=matrix({"a": "1"}))
    answer = ask(on, roles, query="up", step=step, range=range_)
    asked = next(one[1] for one in roles.asked if one[0] == "query_range")
    assert answer.status == 200
    assert (asked["end_ms"] - asked["start_ms"]) / asked["step_ms"] <= 300
    assert says in answer.body.decode()


def test_a_range_of_ages_is_cut_and_the_page_says_so(on: Grounds) -> None:
    roles = Answering(query=vector(), query_range=matrix({"a": "1"}))
    assert "The longest range is 366 d" in ask(on, roles, query="up", range="200y").body.decode()


def test_of_very_many_series_a_hundred_are_shown_and_all_are_counted(on: Grounds) -> None:
    class Counting(Answering):
        def _answer(self, own: str, question: str, asked: object, timeout_seconds: float) -> bytes:
            if question == "query" and str(asked["query"]).startswith("count("):  # type: ignore[index]
                return vector(({}, "48120"))
            return super()._answer(own, question, asked, timeout_seconds)  # type: ignore[arg-type]

    rows = [({"n": str(number)}, "1") for number in range(101)]
    roles = Counting(query=vector(*rows), query_range=matrix(*(labels for labels, _ in rows)))
    answer = ask(on, roles, query="up")
    text = answer.body.decode()
    assert "The first 100 of 48,120 series are shown" in text
    assert text.count('<td class="number">1</td>') == 100
    assert all(one[1]["limit"] <= 101 for one in roles.asked if one[0].startswith("query"))
    assert len(answer.body) < 200_000


@pytest.mark.parametrize(
    ("query", "line", "column"),
    [("up{", "up{", 3), ("sum(up)\n  by foo", "  by foo", 5), ("x" * 300 + " ) ", None, None)],
)
def test_a_question_that_cannot_be_read_is_shown_with_its_place(
    on: Grounds, query: str, line: str | None, column: int | None
) -> None:
    roles = Answering()
    answer = ask(on, roles, query=query)
    text = answer.body.decode()
    assert answer.status == 400
    assert "This cannot be read" in text
    assert not [one for one in roles.asked if one[0].startswith("query")]
    found = re.search(r"<pre[^>]*><code>(.*?)\n( *)\^</code></pre>", text, re.DOTALL)
    assert found
    if line is not None:
        assert (found[1], len(found[2])) == (line, column)
    assert len(found[1]) <= 102


def test_the_caret_stands_below_the_character_that_is_meant() -> None:
    query = "a" * 200 + " + )"
    with pytest.raises(PromQLError) as caught:
        parse(query)
    line, caret = place_of(query, caught.value).split("\n")
    assert line[len(caret) - 1] == ")"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"range": "soon"}, "&#34;range&#34; is &#39;soon&#39;"),
        ({"end": "never"}, "&#34;end&#34; is &#39;never&#39;"),
        ({"end": "99999999999999"}, "&#34;end&#34;"),
        ({"step": "-1"}, "&#34;step&#34;"),
        ({"query": "x" * 20_000}, "longer than 10,000 characters"),
    ],
)
def test_what_cannot_be_used_is_named_and_kept(on: Grounds, given: dict[str, str], says: str) -> None:
    asked = {"query": "up", **given}
    answer = ask(on, Answering(), Role.VIEWER, **asked)
    assert answer.status == 400
    assert says in answer.body.decode()


@pytest.mark.parametrize(
    "error", [ELSEWHERE, WireError("query processing would load too many samples", kind="execution")]
)
def test_an_error_of_the_engine_is_said(on: Grounds, error: WireError) -> None:
    answer = ask(on, Answering(query=error), query="up")
    assert answer.status == 400
    assert str(error) in answer.body.decode()


def test_a_question_and_answers_are_text(on: Grounds) -> None:
    labels = {"a": HOSTILE, "b": "x" * 1_000_000}
    roles = Answering(query=vector((labels, HOSTILE)), query_range=matrix(labels))
    answer = ask(on, roles, query=f'{{a="{"</textarea>"}"}} # </textarea><script>alert(1)</script>')
    text = answer.body.decode()
    assert "<script>alert" not in text
    assert text.count("</textarea>") == 1
    assert "\x1b" not in text
    assert len(answer.body) < 60_000


def test_nothing_asked_is_a_page_with_examples_that_can_be_read(on: Grounds) -> None:
    roles = Answering()
    text = ask(on, roles).body.decode()
    examples = re.findall(r'<a class="mono" href="/explore\?query=[^"]*">([^<]*)</a>', text)
    assert len(examples) >= 3
    for one in examples:
        parse(one)
    assert not [one for one in roles.asked if one[0].startswith("query")]


def test_functions_are_there_to_be_completed_and_the_script_only_here(on: Grounds) -> None:
    text = ask(on, Answering()).body.decode()
    found = re.search(r'id="functions">(.*?)</script>', text)
    assert found
    assert json.loads(found[1]) == FUNCTIONS
    assert {"rate", "sum", "histogram_quantile", "topk"} <= set(FUNCTIONS)
    assert "/explore.js" in text
    elsewhere = call(Answering(), "/alerts", on=on, as_=Role.VIEWER, headers={"Accept": "text/html"})
    assert b"explore.js" not in elsewhere.body


@pytest.mark.parametrize("role", list(Role))
def test_every_role_may_ask_and_nobody_else(on: Grounds, role: Role) -> None:
    assert ask(on, Answering(), as_=role).status == 200
    assert ask(on, Answering(), as_=None).status == 303
