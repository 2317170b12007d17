"""Microsoft from the pages: signing in, linking, consent, groups of the directory, the user filter (C10, G1 to G4).

Against the simulated Entra on a socket; the browser goes there and comes back as it is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import pytest
from sqlalchemy import bindparam, update

from app_core.consents import Q
from app_core.db import Connection, Statement
from tests.answers import unique
from tests.api import Company, companies
from tests.console import Browser, administrator, nobody, said, where
from tests.processes import empty_database, in_core, serving
from tests.simulator import Entra, EntraTenant, simulated

EXPIRE = Statement(
    update(Q).where(Q.c.tenant_id == bindparam("tenant_id")).values(expires_at="2020-01-01T00:00:00.000Z")
)


@dataclass(frozen=True)
class Site:
    """A server with an Entra application, and the Entra that it is of."""

    url: str
    database_url: str
    entra: Entra


@pytest.fixture(scope="module")
def site(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("microsoft")
    with (
        simulated(folder) as entra,
        empty_database(database_url, folder) as url,
        serving(url, folder, worker=False, **entra.server_settings) as server,
    ):
        yield Site(server.url, url, entra)


@pytest.fixture
def company(site: Site) -> Iterator[Company]:
    """A tenant of its own."""
    with companies(site.url, site.database_url) as make:
        yield make()


@pytest.fixture
def admin(site: Site, company: Company) -> Iterator[Browser]:
    """Its administrator; the directory is let go in the end, for a tenant at a time can have it."""
    with administrator(site.url, site.database_url, company.tenant_id) as browser:
        yield browser
        browser.get("/console/setup/graph")
        browser.post("/console/connection/disconnect")


@pytest.fixture
def there(site: Site) -> EntraTenant:
    """The directory whose administrator consents."""
    site.entra.reset()
    return site.entra.tenant()


# Away to Microsoft and back -----------------------------------------------------------------------------------------


def chosen(answer: httpx.Response, user: str) -> str:
    """Choose an account on Microsoft's page; give the path of ours that it leads back to."""
    return _back(httpx.post(where(answer), data={"user": user}))


def declined(answer: httpx.Response) -> str:
    """Close Microsoft's page."""
    return _back(httpx.post(where(answer), data={"cancel": "1"}))


def consented(answer: httpx.Response) -> str:
    """Answer Microsoft's question for consent as the simulator is set to."""
    return _back(httpx.get(where(answer)))


def _back(answer: httpx.Response) -> str:
    assert 302 == answer.status_code, answer.text
    parts = urlsplit(where(answer))
    return f"{parts.path}?{parts.query}"


def connect(admin: Browser, user: str) -> httpx.Response:
    """Go all the way of consent, signed in as a user; give the answer to the last form."""
    asked = admin.get(consented(admin.get("/console/microsoft/consent", 303)), 303)
    assert "/console/connection/finish" == where(admin.get(chosen(asked, user), 303))
    admin.get("/console/connection/finish")
    return admin.http.post("/console/connection/finish", data={"_token": admin.token})


# Signing in ---------------------------------------------------------------------------------------------------------


def test_an_administrator_links_an_account_and_signs_in_with_it(site: Site, admin: Browser, there: EntraTenant) -> None:
    """Linked while signed in by a link; from then on in any browser, until it is unlinked."""
    user = there.user(unique("ada"))
    linked = said(admin.get(where(admin.get(chosen(admin.get("/console/account/microsoft", 303), user), 303))))
    with nobody(site.url) as other:
        back = chosen(other.get("/console/microsoft?next=/console/teams", 303), user)
        assert "/console/teams" == where(other.get(back, 303))
        assert "Teams" in said(other.get("/console/teams"))
    admin.get("/console/account")
    unlinked = admin.send("/console/account/microsoft/unlink")
    with nobody(site.url) as other:
        refused = other.get(chosen(other.get("/console/microsoft", 303), user), 403)

    assert "You can sign in with Microsoft now" in linked
    assert "is unlinked" in unlinked
    assert "sign in by a link once and link it there" in said(refused)


