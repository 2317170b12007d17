"""Groups and teams as pages: Add, Remove with its guard and the way out, members by hand, logins that move or go."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.answers import JSON, unique
from tests.api import Company, MakeCompany
from tests.conftest import Server
from tests.console import Browser, administrator, member, said, where

CIPHERTEXT = "b3BhcXVl"
"""What `Company.add_login` puts into a login."""


@pytest.fixture
def chooser(server: Server, make_company: MakeCompany) -> Iterator[tuple[Company, Browser]]:
    """A tenant whose administrator says which groups are teams."""
    company = make_company()
    company.set(group_sync="selected")
    with administrator(server.url, server.database_url, company.tenant_id) as admin:
        admin.get("/console/groups")
        yield company, admin


# Groups -------------------------------------------------------------------------------------------------------------


def test_a_group_is_added_as_a_team_and_removed(chooser: tuple[Company, Browser]) -> None:
    """Its status says so in the list and on its page; where the reader came from is where they go back to."""
    company, admin = chooser
    group = company.found(company.hire(displayName="Ada Lovelace"), displayName="Sales EMEA")
    company.found(displayName="Marketing")
    before = said(admin.get("/console/groups?q=SALES"))
    added = admin.post(f"/console/groups/{group['id']}/add", back="/console/groups?q=SALES")
    after = said(admin.get(where(added)))
    page = said(admin.get(f"/console/groups/{group['id']}"))
    removed = admin.send(f"/console/groups/{group['id']}/remove", back="https://elsewhere.example/")

    assert "Sales EMEA Not synced 1 Add" in before
    assert "Marketing" not in before
    assert "/console/groups?q=SALES" == where(added)
    assert "Sales EMEA Synced 1" in after
    assert "Ada Lovelace" in page
    assert "Synced The team has this group’s name and people, and 0 logins." in page
    assert "no longer synced" in removed
    assert ["remove team", "add as team"] == [each["action"] for each in company.log(group["id"], source="admin")]


def test_removing_a_group_is_refused_while_its_team_holds_logins(company: Company, admin: Browser) -> None:
    """The refusal says why and leads to the logins; moved to another team, they are no obstacle."""
    group, other = company.found(), company.found()
    team, target = company.team(group), company.team(other)
    for title in ("CRM", "Archive"):
        company.add_login(team, title=title)
    admin.get(f"/console/groups/{group['id']}")
    refused = admin.post(f"/console/groups/{group['id']}/remove", 409)
    page = admin.get(f"/console/teams/{team['id']}")
    moved = admin.send(f"/console/teams/{team['id']}/move", team_id=target["id"])
    removed = admin.send(f"/console/groups/{group['id']}/remove")

    assert "still holds 2 logins; move or delete them first" in said(refused)
    assert f'href="/console/teams/{team["id"]}#logins"' in refused.text
    assert "CRM" in said(page)
    assert CIPHERTEXT not in page.text
    assert "2 logins are moved" in moved
    assert "its team is deleted" in removed
    assert {"CRM", "Archive"} == {each["title"] for each in company.all(f"teams/{target['id']}/logins")}
    assert ["success", "failure"] == [each["outcome"] for each in company.log(group["id"], action="remove team")]


def test_a_group_shows_the_templates_that_it_leads_to(company: Company, admin: Browser) -> None:
    """And nobody twice."""
    group = company.found(company.hire(displayName="Grace Hopper"))
    template = company.new_template(groups=[group])
    page = admin.get(f"/console/groups/{group['id']}")

    assert f'href="/console/templates/{template["id"]}"' in page.text
    assert 1 == page.text.count("Grace Hopper")


def test_long_lists_go_on_where_they_stopped(server: Server, make_company: MakeCompany) -> None:
    """51 members and 51 teams are two pages, each without what the other has."""
    company = make_company()
    people = company.hire_many(51)
    group = company.found(*people)
    for _ in range(50):
        company.call("POST", "teams", 201, {"name": unique("Team")})
    with administrator(server.url, server.database_url, company.tenant_id) as admin:
        pages = [_both(admin, path) for path in (f"/console/groups/{group['id']}", "/console/teams")]

    for first, second in pages:
        assert (50, 1) == (first.text.count('class="name"'), second.text.count('class="name"'))


def _both(admin: Browser, path: str) -> tuple[httpx.Response, httpx.Response]:
    first = admin.get(path)
    following = first.text.rpartition('rel="next"')[0].rpartition('href="')[2].partition('"')[0]
    return first, admin.get(following.replace("&amp;", "&"))


# Teams --------------------------------------------------------------------------------------------------------------


def test_a_team_is_made_by_hand_filled_renamed_and_deleted(company: Company, admin: Browser) -> None:
    """People are found by a part of their name; who is in already is said."""
    name, person = unique("Board"), unique("Vance")
    who = company.person(company.hire(displayName=person))
    admin.get("/console/teams")
    team = where(admin.post("/console/teams", name=name))
    found = said(admin.get(team, q=person.lower()))
    admin.post(f"{team}/members", person_id=who["id"])
    filled = said(admin.get(team, q=person))
    renamed = admin.send(f"{team}/rename", name=f"{name} of directors")
    admin.post(f"{team}/members/{who['id']}/remove")
    emptied = said(admin.get(team))
    deleted = admin.send(f"{team}/delete")

    assert f"{person} {who['sign_in']} Add" in found
    assert f"{person} {who['sign_in']} in the team" in filled
    assert f"{name} of directors" in renamed
    assert "Nobody is in this team" in emptied
    assert "is deleted" in deleted
    assert ["delete", "remove member", "update", "add member", "create"] == [
        each["action"] for each in company.log(team.rpartition("/")[2])
    ]


def test_what_a_team_does_not_allow_is_refused(company: Company, admin: Browser) -> None:
    """A synced team takes its name and members from its group; a team with logins stays; a name is needed."""
    synced = company.team(company.found())
    who = company.person(company.hire())
    made = company.call("POST", "teams", 201, {"name": unique("Team")})
    company.add_login(made)
    admin.get(f"/console/teams/{synced['id']}")

    assert "rename the group in Entra" in said(admin.post(f"/console/teams/{synced['id']}/rename", 409, name="Other"))
    assert "add them in Entra" in said(admin.post(f"/console/teams/{synced['id']}/members", 409, person_id=who["id"]))
    assert "remove the group" in said(admin.post(f"/console/teams/{synced['id']}/delete", 409))
    assert "still holds 1 login" in said(admin.post(f"/console/teams/{made['id']}/delete", 409))
    assert "1 to 500 characters" in said(admin.post("/console/teams", 400, name=" "))


def test_a_login_moves_to_another_team_or_goes(company: Company, admin: Browser) -> None:
    """It is chosen by team; its title and address are all that is shown of it."""
    team = company.call("POST", "teams", 201, {"name": unique("From")})
    target = company.call("POST", "teams", 201, {"name": unique("To")})
    login, other = (company.add_login(team, title=title, url="https://crm.example") for title in ("CRM", "Old"))
    choice = said(admin.get(f"/console/teams/{team['id']}/logins/{login['id']}/move", q=target["name"]))
    moved = admin.send(f"/console/teams/{team['id']}/logins/{login['id']}/move", team_id=target["id"])
    deleted = admin.send(f"/console/teams/{team['id']}/logins/{other['id']}/delete")

    assert "Where is ‘CRM’ to go?" in choice
    assert f"{target['name']} By hand 0 0 Move here" in choice
    assert "The login is moved" in moved
    assert "The login is deleted" in deleted
    assert [] == company.all(f"teams/{team['id']}/logins")
    assert [login["id"]] == [each["id"] for each in company.all(f"teams/{target['id']}/logins")]
    assert "https://crm.example" in said(admin.get(f"/console/teams/{target['id']}"))


def test_a_deletion_that_entra_asked_for_is_explained(server: Server, make_company: MakeCompany) -> None:
    """Refused while there are logins, and marked; let go by policy, the team stays by itself. Both can be listed."""
    company = make_company()
    marked, left = company.found(displayName="Marked"), company.found(displayName="Left")
    teams = [company.team(group) for group in (marked, left)]
    for team in teams:
        company.add_login(team)
    company.push_once("DELETE", f"Groups/{marked['id']}", status=409)
    company.set(on_group_delete="detach")
    company.push_once("DELETE", f"Groups/{left['id']}", status=204)
    company.found(displayName="Untouched")
    with administrator(server.url, server.database_url, company.tenant_id) as admin:
        listed = said(admin.get("/console/teams", kind="left-behind"))
        pages = [said(admin.get(f"/console/teams/{team['id']}")) for team in teams]
        group = said(admin.get("/console/groups"))

    assert "Marked Synced Entra asked to delete this" in listed
    assert "Left By hand Source deleted" in listed
    assert "Untouched" not in listed
    assert "Because the team holds 1 login, nothing was deleted: move or delete it first" in pages[0]
    assert "The group of this team is gone in Entra" in pages[1]
    assert "Marked Source deleted" in group


# Who may ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def things(company: Company) -> JSON:
    """What the paths below are about, of a tenant that is not the visitor's."""
    person = company.person(company.hire())
    group = company.found()
    team = company.call("POST", "teams", 201, {"name": unique("Team")})
    login = company.add_login(team)
    return {"group": group["id"], "team": team["id"], "login": login["id"], "person": person["id"]}


