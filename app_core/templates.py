"""Card templates: how a company's cards look, what they hold, and which groups lead to them.

A change of a template touches no card: cards are composed when they are read (C6, flow E). What an assignment means
for people is `follow`'s to say; here are only the rows.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import orjson
from sqlalchemy import (
    BindParameter,
    ForeignKeyConstraint,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    bindparam,
    delete,
    insert,
    select,
    update,
)
from sqlmodel import Field, SQLModel

from app_core.clock import Stamp
from app_core.db import KeyText, Statement, Violation, among, insert_or_ignore, position, table_of
from app_core.directory import G
from app_core.errors import Conflict, Invalid, NotFound
from app_core.events import Event
from app_core.fields import TemplateField, is_web_address, parse_fields, read_fields, stored_fields
from app_core.ids import new_id
from app_core.resource import fold
from app_core.work import Work


class TemplateRow(SQLModel, table=True):
    """A card template. It lives until an administrator deletes it, which takes that no card is made of it."""

    __tablename__ = "template"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenant.id"], ondelete="CASCADE"),
        UniqueConstraint("tenant_id", "name_key"),
    )

    tenant_id: str = Field(primary_key=True, sa_type=KeyText)
    id: str = Field(primary_key=True, sa_type=KeyText)
    name: str
    name_key: str = Field(sa_type=KeyText)
    look: str = Field(sa_type=Text)
    fields: str = Field(sa_type=Text)
    version: int
    created_at: str = Field(sa_type=KeyText)
    modified_at: str = Field(sa_type=KeyText)


class TemplateAssignmentRow(SQLModel, table=True):
    """A group that leads to a template: each of its active members is to have a card of it (invariant 13)."""

    __tablename__ = "template_assignment"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "template_id"], ["template.tenant_id", "template.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(
            ["tenant_id", "group_id"], ["directory_group.tenant_id", "directory_group.id"], ondelete="CASCADE"
        ),
        Index("ix_template_assignment_group_id", "tenant_id", "group_id", "template_id"),
        {"sqlite_with_rowid": False},
    )

    tenant_id: str = Field(primary_key=True, sa_type=KeyText)
    template_id: str = Field(primary_key=True, sa_type=KeyText)
    group_id: str = Field(primary_key=True, sa_type=KeyText)
    since: str = Field(sa_type=KeyText)


class Template(NamedTuple):
    """A template as read."""

    id: str
    name: str
    look: Mapping[str, str]
    fields: tuple[TemplateField, ...]
    version: int
    created_at: Stamp
    modified_at: Stamp

    @property
    def connectable(self) -> bool:
        """Say whether the directory would fill anything of its cards (C2)."""
        return any(field.synced for field in self.fields)


E, A = table_of(TemplateRow), table_of(TemplateAssignmentRow)
tenant: BindParameter[str] = bindparam("tenant_id")
TEMPLATE = tuple(E.c[name] for name in Template._fields)
OF_TENANT = E.c.tenant_id == tenant
THE_TEMPLATE = (OF_TENANT, E.c.id == bindparam("template_id"))
ITS_ROWS = (A.c.tenant_id == tenant, A.c.template_id == bindparam("template_id"))

FIND = Statement(select(*TEMPLATE).where(*THE_TEMPLATE))
# An assignment refers to the row that is held here: nobody assigns a group while what the fields are is decided.
LOCK = Statement(select(*TEMPLATE).where(*THE_TEMPLATE).with_for_update(key_share=True))
INSERT = Statement(
    insert(E).values(
        tenant_id=tenant,
        **{
            name: bindparam(name)
            for name in ("id", "name", "name_key", "look", "fields", "version", "created_at", "modified_at")
        },
    )
)
CHANGE = Statement(
    update(E)
    .where(*THE_TEMPLATE)
    .values({name: bindparam(name) for name in ("name", "name_key", "look", "fields", "version", "modified_at")})
)
DELETE = Statement(delete(E).where(*THE_TEMPLATE))
ASSIGNMENTS = Statement(select(A.c.group_id).where(*ITS_ROWS).order_by(A.c.group_id))
ASSIGNED = Statement(
    select(A.c.template_id)
    .where(A.c.tenant_id == tenant, among(A.c.group_id, "group_ids"))
    .distinct()
    .order_by(A.c.template_id)
)
GROUPS = Statement(select(G.c.id).where(G.c.tenant_id == tenant, among(G.c.id, "group_ids")))
ASSIGN = Statement(
    insert_or_ignore(A)
    .from_select(
        ["tenant_id", "template_id", "group_id", "since"],
        select(G.c.tenant_id, bindparam("template_id", type_=KeyText), G.c.id, bindparam("now", type_=KeyText)).where(
            G.c.tenant_id == tenant, among(G.c.id, "group_ids")
        ),
        include_defaults=False,
    )
    .returning(A.c.group_id)
)
UNASSIGN = Statement(delete(A).where(*ITS_ROWS, among(A.c.group_id, "group_ids")).returning(A.c.group_id))


def _page(*, searched: bool) -> Statement:
    chosen = select(*TEMPLATE).where(OF_TENANT, E.c.id > bindparam("after", type_=KeyText))
    if searched:
        chosen = chosen.where(position(E.c.name_key, bindparam("q", type_=Text())) > 0)
    return Statement(chosen.order_by(E.c.id).limit(bindparam("limit", type_=Integer())))


PAGES = {searched: _page(searched=searched) for searched in (False, True)}

# Reading ------------------------------------------------------------------------------------------------------------


def find(work: Work, template_id: str) -> Template | None:
    """Read a template."""
    row = work.row(FIND, template_id=template_id)
    return None if row is None else _template(*row)


def lock(work: Work, template_id: str) -> Template:
    """Read a template that nobody else may change or assign until the transaction ends. Raises NotFound."""
    row = work.row(LOCK, template_id=template_id)
    if row is None:
        raise NotFound("Template", template_id)
    return _template(*row)


def page(work: Work, *, after: str = "", limit: int = 50, q: str | None = None) -> list[Template]:
    """List templates in the order of their ids, from behind `after`; `q` is a part of a name."""
    return [_template(*row) for row in work.rows(PAGES[bool(q)], after=after, limit=limit, q=fold(q or ""))]


def assignments(work: Work, template_id: str) -> list[str]:
    """Give the groups that lead to a template."""
    return [str(row[0]) for row in work.rows(ASSIGNMENTS, template_id=template_id)]


def assigned_templates(work: Work, group_ids: Sequence[str]) -> list[str]:
    """Give the templates that any of some groups leads to."""
    return [str(row[0]) for row in work.rows(ASSIGNED, group_ids=list(group_ids))] if group_ids else []


def require_connectable(template: Template) -> None:
    """Refuse to join a template to the directory that takes nothing from it (C2). Raises Invalid."""
    if not template.connectable:
        raise Invalid(
            f"Template '{template.name}' has no synced field, so the directory would fill nothing of its cards. "
            "Give at least one field a source and the mode 'always' or 'initial', then assign groups."
        )


def _template(
    template_id: str, name: str, look: str, fields: str, version: int, created_at: Stamp, modified_at: Stamp
) -> Template:
    return Template(template_id, name, _read_look(look), read_fields(fields), version, created_at, modified_at)


# Writing ------------------------------------------------------------------------------------------------------------


def create(work: Work, name: str, look: object = None, fields: object = ()) -> Template:
    """Make a template. Raises Invalid for what cannot be in one, and Conflict when the name is taken."""
    name = checked_name(name)
    template = Template(
        new_id(), name, parse_look({} if look is None else look), parse_fields(fields), 1, work.now, work.now
    )
    try:
        work.run(INSERT, id=template.id, created_at=work.now, **_columns(work, template))
    except Violation as violation:
        raise _refusal(violation, name) from violation
    work.record(Event("template.created", template.id, {"name": name}))
    return template


def change(
    work: Work, before: Template, *, name: str | None = None, look: object = None, fields: object = None
) -> Template:
    """Change what is given of a template that the caller holds; the same values are no change.

    Raises Invalid for what cannot be in a template, or where groups are assigned and no synced field would be left;
    Conflict when the name is taken.
    """
    after = before._replace(
        name=before.name if name is None else checked_name(name),
        look=before.look if look is None else parse_look(look),
        fields=before.fields if fields is None else parse_fields(fields),
    )
    changed = [member for member in ("name", "look", "fields") if getattr(after, member) != getattr(before, member)]
    if not changed:
        return before
    if before.connectable and not after.connectable and assignments(work, before.id):
        raise Invalid(
            f"Template '{before.name}' is assigned to groups and needs at least one synced field. "
            "Keep one, or remove the groups from the template first."
        )
    after = after._replace(version=before.version + 1, modified_at=work.now)
    try:
        work.run(CHANGE, template_id=before.id, **_columns(work, after))
    except Violation as violation:
        raise _refusal(violation, after.name) from violation
    work.record(Event("template.changed", before.id, {"name": after.name, "changed": changed}))
    return after


def remove(work: Work, template: Template) -> None:
    """Forget a template and its assignments; whether it may go is `deletion`'s to say, and each card's foreign key."""
    work.run(DELETE, template_id=template.id)
    work.record(Event("template.deleted", template.id, {"name": template.name}))


def set_assignments_rows(
    work: Work, template_id: str, added: Sequence[str], removed: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Let groups lead to a template that the caller holds, and others no longer; give those that really changed.

    Whether groups may lead there, what follows for people, and the event are the caller's. Raises Invalid for groups
    that do not exist.
    """
    came: list[str] = []
    if added:
        rows = work.rows(ASSIGN, template_id=template_id, group_ids=list(added), now=work.now)
        came = sorted(str(row[0]) for row in rows)
        if len(came) < len(set(added)):
            _require_groups(work, added)
    rows = work.rows(UNASSIGN, template_id=template_id, group_ids=list(removed)) if removed else []
    return came, sorted(str(row[0]) for row in rows)


