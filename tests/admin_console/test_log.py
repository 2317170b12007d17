"""The provisioning log as pages: what came in, what it means, what to do; searched, filtered, followed, taken along."""

from __future__ import annotations

import csv
import html
import io
import json
import re

import httpx

from admin_console.advice import ADVICE
from app_api.problems import PROBLEMS
from app_core import provisioning_log
from app_core.db import Connection
from app_core.errors import DomainError
from app_core.provisioning_log import Entry, Outcome
from graph_fallback import client, consent, pages, sign_in, tokens
from scim_server.errors import STATUS
from tests.answers import unique
from tests.api import Company, MakeCompany
from tests.builders import a_user, patch
from tests.conftest import ROOT, Server
from tests.console import Browser, said
from tests.processes import Customer, in_core

GRAPH = (client, consent, pages, sign_in, tokens)
"""Whose refusals are known once they are imported."""
ENTRY = re.compile(r'href="/console/log/([0-9a-f-]{36})"')


def entries(page: str) -> list[str]:
    """Give the ids of the entries on a page, in their order."""
    return ENTRY.findall(page)


def test_an_entry_says_what_it_means_and_what_to_do(company: Company, admin: Browser) -> None:
    """The refused deletion names the team; its page leads to the team and to the entries about the group."""
    name = unique("Sales")
    group = company.found(displayName=name)
    team = company.team(group)
    company.add_login(team, title="CRM")
    company.push_once("DELETE", f"Groups/{group['id']}", status=409)

    (first, *_) = entries(admin.get("/console/log", q=name, outcome="failure").text)
    shown = admin.get(f"/console/log/{first}")

    assert "Delete group" in said(shown)
    assert f"Team '{name}' still holds 1 login; move or delete it first." in said(shown)
    assert ADVICE["team-has-logins"].remedy in said(shown)
    assert f'href="/console/teams/{team["id"]}"' in shown.text
    assert "token “scim_" in said(shown)
    assert '"method": "DELETE"' in said(shown)


def test_somebody_is_found_by_name_address_and_either_id(company: Company, admin: Browser) -> None:
    """A person is known to the log as a user of the directory and as a person: a search finds both."""
    name = unique("Ada")
    user = company.hire(displayName=name)
    person = company.person(user)
    company.call("POST", f"people/{person['id']}/activation", 200)

    found = [said(admin.get("/console/log", q=text)) for text in (name, user["userName"], user["id"], person["id"])]

    assert [("Create user" in text, "Activate person" in text) for text in found] == [(True, True)] * 4


def test_filters_let_in_what_they_name_and_pages_lead_on(company: Company, admin: Browser) -> None:
    """Sixty entries are two pages; each entry is on one of them."""
    user = company.hire()
    for at in range(60):
        change = patch({"op": "replace", "path": "title", "value": f"Title {at}"})
        company.scim.patch(f"Users/{user['id']}", json=change)

    first = admin.get("/console/log", q=user["id"], action="update", outcome="success")
    following = re.search(r'href="([^"]+)" rel="next"', first.text)
    assert following
    second = admin.get(following[1].replace("&amp;", "&"))

    assert (50, 10) == (len(entries(first.text)), len(entries(second.text)))
    assert 60 == len({*entries(first.text), *entries(second.text)})
    assert [] == entries(admin.get("/console/log", q=user["id"], source="graph").text)


def test_what_is_newer_comes_as_rows(company: Company, admin: Browser) -> None:
    """An open page asks for what its filters let in since its first row, and gets rows alone."""
    user = company.hire(displayName=unique("Followed"))
    page = admin.get("/console/log", q=user["displayName"])
    path = re.search(r'data-newer="([^"]+)"', page.text)
    assert path
    company.hire(displayName=unique("Another"))
    company.set_attribute(user, "title", "New")

    answer = admin.http.get(
        html.unescape(path[1]),
        params={**httpx.URL(html.unescape(path[1])).params, "since": entries(page.text)[0]},
        headers={"HX-Request": "true", "HX-Target": "newer"},
    )

    assert 200 == answer.status_code
    assert entries(page.text)[0] == entries(answer.text)[-1]
    assert ["Update user", "Update user", "Create user"] == re.findall(r"(?:Update|Create) user", answer.text)
    assert "<html" not in answer.text


