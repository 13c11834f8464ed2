"""Each kind of mistake: found, at its place, with what would be valid."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from tests.runbook.documents import MINIMAL, check_balanced, default, minimal, only, problems, read
from watchkeeper.runbook.errors import RunbookError
from watchkeeper.runbook.loading import default_text, load, load_bytes


def line_of(text: str, piece: str) -> int:
    return text[: text.index(piece)].count("\n") + 1


MISTAKES = {
    # name: (replace, by, what is at the caret, words of the message, words of the hint)
    "unknown key": ("over: 2m", "ovre: 2m", "ovre", "unknown key `ovre`", "did you mean `over`?"),
    "unknown key at the top": (
        "platform: Test",
        "platform: Test\nmonitorin: {}",
        "monitorin",
        "unknown key",
        "monitoring",
    ),
    "bad duration": ("over: 2m", "over: 2 minutes", "2 minutes", "not a duration", ""),
    "duration without a unit": ("over: 2m", "over: 120", "120", "has no unit", ""),
    "bad ratio": ("above: 5%", "above: five", "five", "not a figure", ""),
    "bad PromQL": ("[$window]))", "[$window])))", ")\n", "unexpected )", ""),
    "unknown playbook": (
        "playbook: look",
        "playbook: lok",
        "lok",
        "there is no playbook `lok`",
        "did you mean `look`?",
    ),
    "unknown verb": (
        "changes.recent",
        "changes.resent",
        "changes.resent",
        "there is no step verb",
        "changes.recent",
    ),
    "no comparison": ("{above: 5%, over: 2m}", "{over: 2m}", "{over", "exactly one comparison", ""),
    "two comparisons": ("above: 5%", "above: 5%, below: 1%", "{above", "has 2: above, below", ""),
    "wrong type: a list for text": ("title: API", "title: [API]", "[API]", "expected text, found a list", ""),
    "wrong type: a number for text": ("title: API", "title: 5", "5", "found the number 5", 'quotes: "5"'),
    "wrong type: text for a mapping": (
        "page: {above: 5%, over: 2m}",
        "page: high",
        "high",
        "a mapping",
        "keys here: id, above",
    ),
    "wrong type: text for a list": (
        "steps:\n      - {id: see, action: changes.recent}",
        "steps: look",
        "look",
        "a list",
        "- ",
    ),
    "missing key": (
        "          title: Errors\n",
        "",
        "id: errors",
        "`title` is missing",
        "required here: id, title, expr",
    ),
    "bad id": ("id: errors", "id: Errors!", "Errors!", "right form", "lower-case words"),
    "bad id as a key": (
        "playbooks:\n",
        "playbooks:\n  Look up: {title: X, steps: [{id: see, action: changes.recent}]}\n",
        "Look up",
        "right form",
        "lower-case words",
    ),
    "wrong word": (
        "title: Errors",
        "title: Errors\n          unit: ratios",
        "ratios",
        "not one of the words",
        "did you mean `ratio`?",
    ),
    "wrong version": ("runbook: 1", "runbook: 2", "2", "not one of the words", "1"),
    "clear on the wrong side": ("over: 2m", "clear: 6%", "{above", "wrong side", ""),
    "a probe without expect": (
        "action: changes.recent",
        "probe: changes.recent",
        "{id",
        "what it expects",
        "",
    ),
    "a step of two kinds": (
        "action: changes.recent",
        "action: changes.recent, manual: look",
        "{id",
        "has 2: action, manual",
        "",
    ),
    "a wait without an end": ("action: changes.recent", "wait: monitoring.baseline", "{id", "must end", ""),
    "sentence that leads nowhere": (
        "title: API\n",
        "title: API\n      alerts: page at {error.page}\n",
        "{error.page}",
        "leads nowhere",
        "",
    ),
    "an empty list": ("expr: sum", "expr: []\n          note: sum", "[]", "at least one item", ""),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_found_at_its_place_with_what_would_be_valid(name: str) -> None:
    old, new, at, message, hint = MISTAKES[name]
    text = minimal(old, new)
    problem = only(text)
    rest = text.split("\n", problem.place.line)[problem.place.line - 1 :]
    assert "\n".join(rest)[problem.place.column - 1 :].startswith(at), problem.render()
    assert message in problem.message
    assert hint in problem.hint + problem.message
    assert problem.place.file == "runbook.yaml"
    assert problem.place.text == text.split("\n")[problem.place.line - 1]


def test_a_section_without_content_says_what_belongs_there() -> None:
    problem = only(minimal("monitoring:", "backups:\nmonitoring:"))
    assert "found nothing" in problem.message
    assert "postgres" in problem.hint


def test_the_message_shows_the_line_and_points_at_the_word() -> None:
    shown = only(minimal("over: 2m", "ovre: 2m")).render().split("\n")
    assert shown[0].startswith("runbook.yaml:12:29: monitoring.layers.api.signals.errors.page: unknown key")
    assert shown[1].endswith("page: {above: 5%, ovre: 2m}")
    assert shown[2][shown[2].index("^") :] == "^^^^"
    assert shown[1][shown[2].index("^") :].startswith("ovre")


def test_every_problem_is_reported_at_once_in_the_order_of_the_file() -> None:
    text = (
        minimal("over: 2m", "ovre: 2m")
        .replace("changes.recent", "changes.resent")
        .replace("platform: Test\n", "")
    )
    text = text.replace("playbook: look", "playbook: lok").replace("[$window]))", "[$window])))")
    found = problems(text)
    assert [problem.place.line for problem in found] == sorted(problem.place.line for problem in found)
    messages = "\n".join(problem.message for problem in found)
    for words in ("`platform` is missing", "unexpected )", "`ovre`", "`lok`", "`changes.resent`"):
        assert words in messages
    assert len(found) == 5


def test_duplicate_ids_name_the_first() -> None:
    signal = "        - {id: errors, title: Again, expr: up}\n"
    text = minimal("      playbook: look", f"{signal}      playbook: look")
    problem = only(text)
    assert "the id `errors` is taken; the first is on line 9" in problem.message
    assert problem.place.line == line_of(text, "Again")


def test_duplicate_step_ids_are_found() -> None:
    assert "`see` is taken" in only(MINIMAL + "      - {id: see, action: changes.recent}\n").message


def test_duplicate_keys_are_found_beside_other_problems() -> None:
    found = problems(
        minimal("platform: Test", "platform: Test\nplatform: Two").replace("over: 2m", "over: x")
    )
    assert ["stands here twice" in problem.message for problem in found] == [True, False]


@pytest.mark.parametrize(
    "expr",
    [
        "|\n            sum(\n              up)) + 1\n",
        ">\n            sum(\n              up)) + 1\n",
        "'sum(up)) + 1'\n",
        '"sum(up)) + 1"\n',
        "sum(up)) + 1\n",
        "\n            - up\n            - |-\n              sum(up)) + 1\n",
    ],
    ids=["literal", "folded", "single quotes", "double quotes", "plain", "second alternative"],
)
def test_bad_promql_is_reported_at_its_place_inside_the_scalar(expr: str) -> None:
    text = minimal("expr: sum by (service, env, region) (rate(x_total[$window]))\n", f"expr: {expr}")
    problem = only(text)
    line = text.split("\n")[problem.place.line - 1]
    assert line[problem.place.column - 1 :].startswith(") + 1"), problem.render()


def test_a_window_does_not_shift_the_place_of_what_follows() -> None:
    text = minimal("rate(x_total[$window]))", "rate(x_total[$window]) / rate(y_total[$window])) ) + 1")
    problem = only(text)
    assert problem.place.text[problem.place.column - 1 :].startswith(") + 1")


def test_guards_are_checked_too() -> None:
    problem = only(minimal("          page:", "          guard: sum(up))\n          page:"))
    assert problem.subject.endswith("errors.guard")


@pytest.mark.parametrize(
    ("piece", "by", "message", "hint"),
    [
        ("default: platform", "default: platfrom", "there is no rota `platfrom`", "did you mean `platform`?"),
        (
            "participants: [primary, ",
            "participants: [primray, ",
            "no contact `primray`",
            "did you mean `primary`?",
        ),
        (
            "{notify: next, wait: 5m}",
            "{notify: [oncall, nxt], wait: 5m}",
            "there is nobody called `nxt`",
            "did you mean `next`?",
        ),
        (
            "{notify: next, wait: 5m}",
            "{notify: rota:platfrm, wait: 5m}",
            "there is nobody called `rota:platfrm`",
            "did you mean `rota:platform`?",
        ),
        (
            "receivers: pagerduty\n      repeat_interval: 1h",
            "receivers: pagerdty",
            "no receiver `pagerdty`",
            "pagerduty",
        ),
        (
            "rotation: [postgres-failover,",
            "rotation: [postgres-fail,",
            "no scenario `postgres-fail`",
            "postgres-failover",
        ),
        (
            "severities: [SEV-1, SEV-2], channel",
            "severities: [SEV-1, SEV-9], channel",
            "no severity `SEV-9`",
            "SEV-1",
        ),
        ("store: backups", "store: backup", "no store `backup`", "did you mean `backups`?"),
        (
            "timezone: UTC",
            "timezone: Europe/Berln",
            "no time zone `Europe/Berln`",
            "did you mean `Europe/Berlin`?",
        ),
        ('cron: "0 2 * * *"', 'cron: "0 25 * * *"', "hour '25' is not within 0 to 23", ""),
        ('cron: "0 2 * * *"', 'cron: "0 2 * *"', "five fields, this one has 4", ""),
        ('at: "09:00"', 'at: "9am"', "right form", '"09:00"'),
        ("daily: 30d", "daily: 30 days", "not a duration", ""),
        ("sample: 1%\n    restore_test", "sample: 200%\n    restore_test", "outside 0% to 100%", ""),
        ("rate_limit: 120/min", "rate_limit: 120", "not a rate", ""),
        ("{env: PAGERDUTY_ROUTING_KEY}", "abc", "never written", "write {env: NAME} or {file: PATH}"),
        ("{env: PAGERDUTY_ROUTING_KEY}", "{env: A, file: B}", "exactly one", ""),
        ("steps: [deploys]", "steps: [deploy]", "there is no step `deploy`", "did you mean `deploys`?"),
        ("{{ inputs.target_time }}", "{{ inputs.target }}", "there is no input `target`", "target_time"),
        ("{{ steps.choose.note }}", "{{ steps.fix.note }}", "there is no earlier step `fix`", "choose"),
        ("needs: decide", "needs: decision", "there is no earlier step `decision`", "deploys"),
        ("needs: decide", "needs: scale", "there is no earlier step `scale`", "decide"),
        ("4GiB", "4 gigabytes", "not a size", ""),
        ("id: SEV-3", "id: SEV3", "right form", "SEV-1"),
    ],
)
def test_mistakes_in_every_section_are_found(piece: str, by: str, message: str, hint: str) -> None:
    text = default(piece, by)
    found = problems(text)
    problem = next(one for one in found if message in one.message)
    assert hint in problem.hint
    assert problem.place.line in range(
        line_of(text, by.split("\n", 1)[0]), line_of(text, by.split("\n", 1)[0]) + 2
    )


def test_a_cause_of_inhibition_must_be_a_signal() -> None:
    cause = 'inhibition: {causes: [{cause: database.storag.page, symptom: api.error-rate, reason: "x"}]}'
    problem = only(default("inhibition: {page_over_warn: true}", cause))
    assert "no signal `database.storag.page`" in problem.message
    assert "did you mean `database.storage.page`?" in problem.hint


def waived(clause: str, until: str = "2026-03-31") -> str:
    return f"{MINIMAL}waivers:\n  - {{clause: {clause}, reason: moving, owner: Ada, until: {until}}}\n"


def test_a_waiver_of_an_unknown_clause_names_the_nearest() -> None:
    problem = only(waived("monitoring.api.error.page"))
    assert "there is no clause `monitoring.api.error.page`" in problem.message
    assert "did you mean `monitoring.api.errors.page`?" in problem.hint


def test_a_waiver_holds_on_its_last_day_and_is_a_problem_on_the_next() -> None:
    text = waived("monitoring.api.errors.page")
    read(text, today=date(2026, 3, 31))
    problem = only(text, today=date(2026, 4, 1))
    assert "ended on 2026-03-31" in problem.message
    assert problem.place.text[problem.place.column - 1 :].startswith("2026-03-31")


def test_a_waiver_that_is_over_does_not_keep_a_service_from_starting() -> None:
    assert read(waived("monitoring.api.errors.page", "2020-01-01")).runbook.waivers


def test_a_waiver_needs_a_day() -> None:
    assert "write it like 2026-03-31" in only(waived("monitoring.api.errors.page", "soon")).message


def test_a_clause_is_waived_once() -> None:
    text = (
        waived("monitoring.api.errors.page") + waived("monitoring.api.errors.page").rsplit("waivers:\n", 1)[1]
    )
    assert "waived twice" in only(text).message


def test_the_default_runbook_is_valid() -> None:
    loaded = read(default_text())
    assert loaded.runbook.platform == "Treazr Island"
    assert len(loaded.digest) == 64


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(RunbookError) as caught:
        load(tmp_path / "runbook.yaml")
    assert "watchkeeper runbook init" in str(caught.value)


def test_a_directory_is_not_a_runbook(tmp_path: Path) -> None:
    with pytest.raises(RunbookError, match="cannot be read"):
        load(tmp_path)


def test_a_runbook_that_is_a_list_is_refused() -> None:
    assert "expected a mapping" in only("- 1\n").message


def test_step_verbs_can_be_handed_in() -> None:
    loaded = load_bytes("r.yaml", minimal("changes.recent", "my.verb").encode(), verbs={"my.verb"})
    assert loaded.runbook.playbooks["look"].steps[0].action == "my.verb"


def test_without_a_check_expressions_are_taken_as_they_are() -> None:
    assert load_bytes("r.yaml", minimal("[$window]))", "[$window])))").encode()).runbook


def test_the_place_of_a_key_is_known() -> None:
    loaded = read(MINIMAL)
    place = loaded.place(("monitoring", "layers", 0, "signals", 0, "page"))
    assert (place.line, place.column) == (12, 11)
    assert loaded.place(("monitoring", "layers", 0, "signals", 0, "page", 0)).line == 12


OVERLAY = """
metrics:
  scrape_interval: 5s
  scrape_configs:
    - {job_name: app, static_configs: [{targets: ["127.0.0.1:1"]}]}