READS = (
    "/console/groups/{group}",
    "/console/teams/{team}",
    "/console/teams/{team}/move",
    "/console/teams/{team}/logins/{login}/move",
)
WRITES = (
    "/console/groups/{group}/add",
    "/console/groups/{group}/remove",
    "/console/teams/{team}/rename",
    "/console/teams/{team}/delete",
    "/console/teams/{team}/members",
    "/console/teams/{team}/members/{person}/remove",
    "/console/teams/{team}/move",
    "/console/teams/{team}/logins/{login}/move",
    "/console/teams/{team}/logins/{login}/delete",
    "/console/setup/tokens/{team}/revoke",
)
OWN = (
    *("/console/setup", "/console/setup/graph", "/console/setup/graph/filter", "/console/groups", "/console/teams"),
    *("/console/microsoft/consent", "/console/connection/consented", "/console/connection/finish"),
)
OWN_WRITES = (
    *("/console/setup/tokens", "/console/setup/test", "/console/setup/graph/filter", "/console/teams"),
    *("/console/setup/graph/filter/search", "/console/connection/finish", "/console/connection/disconnect"),
    "/console/connection/sync",
)


def test_another_tenants_administrator_finds_nothing(
    server: Server, make_company: MakeCompany, company: Company, things: JSON
) -> None:
    """Each page and each action about what is not theirs is 404, and changes nothing."""
    stranger = make_company()
    with administrator(server.url, server.database_url, stranger.tenant_id) as admin:
        admin.get("/console/teams")
        for path in READS:
            admin.get(path.format(**things), 404)
        for path in WRITES:
            admin.post(path.format(**things), 404, name="x", person_id=things["person"], team_id=things["team"])

    assert 1 == company.get(f"teams/{things['team']}")["login_count"]


