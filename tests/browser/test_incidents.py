"""The whole life of an incident in a real browser, from the page that opens it to the closed document."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.app.serving import Serving, Shop, scraping, until
from tests.browser.conftest import Site, quick
from tests.browser.looking import ColorScheme, looking
from tests.fakes.pagerduty import FakePagerDuty
from watchkeeper.access.models import Role
from watchkeeper.runbook.loading import default_text


@pytest.fixture(scope="module")
def burning(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A shop that is well until its ``error_ratio`` is raised."""
    with Shop() as shop, FakePagerDuty() as pagerduty:
        home = tmp_path_factory.mktemp("incidents")
        text = quick(default_text())
        assert "{above: 3%, over: 5m}" in text
        text = text.replace("{above: 3%, over: 5m}", "{above: 3%, over: 5s}")  # else it fires for 5 minutes
        serving = Serving(home, scraping(shop, pagerduty), text)
        try:
            serving.start()
            until(lambda: bool(serving.query("rate(http_requests_total[10s])")), 30, "samples")
            yield Site(serving, shop)
        finally:
            serving.close()


def primary(page: Page, name: str) -> None:
    """Press the one primary button of the first screen."""
    button = page.locator("#next .primary")
    expect(button).to_have_count(1)
    expect(button).to_have_text(name)
    button.click()


def opened(page: Page, site: Site) -> str:
    """The address of the incident that the page opened, once somebody is led there."""
    page.goto(site.serving.url)
    link = page.locator(".banner.is-page .of-incident a")
    expect(link).to_be_visible(timeout=40_000)
    link.click()
    page.wait_for_url(re.compile(r"/incidents/\d+$"))
    return page.url


@pytest.mark.parametrize(("width", "scheme"), [("desktop", "light"), ("phone", "dark")])
def test_the_whole_life_of_an_incident(
    browser: Browser, burning: Site, width: str, scheme: ColorScheme
) -> None:
    with looking(browser, burning.link(), width, scheme) as seen:
        page = seen.page
        burning.shop.error_ratio = 0.5
        where = opened(page, burning)
        expect(page.get_by_role("heading", level=1)).to_contain_text("HTTP error rate")
        # The clock ticks in place, and it is the one that runs out next.
        left = page.locator("#next > .clock .clock-left time")
        expect(page.locator("#next > .clock .clock-what")).to_have_text("Acknowledge")
        expect(left).to_have_text(re.compile(r"^4:\d\d left$"))
        before = left.inner_text()
        expect(left).not_to_have_text(before)
        expect(page.get_by_role("button", name="Resolve", exact=True)).to_be_disabled()
        expect(page.get_by_role("button", name="Close", exact=True)).to_be_disabled()
        box = page.locator("#next .primary").bounding_box()
        assert box is not None
        assert box["height"] >= 44
        assert box["y"] + box["height"] < page.viewport_size["height"]  # type: ignore[index]
        seen.shot("incident-1-open")

        primary(page, "Acknowledge")
        expect(page.locator("#incident .leads")).to_contain_text("leads")
        page.locator("#next").get_by_text("SEV-2").click()
        seen.shot("incident-2-severity")
        primary(page, "Set severity")
        expect(page.locator("#incident .severity")).to_have_text("SEV-2")
        primary(page, "Post an update")
        composer = page.locator("form.composer")
        composer.get_by_text("Identified").click()
        composer.get_by_label("What customers feel").fill("Some checkouts fail.")
        composer.get_by_label(re.compile("^ETA")).fill("in 20 min")
        composer.get_by_role("button", name="Preview").click()
        expect(page.locator("#preview")).to_contain_text("Inside the company")
        expect(page.get_by_label("What Customers is told")).to_have_value(re.compile("Some checkouts fail"))
        seen.shot("incident-3-preview")
        composer.get_by_role("button", name="Post update").click()
        expect(page.locator("article.update")).to_contain_text("Some checkouts fail.")
        expect(page.locator("#incident .whom")).to_contain_text("Some checkouts fail.")

        page.locator("#playbooks").get_by_role("button", name="Start the playbook").click()
        expect(page.locator("#playbooks .run-steps")).to_be_visible()
        asked = page.locator("#playbooks form.answer")
        expect(asked.first).to_be_visible(timeout=20_000)  # the runner takes it, and asks: nothing is loaded
        note = asked.get_by_label(re.compile("^Note"))
        note.fill("none of today's changes")
        page.wait_for_timeout(2500)  # what is typed stays, while everything around it follows
        expect(note).to_have_value("none of today's changes")
        seen.shot("incident-4-playbook")

        page.goto(where)
        primary(page, "Mark as mitigated")
        expect(page.locator("#incident .state")).to_contain_text("mitigated")
        burning.shop.error_ratio = 0.0
        resolve = page.get_by_role("button", name="Resolve", exact=True)
        expect(resolve).to_be_enabled(timeout=60_000)  # by itself, once the signal is back at its baseline
        seen.shot("incident-5-baseline")
        resolve.click()
        expect(page.locator("#incident .state")).to_contain_text("resolved")
        primary(page, "Complete the document")
        for name, text in (("timeline", "It began, and it **ended**."), ("root cause", "A bad release.")):
            article = page.locator(
                "#document article", has=page.get_by_role("heading", name=name.capitalize())
            )
            article.locator("summary").click()
            article.get_by_role("textbox").fill(text)
            article.get_by_role("button", name=f"Save {name}").click()
            expect(article.locator(".prose")).to_be_visible()
        form = page.locator("#follow-ups > form")
        form.get_by_label("What is to be done").fill("Roll back by itself")
        form.get_by_label("Owner").fill("primary")
        form.get_by_label("Due").fill("2030-01-31")
        form.get_by_role("button", name="Add follow-up").click()
        expect(page.locator("#follow-ups")).to_contain_text("due 31 Jan 2030")
        page.locator("#alerts").get_by_role("button", name=re.compile("^Useful")).first.click()
        expect(page.locator("#alerts")).to_contain_text("useful, says")
        seen.shot("incident-6-document")
        primary(page, "Close the incident")
        expect(page.locator("#incident .state")).to_contain_text("closed")
        expect(page.locator("#next .primary")).to_have_count(0)
        page.goto(f"{where}/document")
        expect(page.locator("article.document")).to_contain_text("A bad release.")
        expect(page.locator("article.document")).to_contain_text("person")
        seen.shot("incident-7-closed")


