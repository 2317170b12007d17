"""Signing in and out: by a one-time link, or with Microsoft."""

from admin_console import guard, shell
from admin_console.endpoint import Answer, done, page
from admin_console.request import Request
from app_core import clock, connections, sessions, tenants
from app_core.db import Connection
from app_core.sessions import Kind


def sign_in(connection: Connection, request: Request) -> Answer:
    """Ask for the click that uses a link up (mail scanners open links as well), or say how to sign in."""
    secret = request.asked("link")
    if request.visitor is not None and not secret:
        return done(start_of(request.visitor.kind))
    visitor = sessions.peek_link(connection, secret, clock.now()) if secret else None
    return page(
        "sign_in.html",
        "Sign in",
        link=secret if visitor is not None else "",
        known=visitor,
        stale=bool(secret) and visitor is None,
        next=shell.next_of(request, request.path.removesuffix("/sign-in")),
        microsoft=request.can_sign_in,
        base=request.path.removesuffix("/sign-in"),
    )


def use_link(connection: Connection, request: Request) -> Answer:
    """Sign in by a link, which is used up with it."""
    secret, visitor = sessions.open_by_link(connection, request.text("link"), clock.now(), request.agent)
    start = start_of(visitor.kind)
    where = shell.next_of(request, start)
    return done(where, cookies={cookie_of(visitor.kind): secret})


def sign_out(connection: Connection, request: Request) -> Answer:
    """End the session: what the cookie held is worth nothing from now on."""
    if request.secret is not None:
        sessions.close(connection, request.secret)
    member = not request.path.startswith("/console")
    name, base = (guard.MEMBER, "/me") if member else (guard.CONSOLE, "/console")
    return done(f"{base}/sign-in", "You are signed out.", cookies={name: None})


def cookie_of(kind: Kind) -> str:
    """Name the cookie that a session of a kind is kept in."""
    return guard.MEMBER if kind is Kind.MEMBER else guard.CONSOLE


def start_of(kind: Kind) -> str:
    """Give the first page of a kind of visitor."""
    return "/me" if kind is Kind.MEMBER else "/console"


# Account ------------------------------------------------------------------------------------------------------------


def account(connection: Connection, request: Request) -> Answer:
    """Show who is signed in, and everywhere they are."""
    return page(
        "account.html",
        "Your account",
        place="account",
        sessions=sessions.list_of(connection, request.who),
        microsoft=request.can_sign_in,
    )


def end_session(connection: Connection, request: Request) -> Answer:
    """End another of one's own sessions."""
    sessions.close_one(connection, request.who, request.id)
    return done("/console/account", "That session is ended.")


def end_sessions(connection: Connection, request: Request) -> Answer:
    """Sign out everywhere but here."""
    count = sessions.close_all(connection, request.who, but=request.who.session_id)
    return done("/console/account", f"{count} other {'session is' if count == 1 else 'sessions are'} ended.")


def set_theme(connection: Connection, request: Request) -> Answer:
    """Choose light, dark, or what the device says."""
    theme = request.text("theme")
    return done("/console/account", cookies={guard.THEME: theme if theme in ("light", "dark") else "auto"})


# Operators ----------------------------------------------------------------------------------------------------------


def list_tenants(connection: Connection, request: Request) -> Answer:
    """List the tenants for an operator to choose one."""
    return page("tenants.html", "Tenants", place="tenants", tenants=tenants.all_of(connection))


def choose_tenant(connection: Connection, request: Request) -> Answer:
    """Act in a tenant from now on."""
    assert request.secret is not None
    sessions.choose_tenant(connection, request.secret, request.id, clock.now())
    return done("/console")


def create_tenant(connection: Connection, request: Request) -> Answer:
    """Make a tenant and act in it: the next page is the one that sets Entra up."""
    assert request.secret is not None
    tenant = tenants.create(connection, request.text("name"))
    connections.create(connection, tenant, "Microsoft Entra ID")
    sessions.choose_tenant(connection, request.secret, tenant.id, clock.now())
    return done("/console/setup", "The tenant is made. Now connect its directory.")
