"""SIGHUP: a good runbook is taken, a broken one changes nothing and is spoken of until it is mended."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.app.serving import RUNBOOK, Deployment, broken, deployment, until


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One deployment for the tests that leave it as they found it."""
    with deployment(tmp_path_factory.mktemp("served")) as parts:
        yield parts


def test_a_broken_runbook_keeps_the_old_one_running_and_says_so_until_a_good_one_comes(
    served: Deployment,
) -> None:
    serving, _, _ = served

    def problem() -> str | None:
        overview = serving.json("/api/overview")
        found: str | None = overview["runbook"]["problem"] if overview else "no answer"
        return found

    before, roles = serving.json("/api/overview")["runbook"]["digest"], serving.roles()
    assert problem() is None
    serving.runbook.write_text(broken(RUNBOOK))
    serving.signal(signal.SIGHUP)
    until(lambda: "monitorring" in (problem() or ""), 5, "saying so")
    assert serving.json("/api/overview")["runbook"]["digest"] == before
    assert "monitorring" in serving.log.read_text()
    assert "watchkeeper_runbook_refused{" in serving.ask("/metrics")[1].decode()
    assert any(entry["kind"] == "runbook.refused" for entry in serving.journal())
    assert serving.roles() == roles, "no role ended"

    serving.kill("watch")  # while the file is broken
    serving.kill("work")
    until(serving.ready, 20, "being ready with the runbook that was in force")
    assert serving.json("/api/overview")["runbook"]["digest"] == before
    assert "monitorring" in (problem() or "")

    serving.runbook.write_text(RUNBOOK.replace("page: {above: 5%", "page: {above: 6%"))
    serving.signal(signal.SIGHUP)
    until(lambda: problem() is None, 5, "taking the good one")
    assert serving.json("/api/overview")["runbook"]["digest"] != before
    (rule,) = serving.json("/api/v1/rules")["data"]["groups"][0]["rules"][:1]
    assert "0.06" in rule["query"] or "6" in rule["query"]


def test_a_reload_that_changes_intervals_and_targets_takes_effect(served: Deployment) -> None:
    serving, _, _ = served
    overlay = serving.overlay.read_text()
    serving.overlay.write_text(
        overlay.replace("evaluation_interval: 1s", "evaluation_interval: 2s").replace(
            "job_name: shop", "job_name: store"
        )
    )
    serving.signal(signal.SIGHUP)
    until(lambda: serving.query('up{job="store"} == 1'), 20, "scraping the new job")
    until(lambda: not serving.query('up{job="shop"}'), 5, "the end of the old job's series")
    assert serving.json("/api/v1/rules")["data"]["groups"][0]["interval"] == 2
    serving.overlay.write_text(overlay)
    serving.signal(signal.SIGHUP)
    until(lambda: serving.query('up{job="shop"} == 1'), 20, "scraping the old job again")
