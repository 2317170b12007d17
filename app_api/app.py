"""The door itself: routes in one table, and one request from the socket to the answer and its log entry.

Everything between the key and the last statement happens in one unit of work (one transaction for a write). A refused
write is logged after its rollback; whatever else goes wrong is our fault, and the client gets an id to ask us about.
"""

import logging
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from app_api import auth, replay
from app_api.endpoint import WITH_BODY, Endpoint
from app_api.exchange import Answer, Call, Image, Limits, Lines, query_of
from app_api.log import log_failure, log_replay, log_success
from app_api.problems import MEDIA_TYPE as PROBLEM
from app_api.problems import Problem, from_domain
from app_api.replay import Claim, More, Reply
from app_api.table import TABLE
from app_core import api_keys, clock, follow, outbox
from app_core.api_keys import KeyCaller
from app_core.beside import Uses
from app_core.db import Connection, Database, Violation
from app_core.errors import DomainError, WrongCode
from app_core.ids import correlation_id_of
from app_core.ports import Courier, EntraDirectory, Mail, Mailer
from app_core.sealing import Sealer
from app_core.work import Actor, Source, Work

logger = logging.getLogger(__name__)

CORRELATION = ("x-request-id", "client-request-id")
HEADERS = frozenset(
    name.encode()
    for name in (
        *("authorization", "content-type", "content-length", "if-match", "if-none-match", "idempotency-key"),
        *CORRELATION,
    )
)


class _AnyPath(PathConvertor):
    """The rest of a path whatever it holds, line feeds too: what is not there is refused in this door's form."""

    regex = "(?s:.*)"


register_url_convertor("below_api", _AnyPath())


