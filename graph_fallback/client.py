"""One customer's directory over Microsoft Graph: asks, waits as told, and says what is wrong so that one can act on it.

What leaves here is JSON, bytes, or a GraphError (tokens.py draws the tree). Beside those of a token:

├── GraphRefused
│   ├── ForeignLink          a link leads to another host, which would be given our token
│   └── TooLarge             an answer is longer than whoever asks wants to read
├── GraphUnavailable
│   └── Throttled            Graph asks us to wait for longer than anybody here waits
├── NotInDirectory           404: there is no such user, group or photo
└── DeltaExpired             the link is too old, or Graph has started anew: begin a full round
"""

import asyncio
import base64
import itertools
import logging
import random
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

import httpx
import orjson

from app_core.clock import Stamp, stamp
from graph_fallback.tokens import (
    USER_AGENT,
    AccessToken,
    Clock,
    GraphError,
    GraphRefused,
    GraphUnavailable,
    Interrupted,
    MissingPermission,
    NotConsented,
    SystemClock,
    Tokens,
    grants,
    missing_permissions,
    plain_code,
    require_directory_id,
    retry_after,
)

logger = logging.getLogger(__name__)
T = TypeVar("T")
JsonObject: TypeAlias = dict[str, Any]

VERSION = "/v1.0"
CONCURRENCY = 4
"""Requests to one directory at once."""
PATIENCE = 25.0
"""Seconds after which a request is given up, waits included. A page is one step of a job, whose lease is 60 seconds."""
SHORT_PATIENCE = 5.0
"""The same where a human waits."""
REQUEST_SECONDS = 30.0
"""The longest that one request may take, its whole answer included."""
MAX_ATTEMPTS = 8
LONGEST_PAUSE = 60.0
CLOCK_GRAIN = 0.001
MOST_BYTES = 64 * 1024 * 1024
BATCH_SIZE = 20

PLACES = frozenset(
    {
        "v1.0",
        "users",
        "groups",
        "delta",
        "members",
        "transitiveMembers",
        "photo",
        "photos",
        "$value",
        "$batch",
        "auditLogs",
    }
)
"""What of a path a log may say; the rest could be somebody's name."""
TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504, 509})


class Throttled(GraphUnavailable):
    """Graph has asked for a pause that is longer than our patience; before `retry_at` each request would prolong it."""

    code = "graph-throttled"


class ForeignLink(GraphRefused):
    """A link in an answer leads away from Graph. It is not followed: our token would go there."""

    code = "graph-foreign-link"

    def __init__(self) -> None:
        super().__init__(
            "Microsoft Graph named a next page on another host, which is not followed. Check GRAPH_URL: it must be the "
            "Graph of this directory's cloud."
        )


class TooLarge(GraphRefused):
    """An answer is longer than we read."""

    code = "graph-too-large"

    def __init__(self, most: int) -> None:
        super().__init__(f"An answer of Microsoft Graph is larger than {most} bytes and was not read.")


class NotInDirectory(GraphError):
    """There is no such object, or it has no such photo."""

    code = "graph-not-found"

    def __init__(self, error: str | None) -> None:
        super().__init__("The directory has no such object.", error=error)


class DeltaExpired(GraphError):
    """A delta or page link is no longer good: what changed since is unknown, and a full round is due.

    `restart` is where Graph wants that round to begin, if it says so.
    """

    code = "graph-delta-expired"

    def __init__(self, restart: str | None, error: str | None) -> None:
        super().__init__("Microsoft Graph no longer knows where the last pull ended; a full one is due.", error=error)
        self.restart = restart


@dataclass(frozen=True, slots=True)
class Blob:
    """An answer that is no JSON: a photo."""

    data: bytes = field(repr=False)
    media_type: str
    etag: str | None


@dataclass(frozen=True, slots=True)
class Part:
    """The answer to one request of a batch. Its status is Graph's: 404 is no error here."""

    status: int
    body: Any = field(repr=False)
    error: str | None = None
    wait: float | None = None
    """For how many seconds Graph does not want to be asked for this one again, where it says so."""

    @property
    def try_again(self) -> bool:
        """Say whether it was only not served now; after a 401 the next request has another token."""
        return self.status in TRY_AGAIN or self.status == 401

    @property
    def json(self) -> JsonObject:
        """Give the body where it is JSON, else nothing."""
        return self.body if isinstance(self.body, dict) else {}

    @property
    def data(self) -> bytes | None:
        """Give the body where it is binary: a batch carries it as base64."""
        if not isinstance(self.body, str):
            return None
        try:
            return base64.b64decode(self.body, validate=True)
        except ValueError:
            return None