def test_an_account_signs_in_as_one_administrator(
    site: Site, company: Company, admin: Browser, there: EntraTenant
) -> None:
    """Linked twice, the second is told; nothing of the first is."""
    user = there.user(unique("eve"))
    admin.get(chosen(admin.get("/console/account/microsoft", 303), user), 303)
    with administrator(site.url, site.database_url, company.tenant_id) as other:
        refused = other.get(chosen(other.get("/console/account/microsoft", 303), user), 409)

    assert "signs in as somebody else here already" in said(refused)


def test_a_return_is_good_once_in_its_browser_and_session(site: Site, company: Company, there: EntraTenant) -> None:
    """Another browser, a second time, a new session: each begins anew."""
    user = there.user(unique("bob"))
    with administrator(site.url, site.database_url, company.tenant_id) as admin, nobody(site.url) as other:
        back = chosen(admin.get("/console/account/microsoft", 303), user)
        assert "did not begin in this browser" in said(other.get(back, 400))
        admin.get(back, 303)
        assert "did not begin in this browser" in said(admin.get(back, 400))

        back = chosen(admin.get("/console/account/microsoft", 303), user)
        admin.get("/console/account")
        admin.post("/console/sign-out")
        assert "signed out meanwhile" in said(admin.get(back, 400))


def test_who_declines_at_microsoft_is_told_what_to_do(site: Site) -> None:
    """On a page that leads back to the sign-in."""
    with nobody(site.url) as visitor:
        refused = visitor.get(declined(visitor.get("/console/microsoft", 303)), 400)

    assert "Sign in again and accept" in said(refused)
    assert 'href="/console/sign-in"' in refused.text


def test_a_sign_in_leads_to_no_other_host(site: Site, admin: Browser, there: EntraTenant) -> None:
    """Whatever the link to it says."""
    user = there.user(unique("mallory"))
    admin.get(chosen(admin.get("/console/account/microsoft", 303), user), 303)
    with nobody(site.url) as other:
        for path in ("//evil.example", "https://evil.example", "/\\evil.example", "/me"):
            back = chosen(other.get("/console/microsoft", 303, next=path), user)
            assert "/console" == where(other.get(back, 303)), path


def test_a_member_finds_their_own_pages(site: Site, company: Company, admin: Browser, there: EntraTenant) -> None:
    """By object id, once the directory has proved itself; strangers of the same directory do not."""
    user, stranger = there.user(unique("nora")), there.user(unique("sam"))
    company.hire(externalId=user)
    assert 303 == connect(admin, user).status_code
    with nobody(site.url) as someone:
        assert "/me" == where(someone.get(chosen(someone.get("/me/microsoft", 303), user), 303))
        assert "Your cards" in said(someone.get("/me"))
    with nobody(site.url) as someone:
        refused = someone.get(chosen(someone.get("/me/microsoft", 303), stranger), 403)
    with nobody(site.url) as someone:
        assert "/me" == where(someone.get(chosen(someone.get("/console/microsoft", 303), user), 303))
        assert "administers nothing here" in said(someone.get("/me"))

    assert "ask your administrator" in said(refused)


# Consent ------------------------------------------------------------------------------------------------------------


