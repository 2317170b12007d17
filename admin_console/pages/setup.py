"""The guide that sets up push: Tenant URL, secret tokens, mappings, and a test that asks what Entra asks (P6, V4)."""

import ipaddress
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from admin_console.endpoint import Answer, Page, done, page
from admin_console.pages import probe
from admin_console.ports import OwnAnswer
from admin_console.render import plural
from admin_console.request import Request
from app_core import clock, connections, credentials, overviews, texts
from app_core.clock import Stamp
from app_core.connections import Caller, Pushes, Token
from app_core.errors import Invalid, Unauthenticated
from app_core.overviews import Arrivals
from app_core.work import Work

HOME = "/console/setup"
DAY = 86400
EXPIRIES = (("", "never"), ("183", "in half a year"), ("365", "in a year"), ("730", "in two years"))
LONGEST_LABEL = 100
SOON = 30 * DAY
"""From when on a secret that expires is warned of, in seconds before it does: Entra itself warns of nothing."""

# The page -----------------------------------------------------------------------------------------------------------


class Shown(NamedTuple):
    """A secret token as listed."""

    token: Token
    state: str
    """live, expired or revoked."""
    soon: bool
    """Whether it expires before long."""


class Mark(NamedTuple):
    """What is said beside a step: a word and its tone; a good one ticks the step off."""

    word: str
    tone: str = "plain"


class Row(NamedTuple):
    """A row of Entra's attribute mapping."""

    source: str
    target: str
    fills: str
    change: str = ""
    """What to change of Entra's default."""


ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
CHANGES = (
    Row("objectId", "externalId", "Users", "Entra's default source is mailNickname. Edit this row first."),
    Row(
        "objectId",
        "externalId",
        "Groups",
        "Match objects using this attribute: precedence 1, and take it off displayName.",
    ),
)
USERS = (
    Row("userPrincipalName", "userName", "sign-in name; the matching attribute, precedence 1"),
    Row('Switch([IsSoftDeleted], , "False", "True", "True", "False")', "active", "whether the person is active"),
    Row("displayName", "displayName", "name"),
    Row("givenName", "name.givenName", "first name"),
    Row("surname", "name.familyName", "last name"),
    Row("jobTitle", "title", "title"),
    Row("department", f"{ENTERPRISE}:department", "department"),
    Row("mail", 'emails[type eq "work"].value', "e-mail"),
    Row("telephoneNumber", 'phoneNumbers[type eq "work"].value', "business phone, as +4930123456"),
    Row("mobile", 'phoneNumbers[type eq "mobile"].value', "mobile phone"),
    Row("facsimileTelephoneNumber", 'phoneNumbers[type eq "fax"].value', "fax"),
    Row("streetAddress, city, state, postalCode, country", 'addresses[type eq "work"]. …', "address: five rows"),
)
CLEARING = 'IIF(IsNullOrEmpty([department]), "", [department])'


def setup(work: Work, request: Request) -> Answer:
    """Show the guide; the ticks are looked for again while anything is left."""
    return _guide(work, request)


def _guide(
    work: Work,
    request: Request,
    *,
    secret: str | None = None,
    verdict: probe.Verdict | None = None,
    exchanges: Sequence[tuple[str, OwnAnswer]] = (),
) -> Page:
    assert request.tenant is not None
    connections.act_on_first(work)
    pushes, arrived = connections.pushes(work), overviews.arrivals(work)
    marks = marks_of(pushes, arrived)
    return page(
        "setup/push.html",
        "Set up Entra",
        place="setup",
        tab="push",
        tenant_url=f"{request.public_url.rstrip('/')}/scim/v2",
        unreachable=_unreachable(request.public_url),
        tokens=[_shown(token, work.now) for token in reversed(connections.tokens_of(work.connection, request.tenant))],
        pushes=pushes,
        arrived=arrived,
        marks=marks,
        all_done=all(mark is not None and mark.tone == "good" for mark in marks.values()),
        expiries=EXPIRIES,
        changes=CHANGES,
        users=USERS,
        clearing=CLEARING,
        secret=secret,
        verdict=verdict,
        exchanges=exchanges,
    )


