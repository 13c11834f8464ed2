"""Fetching: what is sent, what is refused, and the reason for everything that fails. Over real sockets."""

from __future__ import annotations

import asyncio
import base64
import gzip
import ssl
import time
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.fakes.exporter import Exporter, MuteListener, Reply, closed_port, gzipped, redirect
from watchkeeper.monitoring.fetch import ACCEPT_METRICS, Answer, FetchError, HttpFetcher, Request
from watchkeeper.runbook.models.metrics import HttpClient

SECRET = "hunter2-very-secret"


def fetch(
    url: str,
    client: Mapping[str, Any] | None = None,
    *,
    timeout: float = 5.0,
    limit: int = 1 << 20,
    environ: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    base: Path = Path(),
) -> Answer:
    async def run() -> Answer:
        async with HttpFetcher(environ or {}, base) as fetcher:
            model = HttpClient.model_validate(client or {})
            return await fetcher.fetch(Request(url, timeout, limit, model, headers=headers or {}))

    return asyncio.run(run())


def reason(url: str, client: Mapping[str, Any] | None = None, **options: Any) -> str:
    with pytest.raises(FetchError) as caught:
        fetch(url, client, **options)
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value.__context__)
    return str(caught.value)


def test_body_and_content_type_come_back() -> None:
    with Exporter({"/metrics": lambda ask: Reply(b"a 1\n", content_type="text/x")}) as exporter:
        answer = fetch(exporter.url())
    assert answer == Answer(b"a 1\n", "text/x")


def test_request_says_what_prometheus_says() -> None:
    with Exporter({"/metrics": b""}) as exporter:
        fetch(exporter.url() + "?a=b%20c&d", headers={"X-Prometheus-Scrape-Timeout-Seconds": "5"})
        assert exporter.last is not None
        assert exporter.last.query == "a=b%20c&d"
        assert exporter.last.headers["accept"] == ACCEPT_METRICS
        assert exporter.last.headers["accept-encoding"] == "gzip"
        assert exporter.last.headers["user-agent"].startswith("Watchkeeper/")
        assert exporter.last.headers["x-prometheus-scrape-timeout-seconds"] == "5"
        assert "authorization" not in exporter.last.headers


def test_connections_are_kept_alive() -> None:
    async def run(url: str) -> None:
        async with HttpFetcher({}) as fetcher:
            for _ in range(5):
                await fetcher.fetch(Request(url, 5.0, 1000, HttpClient()))

    with Exporter({"/metrics": b"a 1\n"}) as exporter:
        asyncio.run(run(exporter.url()))
        assert exporter.requests["/metrics"] == 5
        assert exporter.connections == 1


def test_gzip_is_unpacked() -> None:
    body = b"a 1\n" * 100_000
    with Exporter({"/metrics": gzipped(body)}) as exporter:
        assert fetch(exporter.url()).body == body


def test_damaged_gzip_is_a_reason() -> None:
    whole = gzip.compress(b"a 1\n" * 1000)
    packed = {"Content-Encoding": "gzip"}
    routes = {
        "/cut": lambda ask: Reply(whole[:-12], headers=packed),
        "/junk": lambda ask: Reply(b"not gzip at all", headers=packed),
        "/other": lambda ask: Reply(zlib.compress(b"a 1\n"), headers={"Content-Encoding": "br"}),
    }
    with Exporter(dict(routes)) as exporter:
        assert "ends too early" in reason(exporter.url("/cut"))
        assert "gzip data is damaged" in reason(exporter.url("/junk"))
        assert "packed as 'br'" in reason(exporter.url("/other"))


def test_a_body_beyond_the_limit_is_cut_off_while_memory_stays_bounded() -> None:
    process = psutil.Process()
    with Exporter() as exporter:
        exporter.routes["/endless"] = exporter.endless(1 << 30)
        before, started = process.memory_info().rss, time.monotonic()
        assert "larger than body_size_limit (8388608 bytes)" in reason(
            exporter.url("/endless"), limit=8 << 20
        )
        assert time.monotonic() - started < 5
        assert process.memory_info().rss - before < 64 << 20


