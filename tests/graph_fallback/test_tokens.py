"""Tokens: asked once and kept, renewed in time, refusals put into sentences, the credential sent nowhere else."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from graph_fallback.tokens import (
    ClientCertificate,
    ClientSecret,
    EntraTokens,
    GraphRefused,
    Interrupted,
    Login,
    MissingPermission,
    NotConsented,
    UnknownDirectory,
    WrongCredential,
    missing_permissions,
    read_token,
    retry_after,
    scope_of,
)
from tests.graph_fallback.loopback import (
    CLIENT_ID,
    DIRECTORY,
    NOON,
    OTHER_DIRECTORY,
    SECRET,
    Asked,
    Entra,
    Reply,
    StillClock,
    entra_running,
    jwt,
    sts_error,
)

T = TypeVar("T")


def with_tokens(
    entra: Entra,
    use: Callable[[EntraTokens], Awaitable[T]],
    clock: StillClock | None = None,
    credential: ClientSecret | ClientCertificate | None = None,
) -> T:
    async def main() -> T:
        tokens = EntraTokens(
            CLIENT_ID,
            credential or ClientSecret(SECRET),
            login_url=entra.url,
            graph_url=entra.url,
            clock=clock or StillClock(),
        )
        try:
            return await use(tokens)
        finally:
            tokens.close()

    return asyncio.run(main())


# Asking -------------------------------------------------------------------------------------------------------------


def test_a_token_is_asked_for_once(entra: Entra) -> None:
    """The second time there is nothing to ask; what is asked is what entra.md §8.16 says."""

    async def twice(tokens: EntraTokens) -> list[str]:
        return [(await tokens.token(DIRECTORY)).secret, (await tokens.token(DIRECTORY.upper())).secret]

    seen = with_tokens(entra, twice)

    assert entra.issued * 2 == seen
    (asked,) = entra.token_requests
    assert f"/{DIRECTORY}/oauth2/v2.0/token" == asked.path
    assert "client_credentials" == asked.form["grant_type"]
    assert (CLIENT_ID, SECRET) == (asked.form["client_id"], asked.form["client_secret"])
    assert "https://graph.microsoft.com/.default" == asked.form["scope"]
    assert asked.headers["user-agent"].startswith("scim-server/")


def test_many_who_ask_at_once_ask_once(entra: Entra) -> None:
    """The first asks for all."""

    async def many(tokens: EntraTokens) -> int:
        return len({each.secret for each in await asyncio.gather(*(tokens.token(DIRECTORY) for _ in range(20)))})

    assert 1 == with_tokens(entra, many)
    assert 1 == len(entra.token_requests)


def test_each_directory_has_its_own_token(entra: Entra) -> None:
    """A token of one customer is never used for another."""

    async def both(tokens: EntraTokens) -> list[str | None]:
        return [(await tokens.token(each)).directory_id for each in (DIRECTORY, OTHER_DIRECTORY, DIRECTORY)]

    assert [DIRECTORY, OTHER_DIRECTORY, DIRECTORY] == with_tokens(entra, both)
    assert 2 == len(entra.token_requests)


def test_a_token_is_renewed_before_it_ends(entra: Entra, clock: StillClock) -> None:
    """Five minutes before its end the next one is fetched: none dies on the way."""

    async def use(tokens: EntraTokens) -> list[str]:
        seen = []
        for passed in (0, 3200, 150):
            clock.time += passed
            seen.append((await tokens.token(DIRECTORY)).secret)
        return seen

    first, second, third = with_tokens(entra, use, clock)

    assert first == second != third


def test_a_live_token_bridges_an_outage_of_the_login(entra: Entra, clock: StillClock) -> None:
    """While the login is down, what lives a few minutes more is used; afterwards the outage is told."""

    async def use(tokens: EntraTokens) -> tuple[str, str]:
        first = (await tokens.token(DIRECTORY)).secret
        entra.token = lambda _: Reply(503, {})
        clock.time += 3599 - 60
        second = (await tokens.token(DIRECTORY)).secret
        clock.time += 120
        with pytest.raises(Interrupted):
            await tokens.token(DIRECTORY)
        return first, second

    first, second = with_tokens(entra, use, clock)

    assert first == second


def test_a_stale_token_is_renewed_once_for_all(entra: Entra) -> None:
    """Twenty requests that met a refused token fetch one new one."""

    async def use(tokens: EntraTokens) -> set[str]:
        stale = await tokens.token(DIRECTORY)
        return {each.secret for each in await asyncio.gather(*(tokens.renewed(DIRECTORY, stale) for _ in range(20)))}

    renewed = with_tokens(entra, use)

    assert {entra.issued[1]} == renewed
    assert 2 == len(entra.token_requests)


def test_a_disconnected_directory_is_forgotten(entra: Entra) -> None:
    """Nothing of a directory is kept that is no longer connected."""

    async def use(tokens: EntraTokens) -> None:
        await tokens.token(DIRECTORY)
        tokens.forget(DIRECTORY)
        await tokens.token(DIRECTORY)

    with_tokens(entra, use)

    assert 2 == len(entra.token_requests)


def test_a_certificate_proves_the_application(entra: Entra) -> None:
    """In place of a secret an assertion is sent, signed by the key, naming the certificate by SHA-256."""
    key, certificate, pem = a_certificate()

    with_tokens(entra, lambda tokens: tokens.token(DIRECTORY), credential=ClientCertificate(pem))

    form = entra.token_requests[0].form
    head, claims, signature = form["client_assertion"].split(".")
    assert "client_secret" not in form
    assert "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" == form["client_assertion_type"]
    assert "PS256" == decoded(head)["alg"]
    thumbprint = base64.urlsafe_b64encode(certificate.fingerprint(hashes.SHA256())).rstrip(b"=").decode()
    assert thumbprint == decoded(head)["x5t#S256"].rstrip("=")
    assert (CLIENT_ID, CLIENT_ID) == (decoded(claims)["iss"], decoded(claims)["sub"])
    key.public_key().verify(
        base64.urlsafe_b64decode(signature + "=="),
        f"{head}.{claims}".encode(),
        padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH),
        hashes.SHA256(),
    )


def decoded(part: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(base64.urlsafe_b64decode(part + "=="))
    return found


def a_certificate(host: str = "scim-server") -> tuple[rsa.RSAPrivateKey, x509.Certificate, str]:
    """A key and a certificate of it, and both as PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2046, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    kind = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption())
    return key, certificate, (private + certificate.public_bytes(serialization.Encoding.PEM)).decode()


