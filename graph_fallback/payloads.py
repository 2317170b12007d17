"""Graph's JSON → typed values. Reading is tolerant, and what is not said stays apart from what is said to be empty.

A key that is missing is UNSET: never set, or unchanged, or not asked for (entra.md §8.3). A key with null is None: it
was cleared. What has a type that it cannot have is UNSET as well, and listed as `unread`: junk neither writes nor
clears.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from app_core.resource import ENTERPRISE_USER, GUID, JsonObject


class Unset(Enum):
    """The type of UNSET."""

    UNSET = "unset"

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET
"""Nothing is said about it."""
Text: TypeAlias = str | Unset | None


class Removed(StrEnum):
    """Why an object is gone."""

    CHANGED = "changed"
    """Soft-deleted: it can be restored for 30 days, and keeps its memberships."""
    DELETED = "deleted"
    """Gone for good. Its memberships are to be dropped here: the groups may never say so (entra.md §8.4)."""


class MemberKind(StrEnum):
    """What a member of a group is."""

    USER = "user"
    GROUP = "group"
    OTHER = "other"
    """A device, a contact, a service principal: nothing that is mirrored."""
    UNKNOWN = "unknown"
    """Graph did not say; its id tells, if the mirror has it."""


class Change(NamedTuple):
    """Which ids came, and which went."""

    added: frozenset[str] = frozenset()
    removed: frozenset[str] = frozenset()

    def then(self, later: "Change") -> "Change":
        """Give both changes as one, in which the later counts where they contradict each other."""
        return Change(
            (self.added - later.removed) | later.added,
            (self.removed - later.added) | later.removed,
        )


NO_CHANGE = Change()


@dataclass(frozen=True, slots=True)
class MemberDelta:
    """How the direct members of a group changed, each type by itself. One page may tell a part of it only."""

    users: Change = NO_CHANGE
    groups: Change = NO_CHANGE
    others: Change = NO_CHANGE

    def then(self, later: "MemberDelta") -> "MemberDelta":
        """Give two slices as one: a large group comes in slices on consecutive pages."""
        return MemberDelta(self.users.then(later.users), self.groups.then(later.groups), self.others.then(later.others))


@dataclass(frozen=True, slots=True)
class ManagerDelta:
    """How somebody's manager changed. A new one and the farewell of the old come in any order (entra.md §8.4)."""

    now: str | None
    """The object id of the manager that is named, if one is."""
    no_longer: frozenset[str] = frozenset()

    def after(self, before: str | None) -> str | None:
        """Give the manager's object id, given the one that was known."""
        if self.now is not None:
            return self.now
        return None if before in self.no_longer else before


@dataclass(frozen=True, slots=True)
class GraphUser:
    """A user, as far as Graph said it. Texts are as sent."""

    id: str
    removed: Removed | None = None
    user_principal_name: Text = UNSET
    display_name: Text = UNSET
    given_name: Text = UNSET
    surname: Text = UNSET
    mail: Text = UNSET
    job_title: Text = UNSET
    department: Text = UNSET
    company_name: Text = UNSET
    employee_id: Text = UNSET
    office_location: Text = UNSET
    business_phone: Text = UNSET
    """The first of `businessPhones`: Entra holds at most one."""
    mobile_phone: Text = UNSET
    fax_number: Text = UNSET
    street_address: Text = UNSET
    city: Text = UNSET
    state: Text = UNSET
    postal_code: Text = UNSET
    country: Text = UNSET
    preferred_language: Text = UNSET
    mail_nickname: Text = UNSET
    account_enabled: bool | Unset | None = UNSET
    manager: ManagerDelta | Unset | None = UNSET
    """None: has none. To be settled with the mirror, which knows the manager by another id."""
    unread: frozenset[str] = frozenset()
    """Fields of which Graph said something that cannot be."""

    @property
    def gone(self) -> bool:
        """Say whether the directory has deleted it, for good or for now."""
        return self.removed is not None

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> "GraphUser | None":
        """Read a user; None for what has no id."""
        key = object_id(raw.get("id"))
        if key is None:
            return None
        said: dict[str, Any] = {
            **{name: text(raw, graph_name) for name, graph_name in USER_TEXTS.items()},
            "business_phone": _first_text(raw, "businessPhones"),
            "account_enabled": _boolean(raw, "accountEnabled"),
            "manager": _manager(raw),
        }
        unread = frozenset(name for name, value in said.items() if value is UNSET and _is_named(raw, name))
        return cls(key, removed_of(raw), unread=unread, **said)


