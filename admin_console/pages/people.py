"""People: who they are, why they have what they have, and the administrator's acts on them, their accounts, photos."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from admin_console.endpoint import Answer, File, done, page
from admin_console.paging import ROWS, cut
from admin_console.request import Request
from app_core import (
    activation,
    administration,
    connections,
    entra_directory,
    explanations,
    graph_links,
    manual_people,
    outbox,
    overviews,
    people,
    photos,
    provisioning_log,
    seats,
    sessions,
    user_filter,
)
from app_core.errors import Invalid, NotFound, NotPossible
from app_core.overviews import DirectoryUser
from app_core.people import Person
from app_core.provisioning_log import Entry, Outcome
from app_core.resource import ENTERPRISE_USER
from app_core.work import Work

HOME = "/console/people"
STATES = ("active", "inactive", "departed")
ORIGINS = ("directory", "manual")
NEEDS = ("problem", "seat", "activation")
NOT_YET = (None, "revoked")
"""The states of an account that may be activated."""
LINK_MINUTES = round(sessions.LINK_SECONDS / 60)


# The list -----------------------------------------------------------------------------------------------------------


def show_list(work: Work, request: Request) -> Answer:
    """List people, searched and filtered."""
    asked = {
        "q": request.asked("q"),
        "state": _one_of(request.asked("state"), STATES),
        "origin": _one_of(request.asked("origin"), ORIGINS),
        "need": _one_of(request.asked("need"), NEEDS),
        "after": request.asked("after"),
    }
    chosen = {name: asked[name] or None for name in ("state", "origin", "need")}
    found = overviews.people(work, after=asked["after"], limit=ROWS + 1, q=asked["q"], **chosen)
    ids = [person.id for person in found]
    accounts = activation.of_people(work, ids)
    return page(
        "people/list.html",
        "People",
        place="people",
        rows=cut(found, lambda person: person.id, HOME, asked),
        accounts=accounts,
        choosable={each.id for each in found[:ROWS] if each.active and _state_of(accounts.get(each.id)) in NOT_YET},
        seats=overviews.seat_states(work, ids),
        counts=seats.counts(work),
        asked=asked,
        filtered=any(asked[name] for name in ("q", "state", "origin", "need")),
    )


def _one_of(asked: str, known: tuple[str, ...]) -> str:
    return asked if asked in known else ""


def activate_many(work: Work, request: Request) -> Answer:
    """Activate the accounts of the people that are ticked. Raises NotFound, NotPossible, and Invalid for nobody."""
    ids = request.lists.get("person", [])[:ROWS]
    if not ids:
        raise Invalid("Nobody is ticked. Tick the people whose accounts you want to activate.")
    before = activation.of_people(work, ids)
    chosen = [each for each in ids if _state_of(before.get(each)) in NOT_YET]
    for person_id in chosen:
        activation.request(work, person_id)
        entry = Entry("activate", "Person", person_id, Outcome.SUCCESS, 200, changed=["activation"])
        provisioning_log.record(work, entry)
    outbox.flush(work)
    number = "1 account is" if len(chosen) == 1 else f"{len(chosen)} accounts are"
    return done(HOME, f"{number} activated. Next, give each of these people a start code.")


def _state_of(account: activation.Activation | None) -> str | None:
    return None if account is None else account.state


# One person ---------------------------------------------------------------------------------------------------------


class Named(NamedTuple):
    """A person that another one is shown with."""

    id: str
    display_name: str


def show(work: Work, request: Request) -> Answer:
    """Show who a person is, what they have, and why. Raises NotFound."""
    person = _required(work, request.id)
    user = None if person.directory_user_id is None else overviews.directory_user(work, person.directory_user_id)
    explained = explanations.of_person(work, person)
    account = activation.find(work, person.id)
    return page(
        "people/person.html",
        person.display_name,
        place="people",
        person=person,
        user=user,
        said_first=next((value for label, value in said_of(user) if label == "Title"), ""),
        attributes_first=said_of(user),
        attributes=list(flat(user.attributes)) if user else [],
        manager=_manager(work, user),
        facts=explained.facts,
        moments=explained.moments,
        account=account,
        may_activate=person.active and _state_of(account) in NOT_YET,
        may_get_code=person.active and _state_of(account) in (*NOT_YET, "requested", "code_sent"),
        by_hand=photos.is_by_hand(work, person),
    )


def _required(work: Work, person_id: str) -> Person:
    person = people.find(work, person_id)
    if person is None:
        raise NotFound("Person", person_id)
    return person


def _manager(work: Work, user: DirectoryUser | None) -> Named | None:
    """Give the manager that the directory names, where that is a user who is here."""
    manager = (user.attributes.get(ENTERPRISE_USER) or {}).get("manager") if user else None
    user_id = manager.get("value") if isinstance(manager, dict) else None
    found = people.of_users(work, [user_id]) if isinstance(user_id, str) else []
    person = people.find(work, found[0]) if found else None
    return None if person is None else Named(person.id, person.display_name)


def said_of(user: DirectoryUser | None) -> list[tuple[str, str]]:
    """Give what the directory says that one looks for first: label and value."""
    if user is None:
        return []
    enterprise = user.attributes.get(ENTERPRISE_USER) or {}
    found = [
        ("Title", user.attributes.get("title")),
        ("Department", enterprise.get("department")),
        ("Company", enterprise.get("organization")),
        ("Employee number", enterprise.get("employeeNumber")),
    ]
    return [(label, value) for label, value in found if isinstance(value, str) and value]


def flat(value: Any, path: str = "", dot: str = ".") -> Iterator[tuple[str, str]]:
    """Give each attribute as sent, by its path: `emails[work].value`."""
    if isinstance(value, dict):
        for name, held in value.items():
            yield from flat(held, f"{path}{dot}{name}" if path else name, ":" if name.startswith("urn:") else ".")
    elif isinstance(value, list):
        for at, held in enumerate(value):
            kind = held.get("type") if isinstance(held, dict) else None
            yield from flat(held, f"{path}[{kind or at}]")
    else:
        yield path, value if isinstance(value, str) else orjson.dumps(value).decode()


# By hand ------------------------------------------------------------------------------------------------------------


def ask_new(work: Work, request: Request) -> Answer:
    """Ask for a person to add by hand."""
    return page("people/edit.html", "Add a person by hand", place="people", person=None)


def create(work: Work, request: Request) -> Answer:
    """Add a person by hand. Raises Invalid."""
    person = manual_people.add(work, request.text("display_name"), request.text("email") or None)
    return done(f"{HOME}/{person.id}", f"'{person.display_name}' is added.", target_id=person.id)


def ask_change(work: Work, request: Request) -> Answer:
    """Ask what of a person is to be other. Raises NotFound, and NotPossible for one that the directory describes."""
    person = _required(work, request.id)
    if person.origin != "manual" or person.directory_user_id is not None:
        raise NotPossible(f"'{person.display_name}' comes from the directory; change the user in Entra.")
    return page("people/edit.html", f"Edit {person.display_name}", place="people", person=person)


def change(work: Work, request: Request) -> Answer:
    """Change a person that was added by hand. Raises NotFound, Invalid, NotPossible."""
    before = people.lock(work, request.id)
    after = manual_people.change(
        work, before, display_name=request.text("display_name"), email=request.text("email") or None
    )
    changed = [name for name in ("display_name", "email") if getattr(after, name) != getattr(before, name)]
    return done(f"{HOME}/{after.id}", "The person is changed.", target_id=after.id, changed=changed)


def remove(work: Work, request: Request) -> Answer:
    """Delete a person that no user of the directory leads to. Raises NotFound, NotPossible."""
    person = people.lock(work, request.id)
    manual_people.remove(work, person)
    return done(HOME, f"'{person.display_name}' is deleted, with cards, memberships and account.", target_id=person.id)


def ask_link(work: Work, request: Request) -> Answer:
    """Ask which user of the directory a person is. Raises NotFound, and NotPossible for one that is one already."""
    person = _required(work, request.id)
    if person.origin != "manual" or person.directory_user_id is not None:
        raise NotPossible(f"'{person.display_name}' comes from the directory; only people added by hand are linked.")
    path, asked = f"{HOME}/{person.id}/link", {"q": request.asked("q"), "after": request.asked("after")}
    # Who asks first is shown whoever has the name, or the address.
    wanted = asked["q"] or ("" if "q" in request.query else person.display_name)
    found = overviews.people(work, after=asked["after"], limit=ROWS + 1, q=wanted, origin="directory")
    return page(
        "people/link.html",
        f"Link {person.display_name}",
        place="people",
        person=person,
        q=wanted,
        rows=cut(found, lambda each: each.id, path, {**asked, "q": wanted}),
    )


def link(work: Work, request: Request) -> Answer:
    """Join a person that was added by hand to a user of the directory. Raises NotFound, NotPossible."""
    person = manual_people.link(work, request.id, request.text("directory_user_id"))
    sentence = f"'{person.display_name}' is linked. From here on the directory describes this person."
    return done(f"{HOME}/{person.id}", sentence, target_id=person.id)


# Accounts -----------------------------------------------------------------------------------------------------------


def activate(work: Work, request: Request) -> Answer:
    """Choose a person to have an account. Raises NotFound, NotPossible."""
    found = activation.request(work, request.id)
    changed = ["activation"] if found.modified_at == work.now else []
    return done(f"{HOME}/{request.id}", "The account is activated. Next, give a start code.", **_of(request, changed))


def revoke(work: Work, request: Request) -> Answer:
    """End the account of a person; the seat is free where no card needs it. Raises NotFound."""
    changed = ["activation"] if administration.revoke_activation(work, request.id) else []
    return done(f"{HOME}/{request.id}", "The account is revoked; its start code is void.", **_of(request, changed))


def show_start_code(work: Work, request: Request) -> Answer:
    """Make a start code and show it this once; the former one is void. Raises NotFound, NotPossible."""
    person = people.lock(work, request.id)
    issued = activation.issue_code(work, person.id)
    return page(
        "people/start_code.html",
        f"Start code of {person.display_name}",
        target_id=person.id,
        place="people",
        person=person,
        issued=issued,
        link=start_link(work, request),
    )


def mail_start_code(work: Work, request: Request) -> Answer:
    """Make a start code and send it to the person. Raises NotFound, NotPossible, and MailNotSent by the door."""
    person = people.lock(work, request.id)
    if not request.can_mail:
        raise NotPossible("This server sends no mail: its operator sets SCIM_SERVER_SMTP_URL. Show the code instead.")
    if person.email is None:
        raise NotPossible(f"'{person.display_name}' has no e-mail address. Show the code instead.")
    issued = activation.issue_code(work, person.id)
    mail = activation.letter(person.display_name, person.email, issued, start_link(work, request))
    return done(f"{HOME}/{person.id}", f"A start code went to {person.email}.", target_id=person.id, mail=mail)


def start_link(work: Work, request: Request) -> str:
    """Give the address where people of the tenant type their start code in."""
    return f"{request.public_url}/start?at={work.tenant_id}"


def show_sign_in_link(work: Work, request: Request) -> Answer:
    """Make a link by which a person signs in once, to see and edit cards. Raises NotFound, NotPossible."""
    person = _required(work, request.id)
    if not person.active:
        raise NotPossible(f"'{person.display_name}' is not active, and cannot sign in.")
    secret = sessions.new_member_link(work, person.id)
    return page(
        "people/sign_in_link.html",
        f"Sign-in link for {person.display_name}",
        target_id=person.id,
        place="people",
        person=person,
        link=f"{request.public_url}/me/sign-in?link={secret}",
        minutes=LINK_MINUTES,
    )


def _of(request: Request, changed: list[str]) -> dict[str, Any]:
    return {"target_id": request.id, "changed": changed}


# Photos -------------------------------------------------------------------------------------------------------------


def photo(work: Work, request: Request) -> Answer:
    """Give the photo of a person; its address holds its hash, so that it may be kept. Raises NotFound."""
    found = photos.get(work, request.id)
    if found is None:
        raise NotFound("Photo of person", request.id)
    kept = request.asked("v") == found.hash
    cache = f"private, max-age={'31536000, immutable' if kept else '60'}"
    return File(media_type=found.media_type, data=found.data, etag=f'"{found.hash}"', cache=cache)


def set_photo(work: Work, request: Request) -> Answer:
    """Give a person a photo. Raises NotFound, Invalid."""
    person = people.lock(work, request.id)
    sent = request.files.get("photo")
    if sent is None or not sent.data:
        raise Invalid("No picture was chosen. Choose a JPEG, PNG, GIF or WebP file.")
    changed = ["photo"] if photos.put(work, person, sent.data) else []
    return done(f"{HOME}/{person.id}", "The photo is set.", **_of(request, changed))


def remove_photo(work: Work, request: Request) -> Answer:
    """Take the photo of a person away. Raises NotFound."""
    changed = ["photo"] if photos.remove(work, people.lock(work, request.id)) else []
    return done(f"{HOME}/{request.id}", "The photo is removed.", **_of(request, changed))


# From Entra ---------------------------------------------------------------------------------------------------------


def show_import(work: Work, request: Request) -> Answer:
    """Say how people come from Entra: by its assignments, or by a pull."""
    connections.act_on_first(work)
    return page(
        "people/import.html",
        "Import from Entra",
        place="people",
        link=graph_links.find(work),
        pushes=connections.pushes(work),
        chosen=user_filter.chosen(work),
    )


def sync(work: Work, request: Request) -> Answer:
    """Pull now. Raises NotPossible where no directory is connected."""
    connections.act_on_first(work)
    job = entra_directory.sync_now(work)
    return done(f"{HOME}/import", "The sync is on its way; people appear as it finds them.", target_id=job.id)
