"""The settings of Graph, the login and the application: what is wrong is refused at the start, by name."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from app_core.sealing import Sealer, keys_of
from graph_fallback.tokens import ClientCertificate
from runtime.settings import PREFIX, WrongSetting, load
from tests.graph_fallback.test_tokens import a_certificate

CLIENT = "6f0b0a4e-1d4e-4a86-9c0e-0c6a1e7c1a11"


def refused(**given: str) -> str:
    with pytest.raises(WrongSetting) as wrong:
        load({f"{PREFIX}{name.upper()}": value for name, value in given.items()})
    return str(wrong.value)


def taken(**given: str) -> None:
    load({f"{PREFIX}{name.upper()}": value for name, value in given.items()})


@pytest.mark.parametrize(
    "url",
    [
        "https://graph.microsoft.com",
        "https://graph.microsoft.com/",
        "http://127.0.0.1:9000",
        "http://127.0.0.2:9000",
        "http://localhost:9000/graph",
        "http://[::1]:9000",
        "https://localhost:9000",
    ],
)
def test_addresses_of_graph(url: str) -> None:
    """https, or plain http to this machine; there a simulator may stand below a path."""
    taken(graph_url=url)


@pytest.mark.parametrize("name", ["graph_url", "login_url"])
@pytest.mark.parametrize(
    "url",
    [
        "graph.microsoft.com",
        "http://graph.example.com",
        "http://10.0.0.1",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "ftp://localhost",
        "https://graph.microsoft.com/v1.0",
        "https://login.example/common",
        "https://me:hunter2@graph.example.com",
        "https://x?y=z",
        "https://x#y",
        "https://",
        "http://127.0.0.1:0",
    ],
)
def test_wrong_addresses(name: str, url: str) -> None:
    """Plain http to another machine would show our secret to everybody on the way."""
    text = refused(**{name: url})

    assert text.startswith(f"{PREFIX}{name.upper()}: expected ")
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("graph", "login", "wrong"),
    [
        ("https://graph.microsoft.us", "https://login.microsoftonline.us", False),
        ("https://dod-graph.microsoft.us", "https://login.microsoftonline.us", False),
        ("https://microsoftgraph.chinacloudapi.cn", "https://login.partner.microsoftonline.cn", False),
        ("https://graph.microsoft.com", "https://login.microsoftonline.us", True),
        ("https://graph.microsoft.us", "https://login.microsoftonline.com", True),
        ("https://graph.microsoft.com", "http://127.0.0.1:9000", False),
        ("https://graph.example.com", "https://login.microsoftonline.com", False),
    ],
)
def test_both_are_of_one_cloud(graph: str, login: str, wrong: bool) -> None:
    """A token of one cloud is worth nothing in another (entra.md §8.14)."""
    if not wrong:
        taken(graph_url=graph, login_url=login)
        return
    text = refused(graph_url=graph, login_url=login)

    assert text.startswith(f"{PREFIX}LOGIN_URL: expected https://login.")


def test_an_application_has_an_id_and_one_credential() -> None:
    """Each alone says nothing."""
    _, _, pem = a_certificate()

    assert refused(entra_client_secret="x" * 40).startswith(f"{PREFIX}ENTRA_CLIENT_ID: ")
    assert refused(entra_client_certificate=pem).startswith(f"{PREFIX}ENTRA_CLIENT_ID: ")
    both = refused(entra_client_id=CLIENT, entra_client_secret="x" * 40, entra_client_certificate=pem)
    assert both.startswith(f"{PREFIX}ENTRA_CLIENT_SECRET: ")
    taken(entra_client_id=CLIENT, entra_client_secret="x" * 40)
    taken(entra_client_id=CLIENT)


def test_an_application_of_entra_has_a_guid_and_its_secret_is_none() -> None:
    """Both are mixed up daily: the portal shows a secret's id beside its value. A simulator may use any name."""
    assert refused(entra_client_id="my-app").startswith(f"{PREFIX}ENTRA_CLIENT_ID: ")
    assert refused(entra_client_id=CLIENT, entra_client_secret=CLIENT).startswith(f"{PREFIX}ENTRA_CLIENT_SECRET: ")
    taken(entra_client_id="my-app", entra_client_secret=CLIENT, login_url="http://127.0.0.1:9000")


