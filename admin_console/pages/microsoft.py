"""Signing in with Microsoft: administrators, members, and whoever links an account or proves which directory is theirs.

A sign-in goes away to Microsoft and comes back in the same browser, which a cookie knows again. It never tells what it
is for: that is kept with it (`sign_in_flows`).
"""

from urllib.parse import urlencode

from admin_console import guard, shell
from admin_console.endpoint import Answer, Redirect, done
from admin_console.pages.sign_in import cookie_of, start_of
from admin_console.ports import Ports
from admin_console.request import Request
from app_core import administrators, clock, sessions, sign_in_flows
from app_core.db import Connection
from app_core.errors import NotPossible, SignInRefused
from app_core.ports import Flow, Identity, SignIn
from app_core.sessions import Kind
from app_core.sign_in_flows import Kept
from app_core.work import Work

SIGN_IN, LINK, CONSENT, PROVED = "sign in", "link", "consent", "proved"
"""What a sign-in is for. `PROVED` is what is left of one for consent: the directory that its id token named."""
NOT_BEGUN = (
    "This sign-in did not begin in this browser, was finished already, or took longer than ten minutes. Begin it again."
)

NOT_CONSENTING = (
    "Only an administrator of a Microsoft directory connects it, and this account is none. Begin again, and sign in as "
    "Global, Privileged Role, Application or Cloud Application Administrator."
)
NO_ADMINISTRATOR = "This Microsoft account administers nothing here; these are its own cards."


def require_sign_in(port: SignIn | None) -> SignIn:
    """Give Microsoft's sign-in where the operator has named an application. Raises NotPossible."""
    if port is None:
        raise NotPossible(
            "This server does not sign in with Microsoft: its operator must set SCIM_SERVER_ENTRA_CLIENT_ID and "
            "SCIM_SERVER_ENTRA_CLIENT_SECRET or SCIM_SERVER_ENTRA_CLIENT_CERTIFICATE. Use a one-time link instead."
        )
    return port


def flow_cookie(request: Request) -> str:
    """Name the cookie of the sign-ins that come back to this side of the door."""
    return guard.CONSOLE_FLOW if request.path.startswith("/console") else guard.MEMBER_FLOW


# There --------------------------------------------------------------------------------------------------------------


async def begin(ports: Ports, request: Request, asked: object) -> Flow:
    """Begin a sign-in: as the account that the browser is signed in with, if there is just one."""
    return await _begin(ports, request, None)


async def begin_choice(ports: Ports, request: Request, asked: object) -> Flow:
    """Begin a sign-in in which the account is chosen: it is going to be linked."""
    return await _begin(ports, request, "select_account")


async def _begin(ports: Ports, request: Request, prompt: str | None) -> Flow:
    base = "/console" if request.path.startswith("/console") else "/me"
    port = require_sign_in(ports.sign_in)
    return await port.begin(f"{ports.public_url.rstrip('/')}{base}/microsoft/return", prompt=prompt)


def go(connection: Connection, request: Request) -> Answer:
    """Go to Microsoft to sign in."""
    start = "/console" if request.path.startswith("/console") else "/me"
    return _gone(connection, request, SIGN_IN, shell.next_of(request, start))


def go_to_link(connection: Connection, request: Request) -> Answer:
    """Go to Microsoft for an account to link."""
    return _gone(connection, request, LINK, "/console/account")


def go_for_consent(work: Work, request: Request) -> Answer:
    """Go to Microsoft to prove which directory one belongs to; what came back from consent is kept meanwhile."""
    return _gone(work.connection, request, CONSENT, urlencode(request.query))


def _gone(connection: Connection, request: Request, purpose: str, after: str) -> Redirect:
    flow: Flow = request.fetched
    session_id = "" if purpose == SIGN_IN else request.who.session_id
    secret = sign_in_flows.keep(connection, Kept(flow.private, purpose, after, session_id), clock.now())
    return Redirect(to=flow.url, cookies={flow_cookie(request): secret})


# And back -----------------------------------------------------------------------------------------------------------


def find_begun(connection: Connection, request: Request) -> Kept:
    """Give the sign-in that this browser has begun, in the session that began it. Raises SignInRefused."""
    kept = sign_in_flows.find(connection, request.cookies.get(flow_cookie(request), ""), clock.now())
    if kept is None or kept.purpose == PROVED:
        raise SignInRefused(NOT_BEGUN)
    return require_same_session(request, kept)


def require_same_session(request: Request, kept: Kept) -> Kept:
    """Refuse to go on with what another session has asked for. Raises SignInRefused."""
    if kept.session_id and (request.visitor is None or request.visitor.session_id != kept.session_id):
        raise SignInRefused("You were signed out meanwhile, or signed in anew. Sign in, and begin again.")
    return kept


async def finish(ports: Ports, request: Request, kept: Kept) -> Identity:
    """Hear from Microsoft who it was. Raises SignInRefused."""
    return await require_sign_in(ports.sign_in).finish(kept.flow, request.query)


def come_back(connection: Connection, request: Request) -> Answer:
    """Do what a sign-in was for, with whom Microsoft names. Raises SignInRefused, NoAccount, Conflict."""
    name = flow_cookie(request)
    kept = sign_in_flows.take(connection, request.cookies.get(name, ""), clock.now())
    if kept is None:
        raise SignInRefused(NOT_BEGUN)
    identity: Identity = request.fetched
    answer = ENDS[kept.purpose](connection, request, kept, identity)
    answer.cookies = {name: None, **answer.cookies}
    return answer


def _sign_in(connection: Connection, request: Request, kept: Kept, identity: Identity) -> Redirect:
    wanted = None if request.path.startswith("/console") else Kind.MEMBER
    secret, visitor = sessions.open_for_identity(connection, identity, clock.now(), request.agent, wanted)
    start = start_of(visitor.kind)
    elsewhere = None if kept.after.startswith(start) else NO_ADMINISTRATOR
    return done(start if elsewhere else kept.after, elsewhere, cookies={cookie_of(visitor.kind): secret})


def _link(connection: Connection, request: Request, kept: Kept, identity: Identity) -> Redirect:
    administrators.link_microsoft(connection, request.who, identity)
    shown = identity.preferred_username or identity.name
    return done(kept.after, f"You can sign in with Microsoft now{f' as {shown}' if shown else ''}.")


def _prove(connection: Connection, request: Request, kept: Kept, identity: Identity) -> Redirect:
    """Keep which directory the browser belongs to, beside what came back from consent, until both are used up.

    Raises SignInRefused for an employee who decides nothing there: the directory may have consented for somebody else.
    """
    if identity.administrator is False:
        raise SignInRefused(NOT_CONSENTING)
    proved = Kept(identity.tid, PROVED, kept.after, kept.session_id)
    secret = sign_in_flows.keep(connection, proved, clock.now())
    return done("/console/connection/finish", cookies={flow_cookie(request): secret})


ENDS = {SIGN_IN: _sign_in, LINK: _link, CONSENT: _prove}


def unlink(connection: Connection, request: Request) -> Answer:
    """Sign in by one-time links only from now on."""
    administrators.unlink_microsoft(connection, request.who)
    return done("/console/account", "Your Microsoft account is unlinked. Others of your sessions stay signed in.")