def _require_groups(work: Work, group_ids: Sequence[str]) -> None:
    known = {str(row[0]) for row in work.rows(GROUPS, group_ids=list(group_ids))}
    unknown = [f"'{each[:100]}'" for each in dict.fromkeys(group_ids) if each not in known]
    if unknown:
        more = f" and {len(unknown) - 20} more" if len(unknown) > 20 else ""
        raise Invalid(f"group_ids: no group has the id {', '.join(unknown[:20])}{more}. Nothing was changed.")


def _columns(work: Work, template: Template) -> dict[str, str | int]:
    return {
        "name": template.name,
        "name_key": fold(template.name),
        "look": orjson.dumps(dict(template.look)).decode(),
        "fields": stored_fields(template.fields),
        "version": template.version,
        "modified_at": work.now,
    }


def _refusal(violation: Violation, name: str) -> Exception:
    if violation.unique("name_key"):
        return Conflict(f"A template named '{name}' already exists.")
    return violation


# What is accepted ---------------------------------------------------------------------------------------------------

LONGEST_NAME, LONGEST_HEADLINE = 200, 200
COLOURS = ("primary_color", "text_color", "background_color")
LOOK = (*COLOURS, "logo_url", "headline")
COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


def checked_name(name: object) -> str:
    """Give a template's name without blanks around it. Raises Invalid."""
    name = name.strip() if isinstance(name, str) else ""
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise Invalid(f"name: a template's name has 1 to {LONGEST_NAME} characters and no line break.")
    return name


