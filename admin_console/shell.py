"""What stands around every page: who is signed in, where the reader is, what was just done."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from admin_console import guard
from admin_console.request import Request
from app_core.errors import DomainError, TeamHasLogins
from app_core.sessions import Kind

STATUSES = {
    "not-found": (404, "This is not here"),
    "invalid": (400, "This cannot be taken as it is"),
    "missing-fields": (400, "Some fields could never be filled"),
    "wrong-code": (400, "This does not work"),
    "conflict": (409, "This is taken"),
    "stale": (409, "Changed in the meantime"),
    "still-holds": (409, "This still holds other things"),
    "not-possible": (409, "This is not possible now"),
    "mail-not-sent": (502, "The letter was not sent"),
    "sign-in-refused": (400, "You are not signed in"),
    "no-account": (403, "You have no account here"),
    "forbidden": (403, "You may not do this"),
    "graph-unavailable": (503, "Microsoft does not answer now"),
    "graph-refused": (409, "Microsoft has refused this"),
    "graph": (502, "Microsoft gave an answer of no use"),
    "busy": (503, "The server is busy"),
    "consent-refused": (409, "Consent was not taken"),
    "directory-taken": (409, "This directory is connected elsewhere"),
    "user-name-taken": (409, "This sign-in name is taken"),
    "unauthenticated": (401, "You are not signed in any more"),
    "seal-broken": (500, "A stored secret cannot be read"),
    "refused": (409, "This was refused"),
}
"""The status and title of each refusal by its code; one that is not here stands for its parent's."""
PLACES = (
    ("overview", "/console", "Overview", "gauge"),
    ("setup", "/console/setup", "Set up Entra", "plug"),
    ("people", "/console/people", "People", "people"),
    ("groups", "/console/groups", "Groups", "group"),
    ("teams", "/console/teams", "Teams", "key"),
    ("templates", "/console/templates", "Templates", "template"),
    ("cards", "/console/cards", "Cards", "card"),
    ("log", "/console/log", "Provisioning log", "list"),
    ("reconciliations", "/console/reconciliations", "Reconciliation", "scale"),
    ("settings", "/console/settings", "Settings", "gear"),
)
"""The pages of the console, in the order of its menu: name, path, word, symbol."""
BACK = {
    "/console/microsoft/consent": "/console/setup/graph",
    "/console/microsoft": "/console/sign-in",
    "/console/account/": "/console/account",
    "/console/connection": "/console/setup/graph",
    "/console/setup/graph/": "/console/setup/graph",
}
"""Where a reader goes back to from paths that are no page of the menu."""


def frame(request: Request, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Give a page all that stands around it."""
    visitor, tenant = request.visitor, request.tenant
    said = guard.unpacked(request.cookies.get(guard.DONE, "")) if request.part is None else None
    return {
        "request": request,
        "visitor": visitor,
        "tenant": tenant,
        "staff": visitor is not None and visitor.kind is not Kind.MEMBER,
        "token": guard.token_of(request.secret, guard.tenant_of(visitor)),
        "done": said,
        "theme": request.cookies.get(guard.THEME, "auto"),
        "places": PLACES if tenant is not None else (),
        "place": "",
        **facts,
    }


def sign_in_path(path: str, query: str, method: str) -> str:
    """Give the page where one signs in, and from there goes on to what was asked for."""
    start = "/console/sign-in" if path.startswith("/console") else "/me/sign-in"
    if method != "GET":
        return start
    return f"{start}?next={quote(path + ('?' + query if query else ''), safe='')}"


def next_of(request: Request, start: str) -> str:
    """Give where to go on after the sign-in: a page of ours, else the first one."""
    path = request.form.get("next") or request.query.get("next") or start
    return path if guard.is_local(path) and path.startswith(start.split("/")[1].join(["/", ""])) else start


def back_of(request: Request) -> str:
    """Give where a reader goes back to from a refusal: to the list or page that it happened on; empty for nowhere."""
    if request.path.startswith("/c/"):
        return "/".join(request.path.split("/")[:3])
    if not request.path.startswith("/console"):
        # Who has only a link, or a code, has no page here to go back to.
        return "" if request.path.startswith("/claim/") else "/start" if request.path.startswith("/start") else "/me"
    for start, back in BACK.items():
        if request.path.startswith(start):
            return back
    places = [path for _, path, _, _ in PLACES[1:] if request.path.startswith(f"{path}/")]
    return places[0] if places else "/console"


def way_out(error: DomainError) -> tuple[str, str] | None:
    """Give the page where a refusal can be mended, and a word for the way there."""
    if isinstance(error, TeamHasLogins):
        return f"/console/teams/{error.team_id}#logins", "Show its logins"
    return None


def status_of(error: DomainError) -> int:
    """Give the status of a refusal of the core."""
    return _words_of(error)[0]


def title_of(error: DomainError) -> str:
    """Give the title of a refusal of the core."""
    return _words_of(error)[1]


def sentence_of(error: DomainError) -> str:
    """Give the sentence of a refusal of the core; a field that it begins with has the name that the page gives it."""
    field, colon, rest = error.sentence.partition(": ")
    label = error.facts.get("label") or FIELDS.get(field)
    return f"{label}: {rest}" if colon and label else error.sentence


FIELDS = {
    "url": "Address",
    "name": "Name",
    "description": "Description",
    "display_name": "Name",
    "entra_tenant_id": "Directory",
    "group_ids": "Groups",
}


def _words_of(error: DomainError) -> tuple[int, str]:
    codes = [kind.code for kind in type(error).__mro__ if issubclass(kind, DomainError)]
    return next(STATUSES[code] for code in codes if code in STATUSES)