def test_consent_connects_the_directory(company: Company, admin: Browser, there: EntraTenant) -> None:
    """The page shows it, the log tells it; what came back is used up."""
    before = said(admin.get("/console/setup/graph"))
    away = admin.get("/console/microsoft/consent", 303)
    returned = consented(away)
    asked = admin.get(returned, 303)
    admin.get(chosen(asked, there.user(unique("global-admin"))), 303)
    page = said(admin.get("/console/connection/finish"))
    done = admin.send("/console/connection/finish")

    assert "Connect Microsoft Graph" in before
    assert "/organizations/v2.0/adminconsent" in where(away)
    assert "may need a minute" in page
    assert "Your directory is connected" in done
    assert f"Directory {there.id} Permissions User.Read.All granted Group.Read.All granted" in done
    assert "Next running Waiting for its turn" in done
    assert [("connect", "success")] == [(each["action"], each["outcome"]) for each in company.log(action="connect")]
    assert "the link was used" in said(admin.get(returned, 409))
    assert "Open 'Connect' again" in said(admin.get("/console/connection/finish", 400))
    admin.get("/console/setup/graph")
    assert "Open 'Connect' again" in said(admin.post("/console/connection/finish", 400))


def test_who_belongs_to_another_directory_connects_nothing(
    site: Site, company: Company, admin: Browser, there: EntraTenant
) -> None:
    """The id token says whose browser it is; that a directory consented does not."""
    elsewhere = site.entra.new_tenant().user(unique("intruder"))
    refused = connect(admin, elsewhere)

    assert 409 == refused.status_code
    assert "You signed in to another directory than the one that consented" in said(refused)
    assert "not connected" in said(admin.get("/console/setup/graph"))
    assert ["failure"] == [each["outcome"] for each in company.log(action="connect")]


@pytest.mark.parametrize(
    ("role", "status"), [("b79fbf4d-3ef9-4689-8143-76b194e85509", 400), ("62e90394-69f5-4237-9190-012177145e10", 303)]
)
def test_an_employee_connects_nothing(
    site: Site, company: Company, admin: Browser, there: EntraTenant, role: str, status: int
) -> None:
    """Where id tokens name directory roles, just those who administer the directory prove that it is theirs."""
    site.entra.do("settings", wids=[role])
    asked = admin.get(consented(admin.get("/console/microsoft/consent", 303)), 303)
    returned = admin.get(chosen(asked, there.user(unique("employee"))), status)

    assert (status == 400) == ("Only an administrator of a Microsoft directory connects it" in said(returned))
    assert "not connected" in said(admin.get("/console/setup/graph"))


def test_a_state_belongs_to_the_session_that_asked(
    site: Site, company: Company, admin: Browser, there: EntraTenant
) -> None:
    """Nobody else returns with it; one that we did not make is none."""
    returned = consented(admin.get("/console/microsoft/consent", 303))
    with administrator(site.url, site.database_url, company.tenant_id) as other:
        foreign = other.get(returned, 409)
    forged = admin.get(f"{returned}x", 409)

    assert "made for another sign-in" in said(foreign)
    assert "did not begin with a consent link of ours" in said(forged)


def test_a_link_of_the_api_is_good_for_any_administrator(
    site: Site, company: Company, admin: Browser, there: EntraTenant
) -> None:
    """The key has no browser; who returns proves their directory all the same."""
    link = company.call("POST", "connection/consent", 200, {})["url"]
    returned = _back(httpx.get(link))
    asked = admin.get(returned, 303)
    admin.get(chosen(asked, there.user(unique("ada"))), 303)
    admin.get("/console/connection/finish")

    assert "Your directory is connected" in admin.send("/console/connection/finish")


def test_declined_consent_is_said(site: Site, admin: Browser, there: EntraTenant) -> None:
    """`admin_consent=True` stands in that return as well."""
    site.entra.do("settings", consent="deny")
    refused = admin.get(consented(admin.get("/console/microsoft/consent", 303)), 409)

    assert "Consent was declined. Open the link again and accept as an administrator." in said(refused)
    assert 'href="/console/setup/graph"' in refused.text


def test_an_expired_state_is_refused(site: Site, company: Company, admin: Browser, there: EntraTenant) -> None:
    """After half an hour; nobody is asked to sign in for it."""
    returned = consented(admin.get("/console/microsoft/consent", 303))

    def expire(connection: Connection) -> None:
        connection.run(EXPIRE, {"tenant_id": company.tenant_id})

    in_core(site.database_url, lambda database: database.write(expire))

    assert "expired" in said(admin.get(returned, 409))


