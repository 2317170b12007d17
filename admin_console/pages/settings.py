"""Settings: policies, name and seats, API keys, and who administers."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote

from admin_console.endpoint import Answer, done, page
from admin_console.request import Request
from app_core import administration, administrators, api_keys, clock, seats, tenants
from app_core.administrators import Account
from app_core.api_keys import KeyScope
from app_core.errors import Forbidden, Invalid
from app_core.ports import Mail
from app_core.tenants import POLICIES, Tenant
from app_core.work import Work

PATH, KEYS, ADMINISTRATORS = "/console/settings", "/console/settings/api-keys", "/console/settings/administrators"
WEBHOOKS, JOBS = "/console/settings/webhooks", "/console/settings/jobs"
TABS = (
    (PATH, "Policies and seats"),
    (KEYS, "API keys"),
    (WEBHOOKS, "Webhooks"),
    (ADMINISTRATORS, "Administrators"),
    (JOBS, "Background work"),
)
DAY = 86400.0

# Policies -----------------------------------------------------------------------------------------------------------


class Choice(NamedTuple):
    """A value of a policy: its word, and what it does."""

    value: str
    word: str
    text: str


class Setting(NamedTuple):
    """A policy: what it decides, and its values."""

    name: str
    title: str
    text: str
    choices: Sequence[Choice]


SETTINGS = (
    Setting(
        "group_sync",
        "Groups that become teams",
        "Decides about groups that Entra pushes. Groups read by Microsoft Graph become teams only when you add them.",
        (
            Choice("all", "Every group", "Each group that Entra pushes is a team, and those that are here too."),
            Choice("selected", "Only those I add", "A group is a team once you add it under Groups. Teams stay."),
        ),
    ),
    Setting(
        "on_group_delete",
        "When a group is deleted whose team still holds logins",
        "A team that holds logins is never deleted. Teams without logins go with their group either way.",
        (
            Choice("refuse", "Refuse", "Entra reads why, and tries again until the logins are moved or deleted."),
            Choice("detach", "Let the group go", "Entra succeeds. The team stays, by hand from then on."),
        ),
    ),
    Setting(
        "invalid_phone",
        "Phone numbers that no card can show",
        "A card shows numbers in the international form alone, such as +14255550100, and never rewrites one.",
        (
            Choice(
                "flag",
                "Keep and say so",
                "The user is taken as sent. Cards leave the number off, and say so.",
            ),
            Choice("reject", "Refuse the user", "Entra reads invalidValue, and provisions the user once it is mended."),
        ),
    ),
)


def settings(work: Work, request: Request) -> Answer:
    """Show the policies, and what the operator has set."""
    return page(
        "settings/policies.html",
        "Settings",
        place="settings",
        tabs=TABS,
        tab=PATH,
        settings=SETTINGS,
        stand=seats.counts(work),
        acting=tenants.acting(work),
    )


def change(work: Work, request: Request) -> Answer:
    """Set the policies; what is not sent stays."""
    before = tenants.acting(work)
    sent = {name: request.text(name) for name in POLICIES if name in request.form}
    after = administration.change_settings(work, sent)
    changed = [name for name in POLICIES if getattr(after, name) != getattr(before, name)]
    said = "The policies are saved." if changed else "Nothing was changed."
    return done(PATH, said, target_id=work.tenant_id, changed=changed)


def change_tenant(work: Work, request: Request) -> Answer:
    """Rename the tenant or set its seats; who waits for one is served. Operators alone may."""
    if not request.is_operator:
        raise Forbidden("Name and seats are set by the operator of this server. Ask them for more seats.")
    before = tenants.acting(work)
    tenants.change(work, name=request.text("name"), seat_limit=_seats(request.text("seat_limit")))
    opened = seats.serve(work)
    after = tenants.acting(work)
    served = f" {len(opened)} who waited {'has' if len(opened) == 1 else 'have'} a seat now." if opened else ""
    return done(PATH, f"The tenant is saved.{served}", target_id=work.tenant_id, changed=_changed(before, after))


def _changed(before: Tenant, after: Tenant) -> Sequence[str]:
    return [name for name in ("name", "seat_limit") if getattr(before, name) != getattr(after, name)]


def _seats(text: str) -> int | None:
    if not text:
        return None
    if not text.isdecimal() or len(text) > 10:
        raise Invalid("Seats: write a number, or leave the field empty for as many as are needed.")
    return int(text)


# API keys -----------------------------------------------------------------------------------------------------------

SCOPES: Mapping[str, str] = {"read": "Read", "write": "Write", "admin": "Administer"}
EXPIRIES: Mapping[str, str] = {"30": "In 30 days", "90": "In 90 days", "365": "In a year", "": "Never"}


def keys(work: Work, request: Request) -> Answer:
    """List the API keys, the newest first; those that are over are kept as history."""
    return _keys_page(work, request)


def create_key(work: Work, request: Request) -> Answer:
    """Make an API key; its secret is shown this once."""
    scope, expires = request.text("scope"), request.text("expires")
    if scope not in SCOPES or expires not in EXPIRIES:
        raise Invalid("Choose what the key may do, and when it expires.")
    expires_at = clock.later(int(expires) * DAY) if expires else None
    assert request.tenant is not None
    key_id, secret = api_keys.issue(
        work.connection, request.tenant, KeyScope(scope), label=request.text("label"), expires_at=expires_at
    )
    return _keys_page(work, request, secret=secret, target_id=key_id)


def revoke_key(work: Work, request: Request) -> Answer:
    """End an API key at once."""
    assert request.tenant is not None
    api_keys.revoke(work.connection, request.tenant, request.id)
    return done(KEYS, "The key is revoked: requests with it are refused from now on.", target_id=request.id)


def _keys_page(work: Work, request: Request, *, secret: str | None = None, target_id: str | None = None) -> Answer:
    assert request.tenant is not None
    found = sorted(api_keys.all_of(work.connection, request.tenant), key=lambda key: key.id, reverse=True)
    live = [key for key in found if key.revoked_at is None and (key.expires_at is None or key.expires_at > work.now)]
    return page(
        "settings/api_keys.html",
        "API keys",
        place="settings",
        target_id=target_id,
        tabs=TABS,
        tab=KEYS,
        live=live,
        over=[key for key in found if key not in live],
        secret=secret,
        scopes=SCOPES,
        expiries=EXPIRIES,
        api_url=f"{request.public_url}/api/v1",
    )


# Administrators -----------------------------------------------------------------------------------------------------


def list_administrators(work: Work, request: Request) -> Answer:
    """List who administers the tenant."""
    return _administrators_page(work, request)


def add_administrator(work: Work, request: Request) -> Answer:
    """Add an administrator; the link that signs them in is shown this once, and mailed where it was asked for."""
    return _with_link(work, request, administrators.add(work, request.text("email")))


def new_link(work: Work, request: Request) -> Answer:
    """Make another sign-in link for an administrator."""
    return _with_link(work, request, administrators.find(work, request.id))


def remove_administrator(work: Work, request: Request) -> Answer:
    """Take an administrator's access away at once."""
    gone = administrators.remove(work, request.id)
    return done(ADMINISTRATORS, f"{gone.email} is signed out everywhere and has no access any more.", target_id=gone.id)


