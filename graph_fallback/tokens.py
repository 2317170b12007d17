"""Tokens for a customer's directory: asked of Entra by msal, kept while they live, refusals put into sentences.

GraphError                   anything that keeps us from a directory
├── GraphRefused             somebody must act; the sentence says who and how
│   ├── NotConsented         an administrator of the directory has not granted, or has withdrawn, consent
│   ├── MissingPermission    consent does not cover what is asked
│   ├── WrongCredential      our own secret or certificate is not (or no longer) good
│   └── UnknownDirectory     there is no such directory, or it is not the one that was meant
└── GraphUnavailable         nobody must act; `retry_at` says when to come back

msal is synchronous and slow to import, so it is imported with the first token, and runs in a thread.
"""

import asyncio
import base64
import contextlib
import ipaddress
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

import httpx
import orjson

from app_core import clock as core_clock
from app_core.clock import Stamp, stamp
from app_core.errors import DomainError
from app_core.ports import PERMISSIONS
from app_core.resource import GUID

# httpx logs each URL, and httpcore each header: delta tokens, search words, bearer tokens. Nobody may turn that on by
# asking for more of our own log.
for talkative in ("httpx", "httpcore", "msal"):
    logging.getLogger(talkative).setLevel(logging.WARNING)

GLOBAL_SCOPE = "https://graph.microsoft.com/.default"
LIFE_LEFT = 300.0
"""Seconds before its end from which on a token is renewed."""
SHORT_LIFE = 600
"""Seconds that a token lives which does not say how long."""
LOGIN_SECONDS = 15.0
USER_AGENT = f"scim-server/{version('scim-server')}"
LOGIN_HOSTS = frozenset(
    {
        "login.microsoftonline.com",
        "login.microsoft.com",
        "login.windows.net",
        "login.microsoftonline.us",
        "login.chinacloudapi.cn",
        "login.partner.microsoftonline.cn",
    }
)
"""Where the metadata of a configured authority may send our credential besides to its own host: clouds have aliases."""


class Clock(Protocol):
    """What time it is, and waiting for a later one."""

    def now(self) -> float:
        """Say the seconds since the epoch."""

    async def sleep(self, seconds: float) -> None:
        """Come back after so many seconds."""


class SystemClock:
    """The clock of this machine."""

    def now(self) -> float:
        """Say the seconds since the epoch."""
        return core_clock.milliseconds() / 1000

    async def sleep(self, seconds: float) -> None:
        """Come back after so many seconds."""
        await asyncio.sleep(seconds)


# Refusals -----------------------------------------------------------------------------------------------------------


class GraphError(DomainError):
    """Something keeps us from a customer's directory. No text of it holds a token, a link or a personal value."""

    code = "graph"


class GraphRefused(GraphError):
    """Entra or Graph refuses, and will until somebody acts. `facts["error"]` is Microsoft's code, if there is one."""

    code = "graph-refused"


class NotConsented(GraphRefused):
    """No administrator of the directory has granted this application what it asks for."""

    code = "graph-not-consented"


class MissingPermission(GraphRefused):
    """The directory's consent does not cover a permission. `permissions` names what is missing."""

    code = "graph-permission-missing"

    def __init__(self, permissions: Iterable[str], **facts: Any) -> None:
        self.permissions = tuple(permissions)
        one = len(self.permissions) == 1
        super().__init__(
            f"Microsoft Graph refuses: the application permission{'' if one else 's'} "
            f"{' and '.join(self.permissions)} {'is' if one else 'are'} not granted in this directory. Add what is "
            "missing to the app registration (kind: Application), then let an administrator of the directory grant "
            "consent again.",
            permissions=list(self.permissions),
            **facts,
        )


class WrongCredential(GraphRefused):
    """Entra does not take this server's client secret or certificate: the operator must act, not the customer."""

    code = "graph-credential"


class UnknownDirectory(GraphRefused):
    """There is no directory of that id in this cloud, or the token is of another one."""

    code = "graph-unknown-directory"


class GraphUnavailable(GraphError):
    """Entra or Graph cannot be had right now. Nothing is lost by coming back at `retry_at`."""

    code = "graph-unavailable"

    def __init__(self, sentence: str, retry_at: Stamp, **facts: Any) -> None:
        super().__init__(sentence, retry_at=retry_at, **facts)
        self.retry_at = retry_at