def test_a_login_over_https(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Entra is: nothing is rewritten, and its certificate is looked at."""
    (tmp_path / "server.pem").write_text(a_certificate("localhost")[2])
    with entra_running(tmp_path / "server.pem") as entra:
        with pytest.raises(Interrupted, match="ConnectError"):
            with_tokens(entra, lambda tokens: tokens.token(DIRECTORY))

        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
        token = with_tokens(entra, lambda tokens: tokens.token(DIRECTORY))

        assert [token.secret] == entra.issued
        assert f"/{DIRECTORY}/oauth2/v2.0/token" == entra.token_requests[0].path


@pytest.mark.parametrize(
    ("login", "address", "taken"),
    [
        ("https://login.chinacloudapi.cn", "https://login.partner.microsoftonline.cn/x/oauth2/v2.0/token", True),
        ("https://login.microsoftonline.com", "https://login.microsoftonline.com/x/oauth2/v2.0/token", True),
        ("https://login.microsoftonline.com", "https://login.microsoftonline.com:444/x", False),
        ("https://login.microsoftonline.com", "https://login.microsoftonline.com.evil.example/x", False),
        ("https://login.microsoftonline.com", "http://login.microsoftonline.com/x", False),
        ("https://login.microsoftonline.com", "https://me@login.microsoftonline.com/x", False),
        ("https://login.microsoftonline.com", "https://127.0.0.1/x", False),
        ("https://login.example.com", "https://login.microsoftonline.com/x", False),
        ("http://127.0.0.1:9000", "https://localhost:9000/x", True),
    ],
)
def test_which_hosts_may_see_the_credential(login: str, address: str, taken: bool) -> None:
    """The login's own, and Microsoft's other names for it: the metadata of 21Vianet's login names another one."""
    with contextlib.closing(Login(login)) as http:
        if taken:
            assert address.partition("://")[2] == str(http._checked(address)).partition("://")[2]
            return
        with pytest.raises(GraphRefused):
            http._checked(address)


# Refusals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind", "word"),
    [
        (700016, NotConsented, "consent"),
        (7000229, NotConsented, "consent"),
        (65001, NotConsented, "consent"),
        (50034, NotConsented, "consent"),
        (90094, NotConsented, "administrator"),
        (7000215, WrongCredential, "ENTRA_CLIENT_SECRET"),
        (7000222, WrongCredential, "expired"),
        (700027, WrongCredential, "certificate"),
        (700024, WrongCredential, "clock"),
        (90002, UnknownDirectory, "Tenant ID"),
        (900023, UnknownDirectory, "Tenant ID"),
        (900382, UnknownDirectory, "cloud"),
        (500011, GraphRefused, "GRAPH_URL"),
        (7000112, GraphRefused, "disabled"),
        (53003, GraphRefused, "Conditional Access"),
        (4711, GraphRefused, "AADSTS4711"),
    ],
)
def test_a_refusal_says_what_to_do(entra: Entra, code: int, kind: type[GraphRefused], word: str) -> None:
    """Each of Entra's codes becomes a sentence of ours; nothing of its own description is repeated."""
    entra.token = lambda _: sts_error(code, status=401 if code in (7000215, 7000222) else 400)

    with pytest.raises(GraphRefused) as refused:
        with_tokens(entra, lambda tokens: tokens.token(DIRECTORY))

    assert kind is type(refused.value)
    assert f"AADSTS{code}" == refused.value.facts["error"]
    assert word in refused.value.sentence
    assert "Zwiebelfisch" not in refused.value.sentence
    assert SECRET not in refused.value.sentence


