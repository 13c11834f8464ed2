"""A small S3 client over aiohttp: path-style requests, signed with AWS Signature Version 4.

Only what the demo needs. Bodies are not hashed (``UNSIGNED-PAYLOAD``): traffic never leaves the machine.
Source of the signature: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator, Mapping
from urllib.parse import quote
from xml.etree import ElementTree

import aiohttp
from yarl import URL

from watchkeeper.demo.errors import DemoError
from watchkeeper.demo.settings import Cluster
from watchkeeper.store.clock import Clock

_UNSIGNED = "UNSIGNED-PAYLOAD"


class S3Error(DemoError):
    """The cluster refused a request; ``status`` is its HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class S3Client:
    """One cluster, spoken to through a shared HTTP session."""

    def __init__(self, session: aiohttp.ClientSession, cluster: Cluster, clock: Clock) -> None:
        self._session = session
        self._cluster = cluster
        self._clock = clock

    async def create_bucket(self, bucket: str) -> None:
        """Create ``bucket``; one that is already ours is fine."""
        await self._request("PUT", f"/{bucket}", accept=(200, 409))

    async def put(self, bucket: str, key: str, body: bytes) -> None:
        """Store an object, replacing the one of that name."""
        await self._request("PUT", f"/{bucket}/{key}", body=body)

    async def get(self, bucket: str, key: str) -> bytes:
        """The bytes of an object."""
        return await self._request("GET", f"/{bucket}/{key}")

    async def delete(self, bucket: str, key: str) -> None:
        """Remove an object; one that is not there is fine."""
        await self._request("DELETE", f"/{bucket}/{key}", accept=(200, 204, 404))

    async def keys(self, bucket: str, prefix: str = "") -> AsyncIterator[tuple[str, int]]:
        """Name and size in bytes of every object below ``prefix``, in the server's order."""
        token = ""
        while True:
            query = {"list-type": "2", "prefix": prefix, "max-keys": "1000"}
            if token:
                query["continuation-token"] = token
            page = ElementTree.fromstring(  # noqa: S314 - the answer of our own server, never a stranger's
                await self._request("GET", f"/{bucket}", query=query)
            )
            space = page.tag.partition("}")[0] + "}" if page.tag.startswith("{") else ""
            for item in page.iter(f"{space}Contents"):
                yield item.findtext(f"{space}Key", ""), int(item.findtext(f"{space}Size", "0"))
            token = page.findtext(f"{space}NextContinuationToken", "")
            if not token:
                return

    async def _request(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        query: Mapping[str, str] | None = None,
        accept: tuple[int, ...] = (200, 204),
    ) -> bytes:
        path = quote(path, safe="/~")
        pairs = "&".join(
            f"{quote(k, safe='~')}={quote(v, safe='~')}" for k, v in sorted((query or {}).items())
        )
        url = URL(f"{self._cluster.endpoint}{path}" + (f"?{pairs}" if pairs else ""), encoded=True)
        moment = self._clock.now().strftime("%Y%m%dT%H%M%SZ")
        headers = sign(
            method, path, pairs, f"127.0.0.1:{self._cluster.s3}", moment, self._cluster, "us-east-1"
        )
        try:
            async with self._session.request(method, url, data=body or None, headers=headers) as response:
                content = await response.read()
                if response.status not in accept:
                    raise S3Error(
                        f"the {self._cluster.name} S3 cluster answered {response.status} to {method} {path}",
                        response.status,
                    )
                return content
        except (aiohttp.ClientError, TimeoutError) as error:
            raise S3Error(
                f"the {self._cluster.name} S3 cluster does not answer {method} {path}: "
                f"{type(error).__name__}",
                0,
            ) from error


def sign(
    method: str, path: str, query: str, host: str, moment: str, cluster: Cluster, region: str
) -> dict[str, str]:
    """The headers of a request made at ``moment`` (``YYYYMMDDTHHMMSSZ``); path and query are encoded."""
    day = moment[:8]
    headers = {"host": host, "x-amz-content-sha256": _UNSIGNED, "x-amz-date": moment}
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    canonical = "\n".join((method, path, query, lines, names, _UNSIGNED))
    scope = f"{day}/{region}/s3/aws4_request"
    text = "\n".join(("AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{cluster.secret_key}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.new(key, text.encode(), "sha256").hexdigest()
    return {
        **headers,
        "Authorization": f"AWS4-HMAC-SHA256 Credential={cluster.access_key}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}",
    }
