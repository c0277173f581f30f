"""Which hubs are trusted, and that nobody waits for certificates in vain."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import certifi
import pytest
from answering import send, serving

import freebits
from freebits.blob_http import BlobTransport
from freebits.certificates import Certificates
from freebits.errors import TransportError
from freebits.retry import Retry


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that only the test trusts."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subprocess.run(
        [*command, "-days", "2", *name, "-keyout", path, "-out", path.with_suffix(".crt")],
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + path.with_suffix(".crt").read_text())
    return path


def answer(handler: BaseHTTPRequestHandler) -> None:
    """Who one is, to JSON clients; six bytes, to others."""
    is_json = handler.path.endswith("/whoami")
    send(handler, 200, b'{"name": "ada", "role": "user"}' if is_json else b"secure")


@pytest.fixture(scope="module")
def https(certificate: Path) -> Iterator[str]:
    """The address of a server with that certificate."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    with serving(answer, server) as endpoint:
        yield endpoint


def by_hub(endpoint: str) -> None:
    """The JSON client."""
    with freebits.Hub(endpoint, "secret", retries=0) as hub:
        assert hub.whoami().name == "ada"


def by_async_hub(endpoint: str) -> None:
    """The asynchronous JSON client."""

    async def talk() -> None:
        async with freebits.AsyncHub(endpoint, "secret", retries=0) as hub:
            assert (await hub.whoami()).name == "ada"

    asyncio.run(talk())


def by_blobs(endpoint: str) -> None:
    """The client for blobs."""
    with closing(BlobTransport(endpoint, "secret", Retry(0), 5.0, Certificates())) as blobs:
        assert bytes(blobs.get_range("/x", {}, 0, 6).body) == b"secure"


@pytest.fixture(autouse=True)
def no_certificates_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test names its own."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)


Way = Callable[[str], None]
every_way = pytest.mark.parametrize("talk", [by_hub, by_async_hub, by_blobs])


@every_way
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_certificates_of_the_environment_are_trusted(
    https: str, certificate: Path, variable: str, talk: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of them, or a folder as OpenSSL wants it."""
    path = certificate.with_suffix(".crt")
    if variable == "SSL_CERT_DIR":
        subprocess.run(["openssl", "rehash", path.parent], check=True, capture_output=True)
    monkeypatch.setenv(variable, str(path if variable == "SSL_CERT_FILE" else path.parent))
    talk(https)


@every_way
def test_an_unknown_certificate_is_refused(https: str, talk: Way) -> None:
    """Nobody vouches for it."""
    with pytest.raises(TransportError, match="certificate"):
        talk(https)


@every_way
def test_another_name_is_refused(https: str, certificate: Path, talk: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trusted certificate of another host does not do."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.with_suffix(".crt")))
    with pytest.raises(TransportError, match="certificate"):
        talk(https.replace("localhost", "127.0.0.1"))


@every_way
def test_a_hub_without_tls_waits_for_no_certificates(talk: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading them would raise here."""
    monkeypatch.setattr(certifi, "where", lambda: "/nonexistent")
    with serving(answer) as endpoint:
        talk(endpoint)
