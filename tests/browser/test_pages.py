"""Every page, full and empty, at desktop and phone width, light and dark: it fits, and axe is content."""

from __future__ import annotations

import re

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
    "signal": "/signals/api/error-rate",
    "explore": "/explore",
    "explored": "/explore?query=up&range=15m",
}


def _name(path: str) -> str:
    return re.sub(r"\W+", "-", path).strip("-") or "home"


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("state", ["full", "empty"])
def test_every_page(
    browser: Browser, request: pytest.FixtureRequest, state: str, width: str, scheme: ColorScheme
) -> None:
    site: Site = request.getfixturevalue("site" if state == "full" else "empty")
    with looking(browser, site.link(), width, scheme) as seen:
        for what, path in PAGES.items():
            answer = seen.page.goto(site.serving.url + path)
            assert answer is not None
            assert answer.status == 200, path
            seen.shot(f"{state}-{what}")
            seen.accessible(f"{state} {path}")
