"""Whatever a client sends is taken, or refused by name: never a 500, and nothing half done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from app_api.table import TABLE
from tests.app_api.conftest import House, new_house
from tests.app_api.held import (
    JSON,
    PREFIX,
    is_problem,
    items,
    new_login,
    new_person,
    new_team,
    new_template,
    ok,
    places,
    refused,
    unique,
)

if TYPE_CHECKING:
    from tests.conftest import Server

NOTHING = "00000000-0000-7000-8000-000000000000"


@pytest.fixture(scope="module")
def shared(server: Server) -> House:
    """A tenant that the tests of this module share."""
    return new_house(server)


@pytest.fixture(scope="module")
def api(shared: House) -> Iterator[httpx.Client]:
    with shared.client() as client:
        yield client


# Bodies -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, ["/display_name"]),
        ({"display_name": None}, ["/display_name"]),
        ({"display_name": 1}, ["/display_name"]),
        ({"display_name": ["A"]}, ["/display_name"]),
        ({"display_name": True}, ["/display_name"]),
        ({"display_name": ""}, ["/display_name"]),
        ({"display_name": "  "}, ["/display_name"]),
        ({"display_name": "A\nB"}, ["/display_name"]),
        ({"display_name": "A\0B"}, ["/display_name"]),
        ({"display_name": "A" * 501}, ["/display_name"]),
        ({"display_name": "A", "email": 1}, ["/email"]),
        ({"display_name": "A", "email": "no address"}, ["/email"]),
        ({"display_name": "A", "email": ""}, ["/email"]),
        ({"display_name": "A", "extra": 1}, ["/extra"]),
        ({"display_name": "A", "Display_Name": "B"}, ["/Display_Name"]),
        ({"display_name": "A", "a/b~c": 1}, ["/a~1b~0c"]),
        ({"display_name": 1, "email": 2, "extra": 3}, ["/display_name", "/email", "/extra"]),
    ],
)
def test_each_member_at_fault_is_named(api: httpx.Client, body: JSON, expected: list[str]) -> None:
    """What is missing, of another type, too long or unknown is named by its JSON pointer, all of it at once."""
    answer = api.post("people", json=body)

    assert expected == places(answer)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ({}, ["/fields/0/key"]),
        ({"key": "Title"}, ["/fields/0/key"]),
        ({"key": "title", "mode": "sometimes"}, ["/fields/0/mode"]),
        ({"key": "title", "source": "shoe_size"}, ["/fields/0/source"]),
        ({"key": "title", "editable": "yes"}, ["/fields/0/editable"]),
        ({"key": "title", "colour": "red"}, ["/fields/0/colour"]),
        ({"key": "phone", "mode": "always"}, ["/fields/0/source"]),
        ({"key": "title", "label": "A\0B"}, ["/fields/0/label"]),
        ("title", ["/fields/0"]),
    ],
)
def test_members_within_lists_are_named(api: httpx.Client, field: Any, expected: list[str]) -> None:
    """The pointer leads into lists; what only the core knows to be wrong is named as well."""
    answer = api.post("templates", json={"name": unique(), "fields": [field]})

    assert expected == places(answer)


def test_two_fields_of_one_key_are_refused(api: httpx.Client) -> None:
    """The second one is named."""
    answer = api.post("templates", json={"name": unique(), "fields": [{"key": "a"}, {"key": "a"}]})

    assert ["/fields/1/key"] == places(answer)


@pytest.mark.parametrize(
    "look",
    [
        {"primary_color": "red"},
        {"logo_url": "http://plain.example.com/logo.png"},
        {"logo_url": "https://"},
        {"headline": "A\nB"},
        {"headline": 7},
        {"font": "Comic Sans"},
    ],
)
def test_a_look_that_cannot_be_is_refused(api: httpx.Client, look: JSON) -> None:
    """Colours, the logo and the headline have a form, and there is nothing else."""
    answer = api.post("templates", json={"name": unique(), "look": look})

    assert [f"/look/{next(iter(look))}"] == places(answer)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b"\xff",
        b'{"display_name": "\xed\xa0\x80"}',
        b'{"display_name": "\\ud800"}',
        b'{"display_name": NaN}',
        b'{"display_name": 1e999}',
        b'{"display_name": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"a":' * 2000 + b"1" + b"}" * 2000,
        b"",
        b"   ",
    ],
)
def test_what_is_no_object_is_refused(api: httpx.Client, body: bytes) -> None:
    """JSON that is broken, of another type, too deep or missing is 400, and says so."""
    answer = api.post("people", content=body, headers={"Content-Type": "application/json"})

    assert refused(answer, 400, "invalid")["errors"]


@pytest.mark.parametrize("number", ["9" * 30, "1e300", "-9" * 1 + "9" * 40, "1.5", str(2**64)])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "people", '{"display_name": %s}'),
        ("PUT", f"templates/{NOTHING}/assignments", '{"group_ids": [%s]}'),
        ("PATCH", f"cards/{NOTHING}", '{"overrides": {"name": %s}}'),
        ("PATCH", "settings", '{"group_sync": %s}'),
    ],
)
def test_numbers_of_any_size_are_no_text(api: httpx.Client, method: str, path: str, body: str, number: str) -> None:
    """A number where text belongs is refused, however large it is."""
    answer = api.request(method, path, content=body % number, headers={"Content-Type": "application/json"})

    assert places(answer)


@pytest.mark.parametrize(
    ("method", "route"),
    [
        (method, route)
        for route, methods in TABLE.items()
        for method, endpoint in methods.items()
        if method in ("POST", "PUT", "PATCH") and not endpoint.takes_image
    ],
)
def test_no_endpoint_takes_unknown_members(api: httpx.Client, method: str, route: str) -> None:
    """A misspelt member is never ignored, not even where no body is needed."""
    path = route.replace("{id}", NOTHING).replace("{login_id}", NOTHING).replace("{person_id}", NOTHING).lstrip("/")

    answer = api.request(method, path, json={"misspelt": 1})

    assert "/misspelt" in places(answer)


def test_a_request_without_members_needs_no_body(api: httpx.Client) -> None:
    """Nothing, and an object that holds nothing, are the same."""
    person = new_person(api)
    bodies: list[JSON] = [{}, {"json": {}}]
    for sent in bodies:
        assert "requested" == ok(api.post(f"people/{person['id']}/activation", **sent))["state"]


def test_another_media_type_is_refused(api: httpx.Client) -> None:
    """JSON is taken, with and without a charset and where nothing is said; all else is 415."""
    body = json.dumps({"name": unique()}).encode()
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "application/scim+json", "image/png"):
        refused(api.post("teams", content=body, headers={"Content-Type": media_type}), 415, "unsupported-media-type")
    ok(api.post("teams", content=body, headers={"Content-Type": "Application/JSON; charset=utf-8"}), 201)
    ok(api.post("teams", content=body), 201)


def test_a_body_that_is_too_large_is_refused(api: httpx.Client) -> None:
    """More than the operator allows is 413, with its length and without."""
    body = b'{"display_name": "' + b"A" * (8 * 1024 * 1024) + b'"}'
    headers = {"Content-Type": "application/json"}

    refused(api.post("people", content=body, headers=headers), 413, "too-large")
    pieces = (body[at : at + 65536] for at in range(0, len(body), 65536))
    refused(api.post("people", content=pieces, headers=headers), 413, "too-large")


@pytest.mark.parametrize(
    ("member", "most"), [("title", 1024), ("url", 8192), ("ciphertext", 256 * 1024)], ids=["title", "url", "ciphertext"]
)
def test_texts_of_logins_have_a_length(api: httpx.Client, member: str, most: int) -> None:
    """What fits is stored; more characters, or fewer that take more bytes, are refused by name."""
    team = new_team(api)
    assert most == len(new_login(api, team, **{member: "a" * most})[member])
    for text in ("a" * (most + 1), "€" * (most // 3 + 1), "a\0"):
        answer = api.post(f"teams/{team['id']}/logins", json={"ciphertext": "c", member: text})
        assert [f"/{member}"] == places(answer)


@pytest.mark.parametrize("text", ["\x01\x02", "\u202e", "\u2028", "😀" * 60, "\U0010ffff", "'; DROP TABLE person; --"])
def test_any_text_that_can_be_stored_comes_back(api: httpx.Client, text: str) -> None:
    """Opaque texts come back just as they were sent."""
    team = new_team(api)
    login = new_login(api, team, ciphertext=text, title=text)

    assert (text, text) == (login["ciphertext"], login["title"])
    assert login == ok(api.get(f"teams/{team['id']}/logins/{login['id']}"))


# Queries ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("limit=0", ["limit"]),
        ("limit=201", ["limit"]),
        ("limit=-1", ["limit"]),
        ("limit=1.5", ["limit"]),
        ("limit=", ["limit"]),
        ("limit=1e2", ["limit"]),
        ("limit=%D9%A1", ["limit"]),
        ("limit=99999999999999999999999", ["limit"]),
        ("state=gone", ["state"]),
        ("origin=mars", ["origin"]),
        ("problem=maybe", ["problem"]),
        ("q=" + "a" * 201, ["q"]),
        ("after=" + "a" * 501, ["after"]),
        ("q=a%00b", ["q"]),
        ("after=%00", ["after"]),
        ("unknown=1", ["unknown"]),
        ("Limit=1", ["Limit"]),
        ("limit=1&limit=2", ["limit"]),
        ("a%00b=1", ["ab"]),
    ],
)
def test_each_parameter_at_fault_is_named(api: httpx.Client, query: str, expected: list[str]) -> None:
    """What is unknown, no number, out of bounds or given twice is named."""
    answer = api.get(f"people?{query}")

    assert expected == places(answer)


@pytest.mark.parametrize("query", ["q=%ff", "q=%ed%a0%80", "%ff=1"])
def test_a_query_that_is_no_utf8_is_refused(api: httpx.Client, query: str) -> None:
    """Bytes that are no text are refused before they are anything else."""
    refused(api.get(f"people?{query}"), 400, "invalid")


LISTS = [route.lstrip("/") for route, methods in TABLE.items() if "GET" in methods and "{" not in route]
# What a connected directory alone can tell is read in test_connection.
NOT_PAGED = ("settings", "events", "connection", "connection/groups", "connection/user-filter")
PAGED = [route for route in LISTS if route not in NOT_PAGED]


@pytest.mark.parametrize("cursor", ["x", "~", "'", "%25", "%F0%9F%98%80", NOTHING, "-1", " "])
@pytest.mark.parametrize("path", PAGED)
def test_a_cursor_is_any_text(api: httpx.Client, path: str, cursor: str) -> None:
    """A cursor that was never given out leads somewhere in the list, and nowhere else."""
    assert "items" in ok(api.get(f"{path}?after={cursor}"))


@pytest.mark.parametrize("after", ["x", "-1", "1.0", "9" * 19, ""])
def test_a_position_is_a_number(api: httpx.Client, after: str) -> None:
    """Events are read from behind a position."""
    assert ["after"] == places(api.get(f"events?after={after}"))


def test_a_position_that_is_not_reached_is_no_mistake(api: httpx.Client) -> None:
    """Whoever has read all waits for more."""
    assert {"items": [], "next": None} == ok(api.get("events?after=999999999999999999"))


@pytest.mark.parametrize("path", LISTS)
def test_every_list_refuses_unknown_parameters(api: httpx.Client, path: str) -> None:
    """A misspelt filter never shows everything."""
    assert ["unknwon"] == places(api.get(path, params={"unknwon": "x"}))


# Paths and methods --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/nothing",
        "/people/",
        "/people//",
        "//people",
        f"/people/{NOTHING}/",
        "/PEOPLE",
        "x",
        "/people/%00/photo",
        f"/people/{NOTHING}/nothing",
        "/people/a/b/c/d/e/f/g/h",
        "/%00",
        "/%0a",
        "/people%2f",
        "/%2e%2e/scim",
        "/%F0%9F%98%80",
    ],
)
def test_what_is_not_there_is_a_problem(shared: House, path: str) -> None:
    """Any path below the prefix is answered in this door's form."""
    with httpx.Client(headers={"Authorization": f"Bearer {shared.keys['admin']}"}) as client:
        answer = client.request("GET", f"{shared.url}{PREFIX}{path}")

    assert 404 == answer.status_code
    is_problem(answer, 404)