@dataclass(frozen=True, slots=True)
class GraphGroup:
    """A group, as far as Graph said it."""

    id: str
    removed: Removed | None = None
    display_name: Text = UNSET
    description: Text = UNSET
    mail: Text = UNSET
    kind: Text = UNSET
    """`security`, `microsoft365`, `mail_security` or `distribution`, where enough is said to tell."""
    members: MemberDelta | Unset = UNSET

    @property
    def gone(self) -> bool:
        """Say whether the directory has deleted it, for good or for now."""
        return self.removed is not None

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> "GraphGroup | None":
        """Read a group; None for what has no id."""
        key = object_id(raw.get("id"))
        if key is None:
            return None
        return cls(
            key,
            removed_of(raw),
            text(raw, "displayName"),
            text(raw, "description"),
            text(raw, "mail"),
            _kind(raw),
            _members(raw),
        )

    def then(self, later: "GraphGroup") -> "GraphGroup":
        """Give what two pages say of one group as one; the later counts where both say something."""
        return GraphGroup(
            self.id,
            later.removed,
            self.display_name if later.display_name is UNSET else later.display_name,
            self.description if later.description is UNSET else later.description,
            self.mail if later.mail is UNSET else later.mail,
            self.kind if later.kind is UNSET else later.kind,
            _together(self.members, later.members),
        )


def _together(first: MemberDelta | Unset, later: MemberDelta | Unset) -> MemberDelta | Unset:
    if first is UNSET:
        return later
    return first if later is UNSET else first.then(later)


@dataclass(frozen=True, slots=True)
class GraphMember:
    """An entry of a list of members, or of a change of one."""

    id: str
    kind: MemberKind
    removed: bool = field(default=False)

    @classmethod
    def parse(cls, raw: Any) -> "GraphMember | None":
        """Read an entry; None for what has no id. `@removed` says here that the *membership* went, for any reason."""
        if not isinstance(raw, Mapping):
            return None
        key = object_id(raw.get("id"))
        if key is None:
            return None
        named = raw.get("@odata.type")
        kind = KINDS.get(named, MemberKind.OTHER) if isinstance(named, str) else MemberKind.UNKNOWN
        return cls(key, kind, removed="@removed" in raw)


KINDS = {"#microsoft.graph.user": MemberKind.USER, "#microsoft.graph.group": MemberKind.GROUP}
USER_TEXTS = {
    "user_principal_name": "userPrincipalName",
    "display_name": "displayName",
    "given_name": "givenName",
    "surname": "surname",
    "mail": "mail",
    "job_title": "jobTitle",
    "department": "department",
    "company_name": "companyName",
    "employee_id": "employeeId",
    "office_location": "officeLocation",
    "mobile_phone": "mobilePhone",
    "fax_number": "faxNumber",
    "street_address": "streetAddress",
    "city": "city",
    "state": "state",
    "postal_code": "postalCode",
    "country": "country",
    "preferred_language": "preferredLanguage",
    "mail_nickname": "mailNickname",
}
"""Field → Graph's name, of those that hold one text."""
OTHER_NAMES = {
    "business_phone": ("businessPhones",),
    "account_enabled": ("accountEnabled",),
    "manager": ("manager@delta", "manager"),
}


def users_of(items: Iterable[Mapping[str, Any]]) -> list[GraphUser]:
    """Read the users of a page, in its order."""
    return [user for user in map(GraphUser.parse, items) if user is not None]