def test_an_announced_length_beyond_the_limit_is_not_even_read() -> None:
    with Exporter({"/metrics": bytes(2_000_000)}) as exporter:
        assert "announced 2000000 bytes" in reason(exporter.url(), limit=1000)
        assert len(fetch(exporter.url(), limit=2_000_000).body) == 2_000_000
        assert len(fetch(exporter.url(), limit=0).body) == 2_000_000


def test_a_decompression_bomb_is_cut_off_while_memory_stays_bounded() -> None:
    bomb = gzip.compress(bytes(512 << 20), 9)
    process = psutil.Process()
    with Exporter({"/metrics": lambda ask: Reply(bomb, headers={"Content-Encoding": "gzip"})}) as exporter:
        before = process.memory_info().rss
        assert "larger than body_size_limit" in reason(exporter.url(), limit=4 << 20)
        assert process.memory_info().rss - before < 64 << 20


def test_a_dripping_target_ends_at_the_timeout() -> None:
    with Exporter() as exporter:
        exporter.routes["/metrics"] = exporter.drip()
        started = time.monotonic()
        assert reason(exporter.url(), timeout=0.4) == "no complete answer within 0.4s (scrape_timeout)"
        assert 0.3 < time.monotonic() - started < 3


def test_a_silent_target_ends_at_the_timeout() -> None:
    with Exporter() as exporter:
        exporter.routes["/metrics"] = exporter.silence()
        assert "no complete answer within 0.2s" in reason(exporter.url(), timeout=0.2)
    with MuteListener() as mute:
        assert "no complete answer" in reason(f"https://{mute.address}/metrics", timeout=0.2)


def test_unreachable_targets_have_a_reason() -> None:
    address = closed_port()
    assert reason(f"http://{address}/metrics") == f"cannot connect to {address}: Connection refused"
    assert "cannot be resolved" in reason("http://no-such-host.invalid/metrics")
    assert "not a valid URL" in reason("http://host:port/metrics")
    with Exporter({"/metrics": b""}) as exporter:
        assert "TLS" in reason(f"https://{exporter.address}/metrics")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, "answered 401 Unauthorized; check its credentials"),
        (404, "answered 404 Not Found; check metrics_path"),
        (500, "answered 500 Internal Server Error"),
        (204, "answered 204 No Content"),
    ],
)
def test_any_status_but_200_is_a_reason(status: int, expected: str) -> None:
    with Exporter({"/metrics": lambda ask: Reply(status=status)}) as exporter:
        assert expected in reason(exporter.url())


def test_redirects_are_followed_unless_told_otherwise() -> None:
    routes: dict[str, Any] = {"/metrics": redirect("/real"), "/real": b"a 1\n", "/loop": redirect("/loop")}
    with Exporter(routes) as exporter:
        assert fetch(exporter.url()).body == b"a 1\n"
        assert "follow_redirects is off" in reason(exporter.url(), {"follow_redirects": False})
        assert "redirects in a circle" in reason(exporter.url("/loop"))


