"""Rules and alerts as Prometheus' API has them."""

from __future__ import annotations

from pathlib import Path

from tests.monitoring.stage import Stage, load_text
from tests.monitoring.test_evaluation import RUNBOOK, A, Scripted
from watchkeeper.monitoring import rules_api


def test_rules_and_alerts_are_told_as_prometheus_tells_them(tmp_path: Path) -> None:
    source = Scripted()
    stage = Stage(tmp_path, load_text(RUNBOOK), source=source)
    before = rules_api.rules(stage.service)["groups"][0]
    assert {rule["health"] for rule in before["rules"]} == {"unknown"}
    assert before["lastEvaluation"] == "0001-01-01T00:00:00Z"
    source.values = {"disk": {A: 11}, "load": {(): 9.0}}
    stage.tick()
    source.failing = {"disk > 5": "too much"}
    stage.tick()
    (group,) = rules_api.rules(stage.service)["groups"]
    assert (group["name"], group["interval"]) == ("watchkeeper.l", 15.0)
    by_name = {rule["name"]: rule for rule in group["rules"]}
    assert [by_name[name]["state"] for name in ("LDiskPage", "LDiskWarn", "LLoadWarn")] == [
        "firing",
        "firing",
        "pending",
    ]
    page = by_name["LDiskPage"]
    assert (page["type"], page["health"], page["duration"]) == ("alerting", "ok", 0)
    assert page["alerts"][0]["value"] == "11"
    assert page["alerts"][0]["activeAt"] == "2026-01-05T12:00:15Z"
    assert page["alerts"][0]["labels"]["service"] == "a"
    assert "lastError" not in page
    assert (by_name["LDiskWarn"]["health"], by_name["LDiskWarn"]["lastError"]) == ("err", "too much")
    assert page["lastEvaluation"] == "2026-01-05T12:00:30Z"
    names = sorted(alert["labels"]["alertname"] for alert in rules_api.alerts(stage.service)["alerts"])
    assert names == ["LDiskPage", "LDiskWarn", "LLoadWarn", "WatchkeeperRuleFailed"]
    stage.close()


def test_rules_can_be_asked_for_by_kind_and_name(tmp_path: Path) -> None:
    stage = Stage(tmp_path, load_text(RUNBOOK), source=Scripted())
    assert rules_api.rules(stage.service, "record") == {"groups": []}
    assert (
        rules_api.rules(stage.service, "alert", ["LLoadWarn"])["groups"][0]["rules"][0]["name"] == "LLoadWarn"
    )
    assert rules_api.rules(stage.service, None, ["None"]) == {"groups": []}
    stage.close()
