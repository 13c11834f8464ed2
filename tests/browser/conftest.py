"""A real Watchkeeper with a service that fails, and a real Chromium that looks at it.

Screenshots are kept in ``artifacts/screenshots``. Without Chromium the tests are skipped, and say how to get
it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.app.serving import Serving, Shop, scraping, until
from tests.fakes.pagerduty import FakePagerDuty
from watchkeeper.access import links, users
from watchkeeper.access.models import Role
from watchkeeper.runbook.loading import default_text
from watchkeeper.store.clock import SystemClock
from watchkeeper.store.database import open_existing

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SCREENSHOTS = Path(__file__).parents[2] / "artifacts" / "screenshots"


@dataclass
class Site:
    """A deployment, and a way in for anybody."""

    serving: Serving
    shop: Shop

    def link(self, username: str = "primary", role: Role = Role.ADMIN) -> str:
        """A one-time sign-in link for the account, which is made if it is not there."""
        now = SystemClock().now()
        with open_existing(self.serving.data, write=True) as store, store.write() as conn:
            known = users.by_name(conn, username)
            user = (
                known.id
                if known
                else users.create(
                    conn,
                    now,
                    username=username,
                    name=f"{username.title()} on call",
                    role=role,
                    by="component:test",
                )
            )
            lifetime = timedelta(minutes=30)
            token = links.create(conn, now, user=user, role=role, by="component:test", lifetime=lifetime)
        return f"{self.serving.url}/sign-in/link/{token}"


def quick(text: str) -> str:
    """The runbook ``text`` with a page that fires within seconds instead of minutes."""
    assert "{above: 5%, over: 2m}" in text
    return text.replace("{above: 5%, over: 2m}", "{above: 5%, over: 5s}")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The shipped runbook over a shop of which every second request fails: one page fires."""
    with Shop() as shop, FakePagerDuty() as pagerduty:
        serving = Serving(tmp_path_factory.mktemp("site"), scraping(shop, pagerduty), quick(default_text()))
        try:
            serving.start()
            made = Site(serving, shop)
            until(lambda: bool(serving.query("rate(http_requests_total[10s])")), 30, "samples")
            shop.error_ratio = 0.5
            until(lambda: pagerduty.open_incidents(), 40, "a page at PagerDuty")
            yield made
        finally:
            serving.close()


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The shipped runbook as `watchkeeper runbook init` writes it, with nothing to watch yet."""
    home = tmp_path_factory.mktemp("empty")
    with Shop() as shop:
        serving = Serving(home, "metrics: {scrape_configs: []}\n", default_text())
        try:
            serving.start()
            yield Site(serving, shop)
        finally:
            serving.close()


@pytest.fixture(scope="module")  # while it is open its event loop runs in this thread, and no other can
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here; `make system` brings it (as root), or apt-get install chromium")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()
