"""Invariants 1, 3, 5 and 7 to 10: whose rows, teams and people are, and what nobody can do to them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import ForeignKeyConstraint

from app_core import (
    administrators,
    awaited,
    clock,
    connections,
    consents,
    deliveries,
    directory_photos,
    jobs,
    reconciliations,
    sessions,
    tenants,
    user_filter,
)
from app_core.db import Connection
from app_core.reconciliations import Drift, Finding, Outcome, Policy
from app_core.sessions import Kind, Subject
from app_core.work import Actor, Source, Work
from tests.answers import change, ok, read, refused, unique, values
from tests.api import Company, MakeCompany, companies, problem
from tests.builders import USER, a_user, created
from tests.conftest import Server
from tests.processes import in_core
from tests.raw import OF_NO_TENANT, TABLES, Refused, cell, copied, sql

# 1 ----------------------------------------------------------------------------------------------------------------------

REFERENCES = [
    (name, constraint)
    for name in sorted(TABLES)
    for constraint in TABLES[name].foreign_key_constraints
    if constraint.referred_table.name not in ("tenant", *OF_NO_TENANT)
]
PICTURE = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de")


def furnish(database_url: str, company: Company) -> None:
    """Put a row into every table: whoever adds a table adds to this."""
    user = company.hire()
    inner, group = company.found(user), company.found(user)
    ok(change(company.scim, group, {"op": "add", "path": "members", "value": values(inner)}), 204)
    template = company.new_template(groups=[group])
    person = company.person(user)
    company.call("POST", f"people/{person['id']}/activation", 200)
    picture = company.api.put(f"people/{person['id']}/photo", content=PICTURE, headers={"Content-Type": "image/png"})
    assert 204 == picture.status_code, picture.text
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    team = company.call("POST", "teams", 201, {"name": "By hand"}, headers=headers)
    company.call("PUT", f"teams/{team['id']}/members/{person['id']}", 204)
    company.add_login(team)
    company.call("POST", "invitations", 201, {"template_id": template["id"], "display_name": "Ada"})
    webhook = company.call("POST", "webhooks", 201, {"url": "http://127.0.0.1:9/hooks"})["webhook"]
    company.call("POST", "teams", 201, {"name": unique("Told")})
    company.news()
    member = Subject(Kind.MEMBER, company.tenant_id, person["id"])

    def job(connection: Connection) -> None:
        directory_id = connections.first_of(connection, tenants.find(connection, company.tenant_id))
        work = Work(connection, company.tenant_id, directory_id, Actor(Source.SYSTEM, "test"), "test", clock.now())
        for subject in (administrators.add(work, f"{unique()}@contoso.com").subject, member):
            sessions.open_by_link(connection, sessions.new_link(connection, subject, work.now), work.now, "test")
            sessions.new_link(connection, subject, work.now)
        jobs.enqueue(work, "none", f"none:{uuid.uuid4()}", {})
        run, drift = reconciliations.ask(work, Policy.REPORT), Drift("user_gone", "someone", None, "Why.", "Repair.")
        reconciliations.add(work, run.id, [Finding(0, drift, Outcome.REPORTED, None)])
        consents.ask(work, "somebody")
        user_filter.choose(work, [str(uuid.uuid4())])
        awaited.expect_users(work, [str(uuid.uuid4())])
        awaited.expect_manager(work, user["id"], str(uuid.uuid4()))
        directory_photos.enrol(work)
        batch = deliveries.take(connection)
        while batch is not None and batch.webhook.id != webhook["id"]:
            batch = deliveries.take(connection)
        assert batch is not None
        deliveries.record(connection, batch, {})

    in_core(database_url, lambda database: database.write(job))


@pytest.fixture(scope="module")
def two_tenants(server: Server) -> Iterator[tuple[Company, Company]]:
    """Two tenants with a row in every table."""
    with companies(server.url, server.database_url) as make:
        ours, theirs = make(), make()
        for each in (ours, theirs):
            furnish(server.database_url, each)
        yield ours, theirs

        for each in (ours, theirs):
            sql(server.database_url, "DELETE FROM job WHERE tenant_id = ?", each.tenant_id)


@pytest.mark.parametrize(
    ("name", "constraint"), REFERENCES, ids=[f"{name}-{each.referred_table.name}" for name, each in REFERENCES]
)
def test_inv_01_no_reference_leads_to_another_tenant(
    server: Server, two_tenants: tuple[Company, Company], name: str, constraint: ForeignKeyConstraint
) -> None:
    """Whatever refers to something of a tenant cannot be made to refer to the same of another: the database refuses."""
    url, (ours, theirs) = server.database_url, two_tenants
    pairs = [(each.parent.name, each.column.name) for each in constraint.elements if each.parent.name != "tenant_id"]
    local, remote = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    referred = constraint.referred_table.name
    keys = [column.name for column in TABLES[name].primary_key.columns]
    there = " AND ".join([f"{column} IS NOT NULL" for column in local])
    found = sql(url, f"SELECT {', '.join(keys)} FROM {name} WHERE tenant_id = ? AND {there}", ours.tenant_id)
    assert found, f"furnish() leaves {name} empty"
    strangers = sql(url, f"SELECT {', '.join(remote)} FROM {referred} WHERE tenant_id = ?", theirs.tenant_id)
    assert strangers, f"furnish() leaves {referred} empty"

    said = ", ".join([f"{column} = ?" for column in local])
    this = " AND ".join([f"{key} = ?" for key in keys])
    with pytest.raises(Refused, match=r"(?i)foreign key"):
        sql(url, f"UPDATE {name} SET {said} WHERE {this}", *strangers[0], *found[0])


def test_inv_01_the_api_reaches_no_other_tenant(two_tenants: tuple[Company, Company]) -> None:
    """No id of another tenant is found, in a path or in a body, and nothing of it is changed."""
    ours, theirs = two_tenants
    lists = ("people", "teams", "groups", "templates", "cards", "seats", "invitations", "jobs", "provisioning-log")
    before = {noun: theirs.all(noun, limit=200) for noun in lists}
    team, template = theirs.all("teams", kind="manual")[0], before["templates"][0]
    person, card, group, invitation = (before[noun][0] for noun in ("people", "cards", "groups", "invitations"))
    login = theirs.all(f"teams/{team['id']}/logins")[0]
    own_team, own_template = ours.all("teams", kind="manual")[0], ours.all("templates")[0]
    own_person, own_login = ours.all("people")[0], ours.all(f"teams/{own_team['id']}/logins")[0]
    asked: list[tuple[str, str, Any]] = [
        *[("GET", f"{noun}/{before[noun][0]['id']}", None) for noun in lists if noun not in ("seats", "jobs")],
        ("PATCH", f"people/{person['id']}", {"display_name": "x"}),
        ("DELETE", f"people/{person['id']}", None),
        ("POST", f"people/{person['id']}/activation", None),
        ("DELETE", f"people/{person['id']}/activation", None),
        ("POST", f"people/{person['id']}/start-code", None),
        ("GET", f"people/{person['id']}/photo", None),
        ("DELETE", f"people/{person['id']}/photo", None),
        ("POST", f"people/{own_person['id']}/link", {"directory_user_id": person["directory_user_id"]}),
        ("PATCH", f"teams/{team['id']}", {"name": "x"}),
        ("DELETE", f"teams/{team['id']}", None),
        ("GET", f"teams/{team['id']}/members", None),
        ("PUT", f"teams/{team['id']}/members/{own_person['id']}", None),
        ("PUT", f"teams/{own_team['id']}/members/{person['id']}", None),
        ("GET", f"teams/{team['id']}/logins", None),
        ("POST", f"teams/{team['id']}/logins", {"ciphertext": "x"}),
        ("GET", f"teams/{team['id']}/logins/{login['id']}", None),
        ("GET", f"teams/{own_team['id']}/logins/{login['id']}", None),
        ("DELETE", f"teams/{team['id']}/logins/{login['id']}", None),
        ("POST", f"teams/{own_team['id']}/logins/{own_login['id']}/move", {"team_id": team["id"]}),
        ("POST", f"teams/{own_team['id']}/logins/{login['id']}/move", {"team_id": own_team["id"]}),
        ("POST", f"groups/{group['id']}/team", None),
        ("DELETE", f"groups/{group['id']}/team", None),
        ("PATCH", f"templates/{template['id']}", {"name": "x"}),
        ("DELETE", f"templates/{template['id']}", None),
        ("GET", f"templates/{template['id']}/assignments", None),
        ("PUT", f"templates/{template['id']}/assignments", {"group_ids": []}),
        ("PUT", f"templates/{own_template['id']}/assignments", {"group_ids": [group["id"]]}),
        ("PATCH", f"cards/{card['id']}", {"overrides": {}}),
        ("POST", f"cards/{card['id']}/reactivate", None),
        ("POST", f"cards/{card['id']}/refresh", None),
        ("DELETE", f"cards/{card['id']}", None),
        ("POST", "invitations", {"template_id": template["id"], "display_name": "x"}),
        ("DELETE", f"invitations/{invitation['id']}", None),
    ]
    for method, path, body in asked:
        answer = ours.api.request(method, path, json=body)
        assert 404 == answer.status_code, f"{method} {path} → {answer.status_code} {answer.text}"

    assert before == {noun: theirs.all(noun, limit=200) for noun in lists}
    for noun in lists:
        known = {each["id"] for each in before[noun]}
        assert not known & {each["id"] for each in ours.all(noun, limit=200)}
    assert [] == ours.all("cards", person_id=person["id"])
    assert [] == ours.log(group["id"], outcome="success")


# 3 ----------------------------------------------------------------------------------------------------------------------


def test_inv_03_people_and_teams_are_not_matched_by_name(company: Company) -> None:
    """A manual team and a manual person of the same name stay what they are; a group comes back as another team."""
    name = unique("Sales")
    manual = company.call("POST", "teams", 201, {"name": name})
    guest = company.call("POST", "people", 201, {"display_name": name, "email": f"{unique()}@contoso.com"})
    user = company.hire(displayName=name, userName=guest["email"])
    group = company.found(user, displayName=name)

    team, person = company.team(group), company.person(user)
    assert 2 == len({manual["id"], team["id"]})
    assert 2 == len({guest["id"], person["id"]})
    company.delete(group)
    other = company.team(company.found(displayName=name))
    assert 3 == len({manual["id"], team["id"], other["id"]})
    assert manual == company.get(f"teams/{manual['id']}")
    assert guest == company.get(f"people/{guest['id']}")


# 5 ----------------------------------------------------------------------------------------------------------------------


def test_inv_05_the_inactive_stay_in_the_team(company: Company) -> None:
    """The team lists and counts them, with their state; what takes effect is membership of who is active."""
    on, off = company.hire(), company.hire()
    group = company.found(on, off)
    template = company.new_template(groups=[group])
    company.disable(off)

    team = company.team(group)
    assert 2 == team["member_count"]
    listed = company.all(f"teams/{team['id']}/members", limit=1)
    assert {(company.person(on)["id"], "active"), (company.person(off)["id"], "inactive")} == {
        (person["id"], person["state"]) for person in listed
    }
    assert [company.person(on)["id"]] == [
        card["person_id"] for card in company.all("cards", template_id=template["id"], state="active")
    ]


# 7 ----------------------------------------------------------------------------------------------------------------------


def test_inv_07_one_team_a_group(server: Server, company: Company) -> None:
    """Adding a group twice gives the one team it has; the database takes no second one."""
    group, other = company.found(), company.found()
    team, other_team = company.team(group), company.team(other)

    assert team == company.call("POST", f"groups/{group['id']}/team", 201)
    with pytest.raises(Refused, match=r"(?i)unique"):
        copied(server.database_url, "team", team["id"], id=str(uuid.uuid4()))
    with pytest.raises(Refused, match=r"(?i)unique"):
        sql(server.database_url, "UPDATE team SET group_id = ? WHERE id = ?", group["id"], other_team["id"])

    # Manual teams are of no group, however many there are.
    copied(server.database_url, "team", team["id"], id=str(uuid.uuid4()), group_id=None, kind="manual")
    assert [team["id"]] == [each["id"] for each in company.all("teams", limit=200) if each["group_id"] == group["id"]]


# 8 ----------------------------------------------------------------------------------------------------------------------


def test_inv_08_a_synced_team_is_its_group(company: Company) -> None:
    """Name and members are the group's, whatever is asked; groups within it are no members."""
    user, inside, outside = (company.hire() for _ in range(3))
    inner, group = company.found(inside), company.found(user)
    ok(change(company.scim, group, {"op": "add", "path": "members", "value": values(inner)}), 204)
    team = company.team(group)
    path = f"teams/{team['id']}"

    problem(company.api.patch(path, json={"name": "Mine"}), 409, "not-possible")
    problem(company.api.put(f"{path}/members/{company.person(outside)['id']}"), 409, "not-possible")
    problem(company.api.delete(f"{path}/members/{company.person(user)['id']}"), 409, "not-possible")

    group = read(company.scim, group)
    assert {user["id"], inner["id"]} == {each["value"] for each in group["members"]}
    after = company.team(group)
    assert (group["displayName"], 1) == (after["name"], after["member_count"])
    assert {company.person(user)["id"]} == company.members(team)
    for name in ("  Blanks  ", "Ä\u0308\u4e2d \u200d", "x" * 500):
        company.set_attribute(group, "displayName", f"{name}{unique()}")
        assert read(company.scim, group)["displayName"] == company.team(group)["name"]


