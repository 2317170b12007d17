"""The door itself: routes in one table, and one request from the socket to the answer and its log entry.

Everything between the token and the last statement happens in one unit of work (one transaction for a write). A refusal
is logged after the rollback; whatever else goes wrong is our fault, and the client gets an id to ask us about.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from starlette.convertors import PathConvertor, register_url_convertor
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from app_core import clock, connections, follow
from app_core.beside import Uses
from app_core.connections import Caller
from app_core.db import Connection, Database, Params, Row, Statement, WrongGuess
from app_core.errors import DomainError
from app_core.ids import correlation_id_of
from app_core.work import Actor, Source, Work
from scim_server import auth, bulk, discovery, everything, groups, users
from scim_server.errors import ScimError, from_domain
from scim_server.exchange import Answer, Call, Limits, query_of
from scim_server.log import log_failure, log_success

logger = logging.getLogger(__name__)

MEDIA_TYPE = b"application/scim+json"
TAKEN = frozenset({"application/scim+json", "application/json"})
WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_NO_SUCH_ID = ScimError(404, None, "No resource has an id with a NUL character.")
CORRELATION = ("x-request-id", "client-request-id", "x-ms-client-request-id")
OWN_TEST = "x-connection-test"
"""Says that the console asks, as Entra does when an administrator tests the connection."""
HEADERS = frozenset(
    name.encode()
    for name in (
        *("authorization", "content-type", "content-length", "if-match", "if-none-match"),
        *CORRELATION,
        OWN_TEST,
    )
)


class _AnyPath(PathConvertor):
    """The rest of a path whatever it holds, line feeds too: what is not there is refused in SCIM's form."""

    regex = "(?s:.*)"


register_url_convertor("anything", _AnyPath())


