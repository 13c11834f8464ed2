"""One person at one browser: signs in, looks, is told of every console error, and of what axe finds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, ViewportSize

from tests.browser.conftest import SCREENSHOTS

ColorScheme = Literal["light", "dark"]
WIDTHS: dict[str, ViewportSize] = {
    "desktop": {"width": 1280, "height": 800},
    "phone": {"width": 360, "height": 740},
}
SCHEMES: tuple[ColorScheme, ...] = ("light", "dark")
SERIOUS = ("serious", "critical")


@dataclass
class Looking:
    """A page, and what went wrong on it."""

    page: Page
    name: str
    problems: list[str] = field(default_factory=list)

    def wrong(self, what: str) -> list[str]:
        """Keep a picture of the page as it is; what is wrong with it, in sentences."""
        self.page.wait_for_timeout(150)
        self.page.screenshot(path=SCREENSHOTS / f"{what}-{self.name}.png", full_page=True)
        wide = self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        found: dict[str, Any] = Axe().run(self.page).response
        return [f"{what} is {wide} px wider than the screen ({self.name})"] * (wide > 0) + [
            f"{what} ({self.name}): {one['id']} ({one['impact']}): {one['help']}: "
            f"{[node['target'] for node in one['nodes'][:3]]}"
            for one in found["violations"]
            if one["impact"] in SERIOUS
        ]

    def shot(self, what: str) -> None:
        """Keep a picture of the page, which must fit its width and content axe."""
        wrong = self.wrong(what)
        assert not wrong, "\n".join(wrong)


@contextmanager
def looking(browser: Browser, link: str, width: str, scheme: ColorScheme) -> Iterator[Looking]:
    """Somebody who signs in with ``link``; at the end nothing may stand in the browser's console."""
    context = browser.new_context(viewport=WIDTHS[width], color_scheme=scheme, has_touch=width == "phone")
    page = context.new_page()
    page.set_default_timeout(15_000)
    found = Looking(page, f"{width}-{scheme}")
    own = re.compile(r"^https?://127\.0\.0\.1:\d+/|^data:")

    def told(message: Any) -> None:
        if message.type in ("error", "warning"):
            found.problems.append(f"{page.url}: {message.text}")

    def requested(request: Any) -> None:
        if not own.match(request.url):
            found.problems.append(f"{page.url} asked another host: {request.url}")

    page.on("console", told)
    page.on("pageerror", lambda error: found.problems.append(f"{page.url}: {error}"))
    page.on("request", requested)
    page.goto(link)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(re.compile(r"/$"))
    try:
        yield found
    finally:
        context.close()
    assert found.problems == []
