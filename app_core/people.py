"""People: the only "who" that products know. A directory user has one person; others are added by hand.

A person outlives its directory user: cards and edits wait for the administrator, and for the same user to come back.
What a person's attributes say stays in the mirror; here is only what decides: who may sign in, and under which address.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
from sqlalchemy import (
    ForeignKeyConstraint,
    Index,
    Integer,
    Select,
    Text,
    UniqueConstraint,
    and_,
    bindparam,
    delete,
    exists,
    insert,
    literal,
    or_,
    select,
    text,
    union,
    update,
)
from sqlmodel import Field, SQLModel

from app_core import directory, fields
from app_core.clock import Stamp
from app_core.connections import CONNECTION
from app_core.db import KeyText, Params, Statement, among, position, table_of
from app_core.directory import M, U, User, V
from app_core.errors import NotFound
from app_core.events import Event
from app_core.ids import new_id
from app_core.resource import JsonObject, entra_object_id, fold, value_key
from app_core.work import Work


class PersonRow(SQLModel, table=True):
    """A human.

    directory  a user of the directory leads here; the directory decides whether it is active
    departed   `directory_user_id` is empty again: the directory deleted the user; comes back with its object id
    manual     added by hand, or kept by an administrator; unseen by SCIM and untouched by follow (invariant 10)
    """

    __tablename__ = "person"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenant.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(["tenant_id", "directory_user_id"], ["directory_user.tenant_id", "directory_user.id"]),
        UniqueConstraint("tenant_id", "directory_user_id"),
        Index(
            "ix_person_entra_object_id",
            "tenant_id",
            "entra_object_id",
            sqlite_where=text("entra_object_id IS NOT NULL AND directory_user_id IS NULL"),
            postgresql_where=text("entra_object_id IS NOT NULL AND directory_user_id IS NULL"),
        ),
        # Those of the directory are found through the mirror, whose indexes have their addresses already.
        Index(
            "ix_person_manual",
            "tenant_id",
            "email_key",
            sqlite_where=text("origin = 'manual'"),
            postgresql_where=text("origin = 'manual'"),
        ),
        Index(
            "ix_person_problems",
            "tenant_id",
            "id",
            sqlite_where=text("problems IS NOT NULL"),
            postgresql_where=text("problems IS NOT NULL"),
        ),
        {"sqlite_with_rowid": False},
    )

    tenant_id: str = Field(primary_key=True, sa_type=KeyText)
    id: str = Field(primary_key=True, sa_type=KeyText)
    origin: str = Field(sa_type=KeyText)
    directory_user_id: str | None = Field(sa_type=KeyText)
    entra_object_id: str | None = Field(sa_type=KeyText)
    active: bool
    sign_in: str
    sign_in_key: str = Field(sa_type=KeyText)
    email: str | None
    email_key: str | None = Field(sa_type=KeyText)
    display_name: str
    display_key: str = Field(sa_type=KeyText)
    problems: str | None = Field(sa_type=Text)
    photo_hash: str | None = Field(sa_type=KeyText)
    version: int
    created_at: str = Field(sa_type=KeyText)
    modified_at: str = Field(sa_type=KeyText)


class Person(NamedTuple):
    """A person as read."""

    id: str
    origin: str
    directory_user_id: str | None
    active: bool
    sign_in: str
    email: str | None
    display_name: str
    problems: str | None
    """Phone numbers that no card can show, as a JSON list of attribute, value and reason."""
    photo_hash: str | None
    version: int
    created_at: Stamp
    modified_at: Stamp

    @property
    def departed(self) -> bool:
        """Say whether the directory deleted the user that led here."""
        return self.origin == "directory" and self.directory_user_id is None


@dataclass(frozen=True, slots=True)
class Profile:
    """What the directory says that decides about a person."""

    active: bool
    sign_in: str
    email: str | None
    display_name: str
    problems: str | None


P = table_of(PersonRow)
tenant = directory.tenant
PERSON = tuple(P.c[name] for name in Person._fields)
OF_TENANT = P.c.tenant_id == tenant
WITH_USER = P.join(U, and_(U.c.tenant_id == P.c.tenant_id, U.c.id == P.c.directory_user_id))
"""People with the directory users that lead to them."""
IN_GROUPS = P.join(M, and_(M.c.tenant_id == P.c.tenant_id, M.c.user_id == P.c.directory_user_id))
"""People with their memberships in the directory's groups."""
PROFILE = ("active", "sign_in", "sign_in_key", "email", "email_key", "display_name", "display_key", "problems")
ALL = ("id", "origin", "directory_user_id", "entra_object_id", *PROFILE, "version", "created_at", "modified_at")

