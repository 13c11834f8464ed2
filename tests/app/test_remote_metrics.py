"""``metrics: {url: ...}``: the same rules over Debian's Prometheus, from end to end."""

from __future__ import annotations

from pathlib import Path

from tests.app.prometheus import Prometheus, needs_prometheus
from tests.app.serving import LABELS, Serving, Shop, one_page, remote, resolved, until
from tests.fakes.pagerduty import FakePagerDuty


@needs_prometheus
def test_the_same_rules_fire_from_a_remote_prometheus_and_say_when_it_is_gone(tmp_path: Path) -> None:
    with (
        Shop() as shop,
        FakePagerDuty() as pagerduty,
        Prometheus(tmp_path / "prometheus", shop.exporter.address, LABELS) as prometheus,
    ):
        serving = Serving(tmp_path, remote(prometheus.url, pagerduty))
        try:
            serving.start()
            status, body = serving.ask("/api/v1/query?query=up")
            assert (status, b"samples are not kept here" in body) == (404, True)
            shop.error_ratio = 0.2
            until(lambda: one_page(pagerduty), 25, "the page")
            assert serving.alert_state() == "firing"
            shop.error_ratio = 0.0
            until(lambda: resolved(pagerduty), 25, "the resolve")
            prometheus.stop()
            until(lambda: serving.ask("/readyz")[0] == 503, 10, "not being ready")
            assert b"cannot be queried" in serving.ask("/readyz")[1]
            assert serving.stop() == 0
        finally:
            serving.close()