def marks_of(pushes: Pushes, arrived: Arrivals) -> dict[str, Mark | None]:
    """Say what of the guide is done, as far as it can be seen from here: step → mark.

    Before Entra has called, whoever is here came by Graph or by hand.
    """
    called = pushes.last_used_at is not None
    users, groups = (arrived.users, arrived.groups) if called else (0, 0)
    return {
        "application": Mark("done", "good") if called else None,
        "secret": Mark("done", "good") if pushes.live_tokens else None,
        "called": Mark("Entra has called", "good") if called else Mark("waiting for Entra"),
        "mapped": _mapped(arrived) if called else None,
        "assigned": Mark(f"{plural(users, 'user')} here", "good") if users else None,
        "started": Mark(f"{plural(groups, 'group')} here", "good") if groups else None,
    }


def _mapped(arrived: Arrivals) -> Mark | None:
    if arrived.without_object_id:
        return Mark("users come without their object id", "warn")
    return Mark("users come with their object id", "good") if arrived.with_object_id else None


def _shown(token: Token, now: Stamp) -> Shown:
    if token.revoked_at is not None:
        return Shown(token, "revoked", False)
    if token.expires_at is not None and token.expires_at <= now:
        return Shown(token, "expired", False)
    soon = token.expires_at is not None and clock.seconds(token.expires_at) - clock.seconds(now) < SOON
    return Shown(token, "live", soon)


def _unreachable(public_url: str) -> str | None:
    """Say why Entra cannot come to an address, where that can be seen by looking at it."""
    parts = urlsplit(public_url)
    host = parts.hostname or ""
    if "." not in host and ":" not in host:
        return f"'{host}' is known in your own network only."
    try:
        if not ipaddress.ip_address(host).is_global:
            return f"{host} is an address within your own network."
    except ValueError:
        pass
    return None if parts.scheme == "https" else "It begins with http; Entra sends secrets over https alone."


# Secret tokens ------------------------------------------------------------------------------------------------------


def create_token(work: Work, request: Request) -> Answer:
    """Make another secret, and show it this once. Raises Invalid."""
    assert request.tenant is not None
    connections.act_on_first(work)
    label = texts.line("label", request.text("label") or f"made {work.now[:10]}", LONGEST_LABEL)
    token_id, secret = connections.issue_token(
        work.connection, request.tenant, work.connection_id, label=label, expires_at=_expiry(request.text("expires"))
    )
    shown = _guide(work, request, secret=secret)
    shown.target_id = token_id
    return shown


def _expiry(days: str) -> Stamp | None:
    if days not in dict(EXPIRIES):
        raise Invalid("expires: choose one of the list.")
    return clock.later(int(days) * DAY) if days else None


def revoke_token(work: Work, request: Request) -> Answer:
    """End a secret at once. Raises NotFound."""
    assert request.tenant is not None
    connections.revoke_token(work.connection, request.tenant, request.id)
    return done(HOME, "The secret is revoked: whoever sends it is refused from now on.", target_id=request.id)


# Test connection ------------------------------------------------------------------------------------------------------


def test_connection(work: Work, request: Request) -> Answer:
    """Explain what the test has brought. The token is compared, and kept nowhere."""
    tested: probe.Tested = request.fetched
    base = f"{request.public_url.rstrip('/')}/scim/v2"
    verdict = probe.verdict_of(tested, _caller(work, tested.token), work.tenant_id, base)
    exchanges = [(f"GET {base}{path}", answer) for path, answer in zip(tested.sent, tested.answers, strict=False)]
    return _guide(work, request, verdict=verdict, exchanges=exchanges)


def _caller(work: Work, token: str) -> Caller | None:
    try:
        return connections.authenticate(work.connection, credentials.token_hash(token), work.now)
    except Unauthenticated:
        return None