class Interrupted(Exception):
    """One request did not get through and may be sent again; never leaves this package.

    `wait` is what the server asks for in seconds, if it does.
    """

    def __init__(self, what: str, *, wait: float | None = None, throttled: bool = False) -> None:
        super().__init__(what)
        self.what = what
        self.wait = wait
        self.throttled = throttled


# What a token grants ------------------------------------------------------------------------------------------------

EVERYTHING = frozenset({"Directory.Read.All", "Directory.ReadWrite.All"})
COVERED_BY: Mapping[str, frozenset[str]] = {
    "User.Read.All": EVERYTHING | {"User.ReadWrite.All"},
    "Group.Read.All": EVERYTHING | {"Group.ReadWrite.All", "GroupMember.Read.All", "GroupMember.ReadWrite.All"},
    "AuditLog.Read.All": frozenset({"ProvisioningLog.Read.All"}),
}
"""What else grants enough of a permission for what is asked here."""


def grants(roles: Iterable[str], permission: str) -> bool:
    """Say whether a token's roles allow what a permission is needed for."""
    return not {permission, *COVERED_BY.get(permission, ())}.isdisjoint(roles)


def missing_permissions(roles: Iterable[str]) -> tuple[str, ...]:
    """Name the permissions that the pull needs and a token's roles do not grant."""
    granted = set(roles)
    return tuple(permission for permission in PERMISSIONS if not grants(granted, permission))


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token for one directory. What it says of itself is for messages; whether it is good, Graph decides."""

    secret: str = field(repr=False)
    expires_at: float
    roles: frozenset[str] = frozenset()
    directory_id: str | None = None
    """Its `tid`: the directory that issued it, if it can be read."""
    readable: bool = True
    """Whether its roles could be read. Where not, that none are listed says nothing."""


def read_token(secret: str, expires_at: float) -> AccessToken:
    """Read what a token says of itself.

    Its signature is not looked at: it came from Entra's own token endpoint over TLS, and nothing is allowed because of
    what it says.
    """
    claims = _claims(secret)
    if claims is None:
        return AccessToken(secret, expires_at, readable=False)
    roles, directory_id = claims.get("roles"), claims.get("tid")
    return AccessToken(
        secret,
        expires_at,
        frozenset(each for each in roles if isinstance(each, str)) if isinstance(roles, list) else frozenset(),
        directory_id.lower() if isinstance(directory_id, str) else None,
    )


def _claims(token: str) -> dict[str, Any] | None:
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None
    return claims if isinstance(claims, dict) else None


# Asking for one -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """The application proves itself by a secret."""

    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """The application proves itself by a certificate: its private key and the certificate, both as PEM."""

    pem: str = field(repr=False)

    def for_msal(self) -> dict[str, str]:
        """Give the two parts as msal wants them; it takes a SHA-256 thumbprint of the certificate then."""
        return {"private_key": _blocks(self.pem, KEY), "public_certificate": _blocks(self.pem, CERTIFICATE)}


KEY = re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.+?-----END \1-----", re.DOTALL)
CERTIFICATE = re.compile(r"-----BEGIN (CERTIFICATE)-----.+?-----END \1-----", re.DOTALL)


def _blocks(pem: str, kind: re.Pattern[str]) -> str:
    return "\n".join(found[0] for found in kind.finditer(pem)) + "\n"


class Tokens(Protocol):
    """Where a Graph client gets its tokens from."""

    async def token(self, directory_id: str) -> AccessToken:
        """Give a live token for a directory. Raises GraphRefused, Interrupted."""

    async def renewed(self, directory_id: str, stale: AccessToken) -> AccessToken:
        """Give another token than one that Graph did not take. Raises GraphRefused, Interrupted."""


class EntraTokens:
    """Tokens of one application for all customers' directories, each asked for once and kept while it lives."""

    def __init__(
        self,
        client_id: str,
        credential: ClientSecret | ClientCertificate,
        *,
        login_url: str = "https://login.microsoftonline.com",
        graph_url: str = "https://graph.microsoft.com",
        clock: Clock | None = None,
    ) -> None:
        self._client_id = client_id
        self._credential = credential
        self._login = Login(login_url)
        self._scope = scope_of(graph_url)
        self._clock = clock or SystemClock()
        self._held: dict[str, _Held] = {}

    async def token(self, directory_id: str) -> AccessToken:
        """Give a live token for a directory. Raises GraphRefused, Interrupted."""
        held = self._of(directory_id)
        if held.token is not None and held.token.expires_at - LIFE_LEFT > self._clock.now():
            return held.token
        async with held.lock:
            alive = held.token
            if alive is not None and alive.expires_at - LIFE_LEFT > self._clock.now():
                return alive
            try:
                return await self._ask(held, directory_id)
            except Interrupted:
                # The login is down for a moment; the token is good for a few minutes more.
                if alive is not None and alive.expires_at > self._clock.now():
                    return alive
                raise

    async def renewed(self, directory_id: str, stale: AccessToken) -> AccessToken:
        """Give another token than one that Graph did not take. Raises GraphRefused, Interrupted."""
        held = self._of(directory_id)
        async with held.lock:
            # Many requests meet the same stale token; the first of them renews it for all.
            if held.token is not None and held.token.secret != stale.secret:
                return held.token
            return await self._ask(held, directory_id)

    def forget(self, directory_id: str) -> None:
        """Drop what is kept for a directory: it was disconnected."""
        self._held.pop(directory_id.lower(), None)

    def close(self) -> None:
        """Close the connections to the login."""
        self._login.close()

    def _of(self, directory_id: str) -> "_Held":
        key = require_directory_id(directory_id)
        held = self._held.get(key)
        if held is None:
            held = self._held[key] = _Held()
        return held

    async def _ask(self, held: "_Held", directory_id: str) -> AccessToken:
        asked_at = self._clock.now()
        answer = await asyncio.to_thread(self._ask_msal, held, directory_id.lower())
        life = answer.get("expires_in")
        held.token = read_token(answer["access_token"], asked_at + (life if isinstance(life, int) else SHORT_LIFE))
        return held.token

    def _ask_msal(self, held: "_Held", directory_id: str) -> Mapping[str, Any]:
        try:
            if held.application is None:
                held.application = self._application(directory_id)
            # Whether a token is still good is decided here, or by Graph: msal's own cache would give the same again.
            held.application.remove_tokens_for_client()
            answer: object = held.application.acquire_token_for_client(scopes=[self._scope])
        except (KeyError, TypeError, ValueError) as error:
            raise GraphRefused(
                f"The login at LOGIN_URL does not answer as Entra does ({type(error).__name__}). Check LOGIN_URL."
            ) from None
        if not isinstance(answer, dict):
            raise Interrupted("the login gives no answer")
        if not isinstance(answer.get("access_token"), str):
            raise refused_by_login(answer)
        return answer

    def _application(self, directory_id: str) -> Any:
        import msal  # 400 ms, which only those pay who pull

        secret = self._credential
        return msal.ConfidentialClientApplication(
            self._client_id,
            authority=f"{self._login.https_url}/{directory_id}",
            client_credential=secret.value if isinstance(secret, ClientSecret) else secret.for_msal(),
            # Whether an authority is Microsoft's is not for Microsoft's public cloud to say: the operator has set it.
            instance_discovery=False,
            http_client=self._login,
        )