class First(Enum):
    """What an endpoint begins with: on PostgreSQL that shares a trip with the look-up of the caller."""

    SELECT = "a SELECT"
    WRITE = "a write, several rows that are held, or a SELECT that has to come before"
    SAVEPOINT = "a savepoint"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What answers one method of one path."""

    run: Callable[[Work, Call], Answer]
    action: str
    kind: str
    writes: bool = False
    logs_itself: bool = False
    first: First = First.SELECT


CREATE_USER = Endpoint(users.create, "create", "User", writes=True, first=First.WRITE)
CREATE_GROUP = Endpoint(groups.create, "create", "Group", writes=True)
TABLE: dict[str, dict[str, Endpoint]] = {
    "/Users": {"GET": Endpoint(users.find, "find", "User"), "POST": CREATE_USER},
    "/Users/.search": {"POST": Endpoint(users.find_by_body, "find", "User")},
    "/Users/{key}": {
        "GET": Endpoint(users.read, "read", "User"),
        "PUT": Endpoint(users.replace, "replace", "User", writes=True),
        "PATCH": Endpoint(users.update, "update", "User", writes=True),
        "DELETE": Endpoint(users.delete, "delete", "User", writes=True, first=First.WRITE),
    },
    "/Groups": {"GET": Endpoint(groups.find, "find", "Group"), "POST": CREATE_GROUP},
    "/Groups/.search": {"POST": Endpoint(groups.find_by_body, "find", "Group")},
    "/Groups/{key}": {
        "GET": Endpoint(groups.read, "read", "Group"),
        "PUT": Endpoint(groups.replace, "replace", "Group", writes=True),
        "PATCH": Endpoint(groups.update, "update", "Group", writes=True),
        "DELETE": Endpoint(groups.delete, "delete", "Group", writes=True),
    },
    "/Bulk": {"POST": Endpoint(bulk.run, "bulk", "Bulk", writes=True, logs_itself=True, first=First.SAVEPOINT)},
    "/.search": {"POST": Endpoint(everything.find_by_body, "find", "Resource")},
    "": {"GET": Endpoint(everything.find, "find", "Resource")},
    "/Me": {method: Endpoint(discovery.me, "me", "Me") for method in ("GET", "POST", "PUT", "PATCH", "DELETE")},
    "/ServiceProviderConfig": {"GET": Endpoint(discovery.service_provider_config, "discover", "ServiceProviderConfig")},
    "/ResourceTypes": {"GET": Endpoint(discovery.resource_types, "discover", "ResourceType")},
    "/ResourceTypes/{key}": {"GET": Endpoint(discovery.resource_type, "discover", "ResourceType")},
    "/Schemas": {"GET": Endpoint(discovery.schemas, "discover", "Schema")},
    "/Schemas/{key}": {"GET": Endpoint(discovery.schema, "discover", "Schema")},
}


class Door:
    """The SCIM service on one database, known under one address: an ASGI application below `prefix`."""

    def __init__(self, database: Database, public_url: str, limits: Limits, prefix: str = "/scim/v2") -> None:
        self.database = database
        self.prefix = prefix
        self.base = public_url.rstrip("/") + prefix
        self.limits = limits
        self._uses = Uses(database)
        self._callers: dict[str, Caller] = {}
        """Whom tokens stood for when they were last looked up, by their hashes: it is looked at again each time."""

    def routes(self) -> list[Route]:
        """Give the route for the application that this door is hung in."""
        return [Route(self.prefix + "{rest:anything}", self)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a slash too many is forgiven (entra Q24)."""
        method: str = scope["method"]
        methods, key = find_methods(scope["path_params"]["rest"])
        if methods is None:
            error = ScimError(404, None, f"There is nothing at {scope['path'][:200]!r}; see /ResourceTypes.")
            await _send(send, _answer(error), _correlation_id(_headers_of(scope)))
            return
        endpoint = methods.get("GET" if method == "HEAD" else method)
        if endpoint is None:
            allowed = ", ".join(methods)
            error = ScimError(405, None, f"{method} is not possible here; possible: {allowed}.", Allow=allowed)
            await _send(send, _answer(error), _correlation_id(_headers_of(scope)))
            return
        answer, correlation_id = await self.handle(endpoint, key, scope, receive)
        await _send(send, answer, correlation_id, head=method == "HEAD")

    async def close(self) -> None:
        """Finish what still runs beside the requests."""
        await self._uses.close()

    async def handle(self, endpoint: Endpoint, key: str, scope: Scope, receive: Receive) -> tuple[Answer, str]:
        """Carry out one request; give the answer and its correlation id."""
        started = clock.ticks()
        headers = _headers_of(scope)
        correlation_id = _correlation_id(headers)
        call, problem = await self._read(scope, key, headers, receive)
        request = _Request(endpoint, call, problem, correlation_id, started)
        try:
            request.token_hash = auth.token_hash_of(headers)
            request.before = self._callers.get(request.token_hash)
            run = self.database.write if endpoint.writes else self.database.read
            answer = await run(request.run)
        except (ScimError, DomainError) as refusal:
            error = problem or (refusal if isinstance(refusal, ScimError) else from_domain(refusal))
            if request.caller is None and isinstance(refusal, DomainError):
                # Without a caller a malformed request is 401 like any other: it says nothing of what is here.
                error = from_domain(refusal)
            answer = await self._refuse(request, error, refusal)
        except Exception:
            logger.exception("request %s failed", correlation_id)
            error = ScimError(
                500, None, f"The server could not carry this out. Its operator finds more under {correlation_id}."
            )
            answer = await self._refuse(request, error)
        if request.caller is not None:
            self._remember(request.token_hash, request.caller)
            if not _is_own_test(call, answer):
                self._note_use(request.caller)
        return answer, correlation_id

    async def _read(
        self, scope: Scope, key: str, headers: dict[str, str], receive: Receive
    ) -> tuple[Call, ScimError | None]:
        """Read a request within the limits; what is wrong with it is told once it is known who asks."""
        method: str = scope["method"]
        if "\0" in key:
            return Call(method, self.base, "", {}, headers, b"", self.limits), _NO_SUCH_ID
        call = Call("GET" if method == "HEAD" else method, self.base, key, {}, headers, b"", self.limits)
        raw: bytes = scope["query_string"]
        if len(raw) + len(scope.get("raw_path") or b"") > self.limits.url_bytes:
            return call, ScimError(
                414, None, f"The URL is longer than {self.limits.url_bytes} bytes; use POST …/.search."
            )
        try:
            if raw:
                call.query = query_of(raw)
            if method in WITH_BODY:
                _require_media_type(headers)
                call.body = await _read_body(headers, receive, self.limits.body_bytes)
        except ScimError as problem:
            return call, problem
        return call, None

    async def _refuse(self, request: "_Request", error: ScimError, refusal: Exception | None = None) -> Answer:
        if request.caller is not None:
            try:
                await self.database.write(lambda connection: request.log_refusal(connection, error, refusal))
            except Exception:
                logger.exception("refusal %s could not be logged", request.correlation_id)
        return _answer(error)

    def _remember(self, token_hash: str, caller: Caller) -> None:
        if len(self._callers) >= MOST_CALLERS:
            self._callers.clear()
        self._callers[token_hash] = caller

    def _note_use(self, caller: Caller) -> None:
        self._uses.note(caller.token_id, lambda connection: connections.note_use(connection, caller, clock.now()))


NOBODY = Caller("", "", "")
MOST_CALLERS = 10_000
"""So many callers are remembered; then all are forgotten, which costs one look more each."""


