"""Heavy questions, many at once: scraping and evaluating go on, and everything that is asked is answered."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from urllib.parse import quote

from tests.app.serving import deployment, until
from tests.fakes.exporter import Reply

SERIES = 5000


def test_scraping_and_evaluating_go_on_while_heavy_queries_run(tmp_path: Path) -> None:
    bulk = b"".join(b'bulk{n="%05d"} %d\n' % (number, number) for number in range(SERIES))
    with deployment(tmp_path, start=False) as (serving, shop, _):
        metrics = shop.exporter.routes["/metrics"]
        assert not isinstance(metrics, bytes)
        shop.exporter.routes["/metrics"] = lambda ask: Reply(metrics(ask).body + bulk)
        serving.start()
        until(lambda: serving.query("count(bulk) == 5000"), 10, "samples")
        statuses: list[int] = []
        stop = threading.Event()

        def hammer(number: int) -> None:
            while not stop.is_set():
                now = time.time()
                terms = "+".join(
                    f"sum(quantile_over_time(0.{n + 1}{number}, bulk[30s:1s]))" for n in range(8)
                )
                path = (
                    f"/api/v1/query_range?query={quote(terms)}&start={now - 60}&end={now}&step=1&timeout=2s"
                )
                statuses.append(serving.ask(path)[0])

        threads = [threading.Thread(target=hammer, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        try:
            time.sleep(1)
            before = _totals(serving.ask("/metrics")[1])
            time.sleep(5)
            after = _totals(serving.ask("/metrics")[1])
        finally:
            stop.set()
            for thread in threads:
                thread.join(20)
        assert after["watchkeeper_scrapes_total"] - before["watchkeeper_scrapes_total"] >= 4
        assert after["watchkeeper_evaluations_total"] - before["watchkeeper_evaluations_total"] >= 4
        assert after["watchkeeper_scrapes_failed_total"] == 0
        assert statuses
        assert set(statuses) <= {200, 422, 503}
        assert serving.stop() == 0
    assert "Traceback" not in serving.log.read_text()


def _totals(exposition: bytes) -> dict[str, float]:
    lines = [line for line in exposition.decode().splitlines() if line.startswith("watchkeeper_")]
    return {line.partition("{")[0]: float(line.rpartition(" ")[2]) for line in lines}
