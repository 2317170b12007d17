"""People: what they look like, and the administrator's verbs on them, their accounts and their photos."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import orjson

from app_api.bodies import Body, Flag, Id, Line, Paging, Search, given, one_of
from app_api.exchange import Answer, Call, Image, Instant, Page, gone
from app_api.lists import page_of
from app_core import activation, administration, manual_people, overviews, people, photos
from app_core.activation import ActivationState
from app_core.errors import NotFound, NotPossible
from app_core.work import Work

Origin = Annotated[str, one_of("directory", "manual")]
State = Annotated[str, one_of("active", "inactive", "departed")]
AccountState = Annotated[str, one_of(*ActivationState)]
SeatState = Annotated[str, one_of("open", "waiting")]


@dataclass(frozen=True, slots=True)
class PhoneProblem:
    """A phone number that no card can show, and why."""

    attribute: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class Person:
    """A person: who the directory knows, or whom an administrator added."""

    id: str
    origin: Origin
    state: State
    directory_user_id: str | None
    sign_in: str
    email: str | None
    display_name: str
    problems: list[PhoneProblem]
    photo_hash: str | None
    activation: AccountState | None
    seat: SeatState | None
    version: int
    created_at: Instant
    modified_at: Instant


@dataclass(frozen=True, slots=True)
class Activation:
    """How far the account of a person is."""

    person_id: str
    state: AccountState
    sent_at: Instant | None
    expires_at: Instant | None
    attempts: int
    used_at: Instant | None
    created_at: Instant
    modified_at: Instant


@dataclass(frozen=True, slots=True)
class StartCode:
    """A start code, shown this once."""

    person_id: str
    start_code: str
    expires_at: Instant


@dataclass(frozen=True, slots=True)
class Mailed:
    """A start code that went to its person by e-mail."""

    person_id: str
    expires_at: Instant


class PersonList(Paging):
    """Which people to list."""

    q: Search = ""
    state: Literal["active", "inactive", "departed"] | None = None
    origin: Literal["directory", "manual"] | None = None
    problem: Flag = False


class NewPerson(Body):
    """A person to add by hand."""

    display_name: Line
    email: Line | None = None


class PersonChange(Body):
    """What of a manual person to change."""

    display_name: Line = ""
    email: Line | None = None


class PersonLink(Body):
    """Which user of the directory a person is."""

    directory_user_id: Id


def find(work: Work, call: Call, query: PersonList) -> Answer[Page[Person]]:
    """List people in the order in which they came."""
    rows = people.page(
        work,
        after=query.after,
        limit=query.limit + 1,
        q=query.q or None,
        state=query.state,
        origin=query.origin,
        problem=query.problem,
    )
    return page(work, query, rows)


def create(work: Work, call: Call, body: NewPerson) -> Answer[Person]:
    """Add a person by hand."""
    answer = shown(work, manual_people.add(work, body.display_name, body.email))
    answer.status, answer.location = 201, f"/people/{answer.target_id}"
    return answer


def read(work: Work, call: Call) -> Answer[Person]:
    """Read a person."""
    return shown(work, required(work, call.id))


def change(work: Work, call: Call, body: PersonChange) -> Answer[Person]:
    """Change a person that was added by hand."""
    before = _held(work, call)
    wanted = before._replace(**given(body))
    after = manual_people.change(work, before, display_name=wanted.display_name, email=wanted.email)
    answer = shown(work, after)
    answer.changed = [name for name in ("display_name", "email") if getattr(after, name) != getattr(before, name)]
    return answer


def delete(work: Work, call: Call) -> Answer[None]:
    """Delete a person that no user of the directory leads to."""
    manual_people.remove(work, _held(work, call))
    return gone(call.id)


def link(work: Work, call: Call, body: PersonLink) -> Answer[Person]:
    """Join a person that was added by hand to a user of the directory."""
    return shown(work, manual_people.link(work, call.id, body.directory_user_id))


# Accounts -----------------------------------------------------------------------------------------------------------


def activate(work: Work, call: Call) -> Answer[Activation]:
    """Choose a person to have an account."""
    found = activation.request(work, call.id)
    return Answer(200, Activation(**found._asdict()), call.id, ["activation"] if found.modified_at == work.now else [])


def deactivate(work: Work, call: Call) -> Answer[None]:
    """End the account of a person; the seat is free where no card needs it."""
    changed = administration.revoke_activation(work, call.id)
    return Answer(204, None, call.id, ["activation"] if changed else [])


def issue_start_code(work: Work, call: Call) -> Answer[StartCode]:
    """Make a start code, which is shown this once; the former one is void."""
    issued = activation.issue_code(work, call.id)
    return Answer(200, StartCode(call.id, issued.code, issued.expires_at), call.id)


def mail_start_code(work: Work, call: Call) -> Answer[Mailed]:
    """Make a start code and send it to the person by e-mail; the former one is void, and nobody else is shown it."""
    person = people.lock(work, call.id)
    if not call.can_mail:
        raise NotPossible("This server sends no mail: its operator sets SCIM_SERVER_SMTP_URL. Show the code instead.")
    if person.email is None:
        raise NotPossible(f"'{person.display_name}' has no e-mail address. Show the code instead.")
    issued = activation.issue_code(work, call.id)
    answer = Answer(200, Mailed(call.id, issued.expires_at), call.id)
    link = f"{call.public_url}/start?at={work.tenant_id}"
    answer.mail = activation.letter(person.display_name, person.email, issued, link)
    return answer


# Photos -------------------------------------------------------------------------------------------------------------


def read_photo(work: Work, call: Call) -> Answer[Image]:
    """Read the photo of a person."""
    photo = photos.get(work, call.id)
    if photo is None:
        raise NotFound("Photo of person", call.id)
    return Answer(200, Image(photo.media_type, photo.data, photo.hash), call.id)


def put_photo(work: Work, call: Call, body: bytes) -> Answer[None]:
    """Give a person a photo."""
    before = people.lock(work, call.id)
    return Answer(204, None, call.id, ["photo"] if photos.put(work, before, body) else [])


def delete_photo(work: Work, call: Call) -> Answer[None]:
    """Take the photo of a person away; none is no mistake."""
    before = people.lock(work, call.id)
    return Answer(204, None, call.id, ["photo"] if photos.remove(work, before) else [])


# What they look like ------------------------------------------------------------------------------------------------


def required(work: Work, person_id: str) -> people.Person:
    """Give a person. Raises NotFound."""
    person = people.find(work, person_id)
    if person is None:
        raise NotFound("Person", person_id)
    return person


def shown(work: Work, person: people.Person) -> Answer[Person]:
    """Answer with one person."""
    return Answer(200, _shown(work, [person])[0], person.id, version=person.version)


def page(work: Work, query: Paging, rows: Sequence[people.Person]) -> Answer[Page[Person]]:
    """Answer with a page of people."""
    known = {person.id: person for person in _shown(work, rows[: query.limit])}
    return page_of(query, rows, lambda person: known[person.id], lambda person: person.id)


def _held(work: Work, call: Call) -> people.Person:
    person = people.lock(work, call.id)
    call.require_version(person.version)
    return person


def _shown(work: Work, found: Sequence[people.Person]) -> list[Person]:
    ids = [person.id for person in found]
    accounts, seats = activation.of_people(work, ids), overviews.seat_states(work, ids)
    return [
        Person(
            id=person.id,
            origin=person.origin,
            state="active" if person.active else "departed" if person.departed else "inactive",
            directory_user_id=person.directory_user_id,
            sign_in=person.sign_in,
            email=person.email,
            display_name=person.display_name,
            problems=[PhoneProblem(**each) for each in orjson.loads(person.problems or "[]")],
            photo_hash=person.photo_hash,
            activation=accounts[person.id].state if person.id in accounts else None,
            seat=seats.get(person.id),
            version=person.version,
            created_at=person.created_at,
            modified_at=person.modified_at,
        )
        for person in found
    ]
