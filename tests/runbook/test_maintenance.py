"""A maintenance window in the runbook: what is valid, what lint says of it, and how it is rendered."""

from __future__ import annotations

import pytest

from tests.runbook.documents import MINIMAL, only, read
from watchkeeper.app.policy import check_expr
from watchkeeper.runbook.errors import RunbookError
from watchkeeper.runbook.lint import lint
from watchkeeper.runbook.loading import load_bytes
from watchkeeper.runbook.matchers import matcher_parts, selector
from watchkeeper.runbook.rendering import render

GOOD = (
    "id: vacuum, title: Vacuum, match: [service=db, severity=~warn|page], "
    "weekday: sunday, at: '02:00', for: 2h"
)


def text(window: str) -> str:
    return MINIMAL.replace("monitoring:\n", f"monitoring:\n  maintenance:\n    - {{{window}}}\n", 1)


def test_a_window_is_read_and_rendered() -> None:
    document = render(read(text(f"{GOOD}, timezone: Europe/Berlin, reason: rewritten tables")).runbook)
    assert (
        "- **Vacuum**, every Sunday at 02:00 (Europe/Berlin) for 2 hours, "
        '`{service="db",severity=~"warn|page"}`: rewritten tables\n'
    ) in document
    assert "Maintenance windows" not in render(read(MINIMAL).runbook)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (", for: 2h", ", for: 7d", "always open"),
        ("weekday: sunday", "every: daily", None),
        ("weekday: sunday, at: '02:00', for: 2h", "every: daily, at: '02:00', for: 24h", "always open"),
        (
            "weekday: sunday, at: '02:00', for: 2h",
            "every: monthly, day: 1, at: '02:00', for: 28d",
            "always open",
        ),
        (", for: 2h", ", for: 0s", "never open"),
        ("weekday: sunday, ", "", "a weekly window needs its `weekday`"),
        ("weekday: sunday", "every: monthly", "a monthly window needs its `day`"),
        ("weekday: sunday", "weekday: sunday, day: 3", "a weekly window has no `day`"),
        ("service=db", "db", "is not a matcher"),
        ("[service=db, severity=~warn|page]", "[]", None),
        ("weekday: sunday", "weekday: sun", None),
        (", for: 2h", "", None),
        ("at: '02:00'", "at: '25:00'", None),
    ],
)
def test_what_is_no_window_is_refused(old: str, new: str, says: str | None) -> None:
    assert old in GOOD
    changed = text(GOOD.replace(old, new))
    if new == "every: daily":
        assert read(changed).runbook.monitoring.maintenance[0].when == "every day at 02:00 (UTC) for 2 hours"
        return
    problem = only(changed)
    assert problem.place.line > 4
    assert says is None or says in problem.message


@pytest.mark.parametrize(
    ("match", "says"),
    [
        ("['service=~.*']", "these matchers cannot be used"),
        ("['service=~(']", "these matchers cannot be used"),
    ],
)
def test_matchers_that_match_everything_or_nothing_at_all_are_refused(match: str, says: str) -> None:
    changed = text(GOOD.replace("[service=db, severity=~warn|page]", match))
    with pytest.raises(RunbookError, match=says):
        load_bytes("runbook.yaml", changed.encode(), check_expr=check_expr)
    good = load_bytes("runbook.yaml", text(GOOD).encode(), check_expr=check_expr)
    assert good.runbook.monitoring.maintenance[0].hides_pages


@pytest.mark.parametrize(
    ("window", "found"),
    [
        (GOOD, False),
        (GOOD.replace("2h", "24h"), False),
        (GOOD.replace("2h", "25h"), True),
        (GOOD.replace("2h", "25h") + ", reason: moving house", False),
        (GOOD.replace("2h", "25h").replace("severity=~warn|page", "severity=warn"), False),
        (GOOD.replace("2h", "25h").replace("severity=~warn|page", "severity!=page"), False),
        (GOOD.replace("2h", "25h").replace("severity=~warn|page", "severity!=warn"), True),
    ],
)
def test_pages_hidden_for_more_than_a_day_need_a_reason(window: str, found: bool) -> None:
    rules = [finding.rule for finding in lint(read(text(window)))]
    assert ("long-maintenance" in rules) is found


def test_matchers_are_read_as_people_write_them() -> None:
    assert matcher_parts(' region =~ "eu-.*" ') == ("region", "=~", "eu-.*")
    assert selector(["a=b", 'c!=d"e', "f!~g"]) == '{a="b",c!="d\\"e",f!~"g"}'
    with pytest.raises(ValueError, match="is not a matcher"):
        matcher_parts("1a=b")


def test_code_in_the_document_cannot_end_early() -> None:
    document = render(read(text(GOOD.replace("service=db", "'service=``x`<b>'"))).runbook)
    assert '``` {service="``x`&lt;b>",severity=~"warn|page"} ```' in document