def _with_link(work: Work, request: Request, account: Account) -> Answer:
    secret = administrators.new_link(work, account.id)
    link = f"{request.public_url}/console/sign-in?link={quote(secret)}"
    answer = _administrators_page(work, request, link=link, invited=account)
    answer.target_id = account.id
    if request.can_mail and request.text("mail"):
        assert request.tenant is not None
        answer.mail = letter(account, request.tenant.name, link)
    return answer


def letter(account: Account, company: str, link: str) -> Mail:
    """Write the letter with an administrator's sign-in link."""
    text = (
        f"Hello,\n\nyou administer {company}: its directory, people, teams and cards. Sign in here:\n\n    {link}\n\n"
        f"The link works once, for {span(account)}, for whoever has it: do not pass it on. If you did not expect this "
        "letter, you need not do anything.\n"
    )
    return Mail(account.email, f"Sign in to administer {company}", text, to_administrator=True)


def span(account: Account) -> str:
    """Say how long an administrator's link works."""
    minutes = int(account.link_seconds / 60)
    return f"{minutes // 60} hours" if minutes >= 120 else f"{minutes} minutes"


def _administrators_page(
    work: Work, request: Request, *, link: str | None = None, invited: Account | None = None
) -> Answer:
    return page(
        "settings/administrators.html",
        "Administrators",
        place="settings",
        tabs=TABS,
        tab=ADMINISTRATORS,
        accounts=administrators.list_of(work),
        link=link,
        invited=invited,
        span=span(invited) if invited else "",
        mailed=request.can_mail and bool(request.text("mail")),
    )