def whole(user: GraphUser) -> GraphUser:
    """Read a user that was listed, or read by itself, as a whole: with no manager where none was expanded."""
    none = user.manager is UNSET and "manager" not in user.unread
    return replace(user, manager=None) if none else user


def groups_of(items: Iterable[Mapping[str, Any]]) -> list[GraphGroup]:
    """Read the groups of a page; what it says of one group in several places is put together."""
    found: dict[str, GraphGroup] = {}
    for group in map(GraphGroup.parse, items):
        if group is not None:
            found[group.id] = found[group.id].then(group) if group.id in found else group
    return list(found.values())


def members_in(items: Iterable[Any]) -> MemberDelta:
    """Read a list of members (`/groups/{id}/members`), or of changes; the last word on a member counts."""
    last = {member.id: member for member in map(GraphMember.parse, items) if member is not None}

    def change(*kinds: MemberKind) -> Change:
        chosen = [member for member in last.values() if member.kind in kinds]
        return Change(
            frozenset(member.id for member in chosen if not member.removed),
            frozenset(member.id for member in chosen if member.removed),
        )

    # An id is one in the whole directory, so that of an unknown type is known where the mirror has it.
    return MemberDelta(
        change(MemberKind.USER, MemberKind.UNKNOWN),
        change(MemberKind.GROUP, MemberKind.UNKNOWN),
        change(MemberKind.OTHER),
    )


# One value ----------------------------------------------------------------------------------------------------------


def object_id(value: Any) -> str | None:
    """Give an object id in lower case (its digits are those of a UUID, RFC 9562 §4); None for what is none."""
    if not isinstance(value, str) or not value.strip():
        return None
    return value.lower() if GUID.fullmatch(value) else value


def text(raw: Mapping[str, Any], name: str) -> Text:
    """Give a text as sent; None where it was cleared (null or empty), UNSET where nothing is said that can be read."""
    value = raw.get(name, UNSET)
    if value is None or value == "":
        return None
    # A NUL is no text that a database keeps.
    return value if isinstance(value, str) and "\0" not in value else UNSET


def _is_named(raw: Mapping[str, Any], name: str) -> bool:
    return any(key in raw for key in (USER_TEXTS.get(name, ""), *OTHER_NAMES.get(name, ())))


def removed_of(raw: Mapping[str, Any]) -> Removed | None:
    """Say whether an object is gone and how; what cannot be read counts as the deletion that can be undone."""
    if "@removed" not in raw:
        return None
    removed = raw["@removed"]
    reason = removed.get("reason") if isinstance(removed, Mapping) else None
    return Removed.DELETED if reason == Removed.DELETED else Removed.CHANGED


def _boolean(raw: Mapping[str, Any], name: str) -> bool | Unset | None:
    value = raw.get(name, UNSET)
    return value if value is None or isinstance(value, bool) else UNSET


def _first_text(raw: Mapping[str, Any], name: str) -> Text:
    values = raw.get(name, UNSET)
    if values is None or values == []:
        return None
    first = next(filter(None, values), "") if isinstance(values, list) else values
    return text({name: first}, name)


def _manager(raw: Mapping[str, Any]) -> ManagerDelta | Unset | None:
    """Read `manager@delta` of a delta query, or `manager` where it was expanded."""
    changes = raw.get("manager@delta")
    if isinstance(changes, list):
        entries = [entry for entry in map(GraphMember.parse, changes) if entry is not None]
        named = [entry.id for entry in entries if not entry.removed]
        gone = frozenset(entry.id for entry in entries if entry.removed)
        return ManagerDelta(named[-1] if named else None, gone) if entries else UNSET
    if "manager" not in raw:
        return UNSET
    manager = raw["manager"]
    if manager is None:
        return None
    key = object_id(manager.get("id")) if isinstance(manager, Mapping) else None
    return UNSET if key is None else ManagerDelta(key)


def _members(raw: Mapping[str, Any]) -> MemberDelta | Unset:
    changes = raw.get("members@delta")
    return members_in(changes) if isinstance(changes, list) else UNSET


