"""The pictures in the README: a real demo, broken for real, seen in the console and in ``watchkeeper top``.

``python -m tests.screenshot DIRECTORY`` starts the demo, breaks the API, waits for the page, and takes
``console.png``, ``alert.png``, ``phone.png`` and ``top.svg``.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright
from rich.console import Console

from tests.browser.conftest import CHROMIUM
from watchkeeper.app.wire import WireError, ask_blocking
from watchkeeper.cli.terminal import render
from watchkeeper.demo.children import free_ports

WIDTH, HEIGHT = 138, 46
TEMPLATE = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" class="rich-terminal">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
.{unique_id}-title {{ font-size: 18px; font-family: system-ui, sans-serif; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">{matrix}</g>
</g>
</svg>
"""
"""As Rich's own, but without fonts from other hosts."""
WARM_UP_SECONDS = 90
PAGE_SECONDS = 120


def overview(data: Path) -> dict[str, Any] | None:
    """What the running demo shows; None while it does not answer."""
    try:
        document: dict[str, Any] = json.loads(ask_blocking(data / "watch.sock", "overview", {}, 5))
    except WireError:
        return None
    return document


def draw(document: dict[str, Any], path: Path) -> None:
    """Write the view of ``document`` as SVG."""
    with Path("/dev/null").open("w") as nowhere:
        console = Console(record=True, width=WIDTH, height=HEIGHT, file=nowhere, color_system="truecolor")
        console.print(render(document, WIDTH, HEIGHT))
    path.parent.mkdir(parents=True, exist_ok=True)
    console.save_svg(str(path), title="watchkeeper top", code_format=TEMPLATE, unique_id="top")


def photograph(link: str, folder: Path) -> None:
    """The console as whoever is on call finds it: home, the alert, and home on a phone at night."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light")
        page = context.new_page()
        page.goto(link)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/")
        page.screenshot(path=folder / "console.png")
        page.locator(".banner.is-page a").first.click()
        page.wait_for_url("**/alerts/*")
        page.screenshot(path=folder / "alert.png")
        phone = browser.new_context(
            viewport={"width": 390, "height": 780},
            color_scheme="dark",
            storage_state=context.storage_state(),
        ).new_page()
        phone.goto(page.url)
        phone.screenshot(path=folder / "phone.png")
        browser.close()


def main(folder: Path) -> None:
    """Run the demo until a page fires, and take the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_ports(1)[0]
    with tempfile.TemporaryDirectory() as home:
        Path(home).chmod(0o755)  # as root, PostgreSQL runs as somebody else
        command = [sys.executable, "-m", "watchkeeper.cli.main", "demo"]
        place, data = ["--dir", f"{home}/demo"], Path(home, "demo", "data")
        said = Path(home, "said")
        with said.open("wb") as out:
            begin = [*command, "start", "--no-top", "--listen", f"127.0.0.1:{port}", *place]
            demo = subprocess.Popen(begin, stdout=out)
        try:
            _until(lambda: overview(data) is not None, 60)
            time.sleep(WARM_UP_SECONDS)
            subprocess.run([*command, "break", "api", *place], check=True)
            _until(lambda: _paged(overview(data)), PAGE_SECONDS)
            time.sleep(15)
            document = overview(data)
            assert document is not None
            draw(document, folder / "top.svg")
            link = re.search(r"http://\S+/sign-in/link/\S+", said.read_text())
            assert link is not None
            photograph(link.group(0), folder)
        finally:
            demo.terminate()
            demo.wait(60)


def _paged(document: dict[str, Any] | None) -> bool:
    sent = document["deliveries"] if document else []
    return any(one["state"] == "delivered" and one["severity"] == "page" for one in sent)


def _until(condition: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("it did not happen in time")
        time.sleep(0.5)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