@dataclass(slots=True)
class _Held:
    """What is kept for a directory. The lock lets one ask while the others wait for the same answer."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    application: Any = None
    token: AccessToken | None = None


def require_directory_id(directory_id: str) -> str:
    """Give a directory's id in lower case. Raises UnknownDirectory for what is none: it becomes part of an address."""
    if GUID.fullmatch(directory_id) is None:
        raise UnknownDirectory(
            "A directory is named by its id, such as 2f6b1ad9-91a8-4c3e-9d2c-6d3c1f0f7a55: in the Entra portal it is "
            "the 'Tenant ID' on the overview."
        )
    return directory_id.lower()


def scope_of(graph_url: str) -> str:
    """Give the scope that asks for all application permissions on a Graph: each cloud has its own."""
    parts = urlsplit(graph_url)
    # A simulator stands for the public Graph, and its login for the public login.
    return GLOBAL_SCOPE if parts.scheme == "http" else f"https://{parts.netloc}/.default"


class Login:
    """HTTP to the login, as msal wants it: synchronous, and https only.

    What msal makes of failures is of no use to us (it keeps refusals for a minute, and quotes answers in errors), so
    everything but success is raised from here and passes through msal. A plain-http authority (a simulator on a
    loopback address) is shown to msal as https.
    """

    def __init__(self, login_url: str) -> None:
        self._url = httpx.URL(login_url)
        self._plain = self._url.scheme == "http"
        self.https_url = str(self._url.copy_with(scheme="https")).rstrip("/")
        # Without TLS there is nothing to verify, and reading the world's certificates takes 100 ms.
        self._client = httpx.Client(
            verify=not self._plain, timeout=LOGIN_SECONDS, follow_redirects=False, headers={"User-Agent": USER_AGENT}
        )

    def get(self, url: str, params: Any = None, headers: Any = None, **_: Any) -> "LoginAnswer":
        """Read an authority's metadata. Raises GraphRefused, Interrupted."""
        return self._answer(lambda: self._client.get(self._checked(url), params=params, headers=headers))

    def post(self, url: str, params: Any = None, data: Any = None, headers: Any = None, **_: Any) -> "LoginAnswer":
        """Ask for a token. Raises GraphRefused, Interrupted."""
        target = self._checked(url)
        # msal's assertions are bytes, which httpx would write as Python does; urlencode takes both.
        content = urlencode(data) if isinstance(data, dict) else data
        headers = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        return self._answer(lambda: self._client.post(target, params=params, content=content, headers=headers))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _checked(self, address: str) -> httpx.URL:
        """Give an address to ask, which must be the login's: the metadata that names it is not ours."""
        try:
            url = httpx.URL(address)
        except httpx.InvalidURL:
            url = httpx.URL("")
        if url.scheme == "https" and not url.userinfo:
            if self._plain and is_loopback(url.host):
                return url.copy_with(scheme="http")
            if not self._plain and (url.host, url.port) == (self._url.host, self._url.port):
                return url
            if url.port is None and {url.host, self._url.host} <= LOGIN_HOSTS:
                return url
        raise GraphRefused("The login's metadata names another host; no credential was sent there. Check LOGIN_URL.")

    def _answer(self, send: Callable[[], httpx.Response]) -> "LoginAnswer":
        try:
            response = send()
        except httpx.HTTPError as error:
            raise Interrupted(f"the login cannot be reached ({type(error).__name__})") from None
        status = response.status_code
        if status == 429 or status >= 500:
            wait = retry_after(response.headers, core_clock.milliseconds() / 1000)
            raise Interrupted(f"the login answers {status}", wait=wait, throttled=status == 429)
        try:
            body = orjson.loads(response.content)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Interrupted(f"the login answers {status} with something else than JSON")
        if status != 200:
            raise refused_by_login(body)
        text = orjson.dumps(body).decode()
        return LoginAnswer(status, text.replace('"http://', '"https://') if self._plain else text)


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class LoginAnswer:
    """An answer of the login, as msal reads one."""

    status_code: int
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def raise_for_status(self) -> None:
        """Do nothing: what is no success was raised already."""