def _kind(raw: Mapping[str, Any]) -> Text:
    types, mail, security = raw.get("groupTypes"), raw.get("mailEnabled"), raw.get("securityEnabled")
    if isinstance(types, list) and "Unified" in types:
        return "microsoft365"
    if not isinstance(mail, bool) or not isinstance(security, bool):
        return UNSET
    if security:
        return "mail_security" if mail else "security"
    return "distribution" if mail else None


# As SCIM says it ----------------------------------------------------------------------------------------------------


class Place(NamedTuple):
    """Where a value stands in a SCIM user: an attribute, or of one type of a multi-valued one, or of an extension."""

    path: str
    """As a mapping in Entra names it."""
    attribute: str
    sub: str | None = None
    of_type: str | None = None
    primary: bool = False
    """Whether its element is the primary one, where Entra says so when it creates a user (entra.md §2.2)."""


def _element(attribute: str, of_type: str, sub: str, *, primary: bool = False) -> Place:
    return Place(f'{attribute}[type eq "{of_type}"].{sub}', attribute, sub, of_type, primary)


def _enterprise(sub: str) -> Place:
    return Place(f"{ENTERPRISE_USER}:{sub}", ENTERPRISE_USER, sub)


PLACES: Mapping[str, Place] = {
    "user_principal_name": Place("userName", "userName"),
    "display_name": Place("displayName", "displayName"),
    "job_title": Place("title", "title"),
    "preferred_language": Place("preferredLanguage", "preferredLanguage"),
    "given_name": Place("name.givenName", "name", "givenName"),
    "surname": Place("name.familyName", "name", "familyName"),
    "mail": _element("emails", "work", "value", primary=True),
    "office_location": _element("addresses", "work", "formatted", primary=True),
    "street_address": _element("addresses", "work", "streetAddress", primary=True),
    "city": _element("addresses", "work", "locality", primary=True),
    "state": _element("addresses", "work", "region", primary=True),
    "postal_code": _element("addresses", "work", "postalCode", primary=True),
    "country": _element("addresses", "work", "country", primary=True),
    "business_phone": _element("phoneNumbers", "work", "value", primary=True),
    "mobile_phone": _element("phoneNumbers", "mobile", "value"),
    "fax_number": _element("phoneNumbers", "fax", "value"),
    "employee_id": _enterprise("employeeNumber"),
    "department": _enterprise("department"),
    "company_name": _enterprise("organization"),
}
"""The default mapping (entra.md §7), and the company, which no mapping sends and a card wants (§8.1).

Not here: `active`, `name.formatted`, `externalId` and `manager`, which are more than one value in another place.
"""
FORMATTED = Place("name.formatted", "name", "formatted")
BY_PATH: Mapping[str, Place] = {place.path: place for place in (*PLACES.values(), FORMATTED)}
Changes: TypeAlias = dict[str, str | bool | None]
"""SCIM path → the new value, None where it is cleared."""


def scim_resource(user: GraphUser, *, external_id_is_object_id: bool = False) -> JsonObject:
    """Give a user's SCIM attributes as the default mapping would send them; what is not said or empty is left out.

    `externalId` is the mail nickname as in that mapping, or the object id, which we advise. The manager is left out:
    its value is a SCIM id, which only the mirror knows.
    """
    resource: JsonObject = {}
    external_id = user.id if external_id_is_object_id else user.mail_nickname
    if isinstance(external_id, str):
        resource["externalId"] = external_id
    if isinstance(user.user_principal_name, str):
        resource["userName"] = user.user_principal_name
    resource["active"] = _active(user) is not False
    return applied(resource, changes(user, resource, complete=True))


