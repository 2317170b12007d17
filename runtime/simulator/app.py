"""The faces on one socket: starlette around `graph`, `login` and `control`."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from runtime.simulator import gate, graph, login
from runtime.simulator.cloud import Cloud
from runtime.simulator.control import Control, Refused
from runtime.simulator.faults import Asked, FaultKind
from runtime.simulator.graph_call import Answer, Incoming
from runtime.simulator.login import LoginError, Reply

JsonObject = dict[str, Any]
ALL = ["GET", "POST", "PUT", "PATCH", "DELETE"]


class GraphResponse(Response):
    """An answer on its way to the socket; a broken one promises more than it sends, and the connection ends."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        super().__init__(answer.content(), answer.status, answer.headers, answer.media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer, or half of it."""
        if not self.answer.broken:
            await super().__call__(scope, receive, send)
            return
        half = bytes(self.body[: len(self.body) // 2])
        headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]
        headers.append((b"content-length", str(len(self.body) + 1).encode()))
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": half, "more_body": True})


def build_app(cloud: Cloud, script: list[JsonObject] | None = None) -> Starlette:
    """Hang everything in one application; a script begins when it starts."""
    control = Control(cloud)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        running = None if script is None else asyncio.create_task(_run_script(control, script))
        yield
        control.close()
        if running is not None:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    async def on_graph(request: Request) -> Response:
        incoming = Incoming(
            request.method,
            "/" + request.path_params["rest"],
            request.url.query,
            {name.lower(): value for name, value in request.headers.items()},
            await request.body(),
        )
        return GraphResponse(await graph.respond(cloud, incoming))

    async def on_control(request: Request) -> Response:
        return await _controlled(control, request)

    routes = [
        Route("/v1.0/{rest:path}", on_graph, methods=ALL),
        Route("/control", on_control),
        Route("/control/{verb}", on_control, methods=["GET", "POST"]),
        *_login_routes(cloud),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


async def _run_script(control: Control, steps: list[JsonObject]) -> None:
    control.script_state = "running"
    try:
        await control.run_script(steps)
        control.script_state = "done"
    except Refused as error:
        control.script_state = f"failed: {error}"
        print(f"The script: {error}", flush=True)


async def _controlled(control: Control, request: Request) -> Response:
    verb = request.path_params.get("verb", "overview")
    body = await request.body()
    try:
        arguments: Any = orjson.loads(body) if body else dict(request.query_params)
        if verb == "script" and isinstance(arguments, list):
            return _json({"results": await control.run_script(arguments)})
        if isinstance(arguments, dict):
            return _json(await control.do(verb, arguments))
        return _json({"error": "The body has to be a JSON object, that of a script a list of them."}, 400)
    except Refused as error:
        return _json({"error": str(error)}, 400)
    except orjson.JSONDecodeError:
        return _json({"error": "The body is no JSON."}, 400)


def _json(body: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json")


# ── Login ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _login_routes(cloud: Cloud) -> list[Route]:
    async def answer(request: Request, reply: Callable[[], Reply], *, page: bool = False) -> Response:
        return await _logged_in(cloud, request, reply, page=page)

    async def configuration(request: Request) -> Response:
        return await answer(request, lambda: Reply(200, login.discovery(cloud, request.path_params["tenant"])))

    async def configuration_v1(request: Request) -> Response:
        return await answer(request, lambda: Reply(200, login.discovery_v1(cloud, request.path_params["tenant"])))

    async def published(request: Request) -> Response:
        tenant = request.path_params.get("tenant", "common")
        return await answer(request, lambda: Reply(200, login.keys(cloud, tenant)))

    async def instances(request: Request) -> Response:
        asked = request.query_params.get("authorization_endpoint", "")
        return await answer(request, lambda: Reply(200, login.instances(cloud, asked)))

    async def token(request: Request) -> Response:
        form, basic = await _form(request), request.headers.get("authorization", "")
        return await answer(request, lambda: Reply(200, login.token(cloud, request.path_params["tenant"], form, basic)))

    async def authorize(request: Request) -> Response:
        tenant, asked, form = request.path_params["tenant"], dict(request.query_params), await _form(request)
        if request.method == "GET" or "client_id" in form:
            # The question itself may come by POST as well.
            return await answer(request, lambda: login.authorize(cloud, tenant, asked or form), page=True)
        return await answer(request, lambda: login.sign_in(cloud, tenant, asked, form), page=True)

    async def consent(request: Request) -> Response:
        tenant, asked, form = request.path_params["tenant"], dict(request.query_params), await _form(request)
        return await answer(request, lambda: login.admin_consent(cloud, tenant, asked, form.get("answer")), page=True)

    async def logout(request: Request) -> Response:
        back = request.query_params.get("post_logout_redirect_uri")
        return RedirectResponse(back, 302) if back else HTMLResponse("<p>You are signed out.</p>")

    return [
        Route("/{tenant}/v2.0/.well-known/openid-configuration", configuration),
        Route("/{tenant}/.well-known/openid-configuration", configuration_v1),
        Route("/{tenant}/discovery/v2.0/keys", published),
        Route("/{tenant}/discovery/keys", published),
        Route("/discovery/v2.0/keys", published),
        Route("/{tenant}/discovery/instance", instances),
        Route("/{tenant}/oauth2/v2.0/token", token, methods=["POST"]),
        Route("/{tenant}/oauth2/v2.0/authorize", authorize, methods=["GET", "POST"]),
        Route("/{tenant}/oauth2/v2.0/logout", logout, methods=["GET", "POST"]),
        Route("/{tenant}/v2.0/adminconsent", consent, methods=["GET", "POST"]),
    ]


async def _form(request: Request) -> dict[str, str]:
    if request.method != "POST":
        return {}
    return dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))


async def _logged_in(cloud: Cloud, request: Request, reply: Callable[[], Reply], *, page: bool) -> Response:
    """Answer on the login face; a refusal is a page for people and a document for programs."""
    struck = cloud.faults.striking(Asked("login", request.url.path, request.url.query))
    await gate.wait_by_fault(struck)
    cloud.counters["login"] += 1
    cloud.counters[f"login {request.method} {request.url.path.rpartition('/')[2]}"] += 1
    if struck.get(FaultKind.TIMEOUT) is not None:
        return GraphResponse(Answer(200, b"", broken=True))
    failure = struck.get(FaultKind.ERROR) or struck.get(FaultKind.THROTTLE)
    if failure is not None:
        status = failure.status if failure.kind is FaultKind.ERROR else 429
        headers = {} if failure.retry_after is None else {"Retry-After": str(failure.retry_after)}
        return Response(b'{"error":"temporarily_unavailable"}', status, headers, "application/json")
    try:
        given = reply()
    except LoginError as error:
        if page:
            return HTMLResponse(login.error_page(error), error.status)
        return _json(login.error_body(cloud, error), error.status)
    if given.location:
        return RedirectResponse(given.location, given.status)
    if isinstance(given.body, str):
        return HTMLResponse(given.body, given.status)
    return Response(orjson.dumps(given.body), given.status, {"Cache-Control": "no-store"}, "application/json")
