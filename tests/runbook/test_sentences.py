from __future__ import annotations

import pytest

from tests.runbook.documents import default, read
from watchkeeper.runbook.loading import default_text
from watchkeeper.runbook.models.monitoring import Layer
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.runbook.sentences import PLACEHOLDER, UnknownPathError, fill, walk


@pytest.fixture(scope="module")
def runbook() -> Runbook:
    return read(default_text()).runbook


def layer(runbook: Runbook, name: str) -> Layer:
    found = runbook.monitoring.layer(name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("{error-rate.warn}", "3%"),
        ("{error-rate.page.over}", "2 minutes"),
        ("{latency-p95.warn!s}", "1.5s"),
        ("{latency-p95.warn}", "1.5 seconds"),
        ("{latency-p95.warn.for}", "10 minutes"),
        ("{title}", "API (backend + frontend)"),
        ("{platform}", "Treazr Island"),
        ("{incidents.deadlines.acknowledge}", "5 minutes"),
        ("{backups.postgres.dump.cadence!c}", "Nightly"),
        ("{monitoring.hygiene.required_labels!k}", "`service`, `env`, `region`"),
        ("{monitoring.hygiene.required_labels}", "service, env, region"),
        ("no placeholder, {{ $value }} and {} stay", "no placeholder, {{ $value }} and {} stay"),
    ],
)
def test_a_placeholder_is_looked_up_from_the_inside_out(runbook: Runbook, template: str, filled: str) -> None:
    assert fill(template, (layer(runbook, "api"), runbook.monitoring, runbook)) == filled


@pytest.mark.parametrize(
    "path", ["nothing", "error-rate.nothing", "signals", "playbook.title", "error-rate.warn.for"]
)
def test_a_path_that_leads_to_nothing_printable_is_an_error_with_its_place(
    runbook: Runbook, path: str
) -> None:
    with pytest.raises(UnknownPathError) as caught:
        fill(f"at {{{path}}}", (layer(runbook, "api"), runbook))
    assert (caught.value.path, caught.value.offset) == (path, 3)


def test_a_changed_figure_changes_its_sentence() -> None:
    changed = read(default("warn: {above: 3%, over: 5m}", "warn: {above: 4%, over: 90s}")).runbook
    api = layer(changed, "api")
    assert api.alerts is not None
    assert fill(api.alerts, (api,)).startswith("PagerDuty warn at 4% 5xx over 90 seconds; page at 5%")


def test_every_sentence_of_the_default_runbook_can_be_filled(runbook: Runbook) -> None:
    sentences = list(walk(runbook))
    assert len(sentences) > 60
    for _, template, scopes in sentences:
        assert not PLACEHOLDER.search(fill(template, scopes))