@dataclass(slots=True)
class Gate:
    """What all requests to one directory share: how many there are at once, and until when Graph wants none.

    Graph counts per application and directory, and counts requests during a pause as well.
    """

    slots: asyncio.Semaphore
    closed_until: float = 0.0


def new_http() -> httpx.AsyncClient:
    """Make the HTTP client that all directories share: limited waits, no redirects."""
    return httpx.AsyncClient(
        timeout=httpx.Timeout(REQUEST_SECONDS, connect=5.0),
        limits=httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=30.0),
        follow_redirects=False,
    )


class Graph:
    """Graph for all customers: gives the client of each directory, so that its limits hold for all who ask it."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        tokens: Tokens,
        graph_url: str,
        *,
        concurrency: int = CONCURRENCY,
        clock: Clock | None = None,
    ) -> None:
        self._http = http
        self.tokens = tokens
        self._graph_url = graph_url
        self._concurrency = concurrency
        self._clock = clock or SystemClock()
        self._gates: dict[str, Gate] = {}

    def directory(self, directory_id: str, *, background: bool = True) -> "GraphClient":
        """Give the client of a directory: patient and of low priority in the background, brief where a human waits."""
        key = require_directory_id(directory_id)
        gate = self._gates.get(key)
        if gate is None:
            gate = self._gates[key] = Gate(asyncio.Semaphore(self._concurrency))
        return GraphClient(
            self._http,
            self.tokens,
            self._graph_url,
            key,
            gate=gate,
            background=background,
            patience=PATIENCE if background else SHORT_PATIENCE,
            clock=self._clock,
        )


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: httpx.URL
    headers: Mapping[str, str]
    content: bytes | None = None
    most: int = MOST_BYTES

    @property
    def place(self) -> str:
        """Name what is asked, without anything that could be somebody's."""
        return "/".join(part if not part or part in PLACES else "…" for part in self.url.path.split("/"))

    @property
    def follows_link(self) -> bool:
        """Say whether this goes on from where another request ended."""
        return bool(re.search(r"(\$|%24)(skip|delta)token=", str(self.url), re.IGNORECASE))


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: httpx.Headers
    content: bytes = field(repr=False)

    def json(self) -> JsonObject | None:
        """Give the body if it is a JSON object."""
        try:
            body = orjson.loads(self.content)
        except ValueError:
            return None
        return body if isinstance(body, dict) else None