def test_two_incidents_at_the_same_time_and_two_people(browser: Browser, burning: Site) -> None:
    with (
        looking(browser, burning.link(), "desktop", "dark") as first,
        looking(browser, burning.link("secondary", Role.RESPONDER), "phone", "light") as second,
    ):
        for seen, title in ((first, "Checkout is slow"), (second, "Search finds nothing")):
            seen.page.goto(f"{burning.serving.url}/incidents")
            seen.page.get_by_text("Something is wrong that no alert says").click()
            seen.page.get_by_label("What is broken").fill(title)
            seen.page.get_by_role("button", name="Open an incident").click()
            expect(seen.page.get_by_role("heading", level=1)).to_have_text(title)
        one, other = first.page.url, second.page.url
        assert one != other
        # Both at one incident: whoever comes second reads what the first did, and loses nothing.
        second.page.goto(one)
        second.page.get_by_text("Change title, scope and impact").click()
        second.page.get_by_label("Affected scope").fill("all of checkout")
        first.page.get_by_text("Change title, scope and impact").click()
        first.page.get_by_label("Affected scope").fill("the cart only")
        first.page.locator("#edit-about").get_by_role("button", name="Save").click()
        expect(first.page.locator("#incident")).to_contain_text("the cart only")
        # The other's page follows by itself, but for what is being typed.
        expect(second.page.locator("#timeline")).to_contain_text("described its scope", timeout=15_000)
        second.page.locator("#edit-about").get_by_role("button", name="Save").click()
        expect(second.page.get_by_role("alert")).to_contain_text("was changed meanwhile")
        assert [one for one in second.problems if "409" not in one] == []  # the browser notes the status
        second.problems.clear()
        expect(second.page.get_by_label("Affected scope")).to_have_value("all of checkout")
        second.page.get_by_role("link", name="Back to it").click()
        second.page.locator("#edit-about").get_by_role("button", name="Save").click()
        expect(second.page.locator("#incident")).to_contain_text("all of checkout")
        first.page.goto(f"{burning.serving.url}/incidents")
        expect(first.page.locator("#incidents")).to_contain_text("Search finds nothing")
        first.shot("incidents-two")
        second.page.goto(f"{burning.serving.url}/incidents")
        second.shot("incidents-two")


def test_by_keyboard_and_without_a_script(browser: Browser, burning: Site) -> None:
    with looking(browser, burning.link(), "desktop", "light") as seen:
        page = seen.page
        page.keyboard.press("g")
        page.keyboard.press("i")
        page.wait_for_url(re.compile("/incidents$"))
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile(r"/incidents/\d+$"))
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(burning.link("secondary", Role.RESPONDER))
    page.get_by_role("button", name="Sign in").click()
    page.goto(f"{burning.serving.url}/incidents")
    page.get_by_text("Something is wrong that no alert says").click()
    page.get_by_label("What is broken").fill("Nothing runs scripts")
    page.get_by_role("button", name="Open an incident").click()
    page.locator("#next").get_by_text("SEV-1").click()
    primary(page, "Set severity")
    expect(page.locator("#next > .clock .clock-left")).to_have_text(re.compile(r"\d+:\d\d left"))
    composer = page.locator("form.composer")
    composer.get_by_label("What customers feel").fill("They feel it.")
    composer.get_by_role("button", name="Preview").click()
    expect(page.locator("#preview")).to_contain_text("Customers")
    composer.get_by_role("button", name="Post update").click()
    expect(page.locator("article.update")).to_contain_text("They feel it.")
    context.close()