def test_entries_are_taken_along(company: Company, admin: Browser) -> None:
    """As CSV with names, and as JSON lines with the exchange; a name cannot become a formula."""
    user = company.hire(displayName=f"=HYPERLINK({unique('x')})")

    table = admin.get("/console/log/export", q=user["id"], format="csv")
    lines = admin.get("/console/log/export", q=user["id"], format="jsonl")
    rows = list(csv.DictReader(io.StringIO(table.content.decode("utf-8-sig"))))
    objects = [json.loads(line) for line in lines.text.splitlines()]

    assert "attachment" in table.headers["content-disposition"]
    assert ["'" + user["displayName"]] == list({row["target"] for row in rows})
    assert [row["correlation_id"] for row in rows] == [each["correlation_id"] for each in objects]
    assert {"POST"} <= {each["exchange"]["request"]["method"] for each in objects}


def test_a_look_goes_no_further_than_it_may(server: Server, make_company: MakeCompany) -> None:
    """A filter that lets in hardly anything gives what is in reach, and says where to look on."""
    customer = Customer(make_company().tenant_id, "", "", "")

    def look(connection: Connection) -> list[list[str]]:
        work = customer.work(connection)
        provisioning_log.record(work, Entry("rare", "Card", None, Outcome.WARNING, 200))
        usual = Entry("usual", "Card", None, Outcome.SUCCESS, 200)
        rows = [provisioning_log.entry_of(work, usual) for _ in range(provisioning_log.LOOKED_THROUGH)]
        work.run_many(rows[0][0], [dict(params) for _, params in rows])
        wanted = provisioning_log.Wanted(action="rare")
        first = provisioning_log.look(work, wanted)
        assert first.next is not None
        second = provisioning_log.look(work, wanted, before=first.next)
        return [[each["action"] for each in look.entries] for look in (first, second)]

    assert [[], ["rare"]] == in_core(server.database_url, lambda database: database.write(look))


def test_every_reason_has_its_advice() -> None:
    """Each code that the core, Graph, SCIM or the API write has a meaning and a remedy."""
    assert GRAPH
    known: set[type[DomainError]] = {DomainError}
    while more := {child for kind in known for child in kind.__subclasses__()} - known:
        known |= more
    codes = {kind.code for kind in known if not kind.__module__.startswith(("runtime", "tests"))}
    codes |= {scim_type for _, scim_type in STATUS.values() if scim_type} | set(PROBLEMS)
    source = "".join(
        path.read_text("utf-8")
        for part in ("app_core", "scim_server", "graph_fallback")
        for path in (ROOT / part).glob("*.py")
    )
    codes |= set(re.findall(r'ScimError\(\s*\d+,\s*"(\w+)"', source)) | set(re.findall(r'\.warn\("(\w+)"', source))
    codes |= {f"http{status}" for status in re.findall(r"ScimError\(\s*(\d+),\s*None", source)}
    codes |= set(re.findall(r'Outcome\.(?:WARNING|FAILURE), \d+, "([\w-]+)"', source))

    assert codes - set(ADVICE) == set()


def test_another_tenant_has_none_of_it(admin: Browser, make_company: MakeCompany) -> None:
    """An entry of somebody else is not there, nor is one that never was."""
    other = make_company()
    other.hire()
    foreign = other.log()[0]["id"]

    for key in (foreign, "01a20fae-2a53-7636-a547-8ecd0c8c02da"):
        admin.get(f"/console/log/{key}", 404)
    assert foreign not in admin.get("/console/log").text


def test_a_name_that_would_be_a_tag_is_shown_as_it_is(company: Company, admin: Browser) -> None:
    """What the directory says is text."""
    user = company.hire(displayName=f"<script>{unique('x')}</script>")

    assert "<script>x" not in admin.get("/console/log", q=user["id"]).text
    assert user["displayName"] in said(admin.get("/console/log", q=user["id"]))


def test_a_user_that_was_refused_is_in_the_log(company: Company, admin: Browser) -> None:
    """Refused requests have a row of their own, with the reason as a filter."""
    user = company.hire()
    company.push_once("POST", "Users", a_user(1, userName=user["userName"]), status=409)

    page = admin.get("/console/log", outcome="failure", reason="uniqueness")

    assert "A user with userName '•••' already exists." in said(page)
    assert ADVICE["uniqueness"].meaning in said(admin.get(f"/console/log/{entries(page.text)[0]}"))