class ApiDoor:
    """The JSON API on one database, known under one address: an ASGI application below `prefix`."""

    def __init__(
        self,
        database: Database,
        public_url: str,
        limits: Limits,
        prefix: str = "/api/v1",
        *,
        mailer: Mailer | None = None,
        entra: EntraDirectory | None = None,
        courier: Courier | None = None,
        sealer: Sealer | None = None,
    ) -> None:
        self.database = database
        self.mailer = mailer
        self.entra = entra
        self.courier = courier
        self.sealer = sealer
        self.public_url = public_url.rstrip("/")
        self.prefix = prefix
        self.limits = limits
        self._uses = Uses(database)

    def routes(self) -> list[Route]:
        """Give the route for the application that this door is hung in."""
        return [Route(self.prefix + "{rest:below_api}", self)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        method: str = scope["method"]
        path: str = scope["path_params"]["rest"]
        headers = _headers_of(scope)
        correlation_id = _correlation_id(headers)
        head = method == "HEAD"
        found = find_route(path)
        if found is None:
            problem = Problem("not-found", f"There is nothing at {scope['path'][:200]!r}.")
            await _send(send, self._refusal(problem, correlation_id), correlation_id, head=head)
            return
        route, methods, keys = found
        endpoint = methods.get("GET" if head else method)
        if endpoint is None:
            allowed = ", ".join(methods)
            problem = Problem("method-not-allowed", f"{method} is not possible here; possible: {allowed}.")
            problem.headers["Allow"] = allowed
            await _send(send, self._refusal(problem, correlation_id), correlation_id, head=head)
            return
        call = self._call("GET" if head else method, route, path, keys, headers)
        reply = await self._handle(endpoint, call, correlation_id, scope, receive)
        await _send(send, reply, correlation_id, head=head, more=self._more(reply))

    def _call(self, method: str, route: str, path: str, keys: dict[str, str], headers: dict[str, str]) -> Call:
        return Call(
            method,
            route,
            path,
            keys,
            headers,
            public_url=self.public_url,
            can_mail=self.mailer is not None,
            entra=self.entra,
            courier=self.courier,
            sealer=self.sealer,
        )

    async def _more(self, reply: Reply) -> AsyncIterator[bytes]:
        """Read what goes out behind the body, a part a transaction."""
        more, position = reply.more, None if reply.more is None else reply.more.position
        while more is not None and position is not None:
            part, position = await self.database.read(
                lambda connection, more=more, position=position: more.read(connection, position)  # type: ignore[misc]
            )
            yield part

    async def close(self) -> None:
        """Finish what still runs beside the requests."""
        await self._uses.close()

    async def _handle(
        self, endpoint: Endpoint, call: Call, correlation_id: str, scope: Scope, receive: Receive
    ) -> Reply:
        """Carry out one request."""
        started = clock.ticks()
        request = _Request(endpoint, call, correlation_id, started, self.prefix)
        try:
            request.problem = await self._problem_of(endpoint, call, scope, receive)
            request.key_hash = auth.key_hash_of(call.headers)
            if endpoint.fetch is not None:
                seen = await self.database.read(request.look)
                request.fetched = {"fetched": await endpoint.fetch(call, seen, **endpoint.read(call))}
            run = self.database.write if endpoint.writes_by(call.method) else self.database.read
            reply = self._answered(await run(request.run), correlation_id)
            if request.mail is not None and self.mailer is not None:
                await self.mailer.send(request.mail)
        except DomainError as refusal:
            reply = await self._refuse(request, pointed_at(from_domain(refusal), endpoint), refusal)
        except Problem as problem:
            reply = await self._refuse(request, problem)
        except Violation as violation:
            reply = await self._refuse(request, _lost_race(violation, correlation_id))
        except Exception:
            logger.exception("request %s failed", correlation_id)
            reply = await self._refuse(request, _our_fault(correlation_id))
        self._note_use(request.caller)
        return reply

    async def _problem_of(self, endpoint: Endpoint, call: Call, scope: Scope, receive: Receive) -> Problem | None:
        """Read a request; what is wrong with it is told once it is known who asks."""
        try:
            await self._read(endpoint, call, scope, receive)
        except Problem as problem:
            return problem
        return None

    async def _read(self, endpoint: Endpoint, call: Call, scope: Scope, receive: Receive) -> None:
        """Read a request within the limits. Raises Problem."""
        if any("\0" in key for key in call.keys.values()):
            raise Problem("not-found", "No id holds a NUL character.")
        raw: bytes = scope["query_string"]
        if len(raw) + len(scope.get("raw_path") or b"") > self.limits.url_bytes:
            raise Problem("uri-too-long", f"The URL is longer than {self.limits.url_bytes} bytes.")
        if raw:
            call.query = query_of(raw)
        if call.method in WITH_BODY:
            endpoint.require_media_type(call.media_type)
            call.body = await _read_body(call.headers, receive, self.limits.body_bytes)

    async def _refuse(self, request: "_Request", problem: Problem, cause: DomainError | None = None) -> Reply:
        if request.caller is not None and request.endpoint.is_logged(request.call.method):
            try:
                await self.database.write(lambda connection: request.log_refusal(connection, problem, cause))
            except Exception:
                logger.exception("refusal %s could not be logged", request.correlation_id)
        return self._refusal(problem, request.correlation_id)

    def _answered(self, outcome: Reply | Problem, correlation_id: str) -> Reply:
        return self._refusal(outcome, correlation_id) if isinstance(outcome, Problem) else outcome

    def _refusal(self, problem: Problem, correlation_id: str) -> Reply:
        body = problem.body(self.public_url, correlation_id)
        return Reply(problem.status, body, {"content-type": PROBLEM, **problem.headers})

    def _note_use(self, caller: KeyCaller | None) -> None:
        if caller is not None:
            self._uses.note(caller.key_id, lambda connection: api_keys.note_use(connection, caller, clock.now()))


class _Request:
    """One request on its way through a unit of work; the unit may be run again after a deadlock."""

    __slots__ = (
        "call",
        "caller",
        "correlation_id",
        "endpoint",
        "fetched",
        "key_hash",
        "mail",
        "prefix",
        "problem",
        "started",
    )

    def __init__(self, endpoint: Endpoint, call: Call, correlation_id: str, started: float, prefix: str) -> None:
        self.endpoint = endpoint
        self.call = call
        self.correlation_id = correlation_id
        self.started = started
        self.prefix = prefix
        self.key_hash = ""
        self.problem: Problem | None = None
        self.caller: KeyCaller | None = None
        self.fetched: dict[str, Any] = {}
        self.mail: Mail | None = None

    def look(self, connection: Connection) -> Any:
        """See who asks for what, and read what the world outside is asked with. Raises as `run` does."""
        work = self._opened(connection)
        self.endpoint.read(self.call)
        return None if self.endpoint.before is None else self.endpoint.before(work, self.call)

    def run(self, connection: Connection) -> Reply | Problem:
        """Carry the request out; a refusal that is given back, not raised, is committed with what it counted."""
        work = self._opened(connection)
        assert self.caller is not None
        if not self.endpoint.writes_by(self.call.method):
            return self._read(self.endpoint.answer(work, self.call, **self.fetched))
        claim = replay.claim(work, self.caller, self.call, once=self.endpoint.once)
        if claim is not None and claim.reply is not None:
            log_replay(work, self.call, self.endpoint, claim.reply.status, clock.ticks() - self.started)
            return claim.reply
        try:
            answer = self.endpoint.answer(work, self.call, **self.fetched)
        except WrongCode as refusal:
            if not refusal.counted:
                raise
            return self._counted(work, claim, from_domain(refusal))
        self.mail = None if answer.mail is None else replace(answer.mail, tenant_id=work.tenant_id)
        reply = reply_of(answer, self.call, self.prefix)
        if claim is not None:
            claim.keep(work, reply)
        if self.endpoint.is_logged(self.call.method):
            log_success(work, self.call, self.endpoint, answer, clock.ticks() - self.started)
        else:
            outbox.flush(work)
        return reply

    def _opened(self, connection: Connection) -> Work:
        """Open the unit of work of whoever asks. Raises Problem, Unauthenticated, Forbidden."""
        now = clock.now()
        self.caller = api_keys.authenticate(connection, self.key_hash, now)
        auth.require_scope(self.caller, self.endpoint.scope)
        if self.problem is not None:
            raise self.problem
        return self._work(connection, self.caller, now)

    def _read(self, answer: Answer[Any]) -> Reply:
        reply, lines = reply_of(answer, self.call, self.prefix), answer.body
        if not isinstance(lines, Lines) or lines.following is None:
            return reply
        return replace(reply, more=More(lines.following, lambda connection, at: self._part(connection, lines, at)))

    def _part(self, connection: Connection, lines: Lines, position: int) -> tuple[bytes, int | None]:
        assert self.caller is not None
        return lines.read(self._work(connection, self.caller, clock.now()), position)

    def _counted(self, work: Work, claim: Claim | None, problem: Problem) -> Problem:
        """Refuse a wrong code in the transaction that counts the try."""
        if claim is not None:
            claim.drop(work)
        log_failure(work, self.call, self.endpoint, problem, clock.ticks() - self.started)
        return problem

    def log_refusal(self, connection: Connection, problem: Problem, cause: DomainError | None) -> None:
        assert self.caller is not None
        work = self._work(connection, self.caller, clock.now())
        if cause is not None:
            follow.after_refusal(work, cause)
        log_failure(work, self.call, self.endpoint, problem, clock.ticks() - self.started)

    def _work(self, connection: Connection, caller: KeyCaller, now: clock.Stamp) -> Work:
        actor = Actor(Source.ADMIN, caller.key_id)
        return Work(connection, caller.tenant_id, "", actor, self.correlation_id, now)


# Routes -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Path:
    """A path of the table, taken apart."""

    route: str
    steps: tuple[str, ...]
    methods: Mapping[str, Endpoint]

    def keys(self, parts: list[str]) -> dict[str, str] | None:
        """Give what stands in the braces, where this is the path of these parts."""
        keys = {}
        for step, part in zip(self.steps, parts, strict=True):
            if step[0] == "{" and part:
                keys[step[1:-1]] = part
            elif step != part:
                return None
        return keys


PATHS = [_Path(route, tuple(route.split("/")[1:]), methods) for route, methods in TABLE.items()]
# A word of the table wins over an id.
PATHS.sort(key=lambda path: path.route.count("{"))
BY_LENGTH = {length: [path for path in PATHS if len(path.steps) == length] for length in range(1, 8)}


def find_route(path: str) -> tuple[str, Mapping[str, Endpoint], dict[str, str]] | None:
    """Find what answers a path below the prefix, and the ids in it."""
    first, *parts = path.split("/")
    if first:
        return None
    for known in BY_LENGTH.get(len(parts), ()):
        keys = known.keys(parts)
        if keys is not None:
            return known.route, known.methods, keys
    return None


# Answers ------------------------------------------------------------------------------------------------------------


def reply_of(answer: Answer[Any], call: Call, prefix: str) -> Reply:
    """Put an answer into bytes and headers."""
    headers: dict[str, str] = {}
    if answer.version is not None:
        headers["etag"] = f'W/"{answer.version}"'
    if answer.location is not None:
        headers["location"] = prefix + answer.location
    if isinstance(answer.body, Image):
        tag = f'"{answer.body.hash}"'
        headers |= {"etag": tag, "cache-control": "private, no-cache", "x-content-type-options": "nosniff"}
        if tag in [each.strip().removeprefix("W/") for each in call.headers.get("if-none-match", "").split(",")]:
            return Reply(304, b"", headers)
        return Reply(answer.status, answer.body.data, {**headers, "content-type": answer.body.media_type})
    if isinstance(answer.body, Lines):
        saved = f'attachment; filename="{answer.body.file_name}"'
        named = {"content-type": f"{answer.body.media_type}; charset=utf-8", "content-disposition": saved}
        return Reply(answer.status, answer.body.first, {**headers, **named})
    if answer.body is None:
        return Reply(answer.status, b"", headers)
    return Reply(answer.status, orjson.dumps(answer.body), {**headers, "content-type": "application/json"})


PLACE = re.compile(r"([a-z_]+)((?:\[\d+\]|\.[a-z_]+| \('[^']*'\))*): (.+)", re.DOTALL)
STEP = re.compile(r"\[(\d+)\]|\.([a-z_]+)")


def pointed_at(problem: Problem, endpoint: Endpoint) -> Problem:
    """Point at the member that a sentence of the core begins with, as the reader of bodies does.

    "fields[0] ('title').source: …" is /fields/0/source.
    """
    found = PLACE.fullmatch(problem.detail) if problem.code == "invalid" and endpoint.body is not None else None
    if found is None or endpoint.body is None or found[1] not in endpoint.body.model_fields:
        return problem
    steps = "".join([f"/{number or member}" for number, member in STEP.findall(found[2])])
    error = {"pointer": f"/{found[1]}{steps}", "detail": found[3].removesuffix(".")}
    problem.facts = {**problem.facts, "errors": [error]}
    return problem


def _lost_race(violation: Violation, correlation_id: str) -> Problem:
    if violation.kind not in ("unique", "reference"):
        logger.error("request %s failed: %s", correlation_id, violation)
        return _our_fault(correlation_id)
    logger.warning("request %s met another one: %s", correlation_id, violation)
    return Problem("conflict", "Somebody else changed the same at the same moment. Nothing was changed; try again.")


def _our_fault(correlation_id: str) -> Problem:
    return Problem("internal", f"The server could not carry this out. Its operator finds more under {correlation_id}.")


async def _read_body(headers: Mapping[str, str], receive: Receive, limit: int) -> bytes:
    too_large = Problem("too-large", f"The body is larger than {limit} bytes.")
    length = headers.get("content-length", "0")
    if length.isdigit() and int(length) > limit:
        raise too_large
    chunks, size, more = [], 0, True
    while more:
        message = await receive()
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit:
            raise too_large
        more = message.get("more_body", False)
    return b"".join(chunks)


def _headers_of(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"] if name in HEADERS}


def _correlation_id(headers: Mapping[str, str]) -> str:
    """Take the caller's request id when it is a plain one, so that both sides can find the same request."""
    return correlation_id_of(map(headers.get, CORRELATION))


async def _send(
    send: Send, reply: Reply, correlation_id: str, *, head: bool, more: AsyncIterator[bytes] | None = None
) -> None:
    # Answers hold personal values, some of them secrets: nobody on the way keeps them, unless it is said.
    named = {"x-request-id": correlation_id, "cache-control": "no-store", **reply.headers}
    if reply.status not in (204, 304) and reply.more is None:
        named["content-length"] = str(len(reply.body))
    headers = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in named.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    if more is None or reply.more is None or head:
        await send({"type": "http.response.body", "body": b"" if head else reply.body})
        return
    await send({"type": "http.response.body", "body": reply.body, "more_body": True})
    async for part in more:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