def test_a_refusal_without_a_list_of_codes_is_read_from_its_text(entra: Entra) -> None:
    """Some answers have the code in the description only."""
    body = {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided."}
    entra.token = lambda _: Reply(401, body)

    with pytest.raises(WrongCredential):
        with_tokens(entra, lambda tokens: tokens.token(DIRECTORY))


def test_an_unknown_directory_is_told_at_its_metadata(entra: Entra) -> None:
    """A directory that does not exist has no metadata; msal would quote the answer, we say what to do."""
    entra.metadata = lambda _: sts_error(90002, "invalid_tenant")

    with pytest.raises(UnknownDirectory):
        with_tokens(entra, lambda tokens: tokens.token(DIRECTORY))


def test_a_refusal_is_not_remembered(entra: Entra) -> None:
    """As soon as consent is there the next try gets a token; msal alone would repeat the refusal for a minute."""

    async def use(tokens: EntraTokens) -> str:
        entra.token = lambda _: sts_error(700016, "unauthorized_client")
        with pytest.raises(NotConsented):
            await tokens.token(DIRECTORY)
        entra.token = entra.issue
        return (await tokens.token(DIRECTORY)).secret

    token = with_tokens(entra, use)

    assert entra.issued == [token]


@pytest.mark.parametrize("name", ["contoso.onmicrosoft.com", "", "common", "../x", f"{DIRECTORY}/x", "a" * 36])
def test_a_directory_is_named_by_its_id(entra: Entra, name: str) -> None:
    """What is no id never becomes part of an address."""
    with pytest.raises(UnknownDirectory):
        with_tokens(entra, lambda tokens: tokens.token(name))

    assert [] == entra.token_requests


@pytest.mark.parametrize(
    ("reply", "wait", "throttled"),
    [
        (Reply(429, {}, {"Retry-After": "7"}), 7.0, True),
        (Reply(500, {}), None, False),
        (Reply(503, b"<html>", {"Retry-After": "11"}), 11.0, False),
        (Reply(200, b"<html>captive portal</html>"), None, False),
        (Reply(200, [1]), None, False),
        (Reply(302, {}, {"Location": "https://elsewhere.example/"}), None, False),
        (sts_error(90033, "temporarily_unavailable"), None, False),
        (Reply(400, {"error": "temporarily_unavailable"}), None, False),
        (Reply(200, {"token_type": "Bearer", "access_token": "x" * 50}, cut=True), None, False),
    ],
)
def test_what_passes_is_told_apart_from_refusals(
    entra: Entra, reply: Reply, wait: float | None, throttled: bool
) -> None:
    """An outage, throttling, a proxy's page: to be tried again, after the time that was named."""
    entra.token = lambda _: reply

    with pytest.raises((Interrupted, GraphRefused)) as interrupted:
        with_tokens(entra, lambda tokens: tokens.token(DIRECTORY))

    if reply.status == 302:
        assert isinstance(interrupted.value, GraphRefused)
        return
    assert isinstance(interrupted.value, Interrupted)
    assert (wait, throttled) == (interrupted.value.wait, interrupted.value.throttled)


def test_an_unreachable_login_is_an_interruption() -> None:
    """No connection at all: to be tried again, without the address in the text."""
    with entra_running() as entra:
        pass

    with pytest.raises(Interrupted) as interrupted:
        with_tokens(entra, lambda tokens: tokens.token(DIRECTORY))

    assert "127.0.0.1" not in str(interrupted.value)


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://evil.example/token",
        "https://login.microsoftonline.com/x/token",
        "https://127.0.0.1:port/x/token",
        "ftp://127.0.0.1/token",
    ],
)
def test_the_credential_goes_to_the_login_only(entra: Entra, endpoint: str) -> None:
    """Metadata that sends the secret to another host is not followed."""

    def elsewhere(asked: Asked) -> Reply:
        return Reply(200, {**entra.configuration(asked).body, "token_endpoint": endpoint})

    entra.metadata = elsewhere

    with pytest.raises(GraphRefused, match="LOGIN_URL"):
        with_tokens(entra, lambda tokens: tokens.token(DIRECTORY))

    assert [] == entra.token_requests


