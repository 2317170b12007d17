"""Logins of teams (vault items). What they hold is opaque: the application encrypts it from end to end."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from app_api.bodies import Body, Id, Opaque, Paging, given
from app_api.exchange import Answer, Call, Instant, Page, gone
from app_api.lists import page_of
from app_api.teams import required
from app_core import vault
from app_core.errors import NotFound
from app_core.vault import MOST_CIPHERTEXT, MOST_TITLE, MOST_URL
from app_core.work import Work

Title = Annotated[Opaque, Field(max_length=MOST_TITLE)]
Url = Annotated[Opaque, Field(max_length=MOST_URL)]
Ciphertext = Annotated[Opaque, Field(max_length=MOST_CIPHERTEXT)]


@dataclass(frozen=True, slots=True)
class Login:
    """A login of a team."""

    id: str
    team_id: str
    title: str | None
    url: str | None
    ciphertext: str
    version: int
    created_at: Instant
    modified_at: Instant


class NewLogin(Body):
    """A login to put into a team."""

    title: Title | None = None
    url: Url | None = None
    ciphertext: Ciphertext


class LoginChange(Body):
    """What of a login to change."""

    title: Title | None = None
    url: Url | None = None
    ciphertext: Ciphertext = ""


class LoginMove(Body):
    """Where a login is to go."""

    team_id: Id


def find(work: Work, call: Call, query: Paging) -> Answer[Page[Login]]:
    """List the logins of a team, oldest first."""
    team = required(work, call.id)
    rows = vault.page(work, team.id, after=query.after, limit=query.limit + 1)
    return page_of(query, rows, _shown, lambda login: login.id)


def create(work: Work, call: Call, body: NewLogin) -> Answer[Login]:
    """Put a login into a team."""
    login = vault.add(work, call.id, title=body.title, url=body.url, ciphertext=body.ciphertext)
    answer = _answer(login, status=201)
    answer.location = f"/teams/{login.team_id}/logins/{login.id}"
    return answer


def read(work: Work, call: Call) -> Answer[Login]:
    """Read a login."""
    login = vault.find(work, call.id, call.keys["login_id"])
    if login is None:
        raise NotFound("Login", call.keys["login_id"])
    return _answer(login)


def change(work: Work, call: Call, body: LoginChange) -> Answer[Login]:
    """Change a login; what is not sent stays."""
    before = _held(work, call)
    wanted = before._replace(**given(body))
    after = vault.change(work, before, title=wanted.title, url=wanted.url, ciphertext=wanted.ciphertext)
    changed = [name for name in ("title", "url", "ciphertext") if getattr(after, name) != getattr(before, name)]
    return _answer(after, changed=changed)


def move(work: Work, call: Call, body: LoginMove) -> Answer[Login]:
    """Put a login into another team."""
    before = _held(work, call)
    after = vault.move(work, before, body.team_id)
    return _answer(after, changed=["team_id"] if after.team_id != before.team_id else [])


def delete(work: Work, call: Call) -> Answer[None]:
    """Delete a login."""
    login = _held(work, call)
    vault.remove(work, login)
    return gone(login.id)


def _held(work: Work, call: Call) -> vault.Login:
    login = vault.lock(work, call.id, call.keys["login_id"])
    call.require_version(login.version)
    return login


def _answer(login: vault.Login, *, status: int = 200, changed: list[str] | None = None) -> Answer[Login]:
    return Answer(status, _shown(login), login.id, changed, login.version)


def _shown(login: vault.Login) -> Login:
    return Login(**login._asdict())