@pytest.mark.parametrize("key", ["%00", "a%00b", "x" * 5000, "%F0%9F%98%80", "%FF", "'", "..", "%20", "%7B%7D"])
@pytest.mark.parametrize("noun", ["people", "teams", "groups", "templates", "cards", "jobs", "provisioning-log"])
def test_an_id_is_any_text(api: httpx.Client, noun: str, key: str) -> None:
    """What is no id is not found."""
    refused(api.get(f"{noun}/{key}"), 404, "not-found")


@pytest.mark.parametrize("route", TABLE)
def test_a_method_that_is_not_there_is_told(api: httpx.Client, route: str) -> None:
    """405 names those that are."""
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} - set(TABLE[route]):
        answer = api.request(
            method, route.lstrip("/").format(id="x", login_id="y", person_id="z", object_id="w", event_id="v")
        )

        refused(answer, 405, "method-not-allowed")
        assert set(TABLE[route]) == set(answer.headers["allow"].split(", "))


@pytest.mark.parametrize("path", [*LISTS, "nothing", f"people/{NOTHING}"])
def test_head_is_get_without_a_body(api: httpx.Client, path: str) -> None:
    """Status and headers are the same."""
    get, head = api.get(path), api.head(path)

    assert b"" == head.content
    assert get.status_code == head.status_code
    changing = ("date", "x-request-id", "content-length") if get.status_code != 200 else ("date", "x-request-id")
    for headers in (get.headers, head.headers):
        for name in changing:
            headers.pop(name, None)
    assert get.headers == head.headers


