"""A page at night, from the sign-in to the journal: alert, chart, acknowledge, silence; by keyboard too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.app.serving import Serving, Shop, scraping, until
from tests.browser.conftest import Site, quick
from tests.browser.looking import SCHEMES, WIDTHS, ColorScheme, looking
from tests.fakes.pagerduty import FakePagerDuty
from watchkeeper.runbook.loading import default_text


@pytest.fixture
def night(tmp_path: Path) -> Iterator[tuple[Site, FakePagerDuty]]:
    """A shop that is well until its ``error_ratio`` is raised."""
    with Shop() as shop, FakePagerDuty() as pagerduty:
        serving = Serving(tmp_path, scraping(shop, pagerduty), quick(default_text()))
        try:
            serving.start()
            until(lambda: bool(serving.query("rate(http_requests_total[10s])")), 30, "samples")
            yield Site(serving, shop), pagerduty
        finally:
            serving.close()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_from_sign_in_to_journal(
    browser: Browser, night: tuple[Site, FakePagerDuty], width: str, scheme: ColorScheme
) -> None:
    site, pagerduty = night
    with looking(browser, site.link(), width, scheme) as seen:
        page = seen.page
        expect(page.locator("#banner")).to_be_empty()
        site.shop.error_ratio = 0.5
        # The page is not loaded again: it hears of it by itself.
        banner = page.locator(".banner.is-page")
        expect(banner).to_contain_text("HTTP error rate", timeout=40_000)
        expect(page).to_have_title(re.compile("■ 1"))
        until(lambda: pagerduty.open_incidents(), 20, "a page at PagerDuty")
        seen.shot("story-1-burning")

        banner.get_by_role("link").first.click()
        page.wait_for_url(re.compile(r"/alerts/[0-9a-f]+"))
        expect(page.get_by_role("heading", level=1)).to_contain_text("HTTP error rate")
        chart = page.get_by_role("img").first
        expect(chart).to_be_visible(timeout=30_000)
        expect(page.locator("main")).to_contain_text("pagerduty")
        seen.shot("story-2-alert")

        page.locator("main").get_by_role("button", name="Acknowledge").first.click()
        expect(page.locator("main")).to_contain_text("has it")
        until(
            lambda: [one.status for one in pagerduty.open_incidents()] == ["acknowledged"],
            20,
            "the acknowledgement at PagerDuty",
        )
        expect(page.get_by_role("button", name="Acknowledge")).to_have_count(0)
        seen.shot("story-3-acknowledged")

        page.get_by_role("link", name=re.compile("Silence")).last.click()
        page.wait_for_url(re.compile(r"/silences/new"))
        page.get_by_label(re.compile("Reason")).fill("the release is being rolled back")
        page.get_by_role("button", name="Preview").click()
        expect(page.locator("main")).to_contain_text("HTTP error rate")
        seen.shot("story-4-preview")
        page.get_by_role("button", name=re.compile("^Silence")).click()
        page.wait_for_url(re.compile(r"/silences"))
        expect(page.locator("main")).to_contain_text("the release is being rolled back")
        seen.shot("story-5-silenced")
        # A silence takes the page away from above everything, again without loading anything.
        expect(page.locator(".banner.is-page")).to_have_count(0, timeout=30_000)

        page.goto(f"{site.serving.url}/journal")
        for said in ("silenced", "acknowledged", "signed in"):
            expect(page.locator("main")).to_contain_text(said)
        seen.shot("story-6-journal")


def test_by_keyboard_alone(browser: Browser, site: Site) -> None:
    with looking(browser, site.link(), "desktop", "light") as seen:
        page = seen.page
        page.keyboard.press("Tab")
        expect(page.locator(":focus")).to_have_text("Skip to the page")
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()
        page.keyboard.press("j")
        page.keyboard.press("j")
        expect(page.locator("[data-row].here")).to_have_count(1)
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_hidden()
        page.keyboard.press("g")
        page.keyboard.press("a")
        page.wait_for_url(re.compile("/alerts$"))
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile(r"/alerts/[0-9a-f]+"))
        page.keyboard.press("g")
        page.keyboard.press("j")
        page.wait_for_url(re.compile("/journal"))
        page.keyboard.press("/")
        expect(page.locator("[data-search]")).to_be_focused()


def test_without_a_script_every_page_reads_and_works(browser: Browser, site: Site) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site.link())
    page.get_by_role("button", name="Sign in").click()
    assert "The runbook, live" in page.content()
    for path in ("/alerts", "/journal", "/oncall", "/silences", "/targets", "/rules", "/settings"):
        answer = page.goto(site.serving.url + path)
        assert answer is not None
        assert answer.status == 200
    page.goto(f"{site.serving.url}/explore?query=up&range=15m")
    assert page.locator("main table").count()
    context.close()


NOTES = """
window.notes = [];
window.Notification = class {
  static permission = "granted";
  static requestPermission() { return Promise.resolve("granted"); }
  constructor(title, options) { window.notes.push([title, options.body, options.tag]); }
};
"""
"""What a browser shows outside of its window cannot be looked at; this notes what it is asked to show."""


def test_a_browser_shows_pages_to_whoever_asked_for_it(
    browser: Browser, night: tuple[Site, FakePagerDuty]
) -> None:
    site, _ = night
    with looking(browser, site.link(), "desktop", "light") as seen:
        page = seen.page
        page.add_init_script(NOTES)
        page.goto(f"{site.serving.url}/settings")
        page.get_by_role("button", name="Notify me in this browser").click()
        expect(page.get_by_role("button", name="Stop notifying")).to_be_visible()
        page.goto(f"{site.serving.url}/oncall")
        site.shop.error_ratio = 0.5

        def noted() -> list[list[str]]:
            page.wait_for_timeout(200)  # its events are told meanwhile
            found: list[list[str]] = page.evaluate("window.notes")
            return found

        until(noted, 40, "a notification")
        ((title, body, tag), *_) = noted()
        assert title.startswith("HTTP error rate (5xx)")
        assert (body, len(tag)) == ("firing", 16)
