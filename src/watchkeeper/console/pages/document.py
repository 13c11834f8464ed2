"""``/runbook``: the runbook in force as a document, so that the link in an alert leads to the very line.

Always true: markup comes from the rendered Markdown alone, and raw HTML in it is limited to the anchors that
alerts link to (tests/console/test_document.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from markdown_it import MarkdownIt
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool

from watchkeeper.console.console import Console
from watchkeeper.console.gate import Reader
from watchkeeper.console.policy import Policy
from watchkeeper.runbook.rendering import render

_ANCHOR = re.compile(r"&lt;a id=&quot;([A-Za-z0-9_.-]+)&quot;&gt;&lt;/a&gt;")


def body(markdown: str) -> Markup:
    """The rendered runbook as HTML. Whatever the Markdown holds, no script runs."""
    html = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    for tag in ("table", "pre"):  # on a phone they scroll, also by keyboard
        html = html.replace(f"<{tag}>", f'<{tag} tabindex="0">')
    return Markup(_ANCHOR.sub(r'<a id="\1"></a>', html))  # noqa: S704 - MarkdownIt escapes what is HTML


@dataclass(frozen=True, slots=True)
class _Shown:
    """A document and the digest of its runbook: rendering takes a while, and runbooks change rarely."""

    digest: str
    body: Markup


def router(console: Console) -> APIRouter:
    """``/runbook``."""
    routes = APIRouter(include_in_schema=False)
    shown = _Shown("", Markup(""))

    def made(policy: Policy) -> _Shown:
        return _Shown(policy.digest, body(render(policy.runbook)))

    @routes.get("/runbook")
    async def runbook(request: Request, identity: Reader) -> Response:
        nonlocal shown
        picture = await console.pictures.now()
        if picture.policy is not None and picture.policy.digest != shown.digest:
            shown = await run_in_threadpool(made, picture.policy)
        known = shown if picture.policy is not None else _Shown("", Markup(""))
        return await console.page(request, identity, "document.html", picture=picture, body=known.body)

    return routes