class GraphClient:
    """One directory. Every method raises a GraphError, and nothing else when Graph or the net misbehave."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        tokens: Tokens,
        graph_url: str,
        directory_id: str,
        *,
        gate: Gate | None = None,
        background: bool = True,
        patience: float = PATIENCE,
        clock: Clock | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.directory_id = require_directory_id(directory_id)
        self._http = http
        self._tokens = tokens
        self._graph_url = graph_url.rstrip("/")
        self._origin = _origin(httpx.URL(graph_url))
        self._gate = gate or Gate(asyncio.Semaphore(CONCURRENCY))
        self._patience = patience
        self._clock = clock or SystemClock()
        self._jitter = jitter
        self._headers = {"User-Agent": USER_AGENT, "Accept": "application/json"}
        self._priority = {"x-ms-throttle-priority": "low"} if background else {}

    async def get(self, target: str, *, headers: Mapping[str, str] | None = None) -> JsonObject:
        """Read a path (`/users/delta?$select=id`) or follow a link exactly as Graph gave it."""
        return await self._json(_Request("GET", self._url(target), headers or {}))

    async def post(self, target: str, body: Any, *, headers: Mapping[str, str] | None = None) -> JsonObject:
        """Ask by a body. Only what reads is asked here, so that asking twice does no harm."""
        headers = {"Content-Type": "application/json", **(headers or {})}
        return await self._json(_Request("POST", self._url(target), headers, orjson.dumps(body)))

    async def get_bytes(self, target: str, *, most: int = MOST_BYTES) -> Blob:
        """Read something that is no JSON. Raises NotInDirectory, e.g. where somebody has no photo."""
        request = _Request("GET", self._url(target), {"Accept": "*/*"}, most=most)
        answer = await self._patiently(lambda: self._attempt(request))
        media_type = answer.headers.get("content-type", "application/octet-stream").partition(";")[0].strip()
        return Blob(answer.content, media_type, answer.headers.get("etag"))

    async def batch_once(self, paths: Sequence[str]) -> list[Part]:
        """Read up to twenty paths in one request, and give back as well what was not served: each waits by itself.

        What Graph leaves out counts as not served.
        """
        found: dict[int, Part] = {}

        async def attempt() -> None:
            found.update(await self._parts_of(dict(enumerate(paths))))

        if paths:
            await self._patiently(attempt)
        return [found.get(at, Part(503, None)) for at in range(len(paths))]

    async def batch(self, paths: Sequence[str]) -> list[Part]:
        """Read many paths, twenty in one request; the answers come in the order of the paths.

        Each part is throttled by itself: those that are told to wait are asked once more, the others are not.
        """
        found: dict[int, Part] = {}
        for start in range(0, len(paths), BATCH_SIZE):
            wanted = {at: paths[at] for at in range(start, min(start + BATCH_SIZE, len(paths)))}
            await self._patiently(lambda wanted=wanted: self._batch(wanted, found))  # type: ignore[misc]
        return [found[at] for at in range(len(paths))]

    def require_own(self, link: str) -> None:
        """Refuse a link that leads away from Graph, before anybody remembers it. Raises ForeignLink."""
        self._url(link)

    # One request ----------------------------------------------------------------------------------------------------

    async def _json(self, request: _Request) -> JsonObject:
        async def attempt() -> JsonObject:
            answer = await self._attempt(request)
            body = answer.json()
            if body is None:
                raise Interrupted(f"{request.place} answers with something else than JSON")
            return body

        return await self._patiently(attempt)

    async def _batch(self, wanted: Mapping[int, str], found: dict[int, Part]) -> None:
        """Ask for those that are not found yet. Raises Interrupted while some are left."""
        asked = {at: path for at, path in wanted.items() if at not in found}
        waits: list[float] = []
        throttled = False
        for at, part in await self._parts_of(asked):
            if part.try_again:
                waits += [] if part.wait is None else [part.wait]
                throttled = throttled or part.status == 429
            else:
                found[at] = part
        left = sum(at not in found for at in wanted)
        if left:
            what = f"{left} of {len(asked)} requests of a batch were not served"
            raise Interrupted(what, wait=max(waits, default=None), throttled=throttled)

    async def _parts_of(self, wanted: Mapping[int, str]) -> list[tuple[int, Part]]:
        """Ask for some paths in one request; give the answers that are there, each with its number."""
        common = {"method": "GET", **({"headers": self._priority} if self._priority else {})}
        asked = [{"id": str(at), "url": path, **common} for at, path in wanted.items()]
        content = orjson.dumps({"requests": asked})
        request = _Request("POST", self._url("/$batch"), {"Content-Type": "application/json"}, content)
        body = (await self._attempt(request)).json() or {}
        parts = _parts(body.get("responses"), self._clock.now())
        return [(int(key), part) for key, part in parts if key.isdecimal() and int(key) in wanted]

    async def _patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try until it gets through, as long as there is patience. Raises GraphUnavailable, Throttled."""
        until = self._clock.now() + self._patience
        for count in itertools.count(1):
            try:
                return await attempt()
            except Interrupted as failure:
                wait = self._pause(count) if failure.wait is None else failure.wait
                if failure.throttled:
                    self._gate.closed_until = max(self._gate.closed_until, self._clock.now() + wait)
                if count == MAX_ATTEMPTS or self._clock.now() + wait > until:
                    raise self._given_up(failure, wait) from None
                logger.info("Graph: %s; next try in %.1f s", failure.what, wait)
                await self._clock.sleep(wait)
        raise AssertionError("itertools.count does not end")

    def _pause(self, count: int) -> float:
        """Give a pause where Graph names none: twice as long each time, and no two alike."""
        return float(min(LONGEST_PAUSE, 2 ** (count - 1)) * (0.5 + self._jitter() / 2))

    def _given_up(self, failure: Interrupted, wait: float) -> GraphUnavailable:
        kind = Throttled if failure.throttled else GraphUnavailable
        return kind(*self._sentence(failure.what, wait if failure.wait is not None else LONGEST_PAUSE))

    def _sentence(self, what: str, wait: float) -> tuple[str, Stamp]:
        retry_at = stamp(self._clock.now() + wait)
        return f"Microsoft Graph cannot be had right now: {what}. Nothing is lost; come back at {retry_at}.", retry_at

    async def _attempt(self, request: _Request) -> _Answer:
        """Send a request once, twice if the token was stale. Raises Interrupted, GraphError."""
        token = await self._tokens.token(self.directory_id)
        answer = await self._exchange(request, token)
        if answer.status == 401:
            token = await self._tokens.renewed(self.directory_id, token)
            answer = await self._exchange(request, token)
        if not 200 <= answer.status < 300:
            raise self._refusal(request, answer, token)
        return answer

    async def _exchange(self, request: _Request, token: AccessToken) -> _Answer:
        headers = {**self._headers, **self._priority, **request.headers, "Authorization": f"Bearer {token.secret}"}
        built = self._http.build_request(request.method, request.url, headers=headers, content=request.content)
        try:
            async with self._gate.slots, asyncio.timeout(REQUEST_SECONDS):
                closed = self._gate.closed_until - self._clock.now()
                if closed > CLOCK_GRAIN:
                    raise Interrupted("it has asked for a pause", wait=closed, throttled=True)
                response = await self._http.send(built, stream=True, follow_redirects=False)
                try:
                    return _Answer(response.status_code, response.headers, await _read(response, request.most))
                finally:
                    await response.aclose()
        except TimeoutError:
            raise Interrupted(f"{request.place} takes longer than {REQUEST_SECONDS:.0f} s") from None
        except httpx.HTTPError as error:
            raise Interrupted(f"{request.place} cannot be reached ({type(error).__name__})") from None

    def _url(self, target: str) -> httpx.URL:
        """Give the address of a path or a link. Raises ForeignLink for what does not lead to Graph."""
        if target.startswith("/"):
            return httpx.URL(f"{self._graph_url}{VERSION}{target}")
        try:
            url = httpx.URL(target)
        except (httpx.InvalidURL, TypeError, ValueError):
            raise ForeignLink from None
        if _origin(url) != self._origin or url.userinfo:
            raise ForeignLink
        return url

    # What Graph says ------------------------------------------------------------------------------------------------

    def _refusal(self, request: _Request, answer: _Answer, token: AccessToken) -> GraphError | Interrupted:
        status, body = answer.status, answer.json() or {}
        error = error_code(body)
        if expired(request.follows_link, status, error, body):
            return DeltaExpired(self._restart(answer), error)
        if status in TRY_AGAIN:
            wait = retry_after(answer.headers, self._clock.now())
            what = f"{request.place} answers {status}{f' {error}' if error else ''}"
            # A 503 that names a time is Graph's word for being throttled as well (entra.md §8.7).
            return Interrupted(what, wait=wait, throttled=status == 429 or (status == 503 and wait is not None))
        if status == 404:
            return NotInDirectory(error)
        facts = {"error": error, "status": status, "request_id": plain_id(answer.headers.get("request-id"))}
        if error in NO_IDENTITY:
            return NotConsented(NO_IDENTITY_SENTENCE, **facts)
        if error is not None and error in SENTENCES:
            return GraphRefused(SENTENCES[error], **facts)
        if status == 401:
            return GraphRefused(NO_TOKEN.format(error or status), **facts)
        if status == 403:
            return self._missing(request, token, facts)
        return GraphRefused(NO_SENSE.format(status, error or "no code", facts["request_id"] or "none"), **facts)

    def _missing(self, request: _Request, token: AccessToken, facts: Mapping[str, Any]) -> GraphRefused:
        need = permission_for(request.url.path)
        lacking = missing_permissions(token.roles) if token.readable else ()
        if need is not None and not (token.readable and grants(token.roles, need)):
            return MissingPermission(lacking if need in lacking else (need,), **facts)
        if need is None and lacking:
            return MissingPermission(lacking, **facts)
        return GraphRefused(NOT_ALLOWED.format(need or "what the application needs"), **facts)

    def _restart(self, answer: _Answer) -> str | None:
        location = answer.headers.get("location")
        try:
            return None if location is None else str(self._url(location))
        except ForeignLink:
            return None