def test_credentials_are_sent_and_not_carried_to_another_server(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{SECRET}\n")
    bearer = {"authorization": {"credentials": {"env": "TOKEN"}}}
    from_file = {"authorization": {"type": "Token", "credentials_file": str(tmp_path / "token")}}
    basic = {"basic_auth": {"username": "me", "password": {"file": str(tmp_path / "token")}}}
    with Exporter({"/metrics": b""}) as other, Exporter({"/metrics": b""}) as exporter:
        for client, expected in (
            (bearer, f"Bearer {SECRET}"),
            (from_file, f"Token {SECRET}"),
            (basic, "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()),
        ):
            fetch(exporter.url(), client, environ={"TOKEN": SECRET})
            assert exporter.last is not None
            assert exporter.last.headers["authorization"] == expected
        exporter.routes["/away"] = redirect(other.url())
        fetch(exporter.url("/away"), bearer, environ={"TOKEN": SECRET})
        assert other.last is not None
        assert "authorization" not in other.last.headers


def test_missing_or_unusable_credentials_name_the_place_and_nothing_else(tmp_path: Path) -> None:
    client = {"authorization": {"credentials": {"env": "TOKEN"}}}
    with Exporter({"/metrics": lambda ask: Reply(status=401)}) as exporter:
        assert "environment variable TOKEN is empty or not set" in reason(exporter.url(), client)
        assert exporter.requests["/metrics"] == 0
        reason(exporter.url(), client, environ={"TOKEN": SECRET})
        broken = reason(exporter.url(), client, environ={"TOKEN": f"{SECRET}\r\nX-Evil: 1"})
        assert "characters no header may have" in broken
        absent = {"authorization": {"credentials_file": str(tmp_path / "absent")}}
        assert "cannot read the secret in file" in reason(exporter.url(), absent)


def test_nothing_secret_is_in_the_repr_of_a_request() -> None:
    request = Request(f"http://h/?token={SECRET}", 1.0, 1, HttpClient())
    assert SECRET not in repr(request)


# -- TLS -----------------------------------------------------------------------------------------


class Authority:
    """A certificate authority that issues to files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self._cert = self._build(self._name, self._key.public_key(), None)
        self.file = folder / "ca.pem"
        self.file.write_bytes(self._cert.public_bytes(serialization.Encoding.PEM))

    def _build(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, san: str | None) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=san is None, path_length=None), critical=True)
        )
        if san is not None:
            address: x509.GeneralName
            try:
                address = x509.IPAddress(ip_address(san))
            except ValueError:
                address = x509.DNSName(san)
            builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def issue(self, name: str) -> tuple[Path, Path]:
        """Certificate and key files for ``name``."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        cert = self._build(subject, key.public_key(), name)
        files = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        files[0].write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return files

    def server(self, name: str, *, ask_client: bool = False) -> ssl.SSLContext:
        """A server's settings with a certificate for ``name``."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(name))
        if ask_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.file)
        return context


def test_tls_trusts_whom_it_is_told_to(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with Exporter({"/metrics": b"a 1\n"}, authority.server("127.0.0.1")) as exporter:
        assert "not trusted" in reason(exporter.url())
        assert fetch(exporter.url(), {"tls_config": {"ca_file": "ca.pem"}}, base=tmp_path).body == b"a 1\n"
        assert fetch(exporter.url(), {"tls_config": {"insecure_skip_verify": True}}).body == b"a 1\n"
        assert "is not there" in reason(exporter.url(), {"tls_config": {"ca_file": "absent.pem"}})
        (tmp_path / "bad.pem").write_text("junk")
        assert "cannot be used" in reason(
            exporter.url(), {"tls_config": {"ca_file": "bad.pem"}}, base=tmp_path
        )


def test_tls_checks_the_name_that_it_is_told(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    trust = {"ca_file": str(authority.file)}
    with Exporter({"/metrics": b"a 1\n"}, authority.server("api.internal")) as exporter:
        assert "not trusted" in reason(exporter.url(), {"tls_config": trust})
        named = {"tls_config": {**trust, "server_name": "api.internal"}}
        assert fetch(exporter.url(), named).body == b"a 1\n"


def test_tls_shows_a_client_certificate_and_notices_a_new_one(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    trust = {"ca_file": str(authority.file)}
    cert, key = authority.issue("client")
    with Exporter({"/metrics": b"a 1\n"}, authority.server("127.0.0.1", ask_client=True)) as exporter:
        reason(exporter.url(), {"tls_config": trust})
        mine = {"tls_config": {**trust, "cert_file": str(cert), "key_file": str(key)}}
        assert fetch(exporter.url(), mine).body == b"a 1\n"

        async def replaced() -> None:
            async with HttpFetcher({}) as fetcher:
                request = Request(exporter.url(), 5.0, 1000, HttpClient.model_validate(mine))
                await fetcher.fetch(request)
                first = fetcher._contexts[request.client.tls_config]  # type: ignore[index]
                await fetcher.fetch(request)
                assert fetcher._contexts[request.client.tls_config] is first  # type: ignore[index]
                authority.issue("client")
                await fetcher.fetch(request)
                assert fetcher._contexts[request.client.tls_config] is not first  # type: ignore[index]

        asyncio.run(replaced())
