"""The picture in the README: a real demo, broken for real, seen through ``watchkeeper top``.

``python -m tests.screenshot FILE.svg`` starts the demo, breaks the API, waits for the page, and draws.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console

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


def main(path: Path) -> None:
    """Run the demo until a page fires, and draw it."""
    port = free_ports(1)[0]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # as root, PostgreSQL runs as somebody else
        command = [sys.executable, "-m", "watchkeeper.cli.main", "demo"]
        place, data = ["--dir", f"{folder}/demo"], Path(folder, "demo", "data")
        demo = subprocess.Popen([*command, "start", "--no-top", "--listen", f"127.0.0.1:{port}", *place])
        try:
            _until(lambda: overview(data) is not None, 60)
            time.sleep(WARM_UP_SECONDS)
            subprocess.run([*command, "break", "api", *place], check=True)
            _until(lambda: _paged(overview(data)), PAGE_SECONDS)
            time.sleep(15)
            document = overview(data)
            assert document is not None
            draw(document, path)
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