class _Request:
    """One request on its way through a unit of work; the unit may be run again after a deadlock."""

    __slots__ = ("before", "call", "caller", "correlation_id", "endpoint", "problem", "started", "token_hash")

    def __init__(
        self, endpoint: Endpoint, call: Call, problem: ScimError | None, correlation_id: str, started: float
    ) -> None:
        self.endpoint = endpoint
        self.call = call
        self.problem = problem
        self.correlation_id = correlation_id
        self.started = started
        self.token_hash = ""
        self.before: Caller | None = None
        """Whom the token stood for before."""
        self.caller: Caller | None = None

    def run(self, connection: Connection) -> Answer:
        self.caller, now = None, clock.now()
        if self.problem is not None:
            self.caller = connections.authenticate(connection, self.token_hash, now)
            raise self.problem
        if connection.far and self.endpoint.first is First.SELECT:
            return self._run_opening(self._work(connection, NOBODY, now))
        if connection.far and self.endpoint.first is First.WRITE and self.before is not None:
            return self._run_assuming(self._work(connection, self.before, now), self.before)
        self.caller = connections.authenticate(connection, self.token_hash, now)
        work = self._work(connection, self.caller, now)
        return self._logged(work, self.endpoint.run(work, self.call))

    def _run_opening(self, work: Work) -> Answer:
        """Look the caller up together with the first SELECT."""
        work.first = lambda statement, params: self._open(work, statement, params)
        try:
            answer = self.endpoint.run(work, self.call)
        finally:
            if work.first is not None:
                # It came to no statement (or to a refusal before the first): the caller is looked up all the same.
                self.caller = connections.authenticate(work.connection, self.token_hash, work.now)
        return self._logged(work, answer)

    def _run_assuming(self, work: Work, before: Caller) -> Answer:
        """Look the caller up together with what comes first; before a write it is assumed to be who it was before.

        Where that is wrong, or the request is refused, all of it is run again.
        """
        work.unread = lambda: self._assume(work, before)
        try:
            return self._run_opening(work)
        except (ScimError, DomainError) as refusal:
            if self.caller is before:
                raise WrongGuess from refusal
            raise

    def _assume(self, work: Work, before: Caller) -> None:
        assumed = connections.assume(work.connection, self.token_hash, before, work.now)
        self.caller = before if assumed else connections.authenticate(work.connection, self.token_hash, work.now)

    def _logged(self, work: Work, answer: Answer) -> Answer:
        if self.endpoint.writes and not self.endpoint.logs_itself:
            log_success(work, self.call, self.endpoint.action, self.endpoint.kind, answer, clock.ticks() - self.started)
        return answer

    def _open(self, work: Work, statement: Statement, params: Params) -> Sequence[Row]:
        self.caller, rows = connections.open_with(work, self.token_hash, statement, params)
        work.actor = Actor(Source.SCIM, self.caller.token_id)
        return rows

    def log_refusal(self, connection: Connection, error: ScimError, refusal: Exception | None) -> None:
        assert self.caller is not None
        work = self._work(connection, self.caller, clock.now())
        if isinstance(refusal, DomainError):
            follow.after_refusal(work, refusal)
        log_failure(work, self.call, self.endpoint.action, self.endpoint.kind, error, clock.ticks() - self.started)

    def _work(self, connection: Connection, caller: Caller, now: clock.Stamp) -> Work:
        actor = Actor(Source.SCIM, caller.token_id)
        return Work(connection, caller.tenant_id, caller.connection_id, actor, self.correlation_id, now)


def find_methods(path: str) -> tuple[dict[str, Endpoint] | None, str]:
    """Find what answers a path below the prefix, and the id in it."""
    parts = [part for part in path.split("/") if part]
    if len(parts) == 2 and parts[1] != ".search":
        return TABLE.get(f"/{parts[0]}/{{key}}"), parts[1]
    return TABLE.get("".join([f"/{part}" for part in parts])), ""


def _is_own_test(call: Call, answer: Answer) -> bool:
    """Say whether our own console has tried a token, and has learnt nothing but that it is live.

    That is no use: from the first one on Entra's assignments decide who is here (ADR 0019), and Entra has not come.
    """
    return OWN_TEST in call.headers and call.method == "GET" and b'"totalResults":0,' in answer.body


def _answer(error: ScimError) -> Answer:
    return Answer(error.status, error.body(), error.headers)


def _require_media_type(headers: dict[str, str]) -> None:
    given = headers.get("content-type", "").partition(";")[0].strip().lower()
    if given and given not in TAKEN:
        raise ScimError(415, None, f"Send application/scim+json or application/json, not {given[:60]}.")


async def _read_body(headers: dict[str, str], receive: Receive, limit: int) -> bytes:
    length = headers.get("content-length", "0")
    if length.isdigit() and int(length) > limit:
        raise ScimError(413, None, f"The body is larger than {limit} bytes.")
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False) and len(body) <= limit:
        return body
    chunks, size = [body], len(body)
    while message.get("more_body", False):
        message = await receive()
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit:
            raise ScimError(413, None, f"The body is larger than {limit} bytes.")
    return b"".join(chunks)


def _headers_of(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"] if name in HEADERS}


def _correlation_id(headers: dict[str, str]) -> str:
    """Take the caller's request id when it is a plain one, so that both sides can find the same request."""
    return correlation_id_of(map(headers.get, CORRELATION))


async def _send(send: Send, answer: Answer, correlation_id: str, *, head: bool = False) -> None:
    headers: list[tuple[bytes, bytes]] = [(b"x-request-id", correlation_id.encode())]
    if answer.body:
        headers += [(b"content-type", MEDIA_TYPE), (b"content-length", str(len(answer.body)).encode())]
    elif answer.status not in (204, 304):
        headers.append((b"content-length", b"0"))
    headers += _encoded(answer.headers.items())
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else answer.body})


def _encoded(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in headers]
