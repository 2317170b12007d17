"""The stored form of a directory object: a document ready to send, and folded keys to search it by.

A document is the JSON answer itself, but for one mark that no JSON text can contain: BASE stands where the service's
own address goes (it is a setting, and may change). It ends with `meta.version`, so that an answer with a user's groups
continues both without being taken apart.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple, TypeAlias
from zlib import crc32

import orjson

from app_core.clock import Stamp
from app_core.errors import Invalid

JsonObject: TypeAlias = dict[str, Any]

BASE = b"\x01"
META = b',"meta":{'
TAIL = b'\\""}}'
"""How each document ends: the quotes of its version, `meta` and the document itself."""

CORE_USER = "urn:ietf:params:scim:schemas:core:2.0:User"
CORE_GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE_USER = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"

GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)

# Compared as they are (RFC 7643 caseExact); a test holds this to the published schema.
CASE_EXACT = frozenset(
    {
        "profileurl",
        "photos.value",
        "x509certificates.value",
        f"{ENTERPRISE_USER.lower()}:manager.value",
        f"{ENTERPRISE_USER.lower()}:manager.$ref",
    }
)


def fold(text: str) -> str:
    """Give the form under which two texts that differ only in case, or in how accents are written, are equal."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())


def external_key(external_id: str) -> str:
    """Give the form under which external ids are compared.

    externalId is caseExact (RFC 7643 §3.1), but the digits of a UUID are not (RFC 9562 §4): Entra's object ids match
    in either case, all else as it is.
    """
    return external_id.lower() if GUID.fullmatch(external_id) else external_id


def entra_object_id(external_id: str | None) -> str | None:
    """Give the Entra object id that an external id is, if it is one: only then does it have the form of a GUID."""
    return external_id.lower() if external_id is not None and GUID.fullmatch(external_id) else None


MAX_KEY = 2048
"""Bytes of a key in an index: PostgreSQL's pages hold 2,704."""


def indexed(attribute: str, key: str) -> str:
    """Give a key that an index can hold. Raises Invalid for one that is too long."""
    if len(key) * 4 > MAX_KEY and len(key.encode()) > MAX_KEY:
        raise Invalid(f"{attribute}: it is longer than {MAX_KEY} bytes, which cannot be searched for.")
    return key


