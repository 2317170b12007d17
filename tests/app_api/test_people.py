"""People, their accounts and their photos, over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.app_api.conftest import House, new_house
from tests.app_api.held import (
    NAME,
    PNG,
    ids,
    items,
    new_person,
    new_team,
    new_template,
    ok,
    person_of,
    places,
    push_group,
    push_user,
    refused,
    unique,
    walk,
)
from tests.builders import patch

if TYPE_CHECKING:
    from tests.conftest import Server

IMAGE = {"Content-Type": "image/png"}


def test_a_person_added_by_hand(api: httpx.Client) -> None:
    """It is read as it was made, by its Location too; changed; and gone once it is deleted."""
    made = api.post("people", json={"display_name": "  Ann  ", "email": "Ann@Example.com"})
    person = ok(made, 201)

    assert made.headers["location"].endswith(f"/people/{person['id']}")
    assert ("Ann", "Ann@Example.com", "manual", "active") == tuple(
        person[name] for name in ("display_name", "email", "origin", "state")
    )
    assert (None, None, [], 1) == tuple(person[name] for name in ("activation", "seat", "problems", "version"))
    assert person == ok(api.get(f"people/{person['id']}"))

    changed = ok(api.patch(f"people/{person['id']}", json={"email": None}))
    assert ("Ann", None, 2) == tuple(changed[name] for name in ("display_name", "email", "version"))
    assert changed == ok(api.patch(f"people/{person['id']}", json={"display_name": "Ann"}))
    assert changed == ok(api.patch(f"people/{person['id']}", json={}))

    ok(api.delete(f"people/{person['id']}"), 204)
    refused(api.get(f"people/{person['id']}"), 404, "not-found")
    refused(api.delete(f"people/{person['id']}"), 404, "not-found")


def test_a_person_of_the_directory_is_the_directorys(api: httpx.Client, scim: httpx.Client) -> None:
    """It is listed as the directory says, and neither changed nor deleted here; once it departed it may be deleted."""
    user = push_user(scim, displayName="Babs", phoneNumbers=[{"type": "work", "value": "123"}])
    push_group(scim, user)
    person = person_of(api, user)

    assert ("Babs", "directory", "active") == tuple(person[name] for name in ("display_name", "origin", "state"))
    assert ["123"] == [problem["value"] for problem in person["problems"]]
    refused(api.patch(f"people/{person['id']}", json={"display_name": "Other"}), 409, "not-possible")
    refused(api.delete(f"people/{person['id']}"), 409, "not-possible")
    refused(api.post(f"people/{person['id']}/link", json={"directory_user_id": user["id"]}), 409, "not-possible")

    ok(api.post(f"people/{person['id']}/activation"))
    ok(scim.delete(f"Users/{user['id']}"), 204)
    departed = ok(api.get(f"people/{person['id']}"))
    assert ("departed", None) == (departed["state"], departed["directory_user_id"])
    ok(api.delete(f"people/{person['id']}"), 204)


def test_lists_of_people(api: httpx.Client, scim: httpx.Client) -> None:
    """By name or address in any case, by state, by origin, by problems; page by page each person once."""
    active = push_user(scim, displayName="Ångström", phoneNumbers=[{"type": "work", "value": "123"}])
    inactive = push_user(scim, active=False)
    gone = push_user(scim)
    ok(api.post(f"people/{person_of(api, gone)['id']}/activation"))
    ok(scim.delete(f"Users/{gone['id']}"), 204)
    by_hand = [new_person(api, email=f"{unique()}@example.com")["id"] for _ in range(3)]
    everybody = ids(api.get("people"))
    of_user = {person["directory_user_id"]: person["id"] for person in items(api.get("people"))}

    def found(**params: Any) -> list[str]:
        assert ids(api.get("people", params=params)) == [each["id"] for each in walk(api, "people", **params)]
        return ids(api.get("people", params=params))

    assert 6 == len(everybody) == len(set(everybody))
    assert everybody == found()
    assert [of_user[active["id"]]] == found(q="ÅNGSTR")
    assert [of_user[active["id"]]] == found(problem="true")
    assert everybody == found(problem="false")
    assert [of_user[active["id"]]] == found(q=active["userName"].upper(), state="active")
    assert [of_user[inactive["id"]]] == found(state="inactive")
    assert 1 == len(found(state="departed"))
    assert by_hand == found(origin="manual")
    assert [] == found(origin="manual", state="inactive")
    assert [] == found(q="%")
    assert [] == found(q="_")


def test_linking_joins_two(api: httpx.Client, scim: httpx.Client) -> None:
    """A person added by hand becomes the one that the directory knows, with its teams; its twin is gone."""
    person, team = new_person(api), new_team(api)
    ok(api.put(f"teams/{team['id']}/members/{person['id']}"), 204)
    user = push_user(scim)
    twin = person_of(api, user)

    linked = ok(api.post(f"people/{person['id']}/link", json={"directory_user_id": user["id"]}))

    assert (person["id"], user["id"], "directory") == tuple(
        linked[name] for name in ("id", "directory_user_id", "origin")
    )
    refused(api.get(f"people/{twin['id']}"), 404, "not-found")
    assert [person["id"]] == ids(api.get(f"teams/{team['id']}/members"))


# Accounts -----------------------------------------------------------------------------------------------------------


def test_an_account_from_choosing_to_revoking(api: httpx.Client) -> None:
    """Activate account, show start code, redeem it once: the person has a seat, until the account is revoked."""
    person = new_person(api, email="start@example.com")
    path = f"people/{person['id']}"

    assert "requested" == ok(api.post(f"{path}/activation"))["state"]
    code = ok(api.post(f"{path}/start-code"))
    assert {"person_id", "start_code", "expires_at"} == set(code)
    assert "code_sent" == ok(api.get(path))["activation"]
    redeemed = api.post("activations/redeem", json={"sign_in": "START@example.com", "start_code": code["start_code"]})
    assert {"person_id": person["id"]} == ok(redeemed)
    assert ("active", "open") == tuple(ok(api.get(path))[name] for name in ("activation", "seat"))
    refused(api.post(f"{path}/start-code"), 409, "not-possible")

    ok(api.delete(f"{path}/activation"), 204)
    ok(api.delete(f"{path}/activation"), 204)
    assert ("revoked", None) == tuple(ok(api.get(path))[name] for name in ("activation", "seat"))


def test_a_wrong_code_says_nothing(api: httpx.Client) -> None:
    """Mistyped, of nobody, used, void: the refusal is the same; the fifth wrong one ends the code."""
    person = new_person(api, email="wrong@example.com")
    void = ok(api.post(f"people/{person['id']}/start-code"))["start_code"]
    code = ok(api.post(f"people/{person['id']}/start-code"))["start_code"]

    def try_it(sign_in: str, start_code: str) -> dict[str, Any]:
        answer = api.post("activations/redeem", json={"sign_in": sign_in, "start_code": start_code})
        body = refused(answer, 400, "wrong-code")
        del body["instance"]
        return body

    said = [try_it("nobody@example.com", code), try_it("wrong@example.com", void)]
    said += [try_it("wrong@example.com", text) for text in ("0000-0000-0000", "x", code[:-1], "😀")]
    assert all(each == said[0] for each in said)

    # Five tries were wrong: now the right one is as well.
    assert said[0] == try_it("wrong@example.com", code)
    fresh = ok(api.post(f"people/{person['id']}/start-code"))["start_code"]
    ok(api.post("activations/redeem", json={"sign_in": "wrong@example.com", "start_code": fresh}))
    assert said[0] == try_it("wrong@example.com", fresh)


def test_who_is_deactivated_gets_no_account(api: httpx.Client, scim: httpx.Client) -> None:
    """The directory decides who is active; an active account is suspended with its person and comes back with it."""
    user = push_user(scim)
    person = person_of(api, user)
    code = ok(api.post(f"people/{person['id']}/start-code"))["start_code"]
    ok(api.post("activations/redeem", json={"sign_in": user["userName"], "start_code": code}))

    ok(scim.patch(f"Users/{user['id']}", json=patch({"op": "Replace", "path": "active", "value": "False"})))
    suspended = ok(api.get(f"people/{person['id']}"))
    assert ("inactive", "suspended", None) == tuple(suspended[name] for name in ("state", "activation", "seat"))
    refused(api.post(f"people/{person['id']}/start-code"), 409, "not-possible")

    ok(scim.patch(f"Users/{user['id']}", json=patch({"op": "Replace", "path": "active", "value": "True"})))
    back = ok(api.get(f"people/{person['id']}"))
    assert ("active", "active", "open") == tuple(back[name] for name in ("state", "activation", "seat"))


def test_the_seat_limit_holds_for_accounts(server: Server) -> None:
    """Who redeems when no seat is left waits, is shown, and is served when one is free."""
    house = new_house(server, seats=1)
    with house.client() as api:
        people = [new_person(api, email=f"{n}@example.com") for n in range(2)]
        for n, person in enumerate(people):
            code = ok(api.post(f"people/{person['id']}/start-code"))["start_code"]
            ok(api.post("activations/redeem", json={"sign_in": f"{n}@example.com", "start_code": code}))
        assert ["open", "waiting"] == [each["seat"] for each in items(api.get("people"))]
        seats = ok(api.get("seats"))
        assert (1, 1, 1) == (seats["limit"], seats["open"], seats["waiting"])
        assert ["open", "waiting"] == [seat["state"] for seat in walk(api, "seats")]

        ok(api.delete(f"people/{people[0]['id']}/activation"), 204)
        assert [None, "open"] == [each["seat"] for each in items(api.get("people"))]


# Photos -------------------------------------------------------------------------------------------------------------


def test_a_photo_is_given_back_as_it_came(api: httpx.Client) -> None:
    """With its media type and a tag; If-None-Match is 304; it goes when it is deleted."""
    person = new_person(api)
    path = f"people/{person['id']}/photo"
    refused(api.get(path), 404, "not-found")

    ok(api.put(path, content=PNG, headers=IMAGE), 204)

    answer = api.get(path)
    assert (PNG, "image/png") == (answer.content, answer.headers["content-type"])
    tag, name = answer.headers["etag"], ok(api.get(f"people/{person['id']}"))["photo_hash"]
    assert f'"{name}"' == tag
    assert 304 == api.get(path, headers={"If-None-Match": f'"x", {tag}'}).status_code
    assert "nosniff" == answer.headers["x-content-type-options"]
    ok(api.put(path, content=PNG, headers=IMAGE), 204)
    ok(api.delete(path), 204)
    ok(api.delete(path), 204)
    refused(api.get(path), 404, "not-found")
    assert ok(api.get(f"people/{person['id']}"))["photo_hash"] is None


@pytest.mark.parametrize("data", [b"", b"<svg xmlns='http://www.w3.org/2000/svg'/>", PNG[:20], b"\x00" * 100])
def test_what_is_no_photo_is_refused(api: httpx.Client, data: bytes) -> None:
    """Whatever its media type says: only JPEG, PNG, GIF and WebP are kept."""
    refused(api.put(f"people/{new_person(api)['id']}/photo", content=data, headers=IMAGE), 400, "invalid")


def test_a_photo_has_limits(api: httpx.Client) -> None:
    """4 MiB, 4096 pixels; and it is an image by its media type."""
    path = f"people/{new_person(api)['id']}/photo"
    huge = PNG[:16] + (5000).to_bytes(4) + PNG[20:]

    refused(api.put(path, content=PNG + b"\0" * 4 * 1024 * 1024, headers=IMAGE), 400, "invalid")
    refused(api.put(path, content=huge, headers=IMAGE), 400, "invalid")
    refused(api.put(path, content=PNG, headers={"Content-Type": "application/json"}), 415, "unsupported-media-type")
    refused(api.put(path, content=PNG), 415, "unsupported-media-type")


def test_an_address_is_checked(api: httpx.Client) -> None:
    """On changing as on adding; a field of a body that must not be null is refused by name."""
    person = new_person(api)

    assert ["/email"] == places(api.patch(f"people/{person['id']}", json={"email": "no address"}))
    assert ["/display_name"] == places(api.patch(f"people/{person['id']}", json={"display_name": None}))


def test_deleting_a_person_takes_all_of_it(house: House) -> None:
    """Cards, account, seat, photo and memberships go with it."""
    with house.client() as api:
        team, template = new_team(api), new_template(api, NAME)
        body = {"template_id": template["id"], "email": "all@example.com", "display_name": "All"}
        token = ok(api.post("invitations", json=body), 201)["claim_token"]
        claimed = ok(api.post("invitations/claim", json={"claim_token": token}))
        path = f"people/{claimed['person_id']}"
        ok(api.put(f"teams/{team['id']}/members/{claimed['person_id']}"), 204)
        ok(api.put(f"{path}/photo", content=PNG, headers=IMAGE), 204)
        ok(api.post(f"{path}/start-code"))
        assert 1 == ok(api.get("seats"))["open"]

        ok(api.delete(path), 204)

        assert [] == items(api.get(f"teams/{team['id']}/members")) == items(api.get("cards"))
        assert 0 == ok(api.get("seats"))["open"]
        refused(api.get(f"{path}/photo"), 404, "not-found")
