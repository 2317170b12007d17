"""What is refused, and how: limits, media types, and every mistake of a client (RFC 7644 §3.12, §8; RFC 9110).

The client of these tests fails on a 500, on an error that is not in SCIM's form, and on a null, whatever is asserted here.
"""

from __future__ import annotations

import http.client
import json
import random
import string
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.answers import (
    BULK_REQUEST,
    JSON,
    SCIM,
    SEARCH_REQUEST,
    change,
    ids,
    is_error,
    new_group,
    new_user,
    ok,
    read,
    refused,
    resources,
    unique,
    values,
)
from tests.builders import GROUP, PATCH_OP, USER, created, patch
from tests.processes import Customer

NOBODY = "00000000-0000-7000-8000-000000000000"
WRITES = [
    ("POST", "Users"),
    ("PUT", "Users/{user}"),
    ("PATCH", "Users/{user}"),
    ("POST", "Groups"),
    ("PUT", "Groups/{group}"),
    ("PATCH", "Groups/{group}"),
    ("POST", "Users/.search"),
    ("POST", "Groups/.search"),
    ("POST", ".search"),
    ("POST", "Bulk"),
]


@pytest.fixture(scope="module")
def subjects(door: httpx.Client) -> list[JSON]:
    """A user and a group to aim at."""
    emails = [{"value": "a@x.example", "type": "work"}]
    return [new_user(door, title="before", emails=emails), new_group(door, new_user(door))]


@pytest.fixture
def user(door: httpx.Client, subjects: list[JSON]) -> JSON:
    """The user as it is before the test, and must be after it."""
    return read(door, subjects[0])


@pytest.fixture
def group(door: httpx.Client, subjects: list[JSON]) -> JSON:
    """The group as it is before the test, and must be after it."""
    return read(door, subjects[1])


def raw(door: httpx.Client, method: str, target: str, **headers: str) -> tuple[int, dict[str, str], Any]:
    """Send a target to the letter, as no client library would; give status, headers and body."""
    url = urlsplit(str(door.base_url))
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=30)
    try:
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in {"authorization": door.headers["authorization"], **headers}.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        text = answer.read()
        return (
            answer.status,
            {name.lower(): value for name, value in answer.getheaders()},
            json.loads(text) if text else None,
        )
    finally:
        connection.close()


# Media types ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "media_type",
    [
        SCIM,
        "application/scim+json; charset=utf-8",
        "application/scim+json;charset=UTF-8",
        "Application/SCIM+JSON",
        "application/json",
        "application/json; charset=utf-8",
        "application/scim+json ; charset=utf-8 ; odata=verbose",
        None,
        "",
    ],
)
@pytest.mark.parametrize("accept", [SCIM, "application/json", "*/*", "", "text/html, */*;q=0.1"])
def test_media_types_that_are_taken(door: httpx.Client, media_type: str | None, accept: str) -> None:
    """Both types with their parameters, and none (RFC 7644 §3.1, §3.8, §8.1; entra rule 21); SCIM's own comes back."""
    request = door.build_request("POST", "Users", content=json.dumps({"schemas": [USER], "userName": unique()}))
    request.headers["accept"] = accept
    if media_type is None:
        del request.headers["content-type"]
    else:
        request.headers["content-type"] = media_type

    answer = door.send(request)

    created(answer)
    assert SCIM == answer.headers["content-type"]


@pytest.mark.parametrize("media_type", ["text/xml", "text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json", "application/scim+xml"])  # fmt: skip
@pytest.mark.parametrize(("method", "path"), WRITES)
def test_media_types_that_are_refused(
    door: httpx.Client, user: JSON, group: JSON, method: str, path: str, media_type: str
) -> None:
    """415 (RFC 9110 §15.5.16)."""
    path = path.format(user=user["id"], group=group["id"])

    refused(door.request(method, path, content=b"{}", headers={"Content-Type": media_type}), 415)


# Bodies -----------------------------------------------------------------------------------------------------------------