# 9 ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["synced", "manual", "detached"])
def test_inv_09_a_team_with_logins_is_never_deleted(server: Server, make_company: MakeCompany, kind: str) -> None:
    """Not by Entra, not by the administrator, not by the operator, and not by who forgot to ask: the database refuses."""
    company, url = make_company(), server.database_url
    group = company.found(company.hire())
    team = company.call("POST", "teams", 201, {"name": "By hand"}) if kind == "manual" else company.team(group)
    company.add_login(team)
    if kind == "detached":
        company.set(on_group_delete="detach")
        company.delete(group)
        group = company.found()

    if kind == "synced":
        refused(company.scim.delete(f"Groups/{group['id']}"), 409)
        problem(company.api.delete(f"groups/{group['id']}/team"), 409, "team-has-logins")
    problem(company.api.delete(f"teams/{team['id']}"), 409, "not-possible" if kind == "synced" else "team-has-logins")
    for statement, key in (
        ("DELETE FROM team WHERE id = ?", team["id"]),
        ("UPDATE team SET id = 'other' WHERE id = ?", team["id"]),
        ("DELETE FROM tenant WHERE id = ?", company.tenant_id),
        *([("DELETE FROM directory_group WHERE id = ?", group["id"])] if kind == "synced" else []),
    ):
        with pytest.raises(Refused, match=r"(?i)foreign key"):
            sql(url, statement, key)

    assert 1 == company.get(f"teams/{team['id']}")["login_count"]
    (login,) = company.all(f"teams/{team['id']}/logins")
    with pytest.raises(Refused, match=r"(?i)foreign key"):
        copied(url, "login", login["id"], id=str(uuid.uuid4()), team_id="nowhere")


