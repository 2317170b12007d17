"""Idempotency-Key: a POST that is sent again gets the answer that it got, and nothing is done twice."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.app_api.conftest import House
from tests.app_api.held import (
    PREFIX,
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


def key(text: str | None = None) -> dict[str, str]:
    return {"Idempotency-Key": text or unique("key")}


def test_the_same_request_gets_the_same_answer(api: httpx.Client) -> None:
    """Status, headers and body are those of the first time, and there is one team."""
    headers = key()
    first = api.post("teams", json={"name": "Twice"}, headers=headers)
    again = api.post("teams", json={"name": "Twice"}, headers=headers)

    assert 201 == first.status_code == again.status_code
    assert "true" == again.headers["idempotent-replayed"]
    assert "idempotent-replayed" not in first.headers
    assert first.json() == again.json()
    for name in ("etag", "location", "content-type"):
        assert first.headers[name] == again.headers[name]
    assert ["Twice"] == [team["name"] for team in items(api.get("teams"))]
    outcomes = [each["outcome"] for each in items(api.get("provisioning-log", params={"source": "admin"}))]
    assert ["skipped", "success"] == outcomes


def test_the_answer_is_that_of_then(api: httpx.Client) -> None:
    """What has changed since does not change the answer."""
    headers = key()
    made = ok(api.post("teams", json={"name": "Before"}, headers=headers), 201)
    ok(api.patch(f"teams/{made['id']}", json={"name": "After"}))

    assert made == ok(api.post("teams", json={"name": "Before"}, headers=headers), 201)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("teams", {"name": "Other"}),
        ("teams", {"name": "Name", "x": 1}),
        ("people", {"name": "Name"}),
    ],
)
def test_a_key_stands_for_one_request(api: httpx.Client, path: str, body: dict[str, Any]) -> None:
    """Another body or path with the same key is 422, and nothing is done."""
    headers = key()
    ok(api.post("teams", json={"name": "Name"}, headers=headers), 201)

    refused(api.post(path, json=body, headers=headers), 422, "idempotency-key-reused")

    assert (1, 0) == (len(items(api.get("teams"))), len(items(api.get("people"))))


def test_a_refused_request_may_be_sent_again(api: httpx.Client) -> None:
    """A refusal leaves no trace of its key: mended, the request goes through with the same one."""
    headers = key()
    assert ["/name"] == places(api.post("teams", json={"name": ""}, headers=headers))
    ok(api.post("teams", json={"name": "Mended"}, headers=headers), 201)


def test_keys_of_two_api_keys_do_not_meet(house: House) -> None:
    """Each API key has keys of its own, and so has each tenant."""
    headers = key("shared")
    with house.client("admin") as one, house.client("write") as other:
        first = ok(one.post("teams", json={"name": "One"}, headers=headers), 201)
        second = ok(other.post("teams", json={"name": "Other"}, headers=headers), 201)

    assert first["id"] != second["id"]


def test_a_secret_is_shown_once(api: httpx.Client) -> None:
    """The answer that showed a secret is not kept: sent again the request is 409, and the secret still works."""
    person, template = new_person(api, email="once@example.com"), new_template(api)
    code, link = key(), key()
    shown = ok(api.post(f"people/{person['id']}/start-code", headers=code))
    body = {"template_id": template["id"], "display_name": "Guest", "values": {"title": "Guest"}}
    invited = ok(api.post("invitations", json=body, headers=link), 201)

    refused(api.post(f"people/{person['id']}/start-code", headers=code), 409, "already-done")
    refused(api.post("invitations", json=body, headers=link), 409, "already-done")

    assert 1 == len(items(api.get("invitations")))
    sent = {"sign_in": "once@example.com", "start_code": shown["start_code"]}
    assert {"person_id": person["id"]} == ok(api.post("activations/redeem", json=sent))
    assert (
        invited["card_id"] == ok(api.post("invitations/claim", json={"claim_token": invited["claim_token"]}))["card_id"]
    )


def test_each_post_takes_a_key(api: httpx.Client) -> None:
    """A key that was claimed for one kind of request works for every other kind as well."""
    team, target = new_team(api), new_team(api)
    login, headers = new_login(api, team), key()
    path, body = f"teams/{team['id']}/logins/{login['id']}/move", {"team_id": target["id"]}

    moved = ok(api.post(path, json=body, headers=headers))

    # Without the key the login would not be found in its former team any more.
    assert moved == ok(api.post(path, json=body, headers=headers))
    refused(api.post(path, json=body), 404, "not-found")


@pytest.mark.parametrize("text", ["", "a" * 256, "a\tb", "é"])
def test_a_key_is_printable_ascii(api: httpx.Client, text: str) -> None:
    """What is no key is refused by the header's name; the longest that is one passes."""
    answer = api.post("teams", json={"name": "T"}, headers={b"Idempotency-Key": text.encode()})

    assert ["Idempotency-Key"] == places(answer)
    ok(api.post("teams", json={"name": "T"}, headers=key("a" * 255)), 201)


def test_other_methods_take_no_key(api: httpx.Client) -> None:
    """PATCH, PUT and DELETE are what they are, however often they are sent."""
    team, headers = new_team(api), key()

    for name in ("First", "Second"):
        assert name == ok(api.patch(f"teams/{team['id']}", json={"name": name}, headers=headers))["name"]


def test_all_at_once_make_one(house: House) -> None:
    """The same request many times at the same moment is carried out once, and all get its answer."""

    async def run() -> list[httpx.Response]:
        headers = {"Authorization": f"Bearer {house.keys['admin']}", **key()}
        async with httpx.AsyncClient(base_url=house.url + PREFIX, headers=headers, timeout=60) as client:
            return await asyncio.gather(*(client.post("teams", json={"name": "At once"}) for _ in range(20)))

    answers = asyncio.run(run())

    assert {201} == {answer.status_code for answer in answers}
    assert 1 == len({answer.json()["id"] for answer in answers})
    assert 19 == sum("idempotent-replayed" in answer.headers for answer in answers)
    with house.client() as api:
        assert 1 == len(items(api.get("teams")))
