"""An alert as somebody woken sees it, and a question typed with the keyboard, in a real browser."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Site
from tests.browser.looking import SCHEMES, WIDTHS, ColorScheme, looking


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_an_alert_is_read_out_under_the_pointer(
    browser: Browser, site: Site, width: str, scheme: ColorScheme
) -> None:
    with looking(browser, site.link(), width, scheme) as seen:
        page = seen.page
        page.goto(f"{site.serving.url}/alerts?state=firing")
        page.locator(".alert-row .says a").first.click()
        page.wait_for_url(re.compile(r"/alerts/[0-9a-f]+$"))
        curves = page.locator("svg.curves")
        curves.scroll_into_view_if_needed()
        box = curves.bounding_box()
        assert box is not None
        curves.hover(position={"x": box["width"] / 2, "y": box["height"] / 2})
        expect(page.locator("line.cross")).not_to_have_attribute("visibility", "hidden")
        expect(page.locator("[data-readout]")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d UTC"))
        letters = page.evaluate(
            "Math.min(...[...document.querySelectorAll('svg.words text')]"
            ".map((one) => one.getBoundingClientRect()).filter((box) => box.width).map((box) => box.height))"
        )
        assert letters >= 11, "words of the chart are too small to be read"
        seen.shot("full-alert")
        seen.accessible("one alert")


def test_names_are_completed_from_the_keyboard(browser: Browser, site: Site) -> None:
    with looking(browser, site.link(), "desktop", "light") as seen:
        page = seen.page
        page.goto(f"{site.serving.url}/explore")
        box = page.get_by_role("combobox", name=re.compile("^Question"))
        box.press_sequentially("sum(rate(http_requests_to")
        fitting = page.get_by_role("listbox", name="Names that fit").get_by_role("option")
        expect(fitting).to_have_text(re.compile("^http_requests_total"))
        expect(box).to_have_attribute("aria-expanded", "true")
        box.press("ArrowDown")
        expect(box).to_have_attribute("aria-activedescendant", "completion-0")
        seen.shot("full-completion")
        seen.accessible("completion")
        box.press("Enter")
        expect(box).to_have_value("sum(rate(http_requests_total")
        box.press_sequentially("[1m])) by (stat")
        box.press("Escape")
        expect(page.locator("#completions")).to_be_hidden()
        box.press_sequentially("us")
        box.press("ArrowDown")
        box.press("Enter")
        box.press_sequentially(")")
        box.press("Control+Enter")
        page.wait_for_url(re.compile(r"query=sum"))
        expect(page.locator("table").last).to_contain_text("status=200")