def value_key(folded: str | None) -> str | None:
    """Give the key that finds a value of a multi-valued attribute; of a long one (a photo, a certificate) its hash."""
    if folded is None or len(folded) * 4 <= MAX_KEY or len(folded.encode()) <= MAX_KEY:
        return folded
    return "sha256:" + sha256(folded.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Element:
    """One value of a multi-valued attribute, as the index table holds it."""

    attribute: str
    position: int
    value_key: str | None
    type_key: str | None
    is_primary: bool
    element: str
    """All sub-attributes, folded, as a flat JSON object."""


@dataclass(frozen=True, slots=True)
class UserRecord:
    """What the directory says about a user, and what is derived from it."""

    resource: JsonObject
    """All attributes as sent, without `schemas`, `id` and `meta`."""
    active: bool

    @property
    def user_name(self) -> str:
        """The sign-in name as sent."""
        name: str = self.resource["userName"]
        return name

    @property
    def external_id(self) -> str | None:
        """The directory's own key as sent."""
        return self.resource.get("externalId")

    def columns(self) -> dict[str, Any]:
        """Give the values of the key columns."""
        external_id, display_name = self.external_id, self.resource.get("displayName")
        return {
            "user_name": self.user_name,
            "user_name_key": indexed("userName", fold(self.user_name)),
            "external_id": external_id,
            "external_key": None if external_id is None else indexed("externalId", external_key(external_id)),
            "entra_object_id": entra_object_id(external_id),
            "display_key": None if display_name is None else indexed("displayName", fold(display_name)),
            "active": self.active,
            "search": self.search(),
        }

    def search(self) -> str:
        """Give the single-valued attributes as a flat JSON object of folded texts, by lower-case path."""
        flat: dict[str, Any] = {}
        for name, value in self.resource.items():
            if name == ENTERPRISE_USER:
                for inner, held in value.items():
                    _flatten(flat, f"{ENTERPRISE_USER}:{inner}".lower(), held)
            elif not name.startswith("urn:"):
                _flatten(flat, name.lower(), value)
        return orjson.dumps(flat).decode()

    def elements(self) -> list[Element]:
        """Give the rows of the index table."""
        found = []
        for name, values in self.resource.items():
            if isinstance(values, list) and not name.startswith("urn:"):
                attribute = name.lower()
                found += [_element(attribute, at, value) for at, value in enumerate(values)]
        return found


def _flatten(flat: dict[str, Any], path: str, value: Any) -> None:
    if isinstance(value, str):
        flat[path] = value if path in CASE_EXACT else fold(value)
    elif isinstance(value, dict):
        for name, inner in value.items():
            _flatten(flat, f"{path}.{name.lower()}", inner)


def _element(attribute: str, at: int, value: JsonObject) -> Element:
    flat: dict[str, Any] = {}
    for name, held in value.items():
        key = name.lower()
        if isinstance(held, str):
            flat[key] = held if f"{attribute}.{key}" in CASE_EXACT else fold(held)
    is_primary = bool(value.get("primary"))
    return Element(
        attribute, at, value_key(flat.get("value")), flat.get("type"), is_primary, orjson.dumps(flat).decode()
    )


def schemas_of(resource: Mapping[str, Any]) -> list[str]:
    """List the schemas that a user's attributes come from (RFC 7643 §3)."""
    return [CORE_USER, *(name for name in resource if name.startswith("urn:"))]


def meta(kind: str, key: str, created: Stamp, modified: Stamp, version: int) -> bytes:
    """Write the `meta` member (RFC 7643 §3.1) with its marks, as the end of a document."""
    return (
        f',"meta":{{"resourceType":"{kind}","created":"{created}","lastModified":"{modified}",'
        f'"location":"\x01/{kind}s/{key}","version":"W/\\"{version}\\""}}}}'
    ).encode()


def document(key: str, record: UserRecord, created: Stamp, modified: Stamp, version: int) -> bytes:
    """Write a user's document."""
    body = orjson.dumps({"schemas": schemas_of(record.resource), "id": key, **record.resource})
    return body[:-1] + meta("User", key, created, modified, version)


def attributes_of(stored: bytes) -> JsonObject:
    """Read the attributes back out of a document."""
    resource: JsonObject = orjson.loads(stored[: stored.rindex(META)] + b"}")
    del resource["schemas"], resource["id"]
    return resource


class GroupsMember(NamedTuple):
    """The `groups` of a user: how they continue its version, and how its document ends with them."""

    suffix: str
    ending: bytes


NO_GROUPS = GroupsMember("", TAIL)


def group_entry(group_id: str, display_name: str) -> str:
    """Write how a user's `groups` lists a group (RFC 7643 §4.1.2)."""
    name = orjson.dumps(display_name).decode()
    return f'{{"value":"{group_id}","$ref":"{BASE.decode()}/Groups/{group_id}","display":{name},"type":"direct"}}'


def groups_member(entries: str | None) -> GroupsMember:
    """Make the `groups` member of its entries. It continues the version, so that an ETag covers the whole answer."""
    if not entries:
        return NO_GROUPS
    text = entries.encode()
    suffix = f"-{crc32(text):08x}"
    return GroupsMember(suffix, b'%b\\""},"groups":[%b]}' % (suffix.encode(), text))


def with_groups(stored: bytes, groups: GroupsMember) -> bytes:
    """Give a user's document with its groups; BASE is still to be filled in."""
    return stored[: -len(TAIL)] + groups.ending


def page_with_groups(rows: Sequence[Sequence[Any]], endings: Mapping[str, bytes]) -> list[bytes]:
    """Give users as `with_groups` does, of rows of their ids and documents; who has no ending is in no group."""
    return [row[1][: -len(TAIL)] + endings.get(row[0], TAIL) for row in rows]
