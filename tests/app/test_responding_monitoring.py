"""The whole way, with the real monitoring service: signal, alert, incident, baseline."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.monitoring.stage import Stage, load_text
from tests.monitoring.test_evaluation import RUNBOOK, A, B, Scripted
from watchkeeper.app.escalating import Escalating
from watchkeeper.app.responding import Responding, acknowledge_alerts
from watchkeeper.incidents import reading, service
from watchkeeper.incidents.models import Author, RefusedError, State, Story
from watchkeeper.monitoring import silencing
from watchkeeper.monitoring.silences import Wanted, matcher
from watchkeeper.runbook.models.monitoring import Silencing

ADA = Author.person("ada")
TEXT = (
    RUNBOOK
    + """
incidents:
  severities: [{id: SEV-1, definition: All is lost}]
  deadlines: {acknowledge: 5m, update: {every: 15m, severities: [SEV-1], channel: "#status"}, document: 24h}
"""
)


class Whole:
    def __init__(self, directory: Path) -> None:
        self.source = Scripted()
        self.stage = Stage(directory, load_text(TEXT), source=self.source)
        self.runbook = self.stage.loaded.runbook
        self.responding = Responding(self.stage.store, self.stage.clock, self.runbook)
        self.escalating = Escalating(self.stage.store, self.stage.clock, self.runbook)
        self.tick()

    def tick(self, **values: float) -> None:
        """Fifteen seconds later the services' disks are at these values."""
        self.source.values["disk"] = {{"a": A, "b": B}[name]: value for name, value in values.items()}
        self.stage.tick()
        self.escalating.look()
        self.responding.look()

    def story(self, number: int = 1) -> Story:
        with self.stage.store.read() as conn:
            return reading.story(conn, self.stage.clock.now(), self.runbook, number)


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[Whole]:
    made = Whole(tmp_path)
    yield made
    made.stage.close()


def test_from_the_signal_to_the_baseline(whole: Whole) -> None:
    whole.tick(a=20, b=1)
    story = whole.story()
    assert (story.incident.service, story.incident.title) == ("a", story.alerts[0].summary)
    assert [one.alertname for one in story.alerts] == ["LDiskPage"]
    assert story.alerts[0].clause == "monitoring.l.disk.page"
    with whole.stage.store.write() as conn:
        service.acknowledge(conn, whole.stage.clock.now(), whole.runbook, 1, ADA, acknowledge_alerts)
    whole.tick(a=6, b=1)  # the page is over, the warning is not
    assert {one.alertname for one in whole.story().alerts} == {"LDiskPage", "LDiskWarn"}
    assert [gap.what for gap in whole.story().resolve_gaps] == ["LDiskWarn"]
    whole.tick(a=1, b=1)
    assert whole.story().resolve_gaps == ()
    with whole.stage.store.write() as conn:
        done = service.resolve(conn, whole.stage.clock.now(), whole.runbook, 1, ADA)
    assert done.state is State.RESOLVED
    (judged,) = [one for one in whole.story().clocks if one.clause == "incidents.acknowledge"]
    assert (judged.state, judged.settled_by, judged.running) == ("met", None, False)  # of a page that is over
    whole.tick(a=20, b=1)
    assert whole.story().incident.state is State.OPEN
    whole.tick(a=20, b=20)
    assert whole.story(2).incident.service == "b"


def test_a_signal_that_is_not_measured_any_more_is_not_well(whole: Whole) -> None:
    whole.tick(a=20)
    for _ in range(30):
        whole.tick()
    assert whole.story().alerts[0].resolved_at is not None
    with whole.stage.store.write() as conn, pytest.raises(RefusedError, match="nobody knows"):
        service.resolve(conn, whole.stage.clock.now(), whole.runbook, 1, ADA)


def test_a_silenced_page_opens_its_incident_when_the_silence_is_over(whole: Whole) -> None:
    now = whole.stage.clock.now()
    with whole.stage.store.write() as conn:
        wanted = Wanted((matcher("service=a"),), now, now + timedelta(minutes=1), "Ada", "a restart")
        silencing.create(conn, now, wanted, "ada", Silencing())
    whole.tick(a=20)
    whole.tick(a=20)
    with whole.stage.store.read() as conn:
        assert reading.listed(conn) == []
    for _ in range(4):
        whole.tick(a=20)
    assert whole.story().incident.service == "a"
