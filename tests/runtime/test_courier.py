"""The way to a receiver: to checked addresses alone, by the name's certificate, with limits, keeping nothing."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app_core import webhooks
from app_core.errors import Invalid
from app_core.ports import Message, Receipt, Trouble
from runtime import webhook_line
from runtime.courier import HttpCourier
from tests.webhooks import receiving

NAME = "hooks.example.com"
LOCAL, PUBLIC = "http://127.0.0.1:8000", "https://scim.example.com"


def a_message() -> Message:
    return Message("event-1", b'{"type":"team.created","data":{"id":"event-1"}}', [webhooks.new_secret()])


def request_on(line: socket.socket) -> bytes:
    """Read a request to its end: a connection that is closed with something unread is broken off, not closed."""
    read = b""
    while not read.endswith(a_message().body):
        part = line.recv(65536)
        if not part:
            break
        read += part
    return read


def sent(courier: HttpCourier, url: str, message: Message | None = None) -> Receipt:
    return asyncio.run(courier.send(url, message or a_message()))


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What names lead to, in place of the resolver of this machine."""
    known: dict[str, list[str]] = {}
    look_up = socket.getaddrinfo

    def found(host: Any, *arguments: Any, **named: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in known:
            return look_up(host, *arguments, **named)
        return [each for address in known[name] for each in look_up(address, *arguments, **named)]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    return known


@pytest.mark.parametrize(
    "addresses",
    [["10.1.2.3"], ["127.0.0.1"], ["93.184.216.34", "192.168.0.1"], ["fd00::1"], ["::ffff:169.254.169.254"], ["::1"]],
)
def test_a_name_that_leads_into_a_private_network_is_refused(names: dict[str, list[str]], addresses: list[str]) -> None:
    """When it is entered, and each time that it is sent to: a name may lead elsewhere by then. One address is enough."""
    names[NAME] = ["93.184.216.34"]
    courier = HttpCourier(PUBLIC)
    entered = asyncio.run(courier.check(f"https://{NAME}/hooks"))
    names[NAME] = addresses
    with pytest.raises(Invalid, match="private network"):
        asyncio.run(courier.check(entered))

    receipt = sent(courier, entered)

    assert (Trouble.PRIVATE_HOST, None) == (receipt.trouble, receipt.status)


def test_a_name_is_looked_up_once_and_the_connection_goes_there(names: dict[str, list[str]]) -> None:
    """The receiver sees its name; that the name leads elsewhere a moment later changes nothing."""
    names[NAME] = ["127.0.0.1"]
    courier = HttpCourier(LOCAL)
    with receiving() as receiver:
        url = receiver.url.replace("127.0.0.1", NAME)

        async def twice() -> list[Receipt]:
            async with courier.line(url) as line:
                first = await line.send(a_message())
                names[NAME] = ["10.0.0.1"]
                return [first, await line.send(a_message())]

        receipts = asyncio.run(twice())

    assert [(None, 204)] * 2 == [(each.trouble, each.status) for each in receipts]
    assert {f"{NAME}:{url.rpartition(':')[2].removesuffix('/hooks')}"} == {
        each.headers["host"] for each in receiver.arrived
    }


def test_the_next_address_is_tried_where_nobody_listens(names: dict[str, list[str]]) -> None:
    """A host with an address that does not answer is reached by its other one."""
    names[NAME] = ["127.0.0.2", "127.0.0.1"]
    with receiving() as receiver:
        receipt = sent(HttpCourier(LOCAL), receiver.url.replace("127.0.0.1", NAME))

    assert (None, 1) == (receipt.trouble, len(receiver.arrived))


# Certificates ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def over_tls(arrived: list[bytes], folder: Path, name: str) -> Iterator[tuple[str, ssl.SSLContext]]:
    """Take TLS with a certificate for a name and keep what arrives; give the address, and whom to trust for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "both.pem").write_bytes(private + pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    trust = ssl.create_default_context(cadata=pem.decode())
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    raw, _ = listener.accept()
                    with contextlib.suppress(OSError), context.wrap_socket(raw, server_side=True) as line:
                        arrived.append(request_on(line))
                        line.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        yield f"https://{NAME}:{listener.getsockname()[1]}/hooks", trust


@pytest.mark.parametrize(
    ("name", "known", "trouble"),
    [
        (NAME, True, None),
        ("other.example.com", True, Trouble.CERTIFICATE),
        (NAME, False, Trouble.CERTIFICATE),
        ("127.0.0.1", True, Trouble.CERTIFICATE),
    ],
)
def test_the_certificate_must_be_of_the_name(
    names: dict[str, list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    known: bool,
    trouble: Trouble | None,
) -> None:
    """Not of the address that the connection goes to, nor of another name, and of somebody whom we trust."""
    names[NAME] = ["127.0.0.1"]
    arrived: list[bytes] = []
    with over_tls(arrived, tmp_path, name) as (url, trust):
        if known:
            monkeypatch.setattr(webhook_line, "new_trust", lambda: trust)

        receipt = sent(HttpCourier(LOCAL), url)

    assert trouble == receipt.trouble
    assert (1 if trouble is None else 0) == len(arrived)


# Limits ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "trouble", "status"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n" + b"x" * 100_000, None, 200),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"fff\r\n" + b"x" * 4095 + b"\r\n" * 1, None, 200),
        (b"", Trouble.UNREACHABLE, None),
        (b"what is this?\r\n\r\n", Trouble.UNREACHABLE, None),
        (b"HTTP/1.1 204 No Content\r\n" + b"x: y\r\n" * 100_000, Trouble.UNREACHABLE, None),
    ],
    ids=["a large body", "a body without end", "nothing", "no HTTP", "endless headers"],
)
def test_an_answer_is_read_no_further_than_needed(
    monkeypatch: pytest.MonkeyPatch, answer: bytes, trouble: Trouble | None, status: int | None
) -> None:
    """A few kilobytes of a body, and what is no answer is a failure with its reason."""
    monkeypatch.setattr(webhook_line, "SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                line, _ = listener.accept()
                with line:
                    request_on(line)
                    line.sendall(answer)
                    if answer.endswith(b"x\r\n"):
                        line.sendall((b"fff\r\n" + b"x" * 4095 + b"\r\n") * 4)
                        line.recv(1)

        threading.Thread(target=serve, daemon=True).start()
        receipt = sent(HttpCourier(LOCAL), f"http://127.0.0.1:{listener.getsockname()[1]}/")

    assert (trouble, status) == (receipt.trouble, receipt.status)


def test_who_does_not_answer_in_time_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit counts for everything together."""
    monkeypatch.setattr(webhook_line, "SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        receipt = sent(HttpCourier(LOCAL), f"http://127.0.0.1:{listener.getsockname()[1]}/")

    assert Trouble.TIMEOUT == receipt.trouble


def test_nothing_of_an_address_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """It may hold what only the receiver is to know, at whatever level."""
    with caplog.at_level(logging.DEBUG), receiving() as receiver:
        sent(HttpCourier(LOCAL), f"{receiver.url}/token-a1b2?key=c3d4")

    assert 1 == len(receiver.arrived)
    assert "a1b2" not in caplog.text
    assert "c3d4" not in caplog.text


def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would decide where the connection goes."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with receiving() as receiver:
        receipt = sent(HttpCourier(LOCAL), receiver.url)

    assert (None, 204) == (receipt.trouble, receipt.status)