@pytest.mark.parametrize(
    "metadata", [{}, {"token_endpoint": 5}, {"authorization_endpoint": "x", "token_endpoint": "y"}]
)
def test_a_login_that_is_none_is_told(entra: Entra, metadata: dict[str, object]) -> None:
    """LOGIN_URL leads to something that answers JSON and is no login."""
    entra.metadata = lambda _: Reply(200, metadata)

    with pytest.raises(GraphRefused, match="LOGIN_URL"):
        with_tokens(entra, lambda tokens: tokens.token(DIRECTORY))


def test_a_token_answer_without_a_life_is_used_shortly(entra: Entra, clock: StillClock) -> None:
    """A token that does not say how long it lives is not believed to live for ever."""
    entra.token = lambda _: Reply(200, {"token_type": "Bearer", "access_token": jwt()})

    token = with_tokens(entra, lambda tokens: tokens.token(DIRECTORY), clock)

    assert NOON < token.expires_at <= NOON + 3600


# Reading ------------------------------------------------------------------------------------------------------------


def test_a_token_says_what_it_grants() -> None:
    """Roles and directory are read; the token itself does not show in a representation."""
    token = read_token(jwt(("User.Read.All",), DIRECTORY.upper()), NOON)

    assert (frozenset({"User.Read.All"}), DIRECTORY, True) == (token.roles, token.directory_id, token.readable)
    assert token.secret not in repr(token)


@given(st.one_of(st.text(), st.binary().map(lambda raw: "a." + base64.urlsafe_b64encode(raw).decode() + ".b")))
def test_any_token_is_read_without_harm(text: str) -> None:
    """What is no JWT says nothing, and is used all the same: it is Graph's to read."""
    token = read_token(text, NOON)

    assert text == token.secret
    assert token.roles == frozenset() or token.readable


@pytest.mark.parametrize(
    ("roles", "missing"),
    [
        ((), ("User.Read.All", "Group.Read.All")),
        (("User.Read.All", "Group.Read.All"), ()),
        (("User.Read.All",), ("Group.Read.All",)),
        (("Directory.Read.All",), ()),
        (("User.ReadWrite.All", "GroupMember.Read.All"), ()),
        (("User.ReadBasic.All", "Group.Read.All"), ("User.Read.All",)),
    ],
)
def test_missing_permissions_are_named(roles: tuple[str, ...], missing: tuple[str, ...]) -> None:
    """Higher permissions cover lower ones; User.ReadBasic.All does not allow delta queries (entra.md §8.9)."""
    assert missing == missing_permissions(roles)


def test_missing_permissions_make_a_sentence() -> None:
    """One or several, each by its name."""
    assert "permission User.Read.All is not granted" in MissingPermission(["User.Read.All"]).sentence
    assert "permissions A and B are not granted" in MissingPermission(["A", "B"]).sentence


@pytest.mark.parametrize(
    ("graph_url", "scope"),
    [
        ("https://graph.microsoft.com", "https://graph.microsoft.com/.default"),
        ("https://graph.microsoft.us", "https://graph.microsoft.us/.default"),
        ("https://dod-graph.microsoft.us", "https://dod-graph.microsoft.us/.default"),
        ("https://microsoftgraph.chinacloudapi.cn", "https://microsoftgraph.chinacloudapi.cn/.default"),
        ("http://127.0.0.1:9000", "https://graph.microsoft.com/.default"),
    ],
)
def test_each_cloud_has_its_scope(graph_url: str, scope: str) -> None:
    """National clouds have their own Graph (entra.md §8.14); a simulator stands for the public one."""
    assert scope == scope_of(graph_url)


# Retry-After --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0.0), ("7", 7.0), ("1.5", 1.5), (" 30 ", 30.0), ("86400", 86400.0)]
    + [(text, None) for text in ("", "-1", "soon", "1e3", "9999999999999", "Wed, 99 Nov 2026 99:99:99 GMT", "٣")],
)
def test_seconds_to_wait(text: str, seconds: float | None) -> None:
    """What can be read is taken exactly, the rest is as if nothing were said."""
    assert seconds == retry_after({"retry-after": text}, NOON)


def test_a_date_to_wait_for() -> None:
    """A date counts against the server's own clock where it says what that is; one in the past is now."""
    now = datetime.fromtimestamp(NOON, UTC)
    later = format_datetime(now + timedelta(seconds=90), usegmt=True)

    assert 90.0 == retry_after({"retry-after": later}, NOON)
    assert 30.0 == retry_after(
        {"retry-after": later, "date": format_datetime(now + timedelta(seconds=60), usegmt=True)}, NOON
    )
    assert 0.0 == retry_after({"retry-after": later}, NOON + 1000)
    assert 90.0 == retry_after({"retry-after": later, "date": "today"}, NOON)