notifications:
  receivers:
    - {id: hook, webhook: {url: "http://127.0.0.1:2/x"}}
"""


def test_an_overlay_replaces_key_by_key() -> None:
    runbook = read(default_text(), overlay=OVERLAY).runbook
    assert runbook.metrics.scrape_interval.text == "5s"
    assert runbook.metrics.retention.size.text == "4GiB"
    assert [config.job_name for config in runbook.metrics.scrape_configs] == ["app"]


def test_receivers_of_an_overlay_come_without_the_routes_to_the_old_ones() -> None:
    notifications = read(default_text(), overlay=OVERLAY).runbook.notifications
    assert [receiver.id for receiver in notifications.receivers] == ["hook"]
    assert not notifications.routes
    assert notifications.grouping.by == ("alertname", "service", "env", "region")


def test_contacts_lose_the_receivers_that_an_overlay_takes_away_and_keep_the_others() -> None:
    runbook = read(default_text(), overlay=OVERLAY).runbook
    assert {contact.receivers for contact in runbook.contacts} == {()}
    same = read(default_text(), overlay=OVERLAY.replace("id: hook", "id: pagerduty")).runbook
    assert same.contacts[0].receivers == ("pagerduty",)
    problem = only(default("receivers: [pagerduty]}", "receivers: [pagrduty]}"), overlay=OVERLAY)
    assert "no receiver `pagrduty`" in problem.message


def test_an_overlay_holds_no_policy() -> None:
    problem = only(MINIMAL, overlay="monitoring: {}\n")
    assert problem.place.file == "overlay.yaml"
    assert "may not hold `monitoring`" in problem.message
    assert "metrics, notifications" in problem.hint


def test_a_mistake_in_an_overlay_is_placed_in_the_overlay() -> None:
    found = problems(default("over: 5m}", "ovr: 5m}"), overlay=OVERLAY.replace("5s", "5 s"))
    assert [problem.place.file for problem in found] == ["runbook.yaml", "overlay.yaml"]
    assert found[1].place.line == 3


def test_an_unknown_key_of_an_overlay_section_is_placed_in_the_overlay() -> None:
    problem = only(default_text(), overlay="metrics: {scrap_interval: 5s}\n")
    assert str(problem.place) == "overlay.yaml:1:11"
    assert "did you mean `scrape_interval`?" in problem.hint


def test_the_digest_covers_the_overlay() -> None:
    assert read(default_text()).digest != read(default_text(), overlay=OVERLAY).digest


SECRETS = {
    "alone": ("{env: PAGERDUTY_ROUTING_KEY}", "R0123456789"),
    "quoted": ("{env: PAGERDUTY_ROUTING_KEY}", '"R0123456789"'),
    "over lines": ("{env: PAGERDUTY_ROUTING_KEY}", "|\n          R0123456789"),
    "beside another mistake": (
        "pagerduty:\n        routing_key: {env: PAGERDUTY_ROUTING_KEY}\n        rate_limit: 120/min",
        "pagerduty: {routing_key: R0123456789, rate_limit: many}",
    ),
    "in a line that is not YAML": ("{env: PAGERDUTY_ROUTING_KEY}", '"R0123456789'),
    "beside a bad character": ("{env: PAGERDUTY_ROUTING_KEY}", "R0123456789\x07"),
    "under a wrong key": ("{env: PAGERDUTY_ROUTING_KEY}", "{env: X}\n        token: R0123456789"),
}


@pytest.mark.parametrize("how", SECRETS)
def test_a_secret_that_was_pasted_is_refused_and_not_shown(how: str) -> None:
    found = problems(default(*SECRETS[how]))
    for shown in [problem.render() for problem in found] + [str(problem.as_json()) for problem in found]:
        assert "R0123456789" not in shown


def test_behind_a_masked_secret_the_caret_still_points_at_the_mistake() -> None:
    found = problems(default(*SECRETS["beside another mistake"]))
    lines = found[1].render().split("\n")
    assert lines[1][lines[2].index("^") :].startswith("many")
    assert "named here, never written" in found[0].message


def test_the_check_of_expressions_sees_a_filled_window() -> None:
    seen: list[str] = []

    def remember(text: str) -> None:
        seen.append(text)
        assert check_balanced(text) is None

    load_bytes("r.yaml", MINIMAL.encode(), check_expr=remember)
    assert seen == ["sum by (service, env, region) (rate(x_total[000005m]))"]