def test_a_url_that_is_too_long_is_refused(api: httpx.Client) -> None:
    """414, from what the operator allows on."""
    refused(api.get(f"people?q={'a' * 17000}"), 414, "uri-too-long")


def test_the_callers_request_id_is_kept(api: httpx.Client) -> None:
    """A plain one comes back, in the header and in the problem; another one is replaced."""
    answer = api.get("people/x", headers={"x-request-id": "abc-123"})
    assert "abc-123" == answer.headers["x-request-id"] == answer.json()["instance"]
    answer = api.get("people/x", headers={"x-request-id": "a b"})
    assert "a b" != answer.headers["x-request-id"]


def test_answers_are_not_kept_on_the_way(api: httpx.Client) -> None:
    """Answers hold personal values: no cache keeps them."""
    assert "no-store" == api.get("people").headers["cache-control"]


# Versions -----------------------------------------------------------------------------------------------------------


def versioned(api: httpx.Client) -> dict[str, tuple[str, JSON]]:
    """Make one of each kind that has versions: its path, and a change of it."""
    person, team, template = new_person(api), new_team(api), new_template(api)
    login = new_login(api, team)
    invitation = ok(api.post("invitations", json={"template_id": template["id"], "values": {"title": "T"}}), 201)
    return {
        "person": (f"people/{person['id']}", {"display_name": unique()}),
        "team": (f"teams/{team['id']}", {"name": unique()}),
        "login": (f"teams/{team['id']}/logins/{login['id']}", {"title": unique()}),
        "template": (f"templates/{template['id']}", {"name": unique()}),
        "card": (f"cards/{invitation['card_id']}", {"overrides": {"name": unique()}}),
    }