# What Entra says ----------------------------------------------------------------------------------------------------

AADSTS = re.compile(r"AADSTS(\d{4,8})")
NOT_CONSENTED = (
    "No administrator of this directory has granted consent to the application yet, or it was withdrawn. Open the "
    "consent link as an administrator of the directory and accept."
)
NO_DIRECTORY = (
    "There is no such directory. Check its id (in the Entra portal the 'Tenant ID' on the overview), and that "
    "LOGIN_URL is the login of its cloud."
)
WRONG_SECRET = (
    "Entra does not take the client secret. Set ENTRA_CLIENT_SECRET to the secret's value (not its id) of the app "
    "registration that ENTRA_CLIENT_ID names."
)
DISABLED = (
    "The application is disabled in this directory. Enable it in the Entra portal: Enterprise applications, "
    "Properties, 'Enabled for users to sign-in'."
)
EXPIRED_SECRET = (
    "The client secret has expired. Make a new one in the app registration and set ENTRA_CLIENT_SECRET to it."
)
WRONG_CERTIFICATE = (
    "Entra does not take the certificate: it is not registered with the application, or it has expired. Upload the "
    "certificate of ENTRA_CLIENT_CERTIFICATE to the app registration."
)
WRONG_CLOCK = "Entra finds what we signed outside of its time. Set the clock of this machine."
NO_ADMINISTRATOR = (
    "Only an administrator can grant what the application asks for. Sign in as one and open the consent link."
)
OTHER_CLOUD = "The directory is in another cloud. Set LOGIN_URL and GRAPH_URL to those of its cloud."
TWO_CLOUDS = "This login knows no Graph at GRAPH_URL: the two are of different clouds. Set both to the same cloud."
BLOCKED = (
    "A Conditional Access policy of the directory blocks the application. Let an administrator of it exclude the "
    "application, or allow this server's address."
)
REFUSALS: Mapping[int, tuple[type[GraphRefused], str]] = {
    700016: (NotConsented, NOT_CONSENTED),
    7000229: (NotConsented, NOT_CONSENTED),
    65001: (NotConsented, NOT_CONSENTED),
    50034: (NotConsented, NOT_CONSENTED),
    90094: (NotConsented, NO_ADMINISTRATOR),
    7000112: (GraphRefused, DISABLED),
    7000215: (WrongCredential, WRONG_SECRET),
    7000216: (WrongCredential, WRONG_SECRET),
    7000218: (WrongCredential, WRONG_SECRET),
    7000222: (WrongCredential, EXPIRED_SECRET),
    700027: (WrongCredential, WRONG_CERTIFICATE),
    700024: (WrongCredential, WRONG_CLOCK),
    90002: (UnknownDirectory, NO_DIRECTORY),
    900021: (UnknownDirectory, NO_DIRECTORY),
    900023: (UnknownDirectory, NO_DIRECTORY),
    900382: (UnknownDirectory, OTHER_CLOUD),
    500011: (GraphRefused, TWO_CLOUDS),
    53003: (GraphRefused, BLOCKED),
}
"""By the number behind AADSTS (entra.md §8.16)."""
MOMENTARY = frozenset({90033, 90036, 50196, 90055})
"""Entra's own troubles, which pass: its directory is down for a moment, or it saw us ask in a loop."""