FIND = Statement(select(*PERSON).where(OF_TENANT, P.c.id == bindparam("person_id")))
LOCK = Statement(select(*PERSON).where(OF_TENANT, P.c.id == bindparam("person_id")).with_for_update(key_share=True))
# Always in one order, so that two transactions never wait for each other crosswise.
LOCK_MANY = Statement(
    select(P.c.id).where(OF_TENANT, among(P.c.id, "ids")).order_by(P.c.id).with_for_update(key_share=True)
)
LOCK_USER = Statement(
    select(
        *directory.USER,
        select(P.c.id)
        .where(P.c.tenant_id == U.c.tenant_id, P.c.directory_user_id == U.c.id)
        .correlate(U)
        .scalar_subquery(),
    )
    .where(*directory.OF_USERS, U.c.id == bindparam("user_id"))
    .with_for_update(key_share=True, of=U)
)
HOLD_OF_USER = Statement(
    select(P.c.id).where(OF_TENANT, P.c.directory_user_id == bindparam("user_id")).with_for_update(key_share=True)
)
# A user that is to go, so that nobody adds it to a group, and its person.
HOLD_WITH_USER = Statement(
    select(P.c.id)
    .select_from(U.join(P, and_(P.c.tenant_id == U.c.tenant_id, P.c.directory_user_id == U.c.id)))
    .where(U.c.tenant_id == tenant, U.c.id == bindparam("user_id"))
    .with_for_update()
)
DEPARTED = Statement(
    select(*PERSON)
    .where(OF_TENANT, P.c.entra_object_id == bindparam("object_id"), P.c.directory_user_id.is_(None))
    .order_by(P.c.id.desc())
    .with_for_update(key_share=True)
)
OF_USERS = Statement(select(P.c.id).where(OF_TENANT, among(P.c.directory_user_id, "user_ids")).order_by(P.c.id))
INSERT = Statement(insert(P).values(tenant_id=tenant, **{name: bindparam(name) for name in ALL}))
# Left out where somebody departed with the same object id: that person comes back.
INSERT_NEW = Statement(
    insert(P).from_select(
        ["tenant_id", *ALL],
        select(tenant, *[bindparam(name, type_=P.c[name].type) for name in ALL]).where(
            ~exists(
                select(literal(1)).where(
                    OF_TENANT,
                    P.c.entra_object_id == bindparam("entra_object_id", type_=KeyText),
                    P.c.directory_user_id.is_(None),
                )
            )
        ),
        include_defaults=False,
    )
)
SET_PROFILE = Statement(
    update(P)
    .where(OF_TENANT, P.c.id == bindparam("person_id"))
    .values(
        directory_user_id=bindparam("user_id", type_=KeyText),
        origin=bindparam("origin", type_=KeyText),
        version=P.c.version + 1,
        modified_at=bindparam("now", type_=KeyText),
        **{name: bindparam(name, type_=P.c[name].type) for name in PROFILE},
    )
)
REMEMBER = Statement(
    update(P).where(OF_TENANT, P.c.id == bindparam("person_id")).values(entra_object_id=bindparam("object_id"))
)
DELETE = Statement(delete(P).where(OF_TENANT, P.c.id == bindparam("person_id")))
SET_PHOTO = Statement(
    update(P)
    .where(OF_TENANT, P.c.id == bindparam("person_id"))
    .values(photo_hash=bindparam("photo_hash"), version=P.c.version + 1, modified_at=bindparam("now"))
)
TOMBSTONE = re.compile(r"[0-9a-f]{32}", re.IGNORECASE)

# What the directory says --------------------------------------------------------------------------------------------


def profile_of(resource: JsonObject, *, active: bool) -> Profile:
    """Derive what decides about a person from a user's attributes."""
    user_name: str = resource["userName"]
    found = fields.problems_of(resource)
    return Profile(
        active=active,
        sign_in=user_name,
        email=_email(resource) or (user_name if "@" in user_name else None),
        display_name=resource.get("displayName") or _full_name(resource) or user_name,
        problems=orjson.dumps(found).decode() if found else None,
    )


def is_tombstone(name: str, current: str) -> bool:
    """Say whether a name is an object id in front of the current one: so Entra calls a soft-deleted user (rule 29)."""
    return len(name) == len(current) + 32 and bool(TOMBSTONE.match(name)) and fold(name[32:]) == fold(current)


