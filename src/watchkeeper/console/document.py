"""``/runbook``: the runbook in force as a page, so that the link in an alert leads somewhere.

Plain HTML without scripts; it reads on a phone and in both colour schemes. Always true: markup comes from the
rendered Markdown alone, and raw HTML in it is limited to the anchors that alerts link to
(tests/console/test_document.py).
"""

from __future__ import annotations

import asyncio
import html
import json
import re
from dataclasses import dataclass

from fastapi import APIRouter, Response
from markdown_it import MarkdownIt

from watchkeeper.app.wire import WireError
from watchkeeper.console.roles import Roles

ASK_SECONDS = 10.0
_ANCHOR = re.compile(r"&lt;a id=&quot;([A-Za-z0-9_.-]+)&quot;&gt;&lt;/a&gt;")
_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem; }
h1, h2, h3 { line-height: 1.25; margin: 2rem 0 .5rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { border: 1px solid color-mix(in srgb, currentColor 25%, transparent); padding: .5rem; }
th, td { text-align: left; vertical-align: top; min-width: 9rem; }
code, pre { font: .9em ui-monospace, monospace; }
pre { overflow-x: auto; padding: .75rem; background: color-mix(in srgb, currentColor 8%, transparent); }
a[id] { scroll-margin-top: 1rem; }
:target { background: color-mix(in srgb, gold 40%, transparent); }
"""
_PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>'
    '<link rel="stylesheet" href="/runbook.css"><main>{body}</main></html>'
)
_POLICY = "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


def page(title: str, markdown: str) -> str:
    """The rendered runbook as a whole HTML page. Whatever the Markdown holds, no script runs."""
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    return _PAGE.format(title=html.escape(title), body=_ANCHOR.sub(r'<a id="\1"></a>', body))


@dataclass(frozen=True, slots=True)
class _Shown:
    """A page and the digest of its runbook: rendering takes a while, and runbooks change rarely."""

    digest: str
    page: str


def router(roles: Roles) -> APIRouter:
    """The page, its style sheet, and the way there."""
    routes = APIRouter(include_in_schema=False)
    shown = _Shown("", "")

    @routes.get("/")
    async def home() -> Response:
        return Response(status_code=307, headers={"Location": "/runbook"})

    @routes.get("/runbook")
    async def runbook() -> Response:
        nonlocal shown
        known = shown
        try:
            document = json.loads(await roles.watch("runbook", {"known": known.digest}, ASK_SECONDS))
        except WireError as error:
            text = f"The runbook cannot be shown now: {error}\n"
            return Response(text, status_code=503, media_type="text/plain")
        if document["digest"] != known.digest:
            title = f"{document['platform']} · Operations Runbook"
            content = await asyncio.to_thread(page, title, document["markdown"])
            shown = known = _Shown(document["digest"], content)
        return Response(known.page, media_type="text/html", headers={"Content-Security-Policy": _POLICY})

    @routes.get("/runbook.css")
    async def style() -> Response:
        return Response(_STYLE, media_type="text/css", headers={"Cache-Control": "max-age=3600"})

    return routes
