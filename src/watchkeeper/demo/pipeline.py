"""The demo's deploy pipeline, as far as Watchkeeper sees it: it tells of each release over the API.

Always true: its token may tell of changes and nothing else; a release that cannot be told of is still made
(tests/demo/test_pipeline.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import aiohttp

from watchkeeper.demo.releases import BAD, GOOD
from watchkeeper.demo.settings import ENV, REGION

logger = logging.getLogger(__name__)

SERVICE = "treazrisland-backend"
TOKEN_NAME = "demo-pipeline"  # noqa: S105 - the name of a token
_SECONDS = 5.0


class Pipeline:
    """Tells the Watchkeeper at ``url``; nobody, as long as it has no ``token``."""

    def __init__(self, session: aiohttp.ClientSession, url: str, say: Callable[[str], None]) -> None:
        self._session = session
        self._url = url
        self._say = say
        self._deploys = 0
        self.token: str | None = None

    async def moved(self, fault: str, *, broken: bool) -> None:
        """A fault was injected (``broken``) or taken back; the one that is a release is told of."""
        if fault != "api" or self.token is None:
            return
        self._deploys += 1
        title = f"release {BAD.version}, a canary" if broken else f"release {BAD.version} rolled back"
        change = {
            "key": f"demo-deploy-{self._deploys}",
            "kind": "deploy",
            "title": title,
            "service": SERVICE,
            "env": ENV,
            "region": REGION,
            "version": (BAD if broken else GOOD).version,
            "by": "deploy pipeline",
        }
        try:
            async with self._session.post(
                f"{self._url}/api/changes",
                json=change,
                headers={"Authorization": f"Bearer {self.token}"},
                timeout=aiohttp.ClientTimeout(total=_SECONDS),
            ) as answer:
                if answer.status not in (200, 201):
                    self._say(f"Watchkeeper was not told of the release: status {answer.status}")
        except (aiohttp.ClientError, TimeoutError) as error:
            logger.warning("Watchkeeper was not told of the release: %s", type(error).__name__)
            self._say("Watchkeeper was not told of the release; it did not answer")