def refused_by_login(answer: Mapping[str, Any]) -> GraphRefused | Interrupted:
    """Put a refusal of the login into our words; its own description quotes names and is not repeated."""
    codes = login_codes(answer)
    for code in codes:
        if code in REFUSALS:
            kind, sentence = REFUSALS[code]
            return kind(sentence, error=f"AADSTS{code}")
        if code in MOMENTARY:
            return Interrupted(f"the login answers AADSTS{code}")
    error = f"AADSTS{codes[0]}" if codes else plain_code(answer.get("error")) or "no code"
    if error in ("temporarily_unavailable", "server_error"):
        return Interrupted(f"the login answers {error}")
    return GraphRefused(
        f"Entra gives no token for this directory ({error}). Look the code up at https://login.microsoftonline.com/error"
        " and mend the app registration or its consent.",
        error=error,
    )


def login_codes(answer: Mapping[str, Any]) -> list[int]:
    """List Entra's codes in an answer or a redirect, the main one first."""
    listed = answer.get("error_codes")
    codes = [code for code in listed if isinstance(code, int)] if isinstance(listed, list) else []
    described = answer.get("error_description")
    if isinstance(described, str):
        codes += [int(code) for code in AADSTS.findall(described)]
    return list(dict.fromkeys(codes))


def plain_code(code: object) -> str | None:
    """Give a code that only says a code: what somebody else writes there does not get into our texts."""
    return code if isinstance(code, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,79}", code) else None


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Give the seconds that a server asks us to wait (RFC 9110 §10.2.3); None when it does not, or not readably."""
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        return float(text)
    try:
        until = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    # Against the server's own clock, where it says what that is.
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        now = parsedate_to_datetime(headers.get("date", "")).timestamp()
    return max(0.0, until - now)


def unavailable(what: str, now: float, wait: float) -> GraphUnavailable:
    """Say that something did not get through and when to come back."""
    retry_at = stamp(now + wait)
    return GraphUnavailable(f"Microsoft cannot be had right now: {what}. It is tried again at {retry_at}.", retry_at)
