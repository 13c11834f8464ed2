"""The demo's TLS certificate, and the measurement of any server's by a handshake."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from watchkeeper.demo.settings import write_private

VALID_DAYS = 90


def create_certificate(directory: Path, now: datetime, valid_days: int = VALID_DAYS) -> None:
    """Write ``certificate.pem`` (self-signed, for 127.0.0.1) and ``key.pem`` into ``directory``."""
    directory.mkdir(mode=0o700, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "treazr.demo")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=valid_days))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(directory / "key.pem", private.decode("ascii"))
    (directory / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


async def shown_certificate(port: int, timeout_seconds: float = 3.0) -> x509.Certificate:
    """The certificate that the server at ``port`` shows. Raises ``OSError`` or ``TimeoutError``.

    Nothing is verified: the question is how long, not whether.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    async with asyncio.timeout(timeout_seconds):
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await writer.wait_closed()
    return x509.load_der_x509_certificate(shown)


def common_name(certificate: x509.Certificate) -> str:
    """The common name of its subject; empty when it has none."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""