def parse_look(raw: object) -> dict[str, str]:
    """Read how a template's cards look; null is as good as absent. Raises Invalid that names the member at fault."""
    if not isinstance(raw, Mapping):
        raise Invalid("look: an object is expected.")
    for name in raw:
        if name not in LOOK:
            raise Invalid(f"look: there is no member '{str(name)[:100]}'; it has {', '.join(LOOK)}.")
    look = {name: raw[name] for name in LOOK if raw.get(name) is not None}
    for name, value in look.items():
        problem = _look_problem(name, value)
        if problem:
            raise Invalid(f"look.{name}: {problem}")
    return look


def _look_problem(name: str, value: object) -> str | None:
    if not isinstance(value, str):
        return "text is expected."
    if name in COLOURS:
        return None if COLOUR.fullmatch(value) else "a colour is '#' and six hexadecimal digits, like #0a66c2."
    if name == "logo_url":
        return None if is_web_address(value, "https") else "an address that begins with https:// is expected."
    fits = value.isprintable() and value.strip() and len(value) <= LONGEST_HEADLINE
    return None if fits else f"it is one line of text, of 1 to {LONGEST_HEADLINE} characters."


@lru_cache(maxsize=512)
def _read_look(stored: str) -> Mapping[str, str]:
    look: dict[str, str] = orjson.loads(stored)
    return look
