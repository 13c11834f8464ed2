"""The links of alerts: whether each leads to a playbook that is there. Looked at by the job ``link-check``.

Always true: nothing is asked of an address that is neither this machine nor Watchkeeper's own, and what was
not looked at is *unknown*, never *met* (tests/monitoring/test_links.py).
"""

from __future__ import annotations

import http.client
import ipaddress
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urlsplit

from watchkeeper.monitoring.clauses import LISTED, Standing
from watchkeeper.monitoring.compile import Compiled, compile_runbook
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.runbook.rendering import render

CLAUSE = "monitoring.hygiene.links"
TIMEOUT_SECONDS = 10.0
MAX_PAGE_BYTES = 8 << 20
_ANCHOR = re.compile(r"""\s(?:id|name)=["']?([^"'\s>]+)""")

Page = frozenset[str] | str
"""The anchors of a page that is there, or why there is none."""


def check(runbook: Runbook, external_url: str, ask: Callable[[str], Page]) -> Standing:
    """Follow the link of every alert of ``runbook``; ``external_url`` is where Watchkeeper itself is reached.

    ``ask`` fetches one page; it is called for addresses of this machine and below ``external_url`` only.
    """
    base = external_url.rstrip("/")
    compiled = compile_runbook(runbook, base)
    url = runbook.monitoring.hygiene.runbook_url
    own = f"{base}{url}" if url.startswith("/") else url
    pages: dict[str, Page] = {}
    for place in sorted(_places(compiled)):
        if place == own and (url.startswith("/") or _below(place, base)):
            pages[place] = frozenset(_ANCHOR.findall(render(runbook)))
        elif _below(place, base) or is_loopback(place):
            pages[place] = ask(place)
    return judge(compiled, pages)


def judge(compiled: Compiled, pages: Mapping[str, Page]) -> Standing:
    """How the clause stands, by what was seen; a place that is not in ``pages`` was not looked at."""
    broken: list[str] = []
    unseen: dict[str, int] = {}
    for rule in compiled.rules:
        place, _, anchor = dict(rule.annotations).get("runbook_url", "").partition("#")
        page = pages.get(place)
        if not place:
            broken.append(f"{rule.name} has no link")
        elif page is None:
            unseen[place] = unseen.get(place, 0) + 1
        elif isinstance(page, str):
            broken.append(f"{rule.name}: {page}")
        elif anchor and anchor not in page:
            broken.append(f"{rule.name}: there is no #{anchor}")
    rules = len(compiled.rules)
    if broken:
        facts = {"broken": broken[:LISTED], "count": len(broken), "rules": rules}
        return Standing("missed", f"{len(broken)} alert(s) link to nothing: {broken[0]}", facts)
    if unseen:
        facts = {"not_looked_at": sorted(unseen)[:LISTED], "count": sum(unseen.values()), "rules": rules}
        first = min(unseen)
        return Standing(
            "unknown", f"{sum(unseen.values())} alert(s) link to {first}, which was not looked at", facts
        )
    return Standing("met", f"the links of {rules} alerts lead somewhere", {"rules": rules})


def fetch_page(url: str) -> Page:
    """The page at ``url``, over HTTP; redirects are not followed, and a proxy is not used."""

    class NoRedirects(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: object, **__: object) -> None:
            return None

    opener = urllib.request.build_opener(NoRedirects, urllib.request.ProxyHandler({}))
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "Watchkeeper"})  # noqa: S310 - http or https: see _host
        with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
            text = answer.read(MAX_PAGE_BYTES).decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        with error:
            return f"{url} answered {error.code}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        return f"{url} cannot be read ({getattr(error, 'reason', error)})"
    return frozenset(_ANCHOR.findall(text))


def is_loopback(url: str) -> bool:
    """Whether ``url`` is an http or https address of this very machine."""
    host = _host(url)
    if host is None:
        return False
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _below(url: str, base: str) -> bool:
    return bool(base) and _host(url) is not None and (url == base or url.startswith(f"{base}/"))


def _host(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        return parts.hostname if parts.scheme in ("http", "https") else None
    except ValueError:
        return None


def _places(compiled: Compiled) -> Iterable[str]:
    return {
        place
        for rule in compiled.rules
        if (place := dict(rule.annotations).get("runbook_url", "").partition("#")[0])
    }