def _email(resource: JsonObject) -> str | None:
    emails = [each for each in resource.get("emails") or [] if isinstance(each.get("value"), str) and each["value"]]
    chosen = [each for each in emails if each.get("primary") is True]
    chosen += [each for each in emails if fold(str(each.get("type"))) == "work"]
    first = next(iter([*chosen, *emails]), None)
    return None if first is None else str(first["value"])


def _full_name(resource: JsonObject) -> str | None:
    name = resource.get("name") or {}
    parts = (name.get("givenName"), name.get("familyName"))
    return name.get("formatted") or " ".join([each for each in parts if each]) or None


# Reading ------------------------------------------------------------------------------------------------------------


def find(work: Work, person_id: str) -> Person | None:
    """Read a person."""
    row = work.row(FIND, person_id=person_id)
    return None if row is None else Person(*row)


def lock(work: Work, person_id: str) -> Person:
    """Read a person that nobody else may change until the transaction ends. Raises NotFound."""
    row = work.row(LOCK, person_id=person_id)
    if row is None:
        raise NotFound("Person", person_id)
    return Person(*row)


def lock_many(work: Work, person_ids: Iterable[str]) -> None:
    """Hold people, so that what they hold is decided by one transaction at a time."""
    work.hold(LOCK_MANY, ids=list(person_ids))


def lock_user(work: Work, user_id: str) -> User | None:
    """Read and hold a directory user, together with whom it leads to: whoever changes a user needs both."""
    row = work.row(LOCK_USER, connection_id=work.connection_id, user_id=user_id)
    return None if row is None else User(*row)


def hold_of_user(work: Work, user_id: str) -> None:
    """Hold the person of a directory user: what it holds and is owed is then decided in a statement after this one."""
    work.hold(HOLD_OF_USER, user_id=user_id)


def of_users(work: Work, user_ids: Sequence[str]) -> list[str]:
    """Give the people of directory users."""
    return [str(row[0]) for row in work.rows(OF_USERS, user_ids=list(user_ids))] if user_ids else []


def by_address(work: Work, address: str) -> list[Person]:
    """Give the people whose sign-in name or e-mail address this is, in whatever case."""
    return sorted(Person(*row) for row in work.rows(BY_ADDRESS, key=value_key(fold(address)), word="emails"))


KEY = bindparam("key", type_=KeyText)
# Look-ups in the indexes of the mirror, and of those who are here by hand: one that was kept has two addresses.
BY_ADDRESS = Statement(
    union(
        select(*PERSON)
        .select_from(WITH_USER)
        .where(
            OF_TENANT,
            U.c.tenant_id == tenant,
            U.c.connection_id.in_(select(CONNECTION.c.id).where(CONNECTION.c.tenant_id == tenant)),
            U.c.user_name_key == KEY,
        ),
        select(*PERSON)
        .select_from(P.join(V, and_(V.c.tenant_id == P.c.tenant_id, V.c.user_id == P.c.directory_user_id)))
        .where(
            OF_TENANT, V.c.tenant_id == tenant, V.c.attribute == bindparam("word", type_=KeyText), V.c.value_key == KEY
        ),
        select(*PERSON).where(OF_TENANT, P.c.origin == "manual", P.c.email_key == KEY),
        select(*PERSON).where(OF_TENANT, P.c.origin == "manual", P.c.sign_in_key == KEY),
    )
)


STATES = {
    "active": and_(P.c.active.is_(True)),
    "inactive": and_(P.c.active.is_(False), or_(P.c.directory_user_id.is_not(None), P.c.origin == "manual")),
    "departed": and_(P.c.origin == "directory", P.c.directory_user_id.is_(None)),
}


SEARCHED = or_(
    *[position(each, bindparam("q", type_=Text())) > 0 for each in (P.c.display_key, P.c.sign_in_key, P.c.email_key)]
)
"""Whether a part of a person's name or addresses is `q`."""


def chosen(state: str | None, origin: str | None, *, searched: bool) -> Select[Any]:
    """Start a list of people in the order of their ids."""
    found = select(*PERSON).where(OF_TENANT, P.c.id > bindparam("after", type_=KeyText))
    if state is not None:
        found = found.where(STATES[state])
    if origin is not None:
        found = found.where(P.c.origin == bindparam("origin", type_=KeyText))
    if searched:
        found = found.where(SEARCHED)
    return found.order_by(P.c.id).limit(bindparam("limit", type_=Integer()))


