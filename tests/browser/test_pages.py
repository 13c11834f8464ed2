"""Every page, full and empty, at desktop and phone width, light and dark: it fits, and axe is content."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import Site
from tests.browser.looking import SCHEMES, WIDTHS, ColorScheme, looking

PAGES = {
    "home": "/",
    "home-unknown": "/?verdict=unknown",
    "document": "/runbook",
    "alerts": "/alerts",
    "alerts-history": "/alerts?state=history",
    "incidents": "/incidents",
    "incident-figures": "/incidents/figures",
    "signal": "/signals/api/error-rate",
    "explore": "/explore?query=rate(http_requests_total[1m])&range=15m",
    "targets": "/targets",
    "rules": "/rules",
    "oncall": "/oncall",
    "silences": "/silences",
    "silence-new": "/silences/new",
    "journal": "/journal",
    "journal-entry": "/journal/1",
    "clause": "/clauses/monitoring.api.error-rate.page",
    "settings": "/settings",
    "users": "/settings/users",
    "tokens": "/settings/tokens",
    "receivers": "/settings/receivers",
}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("state", ["full", "empty"])
def test_every_page(
    browser: Browser, request: pytest.FixtureRequest, state: str, width: str, scheme: ColorScheme
) -> None:
    site: Site = request.getfixturevalue("site" if state == "full" else "empty")
    with looking(browser, site.link(), width, scheme) as seen:
        wrong = []
        for what, path in PAGES.items():
            answer = seen.page.goto(site.serving.url + path)
            assert answer is not None
            assert answer.status == 200, path
            wrong += seen.wrong(f"{state}-{what}")
        assert not wrong, "\n".join(wrong)
