"""Pages reach people on call: from the alerts in the store to their mailbox, and never twice for one step."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from tests.app.escalations import KEY, NOW, TEXT, Watch, runbook_of
from tests.fakes.smtp import FakeSmtp, serving
from tests.monitoring.stage import Stage, load_text
from tests.monitoring.test_evaluation import RUNBOOK, A, Scripted
from watchkeeper.app.escalating import KEEP_ENDED, Escalating, escalating_rota
from watchkeeper.monitoring import acknowledgements
from watchkeeper.notify.models import Notification
from watchkeeper.notify.pagerduty_webhook import Happened, Inbound
from watchkeeper.oncall.escalation import NO_ROTA
from watchkeeper.oncall.overrides import Wanted, create
from watchkeeper.store.errors import StoreBusyError
from watchkeeper.store.models import alerts, escalations, outbox

FIVE = timedelta(minutes=5)
FIRING, ACKED, RESOLVED = "[FIRING]", "[ACKNOWLEDGED]", "[RESOLVED]"
EVERYBODY = ["ada@example.org", "ben@example.org", "cleo@example.org"]


@pytest.fixture
def watch(place: Path | str) -> Iterator[Watch]:
    made = Watch(place)
    yield made
    made.store.close()


def test_the_story_of_a_page_from_the_first_mail_to_the_last(place: Path | str) -> None:
    with serving(FakeSmtp()) as smtp:
        watch = Watch(place, smtp=smtp)
        watch.fire()
        watch.look()
        assert watch.mails() == [("ada@example.org", FIRING), ("ops@example.org", FIRING)]
        watch.look(FIVE - timedelta(seconds=1))
        assert watch.mails() == []
        watch.look(timedelta(seconds=1))
        assert watch.mails() == [("ben@example.org", FIRING)]
        watch.look(FIVE)
        assert watch.mails() == [(who, FIRING) for who in EVERYBODY]
        watch.acknowledge("ben")
        watch.look(timedelta(minutes=1))
        assert watch.mails() == [*((who, ACKED) for who in EVERYBODY), ("ops@example.org", ACKED)]
        watch.look(timedelta(minutes=58))
        assert watch.mails() == []
        watch.look(timedelta(minutes=1))  # an hour after Ben had it, and it still fires
        assert watch.mails() == [("ada@example.org", FIRING), ("ops@example.org", FIRING)]
        watch.look(FIVE)
        assert watch.mails() == [("ben@example.org", FIRING)]
        watch.resolve()
        watch.look(timedelta(seconds=1))
        assert watch.mails() == [*((who, RESOLVED) for who in EVERYBODY), ("ops@example.org", RESOLVED)]
        assert watch.look(timedelta(days=1)) == 0
        assert watch.mails() == []
        kinds = [entry.kind for entry in watch.entries("*") if not entry.kind.startswith("notification.")]
        assert kinds == [
            "escalation.paged",
            "escalation.deadline",
            "escalation.paged",
            "escalation.paged",
            "alert.acknowledged",
            "escalation.acknowledged",
            "alert.acknowledgement_forgotten",
            "escalation.paged",
            "escalation.paged",
            "escalation.ended",
        ]
        assert watch.evidence() == [("incidents.acknowledge", "missed")]
        watch.store.close()


def test_the_mails_of_one_person_are_one_thread_and_not_that_of_another(place: Path | str) -> None:
    with serving(FakeSmtp()) as smtp:
        watch = Watch(place, smtp=smtp)
        watch.fire()
        for _ in range(4):
            watch.look()
            watch.clock.advance(300)
        watch.deliverer.run_once()
        threads: dict[str, set[str]] = {}
        for mail in smtp.mails:
            threads.setdefault(mail.recipients[0], set()).add(str(mail.message["References"]))
        assert set(threads) == {*EVERYBODY, "ops@example.org"}
        assert all(len(found) == 1 for found in threads.values())
        assert len(set.union(*threads.values())) == 4
        watch.store.close()


def test_an_acknowledgement_in_time_is_proof_and_nobody_else_is_paged(watch: Watch) -> None:
    watch.fire()
    watch.look()
    watch.acknowledge("ada")
    watch.look(timedelta(minutes=4))
    watch.look(timedelta(minutes=50))
    assert watch.evidence() == [("incidents.acknowledge", "met")]
    (entry,) = watch.entries("escalation.acknowledged")
    assert entry.subject == "alert:one"
    assert entry.facts["by"] == "ada"
    assert [who for who, _ in watch.told()] == [None, "ada@example.org", None, "ada@example.org"]


def test_the_deadline_is_missed_at_the_moment_when_it_passes(watch: Watch) -> None:
    watch.fire()
    watch.look()
    watch.look(FIVE - timedelta(seconds=1))
    assert watch.evidence() == []
    watch.look(timedelta(seconds=1))
    assert watch.evidence() == [("incidents.acknowledge", "missed")]
    (entry,) = watch.entries("escalation.deadline")
    assert entry.at == NOW + FIVE


def test_an_acknowledgement_at_the_pager_stops_it_too(watch: Watch) -> None:
    watch.fire()
    watch.look()
    event = Inbound("ev-1", Happened.ACKNOWLEDGED, KEY, watch.clock.now(), "Ada", "PD1")
    with watch.store.write() as conn:
        acknowledgements.record(conn, watch.clock.now(), "pagerduty", event)
    watch.look(timedelta(minutes=1))
    assert watch.look(timedelta(minutes=30)) == 0
    back = Inbound("ev-2", Happened.UNACKNOWLEDGED, KEY, watch.clock.now(), "Ada", "PD1")
    with watch.store.write() as conn:
        acknowledgements.record(conn, watch.clock.now(), "pagerduty", back)
    watch.look()
    assert [kind for who, kind in watch.told() if who == "ada@example.org"] == [
        "trigger",
        "acknowledge",
        "trigger",
    ]
    assert len(watch.entries("escalation.reopened")) == 1


def test_one_alert_of_a_group_that_nobody_has_keeps_it_going(watch: Watch) -> None:
    watch.fire()
    watch.fire("two", told=False)
    watch.look()
    watch.change("one", acked_at=NOW, acked_by="ada")
    watch.look(FIVE)
    assert watch.evidence() == [("incidents.acknowledge", "missed")]
    assert watch.entries("escalation.acknowledged") == []
    watch.change("two", acked_at=watch.clock.now(), acked_by="ben")
    watch.look()
    (entry,) = watch.entries("escalation.acknowledged")
    assert entry.facts["by"] == "ben"


@pytest.mark.parametrize(
    "given",
    [
        {"severity": "warn"},
        {"state": "pending"},
        {"key": None},
        {"inhibited_by": "silence:1"},
        {"inhibited_by": "other"},
    ],
)
def test_what_is_no_page_that_was_told_of_reaches_nobody(watch: Watch, given: dict[str, str]) -> None:
    watch.fire(**given)  # type: ignore[arg-type]
    assert watch.look() == 0
    assert watch.entries("escalation.*") == []


def test_a_silence_holds_the_escalation_and_its_end_lets_it_go_on(watch: Watch) -> None:
    watch.fire()
    watch.look()
    watch.change(inhibited_by="silence:1")
    watch.look(3 * FIVE)
    assert len(watch.entries("escalation.paged")) == 1
    watch.change(inhibited_by=None)
    watch.look()
    assert watch.entries("escalation.paged")[-1].facts["contacts"] == ["ben"]


def test_an_alert_that_is_silenced_asks_nobody_beside_one_that_somebody_has(watch: Watch) -> None:
    watch.fire()
    watch.look()
    watch.acknowledge("ben")
    watch.look(timedelta(minutes=1))
    watch.fire("two")
    watch.look(timedelta(minutes=1))
    assert len(watch.entries("escalation.reopened")) == 1
    watch.change("two", inhibited_by="silence:1")
    watch.look(timedelta(seconds=1))
    told = len(watch.entries("escalation.paged"))
    watch.look(3 * FIVE)
    assert len(watch.entries("escalation.paged")) == told
    watch.change("two", inhibited_by=None)
    watch.look(timedelta(seconds=1))
    assert len(watch.entries("escalation.paged")) == told + 1


def test_a_page_whose_rota_vanished_is_noted(watch: Watch) -> None:
    watch.fire()
    watch.look()
    before, _, after = TEXT.partition("oncall:")
    watch.use(runbook_of(before + after[after.index("incidents:") :]))
    watch.look(timedelta(seconds=1))
    assert watch.escalating.notes() == [f"PAGE 7.3 % of requests fail: {NO_ROTA}"]
    (entry,) = watch.entries("escalation.nobody_reached")
    assert entry.facts["summary"].endswith(NO_ROTA)


def test_whoever_stands_in_when_the_step_is_due_is_paged(watch: Watch) -> None:
    stand_in = Wanted("platform", "cleo", NOW, NOW + timedelta(hours=1), "Ada is ill")
    with watch.store.write() as conn:
        create(conn, NOW, watch.runbook, stand_in, "person:ada")
    watch.fire()
    watch.look()
    assert watch.told()[-1] == ("cleo@example.org", "trigger")
    watch.look(FIVE)
    assert watch.told()[-1] == ("ada@example.org", "trigger")


def test_where_nobody_is_on_call_everybody_is_paged_and_the_journal_says_so(place: Path | str) -> None:
    watch = Watch(place, TEXT.replace("start:", 'hours: ["sat,sun"], start:'))
    watch.fire()
    watch.look()
    (entry,) = watch.entries("escalation.paged")
    assert entry.facts["nobody_on_call"] == ["platform"]
    assert "NOBODY is on call in platform" in entry.facts["summary"]
    assert sorted(who for who, _ in watch.told() if who) == EVERYBODY
    watch.store.close()


def test_where_nobody_can_be_reached_it_is_loud_and_a_mended_runbook_helps(
    place: Path | str, caplog: pytest.LogCaptureFixture
) -> None:
    dumb = TEXT
    for who in ("ada", "ben", "cleo"):
        dumb = dumb.replace(f"email: {who}@example.org", 'phone: "+49 30 1"')
    watch = Watch(place, dumb)
    watch.fire()
    watch.look()
    said = "nobody can be reached: no receiver of the runbook leads to ada, ben, cleo"
    assert f"PAGE 7.3 % of requests fail: {said}" in caplog.text
    assert watch.escalating.notes() == [f"PAGE 7.3 % of requests fail: {said}"]
    watch.look(FIVE)
    (entry,) = watch.entries("escalation.nobody_reached")
    assert entry.facts["contacts"] == ["ada", "ben", "cleo"]
    (judged,) = watch.entries("escalation.deadline")
    assert said in judged.facts["summary"]
    assert judged.evidence == (("incidents.acknowledge", "missed"),)
    watch.use(runbook_of())
    watch.look(timedelta(minutes=1))
    assert watch.told()[-1] == ("ada@example.org", "trigger")
    assert watch.escalating.notes() == []
    watch.store.close()


def test_a_page_that_nobody_answers_in_any_round_is_noted(watch: Watch) -> None:
    watch.fire()
    for _ in range(20):
        watch.look()
        watch.clock.advance(300)
    assert len(watch.entries("escalation.paged")) == 9
    assert len(watch.entries("escalation.exhausted")) == 1
    (note,) = watch.escalating.notes()
    assert "nobody acknowledges it" in note


def test_a_receiver_that_its_route_told_is_not_told_the_same_again_at_once(place: Path | str) -> None:
    own = TEXT.replace("email: ada@example.org", "receivers: [mail]")
    watch = Watch(place, own)
    watch.fire()
    watch.look()
    assert watch.told() == [(None, "trigger")]
    watch.acknowledge("ada")
    watch.look()
    assert watch.told() == [(None, "trigger"), (None, "acknowledge")]
    watch.look(timedelta(hours=1))
    assert watch.told()[2:] == [(None, "trigger")], "that the acknowledgement was forgotten, once"
    watch.look(FIVE)
    watch.look(FIVE)
    everybody = [
        ("ben@example.org", "trigger"),
        (None, "trigger"),
        *((f"{who}@example.org", "trigger") for who in ("ben", "cleo")),
    ]
    assert watch.told()[3:] == everybody
    watch.resolve()
    watch.look()
    assert [kind for who, kind in watch.told() if who is None][-1] == "resolve"
    assert watch.told().count((None, "resolve")) == 1
    watch.store.close()


def test_a_receiver_that_does_not_want_to_hear_of_the_end_does_not(place: Path | str) -> None:
    own = TEXT.replace("email: ada@example.org", "receivers: [mail]")
    watch = Watch(place, own.replace("- id: mail", "- id: mail\n      send_resolved: false"))
    watch.fire()
    watch.look()
    watch.look(FIVE)
    watch.resolve(told=False)
    watch.look()
    assert [who for who, kind in watch.told() if kind == "resolve"] == ["ben@example.org"]
    watch.store.close()


def test_a_page_without_words_in_the_outbox_is_told_in_the_alerts_own(watch: Watch) -> None:
    watch.fire(told=False)
    watch.fire("two", told=False)
    watch.look()
    with watch.store.read() as conn:
        said = Notification.from_json(conn.execute(select(outbox.c.payload)).scalar_one())
    assert (said.summary, said.severity, said.total) == ("7.3 % of requests fail", "page", 2)
    assert said.to == "ada@example.org"


def test_words_of_another_version_keep_nobody_from_being_paged(watch: Watch) -> None:
    watch.fire()
    with watch.store.write() as conn:
        conn.execute(update(outbox).values(payload={"kind": "shout"}))
    watch.look()
    assert len(watch.entries("escalation.paged")) == 1


def test_a_restart_loses_nothing_and_tells_nothing_twice(watch: Watch) -> None:
    watch.fire()
    watch.look()
    watch.use(watch.runbook)
    assert watch.look() == 0
    watch.use(watch.runbook)
    watch.look(FIVE)
    assert [who for who, _ in watch.told()] == [None, "ada@example.org", "ben@example.org"]


def test_the_pages_of_one_look_do_not_wait_for_one_that_meets_a_defect(
    watch: Watch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from watchkeeper.oncall import paging

    watch.fire()
    watch.fire("two", "watchkeeper/def/1")
    real = paging.about

    def broken(conn: object, key: str) -> Notification:
        if key == KEY:
            raise ZeroDivisionError
        return real(conn, key)  # type: ignore[arg-type]

    monkeypatch.setattr(paging, "about", broken)
    assert watch.look() == 1
    assert "because of a defect" in caplog.text
    monkeypatch.undo()
    assert watch.look() == 1


def test_two_processes_page_once(watch: Watch) -> None:
    watch.fire()
    others = [Escalating(watch.store, watch.clock, watch.runbook) for _ in range(4)]
    threads = [threading.Thread(target=other.look) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(watch.entries("escalation.paged")) == 1


def test_the_loop_goes_on_after_a_store_that_cannot_be_used(
    watch: Watch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("watchkeeper.app.escalating.LOOK_SECONDS", 0.01)
    monkeypatch.setattr("watchkeeper.app.escalating.TROUBLE_SECONDS", 0.01)
    stop, real = threading.Event(), watch.escalating.look
    problems: list[Exception] = [StoreBusyError("the store is busy"), ZeroDivisionError()]

    def look() -> int:
        if problems:
            raise problems.pop(0)
        stop.set()
        return real()

    monkeypatch.setattr(watch.escalating, "look", look)
    watch.fire()
    watch.escalating.run(stop)
    assert "the store is busy" in caplog.text
    assert "because of a defect" in caplog.text
    assert len(watch.entries("escalation.paged")) == 1


def test_what_ended_long_ago_is_forgotten_and_what_stands_is_not(watch: Watch) -> None:
    watch.fire()
    watch.fire("two", "watchkeeper/def/1")
    watch.look()
    watch.resolve()
    watch.look()
    watch.look(KEEP_ENDED - timedelta(seconds=1))
    watch.look(timedelta(seconds=2))
    with watch.store.read() as conn:
        assert conn.execute(select(escalations.c.dedup_key)).scalars().all() == ["watchkeeper/def/1"]
        assert len(conn.execute(select(alerts)).all()) == 2


def test_without_anybody_on_call_and_without_a_deadline_nothing_is_kept(place: Path | str) -> None:
    watch = Watch(place, TEXT[: TEXT.index("oncall:")])
    watch.fire()
    assert watch.look() == 0
    watch.store.close()


def test_which_rota_pages() -> None:
    second = "    - {id: night, title: Night, layers: [{id: all, participants: [cleo]}]}\nincidents:"
    text = TEXT.replace("incidents:", second)

    def asked(text: str, begun: str | None = None) -> str | None:
        found = escalating_rota(runbook_of(text), begun)
        return None if found is None else found.id

    assert asked(text) == "platform"
    assert asked(text.replace("oncall:\n", "oncall:\n  default: night\n")) == "night"
    assert asked(text + "  rota: night\n") == "night"
    assert asked(text, "night") == "night"
    assert asked(text, "gone") == "platform"


def test_a_waiver_shows_as_waived(place: Path | str) -> None:
    waiver = "waivers:\n  - {clause: incidents.acknowledge, reason: r, owner: o, until: 2026-12-31}\n"
    watch = Watch(place, TEXT + waiver)
    watch.fire()
    watch.look()
    watch.acknowledge("ada")
    watch.look()
    assert watch.evidence() == [("incidents.acknowledge", "waived")]
    watch.store.close()


def test_what_monitoring_really_writes_is_escalated_once_for_each_outage(
    tmp_path: Path, place: Path | str
) -> None:
    source = Scripted()
    text = TEXT.replace("PORT", "1") + RUNBOOK[RUNBOOK.index("monitoring:") :]
    stage = Stage(tmp_path, load_text(text), source=source, place=place)
    escalating = Escalating(stage.store, stage.clock, stage.loaded.runbook)
    for value in (20, 1):
        source.values["disk"] = {A: value}
        for _ in range(24):  # six minutes
            stage.tick()
            escalating.look()
    kinds = [entry.kind for entry in stage.entries("escalation.*")]
    assert kinds == ["escalation.paged", "escalation.deadline", "escalation.paged", "escalation.ended"]
    (ended,) = stage.entries("escalation.ended")
    (resolved,) = (one for one in stage.entries("alert.resolved") if one.facts["alertname"] == "LDiskPage")
    assert (ended.subject, ended.at) == (resolved.subject, resolved.at)
    stage.close()