def _page(state: str | None, origin: str | None, *, problem: bool, searched: bool) -> Statement:
    found = chosen(state, origin, searched=searched)
    return Statement(found.where(P.c.problems.is_not(None)) if problem else found)


PAGES = {
    (state, origin, problem, searched): _page(state, origin, problem=problem, searched=searched)
    for state in (None, *STATES)
    for origin in (None, "directory", "manual")
    for problem in (False, True)
    for searched in (False, True)
}


def page(
    work: Work,
    *,
    after: str = "",
    limit: int = 50,
    q: str | None = None,
    state: str | None = None,
    origin: str | None = None,
    problem: bool = False,
) -> list[Person]:
    """List people in the order of their ids, from behind `after`; `q` is a part of a name or address."""
    statement = PAGES[(state, origin, problem, bool(q))]
    rows = work.rows(statement, after=after, limit=limit, q=fold(q or ""), origin=origin)
    return [Person(*row) for row in rows]


# Writing ------------------------------------------------------------------------------------------------------------


def _columns(profile: Profile) -> dict[str, Any]:
    return {
        "active": profile.active,
        "sign_in": profile.sign_in,
        "sign_in_key": value_key(fold(profile.sign_in)),
        "email": profile.email,
        "email_key": None if profile.email is None else value_key(fold(profile.email)),
        "display_name": profile.display_name,
        "display_key": fold(profile.display_name),
        "problems": profile.problems,
    }


def arrival(work: Work, user_id: str, external_id: str | None, profile: Profile) -> tuple[Statement, Params]:
    """Give the write that makes the person of a new directory user; it writes nothing when one comes back."""
    row = {
        "id": new_id(),
        "origin": "directory",
        "directory_user_id": user_id,
        "entra_object_id": entra_object_id(external_id),
        "version": 1,
        "created_at": work.now,
        "modified_at": work.now,
        **_columns(profile),
    }
    return INSERT_NEW, row


def come_back(work: Work, user_id: str, external_id: str | None, profile: Profile) -> Person | None:
    """Join a new directory user to the person that departed with the same object id."""
    row = work.row(DEPARTED, object_id=entra_object_id(external_id))
    if row is None:
        return None
    person = Person(*row)
    set_profile(work, person, profile, user_id=user_id, origin="directory")
    work.record(Event("person.linked", person.id, {"directory_user_id": user_id}))
    return person


def set_profile(
    work: Work, person: Person, profile: Profile, *, user_id: str | None, origin: str | None = None
) -> None:
    """Write down what decides about a person, and which directory user leads to it."""
    work.run(
        SET_PROFILE,
        person_id=person.id,
        user_id=user_id,
        origin=origin or person.origin,
        now=work.now,
        **_columns(profile),
    )


def insert_manual(work: Work, display_name: str, email: str | None, *, sign_in: str | None = None) -> Person:
    """Add a person by hand; whether that may be is the caller's to say."""
    profile = Profile(True, sign_in or email or "", email, display_name, None)
    person_id = new_id()
    row = {
        "id": person_id,
        "origin": "manual",
        "directory_user_id": None,
        "entra_object_id": None,
        "version": 1,
        "created_at": work.now,
        "modified_at": work.now,
        **_columns(profile),
    }
    work.run(INSERT, **row)
    work.record(Event("person.created", person_id, {"origin": "manual", "active": True}))
    return Person(
        person_id, "manual", None, True, profile.sign_in, email, display_name, None, None, 1, work.now, work.now
    )


def depart(work: Work, person: Person, profile: Profile, object_id: str | None) -> None:
    """Let a person stay behind whose user the directory deletes; it comes back with the object id it had last."""
    set_profile(work, person, profile, user_id=None)
    remember(work, person.id, object_id)
    work.record(Event("person.departed", person.id))


def remember(work: Work, person_id: str, object_id: str | None) -> None:
    """Remember by which Entra object id a person would come back."""
    work.run(REMEMBER, person_id=person_id, object_id=object_id)


def set_photo(work: Work, person_id: str, photo_hash: str | None) -> None:
    """Remember which photo a person has."""
    work.run(SET_PHOTO, person_id=person_id, photo_hash=photo_hash, now=work.now)


def remove(work: Work, person: Person) -> None:
    """Forget a person; what it held goes with it, and whether it may go is the caller's to say."""
    work.record(Event("person.deleted", person.id))
    work.run_later(DELETE, person_id=person.id)
