"""The door itself: one request from the socket to the page and its log entry.

Whoever asks is found in the same unit of work as what they ask for (one transaction for a write). A refused write is
logged after its rollback. Pages of another tenant are not there: its ids are not found.
"""

import gzip
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request as Incoming
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from admin_console import guard, shell
from admin_console.endpoint import Answer, Endpoint, File, Page, Redirect, Who, page
from admin_console.log import log_failure, log_success
from admin_console.ports import Ports
from admin_console.rate_limit import Buckets
from admin_console.render import STATIC, digest, plural, render
from admin_console.request import Request, Upload
from admin_console.table import TABLE
from app_core import clock, follow, outbox, sessions, tenants
from app_core.beside import Uses
from app_core.db import Connection, Database, Violation
from app_core.errors import DomainError, Invalid, NotFound, WrongCode
from app_core.ids import new_correlation_id
from app_core.sessions import Kind
from app_core.work import Actor, Source, Work

logger = logging.getLogger(__name__)

MAX_FORM = 6 * 1024 * 1024
TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml", "png": "image/png", "ico": "image/x-icon"}


class Refusal(Exception):
    """A request that ends before its page: nobody is signed in, the form is not ours, there is no such page."""

    def __init__(
        self,
        status: int,
        title: str,
        sentence: str,
        way: tuple[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.title = title
        self.sentence = sentence
        self.way = way
        """The page where it can be mended, and a word for the way there."""
        self.headers = headers or {}


class SignInFirst(Exception):
    """Nobody is signed in who may see this page."""


class ChooseFirst(Exception):
    """An operator has not said which tenant to act in."""


class Console:
    """The pages on one database, known under one address."""

    def __init__(self, database: Database, ports: Ports) -> None:
        self.database = database
        self.ports = ports
        self._turns = Buckets()
        self._uses = Uses(database)

    def routes(self) -> list[Route]:
        """Give the routes for the application that this door is hung in."""
        paths = [Route(path, self._endpoint(path), methods=sorted(methods)) for path, methods in TABLE.items()]
        return [
            Route("/console/static/{name}", self.static, methods=["GET"]),
            *paths,
            Route("/console/{rest:path}", self._nothing, methods=["GET", "POST"]),
            Route("/me/{rest:path}", self._nothing, methods=["GET", "POST"]),
            Route("/c/{rest:path}", self._nothing, methods=["GET"]),
        ]

    async def close(self) -> None:
        """Finish what still runs beside the requests."""
        await self._uses.close()

    async def static(self, incoming: Incoming) -> Response:
        """Send a file of static/; its address holds its hash, so it may be kept for ever."""
        name: str = incoming.path_params["name"]
        found = _static(name)
        if found is None:
            return Response("There is no such file.", 404, media_type="text/plain")
        data, packed, media_type = found
        kept = incoming.query_params.get("v") == digest(name)
        headers = {
            "cache-control": f"public, max-age={'31536000, immutable' if kept else '60'}",
            "x-content-type-options": "nosniff",
            "vary": "accept-encoding",
        }
        if "gzip" in incoming.headers.get("accept-encoding", ""):
            return Response(packed, headers={**headers, "content-encoding": "gzip"}, media_type=media_type)
        return Response(data, headers=headers, media_type=media_type)

    def _endpoint(self, path: str) -> Callable[[Scope, Receive, Send], Any]:
        return _App(self, TABLE[path])

    async def _nothing(self, incoming: Incoming) -> Response:
        return await self.handle(incoming, Endpoint(_not_there, Who.ANYONE))

    async def handle(self, incoming: Incoming, endpoint: Endpoint) -> Response:
        """Answer one request."""
        request = self._request(incoming)
        run = _Run(endpoint, request, clock.ticks())
        try:
            self._require_turn(incoming, endpoint)
            return self._response(request, await self._answer(incoming, endpoint, request, run))
        except SignInFirst:
            answer: Answer = Redirect(to=shell.sign_in_path(incoming.url.path, incoming.url.query, request.method))
        except ChooseFirst:
            answer = Redirect(to="/console/tenants")
        except Refusal as refusal:
            answer = self._refused(request, refusal)
        except DomainError as error:
            await self._log(run, error)
            said = (shell.title_of(error), shell.sentence_of(error), shell.way_out(error))
            refused = self._refused(request, Refusal(shell.status_of(error), *said))
            answer = await self._again(run, error) or refused
        except Violation as violation:
            logger.warning("request %s met another one: %s", request.correlation_id, violation.kind)
            sentence = "Somebody else changed the same at the same moment. Nothing was changed; try again."
            answer = self._refused(request, Refusal(409, "Changed in the meantime", sentence))
        except Exception:
            logger.exception("request %s failed", request.correlation_id)
            sentence = f"Nothing was changed. The operator of this server finds more under {request.correlation_id}."
            answer = self._refused(request, Refusal(500, "Something went wrong here", sentence))
        finally:
            self._note_use(request)
        return self._response(request, answer)

    async def _answer(self, incoming: Incoming, endpoint: Endpoint, request: Request, run: "_Run") -> Answer:
        if request.method == "POST":
            await _read_form(incoming, request)
            run.sent = (incoming.headers.get("origin"), incoming.headers.get("sec-fetch-site"))
        if endpoint.fetch is not None:
            asked = await self.database.read(run.before)
            request.fetched = await endpoint.fetch(self.ports, request, asked)
        writes = request.method == "POST" or endpoint.writes
        answer = await (self.database.write if writes else self.database.read)(run.carry_out)
        if isinstance(answer, WrongCode):
            run.told = True
            raise answer
        if answer.mail is not None and self.ports.mailer is not None:
            tenant_id = guard.tenant_of(request.visitor) or ""
            await self.ports.mailer.send(replace(answer.mail, tenant_id=tenant_id))
        return answer

    def _require_turn(self, incoming: Incoming, endpoint: Endpoint) -> None:
        """Count what an address tries; who comes by a socket without one is not counted. Raises Refusal."""
        if not endpoint.limited or incoming.client is None:
            return
        seconds = self._turns.take(incoming.client.host)
        if seconds:
            sentence = (
                "Too much was tried from your network address within a short time, by you or by others there. "
                f"Nothing was used up. Try again in {plural(seconds, 'second')}."
            )
            raise Refusal(429, "Too many tries", sentence, headers={"retry-after": str(seconds)})

    def _request(self, incoming: Incoming) -> Request:
        headers = incoming.headers
        cookies = guard.read_cookies(headers.get("cookie", ""))
        htmx = headers.get("hx-request") == "true" and headers.get("hx-history-restore-request") != "true"
        return Request(
            method="GET" if incoming.method == "HEAD" else incoming.method,
            path=incoming.url.path,
            keys=incoming.path_params,
            query={name: value.replace("\0", "") for name, value in incoming.query_params.items()},
            correlation_id=new_correlation_id(),
            public_url=self.ports.public_url,
            cookies=cookies,
            part=headers.get("hx-target") if htmx else None,
            htmx=htmx,
            polled=headers.get("x-poll") == "true",
            held=headers.get("if-none-match", ""),
            agent=headers.get("user-agent", "")[:200],
            can_mail=self.ports.mailer is not None,
            keeps_letters=self.ports.letters is not None,
            can_sign_in=self.ports.sign_in is not None,
            secret=cookies.get(guard.CONSOLE if incoming.url.path.startswith("/console") else guard.MEMBER) or None,
        )

    async def _log(self, run: "_Run", error: DomainError) -> None:
        """Tell the log of a refused write, after its rollback, and write down what the refusal leaves behind."""
        if run.told or run.request.method != "POST" or not run.endpoint.action or run.request.tenant is None:
            return
        try:
            await self.database.write(lambda connection: run.log_refusal(connection, error))
        except Exception:
            logger.exception("refusal %s could not be logged", run.request.correlation_id)

    async def _again(self, run: "_Run", error: DomainError) -> Page | None:
        """Show a refused form once more, with what was typed; None where that is not to be: htmx keeps it by itself."""
        request, form = run.request, run.endpoint.again
        if form is None or request.htmx:
            return None
        request.again, request.refused = True, shell.sentence_of(error)
        try:
            answer = await self.database.read(run.of(form).show)
        except DomainError:
            return None
        assert isinstance(answer, Page)
        answer.status = shell.status_of(error)
        return answer

    def _refused(self, request: Request, refusal: Refusal) -> Page:
        return page(
            "refusal.html",
            refusal.title,
            status=refusal.status,
            sentence=refusal.sentence,
            way=refusal.way,
            back=shell.back_of(request),
            headers=refusal.headers,
        )

    def _note_use(self, request: Request) -> None:
        visitor, secret = request.visitor, request.secret
        if visitor is not None and secret is not None and not request.polled:
            self._uses.note(visitor.session_id, lambda connection: sessions.touch(connection, secret, clock.now()))

    def _response(self, request: Request, answer: Answer) -> Response:
        secure = self.ports.public_url.startswith("https:")
        cookies = dict(answer.cookies)
        headers = {**guard.HEADERS, "cache-control": "no-store", "x-request-id": request.correlation_id}
        if isinstance(answer, Redirect):
            if answer.done is not None:
                cookies[guard.DONE] = guard.packed(answer.done)
            # htmx follows a plain redirect by itself and would put the page into the form's place.
            status, name = (204, "hx-redirect") if request.htmx else (303, "location")
            response = Response(status_code=status, headers={**headers, name: answer.to})
        elif isinstance(answer, File):
            response = _file(answer, headers, request.held)
        else:
            if guard.DONE in request.cookies and request.part is None and guard.DONE not in cookies:
                cookies[guard.DONE] = None
            headers |= answer.headers
            facts = shell.frame(request, answer.facts)
            part = "alert" if answer.status >= 400 and request.htmx else request.part
            if answer.pictures:
                headers["content-security-policy"] = guard.policy(answer.pictures)
            response = Response(render(answer.file, facts, part), answer.status, headers, "text/html")
        for name, value in cookies.items():
            response.headers.append("set-cookie", guard.cookie(name, value, secure=secure))
        return response


class _App:
    """One path of the table as an ASGI application: what it answers is decided by the method."""

    def __init__(self, console: Console, methods: Mapping[str, Endpoint]) -> None:
        self.console = console
        self.methods = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        incoming = Incoming(scope, receive)
        endpoint = self.methods["GET" if incoming.method == "HEAD" else incoming.method]
        response = await self.console.handle(incoming, endpoint)
        await response(scope, receive, send)


class _Run:
    """One request on its way through a unit of work; the unit may be run again after a deadlock."""

    def __init__(self, endpoint: Endpoint, request: Request, started: float) -> None:
        self.endpoint = endpoint
        self.request = request
        self.started = started
        self.sent: tuple[str | None, str | None] = (None, None)
        self.told = False
        """Whether the log was told of a refusal in the transaction that counted it."""

    def of(self, endpoint: Endpoint) -> "_Run":
        """Give the same request on its way to another endpoint."""
        run = _Run(endpoint, self.request, self.started)
        run.sent = self.sent
        return run

    def before(self, connection: Connection) -> Any:
        """Say who asks, and read what the world outside is asked with."""
        scope = self._admitted(connection)
        return None if self.endpoint.before is None else self.endpoint.before(scope, self.request)

    def show(self, connection: Connection) -> Answer:
        """Answer a refused form by its page, which writes nothing."""
        return self.endpoint.answer(self._admitted(connection), self.request)

    def carry_out(self, connection: Connection) -> Answer | WrongCode:
        """Say who asks and answer; a wrong code that was counted is committed with its refusal and its entry."""
        scope = self._admitted(connection)
        try:
            answer = self.endpoint.answer(scope, self.request)
        except WrongCode as refusal:
            if not refusal.counted:
                raise
            log_failure(scope, self.endpoint, self.request, refusal, clock.ticks() - self.started)
            return refusal
        if isinstance(scope, Work) and (self.request.method == "POST" or self.endpoint.writes):
            self._tell(scope, answer)
        return answer

    def _tell(self, work: Work, answer: Answer) -> None:
        if self.endpoint.action and self.request.method == "POST":
            log_success(work, self.endpoint, answer, clock.ticks() - self.started)
        else:
            outbox.flush(work)

    def log_refusal(self, connection: Connection, error: DomainError) -> None:
        """Write down that a write was refused, and what the refusal leaves behind."""
        work = self._work(connection, clock.now())
        follow.after_refusal(work, error)
        log_failure(work, self.endpoint, self.request, error, clock.ticks() - self.started)

    def _admitted(self, connection: Connection) -> Any:
        """Find who asks, and give them what they may work with. Raises SignInFirst, Refusal."""
        request, now = self.request, clock.now()
        request.visitor = sessions.find(connection, request.secret, now) if request.secret else None
        if request.visitor is None:
            request.secret = None
        if request.method == "POST" and not guard.is_own(request, *self.sent):
            raise Refusal(
                403,
                "This form is no longer valid",
                "It was opened before you signed in, or for another tenant. Go back, load the page again, repeat it.",
            )
        who, visitor = self.endpoint.who, request.visitor
        if who is Who.ANYONE:
            # The menu around a page that anybody may see, or that is not there, is of whoever looks.
            if visitor is not None and visitor.kind is not Kind.MEMBER and visitor.tenant_id is not None:
                request.tenant = tenants.find(connection, visitor.tenant_id)
            return connection if self.endpoint.tenant is None else self._outsider(connection, now)
        if visitor is None or (visitor.kind is Kind.MEMBER) is not (who is Who.MEMBER):
            raise SignInFirst
        request.tenant = None if visitor.tenant_id is None else tenants.find(connection, visitor.tenant_id)
        if who is Who.OPERATOR and visitor.kind is not Kind.OPERATOR:
            raise NotFound("Page", request.path)
        if who in (Who.STAFF, Who.OPERATOR):
            return connection
        if visitor.tenant_id is None:
            raise ChooseFirst
        return self._work(connection, now)

    def _outsider(self, connection: Connection, now: clock.Stamp) -> Work:
        assert self.endpoint.tenant is not None
        self.request.tenant = tenants.find(connection, self.endpoint.tenant(connection, self.request))
        return self._work(connection, now)

    def _work(self, connection: Connection, now: clock.Stamp) -> Work:
        if self.endpoint.tenant is not None:
            assert self.request.tenant is not None
            nobody = Actor(Source.MEMBER, "")
            return Work(connection, self.request.tenant.id, "", nobody, self.request.correlation_id, now)
        visitor = self.request.who
        assert visitor.tenant_id is not None
        source = Source.MEMBER if visitor.kind is Kind.MEMBER else Source.ADMIN
        actor = Actor(source, visitor.subject_id)
        return Work(connection, visitor.tenant_id, "", actor, self.request.correlation_id, now)


def _not_there(connection: Connection, request: Request) -> Answer:
    raise NotFound("Page", request.path)


async def _read_form(incoming: Incoming, request: Request) -> None:
    """Read a form, of texts and at most a few files, within the limit. Raises Refusal, Invalid."""
    length = incoming.headers.get("content-length", "")
    if not length.isdigit() or int(length) > MAX_FORM:
        raise Refusal(413, "This is too large", f"A form may hold {MAX_FORM // 2**20} MB. Send a smaller picture.")
    try:
        sent = await incoming.form(max_files=2, max_fields=1000, max_part_size=1024 * 1024)
    except HTTPException as error:
        raise Invalid(f"The form cannot be read: {error.detail}") from None
    form: dict[str, str] = {}
    lists: dict[str, list[str]] = {}
    files: dict[str, Upload] = {}
    for name, value in sent.multi_items():
        if isinstance(value, UploadFile):
            files[name] = Upload(value.filename or "", await value.read())
        else:
            text = value.replace("\0", "").replace("\r\n", "\n")
            form[name] = text
            lists.setdefault(name, []).append(text)
    request.form, request.lists, request.files = form, lists, files


def _file(answer: File, headers: dict[str, str], held: str) -> Response:
    sent = {**headers, "cache-control": answer.cache}
    if answer.name is not None:
        sent["content-disposition"] = f"attachment; filename*=UTF-8''{quote(answer.name)}"
    if answer.etag is not None:
        sent["etag"] = answer.etag
        if held == answer.etag:
            return Response(status_code=304, headers=sent)
    return Response(answer.data, headers=sent, media_type=answer.media_type)


@lru_cache(maxsize=64)
def _static(name: str) -> tuple[bytes, bytes, str] | None:
    path = STATIC / name
    media_type = TYPES.get(path.suffix.removeprefix("."))
    if media_type is None or path.parent != STATIC or not path.is_file():
        return None
    data = path.read_bytes()
    return data, gzip.compress(data, 9), media_type
