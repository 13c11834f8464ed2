"""The overlay belongs to the default runbook, which is used as it is."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

from watchkeeper.demo.overlay import targets, write_overlay
from watchkeeper.demo.platform import new_settings
from watchkeeper.runbook.loading import load


def test_the_default_runbook_takes_the_overlay(tmp_path: Path) -> None:
    default = tmp_path / "runbook.yaml"
    default.write_bytes(
        importlib.resources.files("watchkeeper.runbook").joinpath("default.yaml").read_bytes()
    )
    write_overlay(new_settings(tmp_path), tmp_path / "overlay.yaml")
    loaded = load(default, overlay=tmp_path / "overlay.yaml").runbook
    assert len(loaded.metrics.scrape_configs) == len(targets(new_settings(tmp_path)))
    assert [receiver.id for receiver in loaded.notifications.receivers] == ["pagerduty"]
    for config in loaded.metrics.scrape_configs:
        for static in config.static_configs:
            assert set(loaded.monitoring.hygiene.required_labels) <= static.labels.keys()
            assert all(static.labels.values())


def test_the_overlay_holds_no_secret(tmp_path: Path) -> None:
    settings = new_settings(tmp_path)
    write_overlay(settings, tmp_path / "overlay.yaml")
    text = (tmp_path / "overlay.yaml").read_text()
    for secret in (
        settings.app_password,
        settings.superuser_password,
        settings.control_token,
        settings.password_seed,
        *(cluster.secret_key for cluster in settings.clusters),
    ):
        assert secret not in text