# While it is connected ----------------------------------------------------------------------------------------------


def test_sync_now_shows_its_progress_until_disconnect(company: Company, admin: Browser, there: EntraTenant) -> None:
    """Without a connection neither is possible."""
    admin.get("/console/setup/graph")
    nothing = admin.post("/console/connection/sync", 409)
    connect(admin, there.user(unique("ada")))
    admin.get("/console/setup/graph")
    running = admin.send("/console/connection/sync")
    gone = admin.send("/console/connection/disconnect")

    assert "not connected to Microsoft Graph" in said(nothing)
    assert "Next running Waiting for its turn" in running
    assert "Microsoft Graph is disconnected" in gone
    assert "Connect Microsoft Graph" in gone
    assert ["disconnect", "sync now", "connect", "sync now"] == [each["action"] for each in company.log(source="admin")]


def test_groups_of_the_directory_are_listed_added_and_removed(
    site: Site, company: Company, admin: Browser, there: EntraTenant
) -> None:
    """With those of their members that are here; the name is the directory's."""
    name = unique("Sales")
    user = there.user(unique("lea"))
    object_id = there.group(name, user, there.user(unique("away")))
    company.hire(externalId=user, displayName="Lea Winter")
    connect(admin, user)
    listed = said(admin.get("/console/groups", q=name))
    added = admin.send(f"/console/groups/entra/{object_id}/add", back=f"/console/groups?q={name}")
    here = said(admin.get("/console/groups", view="here"))
    (team,) = company.all("teams")
    admin.get("/console/groups")
    removed = admin.send(f"/console/groups/{team['group_id']}/remove")
    unknown = admin.post(f"/console/groups/entra/{site.entra.tenant_id}/add", 404)

    assert f"{name} Not synced Add" in listed
    assert f"'{name}' is a team now, with 1 of its people who is here." in added
    assert f"{name} Synced 1" in added
    assert f"{name} Synced 1" in here
    assert (name, 1) == (team["name"], team["member_count"])
    assert "no longer synced" in removed
    assert "was not found" in said(unknown)


def test_a_directory_that_does_not_answer_leaves_what_is_here(
    site: Site, company: Company, admin: Browser, there: EntraTenant
) -> None:
    """And the page says so."""
    connect(admin, there.user(unique("ada")))
    company.found(displayName="Pushed Group")
    site.entra.do("fault", kind="forbidden", path="/groups", count=20)
    page = said(admin.get("/console/groups"))
    site.entra.reset()

    assert "Your directory could not be asked" in page
    assert "Pushed Group Synced 0" in page


def test_the_user_filter_keeps_ticks_while_one_searches(company: Company, admin: Browser, there: EntraTenant) -> None:
    """Nothing is saved before Save; then a sync is asked for. Without ticks everybody is imported."""
    sales, engineering = (there.group(unique(name)) for name in ("Sales", "Engineering"))
    connect(admin, there.user(unique("ada")))
    empty = admin.get("/console/setup/graph/filter")
    searched = admin.post(
        "/console/setup/graph/filter/search", 200, q="Engineering", group=sales, **{f"name-{sales}": "Sales of old"}
    )
    unsaved = said(admin.get("/console/setup/graph"))
    saved = admin.send("/console/setup/graph/filter", group=[sales, engineering])
    wrong = admin.post("/console/setup/graph/filter", 400, group="no-id")
    everybody = admin.send("/console/setup/graph/filter")

    assert "checked" not in empty.text
    assert f'value="{sales}" checked' in searched.text
    assert f'value="{engineering}">' in searched.text
    assert "Sales of old" in said(searched)
    assert "Everybody in the directory" in unsaved
    assert f"Only direct members of: {' '.join(sorted([sales, engineering]))}" in saved
    assert "Next running" in saved
    assert "a GUID" in said(wrong)
    assert "Everybody in the directory" in everybody