NO_IDENTITY = frozenset({"Authorization_IdentityNotFound", "Authorization_IdentityDisabled"})
NO_IDENTITY_SENTENCE = (
    "The directory does not know the application, or has disabled it. Let an administrator of the directory grant "
    "consent; right after consent it takes up to a minute."
)
NO_TOKEN = (
    "Microsoft Graph does not take the token that Entra gave ({}). Check that LOGIN_URL and GRAPH_URL are of the same "
    "cloud, and that the directory still consents to the application."
)
NO_SENSE = (
    "Microsoft Graph refuses a request ({} {}). This is not for an administrator to mend; tell the operator of this "
    "server, with Microsoft's request id {}."
)
NOT_ALLOWED = (
    "Microsoft Graph refuses, though {} is granted. Either the group hides its members (grant Member.Read.Hidden as "
    "well), or an access policy of the directory keeps the application out."
)
SENTENCES: Mapping[str, str] = {
    "Authentication_RequestFromNonPremiumTenantOrB2CTenant": (
        "The directory has no licence for this (Entra ID P1), or is a B2C directory, which offers no change tracking."
    ),
    "Authentication_RequestFromUnsupportedUserRole": (
        "The directory's policies do not let the application read this. Let an administrator of it allow it."
    ),
}
DELTA = re.compile(r"sync_?state|resync|(expired|invalid)\w*(page|delta|skip|sync)\w*token", re.IGNORECASE)
"""Codes of a link that is no longer good (entra.md §8.6): `syncStateNotFound`, `Directory_ExpiredPageToken`, …"""
KNOWN = re.compile(rf"{DELTA.pattern}|{'|'.join((*NO_IDENTITY, *SENTENCES))}", re.IGNORECASE)