def changes(user: GraphUser, stored: Mapping[str, Any], *, complete: bool = False) -> Changes:
    """Say by which changes a stored resource becomes what Graph says.

    Of a delta, what is missing stays as it is, and null clears. Of a complete listing, what is missing is empty. Never
    touched: `externalId`, which is the key of whoever provisions; the manager; a userName by nothing, or by the name
    of a deleted user in the recycle bin (entra.md rule 29); of a user that is gone anything but `active`.
    """
    found: Changes = {}
    active = _active(user)
    if active is not None and active != stored.get("active", True):
        found["active"] = active
    if user.gone:
        return found
    for name, place in PLACES.items():
        said = getattr(user, name)
        value = None if said is UNSET and complete and name not in user.unread else said
        if value is UNSET or (place.attribute == "userName" and (value is None or is_tombstone(user.id, value))):
            continue
        if value != _value_at(stored, place):
            found[place.path] = value
    formatted = _formatted(user, stored, complete=complete)
    if formatted is not UNSET and formatted != _value_at(stored, FORMATTED):
        found[FORMATTED.path] = formatted
    return found


def applied(stored: Mapping[str, Any], wanted: Changes) -> JsonObject:
    """Give a resource with changes carried out. Other elements, and other parts of an element, stay as they are."""
    resource = dict(stored)
    for path, value in wanted.items():
        if path == "active":
            resource["active"] = value
        elif BY_PATH[path].of_type is not None:
            _put_element(resource, BY_PATH[path], value)
        else:
            _put(resource, BY_PATH[path], value)
    return resource


def is_tombstone(key: str, user_principal_name: str) -> bool:
    """Say whether a name is the one that Entra gives a deleted user: its id without dashes in front of the old one."""
    return GUID.fullmatch(key) is not None and user_principal_name.lower().startswith(key.replace("-", ""))


def _active(user: GraphUser) -> bool | None:
    """Give IsSoftDeleted turned round: disabled or deleted is not active. None where nothing is said."""
    if user.gone:
        return False
    return user.account_enabled if isinstance(user.account_enabled, bool) else None


def _formatted(user: GraphUser, stored: Mapping[str, Any], *, complete: bool) -> Text:
    """Join given name and surname as the default mapping does; what is not said of the two is as stored."""
    if not complete and user.given_name is UNSET and user.surname is UNSET:
        return UNSET
    parts = []
    for name in ("given_name", "surname"):
        said = getattr(user, name)
        empty = complete and name not in user.unread
        parts.append((None if empty else _value_at(stored, PLACES[name])) if said is UNSET else said)
    return " ".join(part for part in parts if part) or None


def _value_at(resource: Mapping[str, Any], place: Place) -> Any:
    held = resource.get(place.attribute)
    if place.of_type is not None:
        held = next((each for each in _elements(held) if _is_of(each, place)), None)
    if place.sub is None:
        return held
    return held.get(place.sub) if isinstance(held, Mapping) else None


def _put(resource: JsonObject, place: Place, value: Any) -> None:
    if place.sub is not None:
        held = resource.get(place.attribute)
        inner = {**held} if isinstance(held, Mapping) else {}
        inner.pop(place.sub, None)
        value = {**inner, **({} if value is None else {place.sub: value})} or None
    if value is None:
        resource.pop(place.attribute, None)
    else:
        resource[place.attribute] = value


def _put_element(resource: JsonObject, place: Place, value: Any) -> None:
    """Put a value into the first element of its type. One that holds nothing any more goes; a new one is the last."""
    assert place.sub is not None
    elements = _elements(resource.get(place.attribute))
    at = next((at for at, each in enumerate(elements) if _is_of(each, place)), None)
    if at is None:
        if value is None:
            return
        is_primary = place.primary and not any(each.get("primary") is True for each in elements)
        elements.append({**({"primary": True} if is_primary else {}), "type": place.of_type, place.sub: value})
    else:
        kept = {name: held for name, held in elements[at].items() if name != place.sub}
        if value is not None:
            kept[place.sub] = value
        elements[at : at + 1] = [kept] if set(kept) - {"type", "primary"} else []
    if elements:
        resource[place.attribute] = elements
    else:
        resource.pop(place.attribute, None)


def _elements(values: Any) -> list[Any]:
    return [each for each in values if isinstance(each, Mapping)] if isinstance(values, list) else []


def _is_of(element: Mapping[str, Any], place: Place) -> bool:
    kind = element.get("type")
    return isinstance(kind, str) and kind.lower() == place.of_type
