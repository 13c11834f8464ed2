"""The rules' page: what cannot be evaluated is on top; each rule leads to its clause and its signal."""

from __future__ import annotations

from tests.console.asgi import Answer, Answering, call
from tests.console.platform import CLAUSE, rule, watching
from watchkeeper.access.models import Role

EVIL = "<script>alert(1)</script>\x1b[2J"
ROLES = watching(
    rules=[
        rule("Quiet"),
        rule("Burning", "firing", evaluationTime=0.006),
        rule("Nearly", "pending", keepFiringFor=300.0),
        rule("Broken", health="err", lastError=f"many-to-many {EVIL}", query=EVIL, evaluationTime=0.0),
        rule("Fresh", health="unknown", lastEvaluation="0001-01-01T00:00:00Z", evaluationTime=0.0),
    ]
)


def page(path: str, roles: Answering = ROLES) -> Answer:
    return call(roles, path, as_=Role.VIEWER, headers={"Accept": "text/html"})


def test_what_cannot_be_evaluated_is_on_top_then_what_fires() -> None:
    text = page("/rules").body.decode()
    places = [text.index(f'id="{name}"') for name in ("Broken", "Burning", "Nearly", "Quiet")]
    assert places == sorted(places)
    assert "Cannot be evaluated 1" in text


def test_each_rule_says_what_it_costs_and_enforces() -> None:
    text = page("/rules?state=firing").body.decode()
    assert text.count('<article class="rule"') == 1
    assert f'href="/clauses/{CLAUSE}"' in text
    assert 'href="/signals/api/error-rate"' in text
    assert "60 % of all" in text
    assert "for 2 min" in text
    assert "held for 5 min" in page("/rules?state=pending").body.decode()


def test_filters() -> None:
    for query, count in (
        ("text=burn", 1),
        ("state=failing", 1),
        ("text=up+%3D%3D+0", 4),
        ("text=nowhere", 0),
    ):
        assert page(f"/rules?{query}").body.count(b'<article class="rule"') == count
    assert b"No rule fits." in page("/rules?text=nowhere").body
    assert page("/rules?state=x").status == 400


def test_what_came_from_outside_does_nothing() -> None:
    text = page("/rules").body.decode()
    assert "&lt;script&gt;" in text
    assert "<script>alert" not in text
    assert "\x1b" not in text


def test_where_nobody_watches_it_says_so() -> None:
    answer = page("/rules", Answering(overview=b'{"alerts": [], "layers": []}'))
    assert answer.status == 503
    assert b"The rules are not known now" in answer.body


def test_the_api_says_the_same() -> None:
    answer = call(ROLES, "/api/rules?state=failing", as_=Role.VIEWER, token=True)
    assert [one["name"] for one in answer.json["rules"]] == ["Broken"]
    assert answer.json["counts"] == {"firing": 1, "pending": 1, "inactive": 3, "failing": 1}
    assert answer.json["rules"][0]["last_evaluation"] == "2026-03-02T11:59:50Z"
    assert call(Answering(), "/api/rules").status == 503