@pytest.mark.parametrize("value", ["a b", "a\n", "ü" * 3, "x" * 101, "a/b"])
def test_an_application_id_is_a_word(value: str) -> None:
    """Even a simulator's."""
    text = refused(entra_client_id=value, login_url="http://127.0.0.1:9000")

    assert text.startswith(f"{PREFIX}ENTRA_CLIENT_ID: expected ")


def test_a_secret_with_a_blank_is_not_repeated() -> None:
    """Pasted with a line break, it is refused without being shown."""
    text = refused(entra_client_id=CLIENT, entra_client_secret="hunter2 \n")

    assert text.startswith(f"{PREFIX}ENTRA_CLIENT_SECRET: expected ")
    assert "hunter2" not in text


# The certificate ----------------------------------------------------------------------------------------------------


def test_a_certificate_as_text_or_file(tmp_path: Path) -> None:
    """PEM, PEM on one line, or where it lies; key and certificate in either order. It does not show."""
    _, _, pem = a_certificate()
    (tmp_path / "app.pem").write_text(pem)
    key, mark, certificate = pem.partition("-----BEGIN CERTIFICATE-----")

    for given in (pem, pem.replace("\n", "\\n"), str(tmp_path / "app.pem"), mark + certificate + key):
        settings = load({f"{PREFIX}ENTRA_CLIENT_ID": CLIENT, f"{PREFIX}ENTRA_CLIENT_CERTIFICATE": given})

        assert settings.entra_client_certificate is not None
        value = settings.entra_client_certificate.get_secret_value()
        parts = ClientCertificate(value).for_msal()
        assert pem == parts["private_key"] + parts["public_certificate"]
        assert "PRIVATE" not in repr(settings) + str(settings)


def test_wrong_certificates(tmp_path: Path) -> None:
    """Each says what is expected, and none shows a key."""
    key, certificate, pem = a_certificate()
    own = certificate.public_bytes(Encoding.PEM).decode()
    elliptic = ec.generate_private_key(ec.SECP256R1())
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pass")).decode()
    curved = elliptic.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
    builder = builder.not_valid_before(datetime(2026, 1, 1, tzinfo=UTC)).not_valid_after(
        datetime(2036, 1, 1, tzinfo=UTC)
    )
    curved += (
        builder.public_key(elliptic.public_key()).sign(elliptic, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
    )
    (tmp_path / "no.pem").write_bytes(b"\xff\xfe")
    wrong = {
        "word": "expected PEM, or the path",
        str(tmp_path): "expected PEM, or the path",
        str(tmp_path / "no.pem"): "expected PEM, or the path",
        own: "expected a private key and its certificate",
        pem.replace(own, ""): "expected a private key and its certificate",
        pem.replace("MII", "XXX"): "expected a private key and its certificate",
        locked + own: "without a passphrase",
        curved: "RSA",
        pem.replace(own, a_certificate()[1].public_bytes(Encoding.PEM).decode()): "of another key",
    }
    for value, words in wrong.items():
        text = refused(entra_client_id=CLIENT, entra_client_certificate=value)

        assert text.startswith(f"{PREFIX}ENTRA_CLIENT_CERTIFICATE: ")
        assert words in text
        assert "BEGIN" not in text


# The keys that seal -------------------------------------------------------------------------------------------------


def test_several_keys() -> None:
    """For rotation; the first seals."""
    settings = load({f"{PREFIX}SECRET_KEY": "the new key of 2027, the old key of 2026"})

    assert settings.secret_key is not None
    keys = keys_of(settings.secret_key.get_secret_value())
    assert ("the new key of 2027", "the old key of 2026") == keys
    assert Sealer(["the new key of 2027"]).key_id == Sealer(keys).key_id


@pytest.mark.parametrize("value", ["short", ",", " , ", "long enough,short", "hunter2,long enough"])
def test_wrong_keys(value: str) -> None:
    """Each of them counts, and none is repeated."""
    text = refused(secret_key=value)

    assert text.startswith(f"{PREFIX}SECRET_KEY: expected at least 8 characters")
    assert "hunter2" not in text
