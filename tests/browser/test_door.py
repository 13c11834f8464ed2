"""The pages before anybody is signed in, and those that refuse."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from tests.browser.conftest import SCREENSHOTS, Site
from tests.browser.looking import SCHEMES, WIDTHS, ColorScheme
from watchkeeper.access.links import first_admin
from watchkeeper.store.clock import SystemClock
from watchkeeper.store.database import open_existing


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_way_in(browser: Browser, site: Site, width: str, scheme: ColorScheme) -> None:
    context = browser.new_context(viewport=WIDTHS[width], color_scheme=scheme)
    page = context.new_page()
    name = f"{width}-{scheme}"

    def seen(what: str) -> None:
        page.screenshot(path=SCREENSHOTS / f"{what}-{name}.png", full_page=True)
        found = Axe().run(page).response["violations"]
        assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []

    page.goto(f"{site.serving.url}/alerts?state=firing#first")
    assert page.url.endswith("/sign-in?next=%2Falerts%3Fstate%3Dfiring#first")
    seen("sign-in")
    page.get_by_label("Name").fill("nobody")
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Sign in").click()
    assert "The name or the password is wrong." in page.content()
    seen("sign-in-refused")
    page.goto(f"{site.serving.url}/sign-in/link/{'A' * 43}")
    assert "This link was used" in page.content()
    page.goto(site.link())
    seen("sign-in-link")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(re.compile(r"/$"))
    page.goto(f"{site.serving.url}/nowhere")
    assert "nothing answers at /nowhere" in page.content()
    seen("refused")
    context.close()


def test_the_first_account(browser: Browser, empty: Site) -> None:
    with open_existing(empty.serving.data, write=True) as store:
        token = first_admin(store, SystemClock())
    if token is None:
        pytest.skip("the other tests made an administrator here first")
    page = browser.new_page(viewport=WIDTHS["phone"])
    page.goto(f"{empty.serving.url}/sign-in/link/{token}")
    page.screenshot(path=SCREENSHOTS / "first-account-phone-light.png", full_page=True)
    page.get_by_label("Name to sign in with").fill("ada")
    page.get_by_label("Your name, for people").fill("Ada Lovelace")
    page.get_by_label("Password").fill("a password of some length")
    page.get_by_role("button", name="Make the account and sign in").click()
    page.wait_for_url(re.compile(r"/$"))
    assert "Ada Lovelace" in page.content()
    page.close()
