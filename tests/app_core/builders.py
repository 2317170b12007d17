"""What tests of the core put in place: plain functions with plain defaults, through the same verbs as the product."""

from __future__ import annotations

import contextlib
import dataclasses
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from app_core import cards, clock, people, provisioning, templates
from app_core.directory import Group, User
from app_core.errors import DomainError
from app_core.people import Person
from app_core.provisioning import GroupRecord
from app_core.resource import UserRecord, attributes_of
from app_core.templates import Template
from app_core.work import Work


def a_directory_user(work: Work, name: str = "ada", *, active: bool = True, **attributes: Any) -> User:
    """Take a user over from the directory, as SCIM does."""
    resource = {
        "userName": f"{name}@contoso.com",
        "externalId": str(uuid.uuid4()),
        "active": active,
        "displayName": name.capitalize(),
        "emails": [{"type": "work", "primary": True, "value": f"{name}@contoso.com"}],
        **attributes,
    }
    return provisioning.create_user(work, UserRecord(resource, active))


def person_of(work: Work, user: User) -> Person:
    """Give the person that follows a directory user."""
    person = people.find(work, people.of_users(work, [user.id])[0])
    assert person is not None
    return person


def switched(work: Work, user: User, *, active: bool) -> None:
    """Let the directory say that a user is active or not."""
    before = provisioning.lock_user(work, user.id)
    resource = {**attributes_of(before.document), "active": active}
    provisioning.save_user(work, before, UserRecord(resource, active))


def a_group(work: Work, *members: User, name: str = "Sales") -> Group:
    """Take a group over from the directory, as SCIM does."""
    record = GroupRecord(name, str(uuid.uuid4()))
    return provisioning.create_group(work, record, [member.id for member in members])


def a_template(work: Work, *fields: dict[str, Any], name: str = "Standard") -> Template:
    """Make a template; without fields it has a name that anybody may change."""
    default = {"key": "name", "source": "display_name", "mode": "always", "editable": True}
    return templates.create(work, name, fields=list(fields) or [default])


def a_card(work: Work, person: Person, template: Template) -> str:
    """Give a person a card by hand."""
    return cards.insert_card(work, template.id, cards.Origin.MANUAL, person_id=person.id)


def told(work: Work, subject_id: str | None = None) -> list[str]:
    """Give the types of the events so far, of one subject or of all, and start over."""
    found = [event.type for event in work.events if subject_id in (None, event.subject_id)]
    work.events.clear()
    return found


@contextlib.contextmanager
def refused(work: Work, kind: type[DomainError]) -> Iterator[pytest.ExceptionInfo[DomainError]]:
    """Expect a refusal, and undo what came before it, as a door does."""
    before = list(work.events)
    with pytest.raises(kind) as refusal, work.connection.savepoint():
        yield refusal
    work.events[:] = before


def ids(found: Sequence[Any]) -> list[str]:
    """Give the ids of what was found."""
    return [each.id for each in found]


def later(work: Work, *, days: float) -> Work:
    """Give the same unit of work at a later instant."""
    return dataclasses.replace(work, now=clock.later(days * 86400))
