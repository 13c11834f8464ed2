"""``watchkeeper oncall``, as people and scripts call it."""

from __future__ import annotations

import json
import os
import pwd
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from icalendar import Calendar
from sqlalchemy import select
from typer.testing import CliRunner, Result

from tests.oncall.rotas import RUNBOOK
from watchkeeper.app import inforce
from watchkeeper.app.policy import load_policy
from watchkeeper.app.settings import read_settings
from watchkeeper.cli.oncall import app
from watchkeeper.store import journal
from watchkeeper.store.database import FILE_NAME, open_existing, open_store
from watchkeeper.store.models import outbox

SOON = (datetime.now(UTC) + timedelta(days=2)).strftime("%Y-%m-%d %H:%M")
LATER = (datetime.now(UTC) + timedelta(days=4)).strftime("%Y-%m-%dT%H:%M+00:00")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runbook.yaml").write_text(RUNBOOK)
    open_store(tmp_path / ".watchkeeper").close()
    return tmp_path


def _run(*arguments: str) -> Result:
    result = CliRunner().invoke(
        app, list(arguments), color=True
    )  # else what the terminal would obey is hidden
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_now_says_who_until_when_how_they_are_reached_and_who_is_next(place: Path) -> None:
    lines = _run("now").stdout.splitlines()
    assert lines[0] == "platform  Platform on call"
    assert lines[1].startswith(("  ● Ada until Mon ", "  ● Ben until Mon "))
    assert "09:00 CE" in lines[1]
    assert lines[1].endswith("Z), layer weekly")
    assert lines[2].strip() in ("phone +49 30 1 · email ada@example.org", "slack @ben")
    assert lines[3].startswith("    next: ")
    assert any(line.startswith("office") for line in lines)


def test_now_for_programs(place: Path) -> None:
    platform, office = json.loads(_run("now", "--json").stdout)
    assert platform["contact"]["id"] in ("ada", "ben")
    assert platform["end"] == platform["next"]["start"]
    assert platform["layer"] == "weekly"
    assert (office["contact"] is None) != (office["next"]["contact"] is None)


def test_the_schedule_is_in_local_time_and_utc(place: Path) -> None:
    lines = _run("schedule", "--from", "2026-03-23 10:00", "--weeks", "1").stdout.splitlines()
    assert [line.split() for line in lines[1:]] == [
        f"Mon 2026-03-{days[0]} 09:00 {names[0]} Mon 2026-{days[1]} 09:00 CEST "
        f"2026-03-{days[0]} {hours[0]} 2026-{days[1]} 07:00Z {who} layer weekly".split()
        for days, names, hours, who in (
            (("23", "03-30"), ("CET",), ("08:00Z",), "Ben"),
            (("30", "04-06"), ("CEST",), ("07:00Z",), "Ada"),
        )
    ]


def test_a_gap_is_in_the_schedule_and_names_cannot_move_the_cursor(place: Path) -> None:
    out = _run("schedule", "--rota", "office", "--from", "2026-03-23T10:00Z", "--weeks", "1").stdout
    assert out.count("NOBODY") == 5
    assert "\x1b" not in out
    assert "\x1b" not in _run("now").stdout


def test_the_schedule_for_programs_and_calendars(place: Path) -> None:
    asked = ("schedule", "--from", "2026-03-23 08:00", "--weeks", "2")
    shifts = json.loads(_run(*asked, "--json").stdout)
    assert [shift["contact"]["id"] for shift in shifts] == ["ada", "ben", "ada"]
    events = Calendar.from_ical(_run(*asked, "--ical").stdout_bytes).walk("VEVENT")
    assert [str(event["summary"])[:3] for event in events] == ["Ada", "Ben", "Ada"]


def test_an_override_is_made_shown_listed_and_cancelled_by_the_user_of_the_system(place: Path) -> None:
    made = _run("override", "cleo", "--from", SOON, "--to", LATER, "--reason", "a\x1b[2J wedding")
    assert made.exit_code == 0, made.output
    assert made.stdout.startswith("made: 1  cleo on platform, ")
    assert made.stdout.endswith("take it back with: watchkeeper oncall override --cancel 1\n")
    assert "\x1b" not in made.stdout
    assert "cleo on platform" in _run("override", "--list").stdout
    assert "override: a [2J wedding" in _run("schedule").stdout
    assert "no override" in _run("override", "--list", "--rota", "office").stdout
    assert _run("override", "--cancel", "1").stdout.startswith("cancelled: 1  cleo")
    assert "wedding" not in _run("schedule").stdout
    with open_existing(place / ".watchkeeper") as store, store.read() as conn:
        entries = journal.entries(conn)
    me = f"person:{pwd.getpwuid(os.getuid()).pw_name}"
    assert [(entry.kind, entry.actor) for entry in entries] == [
        ("oncall.override_created", me),
        ("oncall.override_cancelled", me),
    ]