def test_without_a_session_one_is_sent_to_sign_in(visitor: Browser, things: JSON) -> None:
    """With the page to go on to, where it is one."""
    for path in (*READS, *OWN):
        assert where(visitor.get(path.format(**things), 303)).startswith("/console/sign-in?next=%2Fconsole")
    for path in (*WRITES, *OWN_WRITES):
        assert "/console/sign-in" == where(visitor.post(path.format(**things)))


def test_a_member_is_no_administrator(server: Server, company: Company, things: JSON) -> None:
    """Their session opens /me and nothing here, even if its cookie is put into the console's place."""
    with member(server.url, server.database_url, company.tenant_id, things["person"]) as someone:
        someone.http.cookies.set("scim_console", someone.http.cookies["scim_member"], path="/console")
        for path in (*READS, *OWN):
            assert where(someone.get(path.format(**things), 303)).startswith("/console/sign-in")


def test_a_form_that_is_not_ours_does_nothing(company: Company, admin: Browser, things: JSON) -> None:
    """Without the token of the session, 403."""
    for path in (*WRITES, *OWN_WRITES):
        answer = admin.http.post(path.format(**things), data={"name": "Forged", "_token": "0" * 40})
        assert 403 == answer.status_code, path

    assert "Forged" not in {each["name"] for each in company.all("teams")}