@pytest.mark.parametrize("kind", ["person", "team", "login", "template", "card"])
def test_a_change_needs_the_version_that_was_read(api: httpx.Client, kind: str) -> None:
    """If-Match with another version is 412 and changes nothing; with the right one, any of several, or *, it passes."""
    path, change = versioned(api)[kind]
    read = api.get(path)
    assert 'W/"1"' == read.headers["etag"]
    for wrong in ('W/"2"', '"0"', "1", "", 'W/"11"', '"a", "b"'):
        refused(api.patch(path, json=change, headers={"If-Match": wrong}), 412, "stale")
        refused(api.delete(path, headers={"If-Match": wrong}), 412, "stale")
    assert read.json() == ok(api.get(path))

    changed = api.patch(path, json=change, headers={"If-Match": 'W/"7", W/"1"'})

    assert 'W/"2"' == changed.headers["etag"]
    assert 2 == ok(changed)["version"]
    refused(api.patch(path, json=change, headers={"If-Match": 'W/"1"'}), 412, "stale")
    same = api.patch(path, json=change, headers={"If-Match": "*"})
    assert (200, 'W/"2"') == (same.status_code, same.headers["etag"])
    assert ok(changed) == ok(same) == ok(api.get(path))


def test_a_login_is_moved_in_the_version_that_was_read(api: httpx.Client) -> None:
    """Moving is a change as well."""
    team, target = new_team(api), new_team(api)
    login = new_login(api, team)
    path = f"teams/{team['id']}/logins/{login['id']}/move"

    refused(api.post(path, json={"team_id": target["id"]}, headers={"If-Match": 'W/"2"'}), 412, "stale")
    moved = ok(api.post(path, json={"team_id": target["id"]}, headers={"If-Match": 'W/"1"'}))

    assert (target["id"], 2) == (moved["team_id"], moved["version"])
    assert [] == items(api.get(f"teams/{team['id']}/logins"))
    assert [moved] == items(api.get(f"teams/{target['id']}/logins"))
