"""Where people type their start code in: the account is theirs from then on (T3)."""

from admin_console.endpoint import Answer, done, page
from admin_console.paging import at
from admin_console.request import Request
from app_core import activation, credentials, seats, self_service, tenants
from app_core.db import Connection
from app_core.errors import NotFound
from app_core.tenants import Tenant
from app_core.work import Work

HOME = "/start"


def show(connection: Connection, request: Request) -> Answer:
    """Ask for the sign-in name and the start code, and for the company where nothing says which."""
    # The form goes back to where it names the company, for a refusal shows the same page again.
    query = at("", {"at": request.asked("at")})
    return page("start/ask.html", "Start your account", company=_company(connection, request), query=query)


def _company(connection: Connection, request: Request) -> Tenant | None:
    if not request.asked("at"):
        return tenants.only_one(connection)
    try:
        return tenants.find(connection, request.asked("at"))
    except NotFound:
        return None


def tenant_of(connection: Connection, request: Request) -> str:
    """Give the tenant whose code is typed in. Raises WrongCode, so that nobody learns which companies there are."""
    try:
        return tenants.find(connection, request.text("at")).id
    except NotFound:
        credentials.code_matches(request.text("code"), None)
        raise activation.wrong_code() from None


def redeem(work: Work, request: Request) -> Answer:
    """Redeem a start code. Raises WrongCode."""
    person_id = self_service.redeem_start_code(work, request.text("who"), request.text("code"))
    seat = seats.of_person(work, person_id)
    waits = "&waits=1" if seat is not None and seat.opened_at is None else ""
    return done(f"{HOME}/done?at={work.tenant_id}{waits}", target_id=person_id)


def show_done(connection: Connection, request: Request) -> Answer:
    """Say what comes next."""
    return page(
        "start/done.html",
        "Your account is active",
        company=_company(connection, request),
        waits=bool(request.asked("waits")),
    )