# 10 ---------------------------------------------------------------------------------------------------------------------


def test_inv_10_manual_people_are_unseen_by_scim_and_untouched_by_follow(server: Server, company: Company) -> None:
    """No SCIM request finds, changes or deletes them, and nothing that Entra says of others does anything to them."""
    user = company.hire()
    group = company.found(user)
    template = company.new_template(groups=[group])
    address = f"{unique('guest')}@contoso.com"
    made = company.call(
        "POST", "invitations", 201, {"template_id": template["id"], "display_name": "Guest", "email": address}
    )
    claimed = company.call("POST", "invitations/claim", 200, {"claim_token": made["claim_token"]})
    guest_path, card_path = f"people/{claimed['person_id']}", f"cards/{claimed['card_id']}"
    code = company.call("POST", f"{guest_path}/start-code", 200)["start_code"]
    company.call("POST", "activations/redeem", 200, {"sign_in": address, "start_code": code})
    guest, card = company.get(guest_path), company.get(card_path)
    assert ("manual", "active", "open", "active") == (
        guest["origin"],
        guest["activation"],
        guest["seat"],
        card["state"],
    )

    scim_path = f"Users/{guest['id']}"
    refused(company.scim.get(scim_path), 404)
    refused(company.scim.delete(scim_path), 404)
    refused(company.scim.put(scim_path, json={"schemas": [USER], "userName": address}), 404)
    refused(
        company.scim.patch(scim_path, json={"Operations": [{"op": "replace", "path": "active", "value": False}]}), 404
    )
    member = {"op": "add", "path": "members", "value": values(guest["id"])}
    refused(change(company.scim, group, member), 400, "invalidValue")
    for asked in (f'userName eq "{address}"', f'emails.value eq "{address}"', f'id eq "{guest["id"]}"'):
        assert 0 == ok(company.scim.get("Users", params={"filter": asked}))["totalResults"]

    twin = created(company.scim.post("Users", json=a_user(userName=address)))
    company.join(group, twin)
    company.disable(twin)
    company.delete(twin)
    company.assign(template)
    company.leave(group, user)
    company.delete(group)
    company.delete(user)

    assert (guest, card) == (company.get(guest_path), company.get(card_path))
    ((led,),) = sql(server.database_url, "SELECT directory_user_id FROM person WHERE id = ?", guest["id"])
    assert led is None
    assert "manual" == cell(server.database_url, "person", guest["id"], "origin")


def test_inv_10_a_user_leads_to_one_person(server: Server, company: Company) -> None:
    """And a person to at most one user, which exists: the database says so too."""
    one, other = company.hire(), company.hire()
    person, neighbour = company.person(one), company.person(other)
    url = server.database_url

    with pytest.raises(Refused, match=r"(?i)unique"):
        copied(url, "person", person["id"], id=str(uuid.uuid4()))
    with pytest.raises(Refused, match=r"(?i)unique"):
        sql(url, "UPDATE person SET directory_user_id = ? WHERE id = ?", one["id"], neighbour["id"])
    with pytest.raises(Refused, match=r"(?i)foreign key"):
        sql(url, "UPDATE person SET directory_user_id = ? WHERE id = ?", "nobody", neighbour["id"])
    with pytest.raises(Refused, match=r"(?i)foreign key"):
        sql(url, "DELETE FROM directory_user WHERE id = ?", one["id"])