def test_an_override_without_from_begins_now(place: Path) -> None:
    assert _run("override", "cleo", "--to", SOON).exit_code == 0
    assert json.loads(_run("now", "--json").stdout)[0]["contact"]["id"] == "cleo"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("override", "clio", "--to", LATER), 1, "no contact `clio`: did you mean `cleo`?"),
        (("override", "cleo", "--to", LATER, "--rota", "nights"), 1, "no rota `nights`"),
        (("override", "cleo", "--to", "2020-01-01"), 1, "before it starts"),
        (("override", "cleo", "--from", "2020-01-01", "--to", "2020-01-02"), 1, "would have ended"),
        (("override", "cleo", "--to", "tomorrow"), 1, "'tomorrow' is not a time"),
        (("override", "cleo", "--from", SOON, "--to", "2199-01-01"), 1, "longer than 90 days"),
        (("override", "cleo"), 2, "--to"),
        (("override",), 2, "CONTACT"),
        (("override", "cleo", "--cancel", "1"), 2, "CONTACT"),
        (("override", "--cancel", "7"), 1, "there is no override 7"),
        (("override", "--cancel", "0"), 2, "--cancel"),
        (("override", "--cancel", str(2**63)), 2, "--cancel"),
        (("schedule", "--from", "soon"), 1, "'soon' is not a time"),
        (("schedule", "--from", "9999-12-31"), 1, "outside the years"),
        (("schedule", "--rota", "\x1b[2J"), 1, "valid here: office, platform"),
        (("schedule", "--weeks", "0"), 2, "--weeks"),
        (("schedule", "--json", "--ical"), 2, "choose one"),
    ],
)
def test_a_wrong_call_ends_in_a_sentence(
    place: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    result = _run(*arguments)
    assert (result.exit_code, said in result.output) == (code, True), result.output
    assert "\x1b" not in result.output


def test_where_there_is_no_store_the_runbook_answers_and_an_override_is_refused(place: Path) -> None:
    (place / ".watchkeeper" / FILE_NAME).unlink()
    assert _run("now").exit_code == 0
    refused = _run("override", "cleo", "--to", LATER)
    assert refused.exit_code == 1
    assert "watchkeeper serve" in refused.output
    assert not (place / ".watchkeeper" / FILE_NAME).exists()


def test_with_a_damaged_store_the_runbook_answers_and_the_command_says_so(place: Path) -> None:
    (place / ".watchkeeper" / FILE_NAME).write_bytes(b"nonsense")
    result = _run("now")
    assert result.exit_code == 1
    assert "platform  Platform on call" in result.stdout
    assert "overrides are unknown" in result.output


def test_a_broken_runbook_is_said_with_its_place(place: Path) -> None:
    (place / "runbook.yaml").write_text(RUNBOOK.replace("oncall:", "on_call:"))
    result = _run("now")
    assert result.exit_code == 1
    assert "runbook.yaml:7" in result.output


def test_with_a_broken_runbook_the_copy_that_was_in_force_answers(place: Path) -> None:
    settings = read_settings(data=place / ".watchkeeper")
    inforce.keep(settings, load_policy(settings))
    (place / "runbook.yaml").write_text(RUNBOOK.replace("oncall:", "on_call:"))
    result = _run("now")
    assert result.exit_code == 0
    assert "platform  Platform on call" in result.stdout


def test_a_data_directory_that_cannot_be_entered_is_said(place: Path) -> None:
    (place / "file").write_text("")
    result = _run("override", "cleo", "--to", LATER, "--data", str(place / "file"))
    assert result.exit_code == 1
    assert str(place / "file") in result.output


def test_json_cannot_move_the_cursor_and_is_still_json(place: Path) -> None:
    (place / "runbook.yaml").write_text(
        RUNBOOK.replace("name: Ada", 'name: "Äda \\x9b2J"').replace("ben]", "ada]")
    )
    out = _run("now", "--json").stdout
    assert "\x9b" not in out
    assert json.loads(out)[0]["contact"]["name"] == "Äda \x9b2J"


def test_the_command_costs_nothing_until_it_runs() -> None:
    program = (
        "import sys, watchkeeper.cli.oncall; print(*(name in sys.modules for name in "
        "('sqlalchemy', 'pydantic', 'icalendar', 'zoneinfo')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"] * 4


RECEIVERS = """\
notifications:
  receivers:
    - {id: mail, email: {host: localhost, sender: wk@example.org, to: ops@example.org}}
    - {id: bot, slack: {token: {env: TOKEN}, channel: "#ops"}}
"""


def test_a_way_is_verified_with_the_code_that_came_and_shown_so(place: Path) -> None:
    (place / "runbook.yaml").write_text(RUNBOOK.replace("contacts:", f"{RECEIVERS}contacts:", 1))
    assert "never verified" in _run("now").stdout
    for who in ("ada", "ben"):
        assert "a code goes out through each of these" in _run("verify", who).stdout
    with open_existing(place / ".watchkeeper") as store, store.read() as conn:
        notes = [row.payload["note"] for row in conn.execute(select(outbox).order_by(outbox.c.id))]
    codes = [re.findall(r"the code is (\d{6})", note)[0] for note in notes]
    wrong = _run("verify", "ada", "--code", "000000" if codes[0] != "000000" else "111111")
    assert wrong.exit_code == 1
    assert "none of the codes that were sent to ada; 4 more may be tried" in wrong.stderr
    assert _run("verify", "ada", "--code", codes[0]).stdout == "verified: email:ada@example.org\n"
    assert _run("verify", "ben", "--code", codes[1]).stdout == "verified: slack:@ben\n"
    shown = _run("now").stdout
    assert re.search(r"^    ✓ (email:ada@example.org|slack:@ben), verified \d{4}-\d\d-\d\d$", shown, re.M)
    platform, _ = json.loads(_run("now", "--json").stdout)
    (way,) = platform["contact"]["ways"]
    assert way["verified_at"].endswith("Z")


def test_whom_no_way_leads_to_is_said_before_anything_is_sent(place: Path) -> None:
    result = _run("verify", "ada")
    assert result.exit_code == 1
    assert "no receiver of the runbook leads to Ada" in result.stderr