DEEP = 100_000
NO_JSON: dict[str, bytes] = {
    "nothing": b"",
    "blanks": b" \r\n ",
    "text": b"hello",
    "cut": b'{"schemas":["' + USER.encode() + b'"],"userName":"a',
    "cut-list": b'{"Operations":[',
    "single-quotes": b"{'userName':'a'}",
    "trailing-comma": b'{"userName":"a",}',
    "two": b'{"userName":"a"}{"userName":"b"}',
    "comment": b'{"userName":"a"/* no */}',
    "nan": b'{"userName":NaN}',
    "infinity": b'{"userName":-Infinity}',
    "xml": b"<User><userName>a</userName></User>",
    "form": b"userName=a&active=true",
    "latin-1": '{"userName":"é"}'.encode("latin-1"),
    "utf-16": '{"userName":"a"}'.encode("utf-16"),
    "bad-utf-8": b'{"userName":"\xff\xfe"}',
    "overlong-utf-8": b'{"userName":"\xc0\xaf"}',
    "surrogate-in-utf-8": b'{"userName":"\xed\xa0\x80"}',
    "lone-surrogate": rb'{"userName":"\ud800"}',
    "lone-low-surrogate": rb'{"userName":"a\udc00b"}',
    "bad-escape": rb'{"userName":"\x41"}',
    "control-character": b'{"userName":"a\x01b"}',
    "nul": b'{"userName":"a\x00b"}',
    "only-nul": b"\0",
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
    "deep-lists": b"[" * DEEP + b"]" * DEEP,
    "deep-objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "open-lists": b"[" * DEEP,
    "leading-zero": b'{"userName":007}',
}  # fmt: skip


@pytest.mark.parametrize("content", NO_JSON.values(), ids=NO_JSON)
@pytest.mark.parametrize(("method", "path"), WRITES)
def test_bodies_that_are_no_json(
    door: httpx.Client, user: JSON, group: JSON, method: str, path: str, content: bytes
) -> None:
    """400 invalidSyntax (RFC 7644 table 9)."""
    path = path.format(user=user["id"], group=group["id"])

    refused(door.request(method, path, content=content), 400, "invalidSyntax")

    assert (user, group) == (read(door, user), read(door, group))


@pytest.mark.parametrize("body", ["null", "true", "5", "-1.5e300", '"text"', "[]", "[{}]", '[{"userName":"a"}]', "{}"])
@pytest.mark.parametrize(("method", "path"), WRITES)
def test_bodies_of_another_shape(
    door: httpx.Client, user: JSON, group: JSON, method: str, path: str, body: str
) -> None:
    """400 for what is no object, or has nothing of what is needed (RFC 7644 §3.3, §3.5, §3.7)."""
    path = path.format(user=user["id"], group=group["id"])

    answer = door.request(method, path, content=body)

    if body == "{}" and path.endswith(".search"):
        assert answer.status_code in (200, 400), answer.text
    else:
        refused(answer, 400, "invalidSyntax", "invalidValue")
    assert (user, group) == (read(door, user), read(door, group))


DEEP_TEXTS: dict[str, str] = {}


def nested(depth: int, leaf: Any = 1) -> str:
    """Stand for an object of this depth until `as_json` writes it: Python's own encoder cannot go as deep."""
    marker = f"nested-{len(DEEP_TEXTS)}."
    DEEP_TEXTS[json.dumps(marker)] = '{"a":' * depth + json.dumps(leaf) + "}" * depth
    return marker


def as_json(body: Any) -> bytes:
    text = json.dumps(body)
    for marker in {each for each in DEEP_TEXTS if each in text}:
        text = text.replace(marker, DEEP_TEXTS[marker])
    return text.encode()


NUL = "a\0b"
NASTY: dict[str, tuple[str, str, Any]] = {  # method, path, body; the answer is a 4xx, and nothing is changed
    "nul-in-value": ("POST", "Users", {"userName": NUL}),
    "nul-in-name": ("POST", "Users", {"userName": "nul-in-name", NUL: "x"}),
    "nul-in-list": ("POST", "Users", {"userName": "nul-in-list", "emails": [{"value": NUL}]}),
    "nul-in-extension": ("POST", "Users", {"userName": "nul-in-extension", "urn:example:2.0:X": {"a": [NUL]}}),
    "nul-in-unknown": ("POST", "Users", {"userName": "nul-in-unknown", "unknown": NUL}),
    "nul-in-group": ("POST", "Groups", {"displayName": NUL}),
    "nul-in-member": ("POST", "Groups", {"displayName": "nul-in-member", "members": [{"value": NUL}]}),
    "nul-in-put": ("PUT", "Users/{user}", {"userName": NUL}),
    "nul-in-patch": ("PATCH", "Users/{user}", patch({"op": "replace", "path": "title", "value": NUL})),
    "nul-in-path": ("PATCH", "Users/{user}", patch({"op": "replace", "path": f"title{NUL}", "value": "x"})),
    "nul-in-value-path": ("PATCH", "Users/{user}", patch({"op": "remove", "path": f'emails[value eq "{NUL}"]'})),
    "nul-in-member-path": ("PATCH", "Groups/{group}", patch({"op": "remove", "path": f'members[value eq "{NUL}"]'})),
    "nul-in-removal": ("PATCH", "Groups/{group}", patch({"op": "remove", "path": "members", "value": [{"value": NUL}]})),
    "nul-in-op": ("PATCH", "Users/{user}", patch({"op": f"add{NUL}", "path": "title", "value": "x"})),
    "nul-in-search": ("POST", "Users/.search", {"schemas": [SEARCH_REQUEST], "filter": f'userName eq "{NUL}"'}),
    "nul-in-cursor": ("POST", "Users/.search", {"schemas": [SEARCH_REQUEST], "cursor": NUL}),
    "nul-deep-down": ("POST", "Users", {"userName": "nul-deep", "unknown": nested(1000, NUL)}),
    "nul-deep-in-lists": ("POST", "Bulk", {"schemas": [BULK_REQUEST], "Operations": [], "x": nested(1000, [NUL])}),
    "deep-extension": ("POST", "Users", {"userName": "deep-extension", "urn:example:2.0:X": nested(900)}),
    "deep-known": ("POST", "Users", {"userName": "deep-known", "name": {"givenName": nested(900)}}),
    "deep-email": ("POST", "Users", {"userName": "deep-email", "emails": [{"value": nested(900, [])}]}),
    "deep-patch": ("PATCH", "Users/{user}", patch({"op": "add", "path": "urn:example:2.0:X:a", "value": nested(900)})),
    "deep-op": ("PATCH", "Users/{user}", {"schemas": [PATCH_OP], "Operations": nested(900)}),
    "deep-path": ("PATCH", "Users/{user}", patch({"op": "add", "path": nested(900), "value": "x"})),
    "deep-members": ("POST", "Groups", {"displayName": "deep-members", "members": [nested(900)]}),
    "deep-search": ("POST", ".search", {"schemas": [SEARCH_REQUEST], "attributes": nested(900)}),
    "huge-integer": ("POST", "Users", {"userName": 10**400}),
    "huge-integer-in-patch": ("PATCH", "Users/{user}", patch({"op": "replace", "path": "title", "value": 2**70})),
    "huge-boolean": ("POST", "Users", {"userName": "huge-boolean", "active": 2**64}),
    "huge-count": ("POST", "Users/.search", {"schemas": [SEARCH_REQUEST], "count": 1.5e300}),
    "op-is-null": ("PATCH", "Users/{user}", patch({"op": None, "path": "title", "value": "x"})),
    "op-is-an-object": ("PATCH", "Users/{user}", patch({"op": {}, "path": "title", "value": "x"})),
    "path-is-a-list": ("PATCH", "Users/{user}", patch({"op": "add", "path": ["title"], "value": "x"})),
    "path-is-too-long": ("PATCH", "Users/{user}", patch({"op": "add", "path": "t" * 50_000, "value": "x"})),
    "path-is-deep": ("PATCH", "Users/{user}", patch({"op": "remove", "path": f"emails[{'(' * 500}type pr{')' * 500}]"})),
    "path-is-blank-and-value-text": ("PATCH", "Users/{user}", patch({"op": "add", "path": " ", "value": "x"})),
    "path-of-an-index": ("PATCH", "Users/{user}", patch({"op": "replace", "path": "emails[0].value", "value": "x"})),
    "path-of-a-slash": ("PATCH", "Users/{user}", patch({"op": "replace", "path": "/title", "value": "x"})),
    "path-of-a-star": ("PATCH", "Users/{user}", patch({"op": "replace", "path": "*", "value": "x"})),
    "path-of-brackets": ("PATCH", "Users/{user}", patch({"op": "replace", "path": "[][]", "value": "x"})),
    "path-of-dots": ("PATCH", "Users/{user}", patch({"op": "replace", "path": "name..givenName", "value": "x"})),
    "path-of-a-dot": ("PATCH", "Users/{user}", patch({"op": "replace", "path": ".", "value": "x"})),
    "path-of-an-urn": ("PATCH", "Users/{user}", patch({"op": "replace", "path": "urn:", "value": "x"})),
    "path-of-the-core-urn": ("PATCH", "Users/{user}", patch({"op": "replace", "path": USER, "value": "x"})),
    "extension-from-text": ("PATCH", "Users/{user}", patch({"op": "add", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User", "value": "x"})),
    "extension-from-a-list": ("PATCH", "Users/{user}", patch({"op": "add", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User", "value": ["x"]})),
    "boolean-filter-by-text": ("PATCH", "Users/{user}", patch({"op": "remove", "path": 'emails[primary eq "perhaps"]'})),
    "boolean-filter-by-order": ("PATCH", "Users/{user}", patch({"op": "remove", "path": "emails[primary gt true]"})),
    "text-filter-by-null": ("PATCH", "Users/{user}", patch({"op": "remove", "path": "emails[type gt null]"})),
    "members-by-link": ("PATCH", "Groups/{group}", patch({"op": "remove", "path": 'members[$ref eq "x"]'})),
    "members-by-order-of-null": ("PATCH", "Groups/{group}", patch({"op": "remove", "path": "members[value gt null]"})),
    "members-within-members": ("PATCH", "Groups/{group}", patch({"op": "remove", "path": 'members[members[value eq "x"]]'})),
    "member-is-the-list": ("PATCH", "Groups/{group}", patch({"op": "add", "path": "members", "value": [[{"value": "x"}]]})),
    "member-is-long": ("PATCH", "Groups/{group}", patch({"op": "add", "path": "members", "value": "x" * 1_000_000})),
    "member-is-odd": ("PATCH", "Groups/{group}", patch({"op": "add", "path": "members", "value": [{"value": "\ud7ff\U0010ffff%'\"\\"}]})),
    "too-many-operations": ("PATCH", "Users/{user}", patch(*[{"op": "add", "path": "nosuch", "value": "x"}] * 20_000)),
    "search-order": ("POST", ".search", {"schemas": [SEARCH_REQUEST], "sortBy": {"a": 1}}),
    "search-schemas": ("POST", ".search", {"schemas": {SEARCH_REQUEST: 1}}),
    "bulk-deep-data": ("POST", "Bulk", {"schemas": [BULK_REQUEST], "Operations": nested(900)}),
}  # fmt: skip


@pytest.mark.parametrize("name", NASTY)
def test_nasty_bodies(door: httpx.Client, user: JSON, group: JSON, name: str) -> None:
    """Whatever a client sends, the mistake is its own: 4xx, and nothing is changed (entra rule 32)."""
    method, path, body = NASTY[name]
    path = path.format(user=user["id"], group=group["id"])

    answer = door.request(method, path, content=as_json(body))

    assert 400 <= answer.status_code < 500, answer.text
    assert (user, group) == (read(door, user), read(door, group))
    for endpoint, attribute in (("Users", "userName"), ("Groups", "displayName")):
        assert [] == resources(door.get(endpoint, params={"filter": f'{attribute} eq "{name}"'}))


@pytest.mark.parametrize("depth", [100, 240, 260, 900, 1020])
@pytest.mark.parametrize("leaf", ["x", "bulkId:u", "bulkId:nobody", NUL, 2**70], ids=ascii)
def test_deep_data_in_bulk(door: httpx.Client, depth: int, leaf: Any) -> None:
    """An operation that cannot be done fails alone, or the request is refused; never a 500 (RFC 7644 §3.7.3)."""
    name = unique("deep")
    data = {"userName": name, "unknown": nested(depth, leaf)}
    other = {"method": "POST", "path": "/Users", "bulkId": "u", "data": {"userName": unique()}}
    operation = {"method": "POST", "path": "/Users", "bulkId": "deep", "data": data}

    answer = door.post("Bulk", content=as_json({"schemas": [BULK_REQUEST], "Operations": [other, operation]}))

    assert answer.status_code in (200, 400), answer.text
    if answer.status_code == 200:
        assert "201" == answer.json()["Operations"][0]["status"]
        assert answer.json()["Operations"][1]["status"] < "500", answer.text


BIG = [2**53 + 1, 2**63, 2**64, -(2**63) - 1, 12345678901234567890123, 0.1, -0.0, 1.5e300, 5, 2.0]


@pytest.mark.parametrize("number", BIG, ids=str)
def test_numbers_of_unknown_extensions_stay_what_they_are(door: httpx.Client, number: float) -> None:
    """They return as sent, or are refused; a silent other value is neither (RFC 7643 §2.3.3, §2.3.4)."""
    urn = "urn:example:params:scim:schemas:extension:numbers:2.0:User"

    answer = door.post("Users", json={"schemas": [USER, urn], "userName": unique(), urn: {"number": number}})

    if answer.status_code == 400:
        refused(answer, 400, "invalidValue", "invalidSyntax")
    else:
        assert number == read(door, created(answer))[urn]["number"] == answer.json()[urn]["number"]


def random_text(length: int) -> str:
    """Make a text that does not compress, so that no database makes it small."""
    return "".join(random.Random(length).choices(string.ascii_letters + string.digits, k=length))


LONG: list[tuple[str, str]] = [
    ("Users", "userName"),
    ("Users", "externalId"),
    ("Users", "displayName"),
    ("Users", "title"),
    ("Users", "emails"),
    ("Users", "addresses"),
    ("Groups", "displayName"),
    ("Groups", "externalId"),
]


@pytest.mark.parametrize("length", [2_000, 3_000, 10_000, 100_000])
@pytest.mark.parametrize(("endpoint", "attribute"), LONG)
def test_long_values(door: httpx.Client, endpoint: str, attribute: str, length: int) -> None:
    """They are stored as sent and found, or refused with 400 (entra rules 14, 32); alike on every database."""
    text = random_text(length)
    required = {"Users": {"userName": unique()}, "Groups": {"displayName": unique()}}[endpoint]
    value: Any = {"emails": [{"value": text, "type": "work"}], "addresses": [{"formatted": text}]}.get(attribute, text)

    answer = door.post(endpoint, json={**required, attribute: value})

    if answer.status_code == 400:
        assert length > 2_000, "a limit this low is met by honest values"
        refused(answer, 400, "invalidValue")
        return
    resource = created(answer)
    assert value == resource[attribute] == read(door, resource)[attribute]
    path = {"emails": "emails.value", "addresses": "addresses.formatted"}.get(attribute, attribute)
    if len(text) < 8000:
        body = {"schemas": [SEARCH_REQUEST], "filter": f'{path} eq "{text}"', "attributes": ["id"]}
        assert [resource["id"]] == ids(door.post(f"{endpoint}/.search", json=body))
    ok(door.delete(f"{endpoint}/{resource['id']}"), 204)


@pytest.mark.parametrize(("attribute", "length"), [("x509Certificates", 4_000), ("photos", 60_000)])
def test_certificates_and_pictures_are_kept(door: httpx.Client, attribute: str, length: int) -> None:
    """A certificate of a common size and a picture as a data URI are honest values (RFC 7643 §4.1.2)."""
    value = [{"value": ("data:image/png;base64," if attribute == "photos" else "") + random_text(length)}]

    user = new_user(door, **{attribute: value})

    assert value == read(door, user)[attribute]
    ok(change(door, user, {"op": "remove", "path": attribute}))


@pytest.mark.parametrize("number", [500, 5_000])
def test_many_values_and_operations(door: httpx.Client, number: int) -> None:
    """Many elements, and many operations on them, are slow at worst."""
    emails = [{"value": f"a{n}@x.example", "type": f"t{n}"} for n in range(number)]
    user = new_user(door, emails=emails)
    operations = [{"op": "replace", "path": f'emails[type eq "t{n}"].value', "value": f"b{n}"} for n in range(100)]

    patched = ok(change(door, user, *operations))

    assert [f"b{n}" for n in range(100)] == [each["value"] for each in patched["emails"][:100]]
    assert number == len(patched["emails"])
    assert [user["id"]] == ids(door.get("Users", params={"filter": 'emails.value eq "b99"', "attributes": "id"}))
    ok(door.delete(f"Users/{user['id']}"), 204)


def test_one_name_twice_in_an_object(door: httpx.Client) -> None:
    """It is one attribute (RFC 7643 §2.1): refused, or one of the values counts."""
    for content in (b'{"userName":"twice-%d","userName":"twice-%d"}', b'{"userName":"twice-%d","USERNAME":"twice-%d"}'):
        first, second = random.sample(range(10**9), 2)

        answer = door.post("Users", content=content % (first, second))

        assert answer.status_code in (201, 400), answer.text
        if answer.status_code == 201:
            assert answer.json()["userName"] in (f"twice-{first}", f"twice-{second}")


# URLs -------------------------------------------------------------------------------------------------------------------

QUERIES: list[tuple[str, set[int]]] = [
    ("filter=%FF", {400}),
    ("filter=userName+eq+%22%FF%22", {400}),
    ("filter=userName+eq+%22%ED%A0%80%22", {400}),
    ("filter=userName+eq+%22%00%22", {400}),
    ("filter=%00", {400}),
    ("filter=userName+eq+%22a", {400}),
    ("filter=%", {400}),
    ("filter=userName eq %zz", {400, 200}),
    ("filter=" + "(" * 30 + "id+pr" + ")" * 30, {400}),
    ("filter=" + "(" * 3000 + "id+pr" + ")" * 3000, {400}),
    ("filter=" + "not+(" * 500 + "id+pr" + ")" * 500, {400}),
    ("filter=" + "+and+".join(["id+pr"] * 1000), {400}),
    ("filter=" + "emails[" * 500, {400}),
    ("filter=id+eq+" + "9" * 5000, {200, 400}),
    ("filter=userName+eq+" + "1e999999999", {200, 400}),
    ("filter=userName+eq+-5.5e-3", {200}),
    ("filter=meta.created+gt+%229999-12-31T23:59:59.999999999Z%22", {200, 400}),
    ("filter=meta.created+gt+%220001-01-01T00:00:00%2B14:00%22", {200, 400}),
    ("filter=meta.created+gt+%2210000-01-01T00:00:00Z%22", {400}),
    ("filter=meta.created+gt+%222026-02-30T00:00:00Z%22", {400}),
    ("filter=meta.created+gt+%22%22", {400}),
    ("filter=active+eq+null", {200, 400}),
    ("filter=id+eq+%22%27%3B+DROP+TABLE+directory_user%3B--%22", {200}),
    ("filter=userName+co+%22%22", {200, 400}),
    ("filter=userName+sw+%22%F4%8F%BF%BF%22", {200}),
    ("filter=userName+ew+%22%22", {200, 400}),
    ("filter=members+eq+%22x%22", {400}),
    ("filter=", {200, 400}),
    ("filter=+", {200, 400}),
    ("attributes=%00", {200, 400}),
    ("attributes=%FF", {400}),
    ("attributes=" + ",".join(f"a{n}" for n in range(2000)), {200, 400}),
    ("attributes=,,,", {200}),
    ("attributes=..", {200, 400}),
    ("attributes=name.", {200, 400}),
    ("attributes=.name", {200, 400}),
    ("attributes=emails[type+eq+%22work%22]", {200, 400}),
    ("excludedAttributes=%F0%9F%92%A9", {200, 400}),
    ("sortBy=%00", {400}),
    ("sortBy=%FF", {400}),
    ("sortBy=emails[type+eq+%22work%22].value", {400}),
    ("sortBy=groups", {200, 400}),
    ("sortBy=emails.primary", {200, 400}),
    ("sortBy=photos", {200, 400}),
    ("sortBy=x509Certificates", {200, 400}),
    ("sortBy=meta", {400}),
    ("sortBy=meta.version", {200, 400}),
    ("sortBy=schemas", {200, 400}),
    ("sortBy=name", {400}),
    ("sortBy=addresses", {400}),
    ("sortOrder=descending", {200}),
    ("sortBy=userName&sortOrder=", {200, 400}),
    ("startIndex=99999999999999999999", {200, 400}),
    ("startIndex=-99999999999999999999", {200, 400}),
    ("startIndex=2147483647", {200}),
    ("startIndex=2147483648&count=1000", {200}),
    ("startIndex=9223372036854775807", {200}),
    ("startIndex=9223372036854775807&sortBy=displayName", {200}),
    ("startIndex=2147483640&sortBy=displayName&count=1000", {200}),
    ("startIndex=9223372036854775807&filter=id+pr", {200}),
    ("count=99999999999999999999", {200, 400}),
    ("count=-99999999999999999999", {200, 400}),
    ("count=%D9%A1", {200, 400}),
    ("count=+1", {200, 400}),
    ("count=1_0", {200, 400}),
    ("count=&startIndex=", {200, 400}),
    ("count=1&count=2", {200, 400}),
    ("cursor&startIndex=2", {200, 400}),
    ("cursor=%00", {400}),
    ("cursor=%FF", {400}),
    ("cursor=" + "A" * 8000, {400}),
    ("cursor=W251bGwsbnVsbCxudWxsXQ", {400}),
    ("cursor&count=99999999999999999999", {200, 400}),
    ("&".join(f"a{n}=1" for n in range(200)), {200, 400}),
    ("&&&=&=", {200}),
    ("unknown=x", {200}),
    ("%FF=x", {200, 400}),
    ("a;b", {200}),
    ("?", {200}),
]  # fmt: skip


@pytest.mark.parametrize(("query", "expected"), QUERIES, ids=[each[0][:60] for each in QUERIES])
@pytest.mark.parametrize("endpoint", ["Users", "Groups", ""])
def test_nasty_queries(
    door: httpx.Client, user: JSON, group: JSON, endpoint: str, query: str, expected: set[int]
) -> None:
    """What cannot be read is refused; nothing of a URL is our fault (RFC 7644 §3.12)."""
    if endpoint != "Users":
        expected = expected | {400}
    if endpoint != "Users" and "members" in query:
        expected = {200}
    if endpoint == "" and "sortBy" in query:
        expected = expected | {200}

    answer = door.get(f"{endpoint}?{query}")

    assert answer.status_code in expected, answer.text
    if answer.status_code == 200:
        resources(answer)


def test_filter_depth_is_bounded(door: httpx.Client) -> None:
    """400 beyond some depth, by GET, .search and PATCH; a depth that people write is taken."""
    for depth, status in ((8, 200), (40, 400), (400, 400)):
        text = "(" * depth + "userName pr" + ")" * depth
        search = {"schemas": [SEARCH_REQUEST], "filter": text}
        for answer in (door.get("Users", params={"filter": text}), door.post("Users/.search", json=search)):
            assert status == answer.status_code, answer.text
            assert "invalidFilter" == answer.json().get("scimType", "invalidFilter")


def test_long_urls(door: httpx.Client) -> None:
    """414 for a URL that is too long; what Entra sends is taken (RFC 9110 §15.5.15)."""
    long = "x" * 20_000
    for path in (f"Users?filter={long}", f"Users/{long}", f"Groups?unknown={long}", f"?filter={long}"):
        refused(door.get(path), 414)
    refused(door.delete(f"Users/{long}"), 414)
    ok(door.get("Users", params={"filter": f'userName eq "{"x" * 2000}"'}))


TARGETS: list[tuple[str, str, set[int]]] = [
    ("GET", "/scim/v2/Users/%00", {404, 400}),
    ("GET", "/scim/v2/Users/%FF", {404, 400}),
    ("GET", "/scim/v2/Users/%ED%A0%80", {404, 400}),
    ("GET", "/scim/v2/Users/%zz", {404, 400}),
    ("GET", "/scim/v2/Users/%", {404, 400}),
    ("GET", "/scim/v2/Users/%2e%2e", {404, 400}),
    ("GET", "/scim/v2/Users/../Groups", {404, 400}),
    ("GET", "/scim/v2/Users/a%2Fb", {404, 400}),
    ("GET", "/scim/v2/Users/%3Fa", {404}),
    ("GET", "/scim/v2/Users/%23", {404}),
    ("GET", "/scim/v2/%00", {404, 400}),
    ("GET", "/scim/v2/%FF", {404, 400}),
    ("DELETE", "/scim/v2/Users/%00", {404, 400}),
    ("DELETE", "/scim/v2/Groups/%FF", {404, 400}),
    ("GET", "/scim/v2/Schemas/%00", {404, 400}),
    ("GET", "/scim/v2/ResourceTypes/%FF", {404, 400}),
    ("GET", "/scim/v2/Users?%", {200, 400}),
    ("GET", "/scim/v2/Users?filter=%zz", {400}),
]


@pytest.mark.parametrize(("method", "target", "expected"), TARGETS, ids=[each[1] for each in TARGETS])
def test_nasty_paths(door: httpx.Client, method: str, target: str, expected: set[int]) -> None:
    """Paths to the letter, as no honest client sends them."""
    status, _, body = raw(door, method, target)

    assert status in expected, body
    if status >= 400:
        is_error(body, status)


HEADERS: list[dict[str, str]] = [
    {"If-Match": "\xff"},
    {"If-None-Match": "W/" + '"' * 500},
    {"If-Match": "," * 500},
    {"Accept": "text/xml;q=nonsense"},
    {"Accept-Encoding": "gzip, br, nonsense"},
    {"Range": "bytes=0-10"},
    {"X-Request-Id": "x" * 5000},
    {"X-Request-Id": "a\tb"},
    {"X-HTTP-Method-Override": "DELETE"},
    {"User-Agent": ""},
    {"Content-Type": "\xff"},
    {"X-Forwarded-Host": "evil.example"},
    {"Forwarded": "host=evil.example"},
]


@pytest.mark.parametrize("headers", HEADERS, ids=[str(each)[:40] for each in HEADERS])
def test_nasty_headers(door: httpx.Client, user: JSON, headers: dict[str, str]) -> None:
    """They are ignored or refused, and never shown to others: links keep the server's own address."""
    sent = {name.encode(): value.encode("latin-1") for name, value in headers.items()}

    answer = door.get(f"Users/{user['id']}", headers=sent)

    assert answer.status_code in (200, 304, 400, 415), answer.text
    assert "evil" not in answer.text
    assert user == read(door, user)


# Paths and methods ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["Nosuch", "Users/x/y", "User", "users", "Groups/x/members", "Bulk/x", "v2/Users", ".well-known/x", "Me/x", "Schemas/x/y", "ServiceProviderConfig/x", "ServiceProviderConfigs"])  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_unknown_endpoints(door: httpx.Client, method: str, path: str) -> None:
    """404 in SCIM's form (RFC 7644 §3.12)."""
    refused(door.request(method, path, json={} if method[0] == "P" else None), 404)


ALLOWED: list[tuple[str, set[str]]] = [
    ("Users", {"GET", "POST"}),
    ("Users/.search", {"POST"}),
    (f"Users/{NOBODY}", {"GET", "PUT", "PATCH", "DELETE"}),
    ("Groups", {"GET", "POST"}),
    ("Groups/.search", {"POST"}),
    (f"Groups/{NOBODY}", {"GET", "PUT", "PATCH", "DELETE"}),
    ("", {"GET"}),
    (".search", {"POST"}),
    ("Bulk", {"POST"}),
    ("ServiceProviderConfig", {"GET"}),
    ("ResourceTypes", {"GET"}),
    ("ResourceTypes/User", {"GET"}),
    ("Schemas", {"GET"}),
    (f"Schemas/{USER}", {"GET"}),
]


@pytest.mark.parametrize(("path", "allowed"), ALLOWED)
def test_methods_that_are_not_possible(door: httpx.Client, path: str, allowed: set[str]) -> None:
    """405 with Allow, which names what is (RFC 9110 §15.5.6)."""
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"} - allowed:
        answer = door.request(method, path, json={} if method[0] == "P" else None)

        refused(answer, 405)
        assert allowed == {each.strip() for each in answer.headers["allow"].split(",")} - {"HEAD", "OPTIONS"}


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "Nosuch", 404), ("PUT", "Users", 405)])
def test_what_is_not_there_answers_to_the_callers_id(door: httpx.Client, method: str, path: str, status: int) -> None:
    """The client's request id comes back as on every answer; one is made where it sent none."""
    named = door.request(method, path, headers={"x-request-id": "entra-4711"})
    unnamed = door.request(method, path)

    assert (status, "entra-4711") == (named.status_code, named.headers["x-request-id"])
    assert unnamed.headers["x-request-id"] not in ("", "entra-4711")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_me_is_nobody(door: httpx.Client, method: str) -> None:
    """A token that stands for no person: 501 (RFC 7644 §3.11)."""
    refused(door.request(method, "Me", json={} if method[0] == "P" else None), 501)


@pytest.mark.parametrize("path", ["Users/", "/Users", "//Users", "Users//", "/Users/?startIndex=1"])
def test_slashes_too_many(door: httpx.Client, path: str) -> None:
    """A slash too many is forgiven (entra Q24, rule 25)."""
    prefix = urlsplit(str(door.base_url)).path.rstrip("/")

    status, _, body = raw(door, "GET", f"{prefix}/{path}")

    assert 200 == status, body
    made = created(door.post("Users/", json={"userName": unique()}))
    assert made == ok(door.get(f"Users/{made['id']}/"))
    ok(door.delete(f"Users/{made['id']}/"), 204)


def test_user_agent_is_not_needed(door: httpx.Client) -> None:
    """Entra has been seen without one (entra rule 26)."""
    status, headers, _ = raw(door, "GET", "/scim/v2/Users")

    assert (200, SCIM) == (status, headers["content-type"])


# Sizes ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), [("POST", "Users"), ("PATCH", "Groups/{group}"), ("POST", ".search")])
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_too_large(door: httpx.Client, group: JSON, user: JSON, method: str, path: str, chunked: bool) -> None:
    """413, with and without a length said beforehand (RFC 9110 §15.5.14); nothing is stored."""
    most = read(door, "ServiceProviderConfig")["bulk"]["maxPayloadSize"]
    content = b'{"userName":"too-large","title":"' + b"x" * most + b'"}'
    body: Any = (content[at : at + 65536] for at in range(0, len(content), 65536)) if chunked else content

    answer = door.request(method, path.format(group=group["id"]), content=body)

    assert 413 == answer.status_code, answer.text
    assert [] == resources(door.get("Users", params={"filter": 'userName eq "too-large"'}))
    assert (user, group) == (read(door, user), read(door, group))


def test_the_connection_lives_on(door: httpx.Client, customer: Customer, user: JSON) -> None:
    """After refusals of every kind the next request on the same connection is answered as ever."""
    for method, path, content in (
        ("POST", "Users", b"{"),
        ("POST", "Users", b"x" * 100_000),
        ("PUT", "Nosuch", b"x" * 100_000),
        ("DELETE", "Bulk", b"x" * 100_000),
        ("GET", "Users/nobody", b"x" * 100_000),
    ):
        assert 400 <= door.request(method, path, content=content).status_code < 500
        assert user == read(door, user)
    assert customer.token not in door.get("Users/nobody").text


def test_a_refusal_says_what_to_do(door: httpx.Client, user: JSON, group: JSON) -> None:
    """An administrator reads `detail` in Entra's log: it names what was wrong (entra rule 32)."""
    taken = door.post("Users", json={"schemas": [USER], "userName": user["userName"]})
    assert user["userName"] in refused(taken, 409, "uniqueness")
    named = door.post("Groups", json={"schemas": [GROUP], "displayName": group["displayName"]})
    assert group["displayName"] in refused(named, 409, "uniqueness")
    assert "userName" in refused(door.post("Users", json={"schemas": [USER]}), 400, "invalidValue")
    assert "favouriteColour" in refused(
        door.get("Users", params={"filter": "favouriteColour pr"}), 400, "invalidFilter"
    )
    assert "colour" in refused(change(door, user, {"op": "add", "path": "colour", "value": "x"}), 400, "invalidPath")
    assert NOBODY in refused(change(door, group, {"op": "add", "path": "members", "value": values(NOBODY)}), 400)
    assert NOBODY in refused(door.get(f"Users/{NOBODY}"), 404)
    assert "active" in refused(
        change(door, user, {"op": "replace", "path": "active", "value": "no"}), 400, "invalidValue"
    )