def expired(follows_link: bool, status: int, error: str | None, body: JsonObject) -> bool:
    """Say whether an answer means that a link is too old, in any of the ways of entra.md §8.6."""
    if status == 410:
        return True
    if status not in (400, 404, 409) or error is None:
        return False
    if DELTA.search(error):
        return True
    # The one place where the message has to be asked: the code is that of any bad request.
    return follows_link and error == "Request_BadRequest" and "token" in _message(body)


def _message(body: JsonObject) -> str:
    error = body.get("error")
    message = error.get("message") if isinstance(error, dict) else None
    return message.lower() if isinstance(message, str) else ""


def error_code(body: JsonObject) -> str | None:
    """Give the most specific code that we know, looking into nested errors; else the outermost."""
    codes: list[str] = []
    node = body.get("error")
    if isinstance(node, str):
        return plain_code(node)
    while isinstance(node, dict) and len(codes) < 10:
        code = plain_code(node.get("code"))
        codes.append(code or "")
        node = next((node[name] for name in ("innerError", "innererror") if isinstance(node.get(name), dict)), None)
    known = [code for code in codes if KNOWN.search(code)]
    return known[-1] if known else next(filter(None, codes), None)


def plain_id(text: str | None) -> str | None:
    """Give an id that is only an id."""
    return text if text is not None and re.fullmatch(r"[0-9A-Fa-f-]{1,64}", text) else None


NEEDS = (
    ("/auditLogs/", "AuditLog.Read.All"),
    ("microsoft.graph.user", "User.Read.All"),
    ("/groups", "Group.Read.All"),
    ("microsoft.graph.group", "Group.Read.All"),
    ("/users", "User.Read.All"),
    ("/directoryObjects", "User.Read.All"),
)


def permission_for(path: str) -> str | None:
    """Name the application permission that reading a path needs."""
    if "/groups/" in path:
        return "Group.Read.All"
    return next((need for part, need in NEEDS if part in path), None)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


async def _read(response: httpx.Response, most: int) -> bytes:
    """Read a body, unpacked, up to a limit. Raises GraphRefused for one that is longer."""
    pieces, size = [], 0
    async for piece in response.aiter_bytes():
        size += len(piece)
        if size > most:
            raise TooLarge(most)
        pieces.append(piece)
    return b"".join(pieces)


def _parts(responses: Any, now: float) -> Iterator[tuple[str, Part]]:
    """Read the answers of a batch, each with its id. What is none is left out, and asked for again."""
    for raw in responses if isinstance(responses, list) else ():
        if isinstance(raw, dict) and isinstance(raw.get("id"), str) and isinstance(raw.get("status"), int):
            body, headers = raw.get("body"), raw.get("headers")
            error = error_code(body) if isinstance(body, dict) else None
            lowered = {name.lower(): str(value) for name, value in headers.items()} if isinstance(headers, dict) else {}
            wait = retry_after(lowered, now) if raw["status"] in TRY_AGAIN else None
            yield raw["id"], Part(raw["status"], body, error, wait)
