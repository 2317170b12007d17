"""Search for the console: by word, with pages that lead nowhere else, and by beginning where words do not work."""

from __future__ import annotations

import pytest

from app_core.errors import Invalid
from graph_fallback import search
from graph_fallback.client import Throttled
from graph_fallback.tokens import GraphRefused, MissingPermission
from tests.graph_fallback.loopback import DIRECTORY, Asked, Entra, Reply, StillClock, asking, error

GROUP = {"id": DIRECTORY, "displayName": "Sales", "mailEnabled": False, "securityEnabled": True, "groupTypes": []}


def test_all_groups_in_order(entra: Entra) -> None:
    """Without a text there are all of them, by name, counted."""
    entra.script(Reply(200, {"value": [GROUP], "@odata.count": 1}))

    found = asking(entra, search.groups)

    (asked,) = entra.asked
    assert ("/v1.0/groups", "eventual") == (asked.path, asked.headers["consistencylevel"])
    assert ("displayName", "true", "25") == tuple(asked.params[name] for name in ("$orderby", "$count", "$top"))
    assert "$search" not in asked.params
    assert ["Sales"] == [group.display_name for group in found.items]
    assert ["security"] == [group.kind for group in found.items]
    assert (1, None) == (found.count, found.next)


def test_groups_by_a_word(entra: Entra) -> None:
    """Name and mail are searched; quotes and backslashes of the text stay in it."""
    asking(entra, lambda client: search.groups(client, '  Sa"les \\ & Ops '))

    assert r'"displayName:Sa\"les \\ & Ops" OR "mail:Sa\"les \\ & Ops"' == entra.asked[0].params["$search"]


def test_users_by_a_word(entra: Entra) -> None:
    """Users are found by name, user principal name and mail."""
    entra.script(Reply(200, {"value": [{"id": DIRECTORY, "displayName": "Lidia"}]}))

    found = asking(entra, lambda client: search.users(client, "li"))

    assert "/v1.0/users" == entra.asked[0].path
    assert '"displayName:li" OR "userPrincipalName:li" OR "mail:li"' == entra.asked[0].params["$search"]
    assert ["Lidia"] == [user.display_name for user in found.items]


@pytest.mark.parametrize(("limit", "top"), [(0, "1"), (-5, "1"), (10, "10"), (5000, "100")])
def test_a_page_has_a_size(entra: Entra, limit: int, top: str) -> None:
    """Whatever is asked for."""
    asking(entra, lambda client: search.groups(client, limit=limit))

    assert top == entra.asked[0].params["$top"]


@pytest.mark.parametrize("status", [400, 501])
def test_what_cannot_be_searched_is_looked_up_by_its_beginning(entra: Entra, status: int) -> None:
    """Some directories and texts cannot be searched; quotes are doubled as OData wants it."""
    entra.script(error(status, "Request_UnsupportedQuery"), Reply(200, {"value": [GROUP]}))

    found = asking(entra, lambda client: search.groups(client, "Sales' O"))

    asked = entra.asked[1]
    assert "startswith(displayName,'Sales'' O') or startswith(mail,'Sales'' O')" == asked.params["$filter"]
    assert not {"$search", "$orderby"} & set(asked.params)
    assert 1 == len(found.items)


def test_other_refusals_are_no_reason_to_try_otherwise(entra: Entra, clock: StillClock) -> None:
    """A missing permission is missing for any question; a pause counts for all of them."""
    entra.roles = ()
    entra.script(error(403, "Authorization_RequestDenied"))
    with pytest.raises(MissingPermission):
        asking(entra, lambda client: search.groups(client, "x"))

    entra.script(Reply(429, {}, {"Retry-After": "100"}))
    with pytest.raises(Throttled):
        asking(entra, lambda client: search.groups(client, "x"), clock)

    assert 2 == len(entra.asked)


def test_pages_follow_each_other(entra: Entra) -> None:
    """What leads to the next page is the query of Graph's link, as it came."""
    query = "$select=id&$search=%22displayName%3Asa%22&$skiptoken=RFNwdAIAA%2B%2f~x_-"
    link = f"{entra.url}/v1.0/groups?{query}"
    entra.graph = lambda asked: Reply(
        200, {"value": [GROUP], **({} if "$skiptoken" in asked.query else {"@odata.nextLink": link})}
    )

    first = asking(entra, lambda client: search.groups(client, "sa"))
    second = asking(entra, lambda client: search.groups(client, "sa", after=first.next))

    assert query == first.next == entra.asked[1].query
    assert "eventual" == entra.asked[1].headers["consistencylevel"]
    assert None is second.next


@pytest.mark.parametrize(
    "after",
    [
        "",
        "/../../v1.0/auditLogs/provisioning",
        "https://evil.example/?x",
        "#/users",
        "x\r\nHost: evil.example",
        "?@evil.example/",
        "ü",
        "%2e%2e/users",
        "$skiptoken=x&$expand=members",
        "$skiptoken=x&%24Expand=members",
        "$skiptoken=x&expand=members",
    ],
)
def test_a_made_up_page_is_not_asked_for(entra: Entra, after: str) -> None:
    """It comes from a browser: what is no place in a list, or asks for more than we do, never reaches Graph."""
    with pytest.raises(Invalid, match=r"^after: "):
        asking(entra, lambda client: search.groups(client, after=after))

    assert [] == entra.asked


@pytest.mark.parametrize(
    "after",
    [
        "$skiptoken=/../../v1.0/auditLogs/provisioning",
        "$skiptoken=https://evil.example/?x",
        "$skiptoken=#/users",
        "$skiptoken=x\r\nHost: evil.example",
        "$skiptoken=?@evil.example/",
    ],
)
def test_a_made_up_page_leads_nowhere_else(entra: Entra, after: str) -> None:
    """Whatever it holds, the question is one for groups, asked of Graph."""
    asking(entra, lambda client: search.groups(client, after=after))

    assert ["/v1.0/groups"] == [asked.path for asked in entra.asked]
    assert entra.url.endswith(entra.asked[0].headers["host"])


@pytest.mark.parametrize(("status", "code"), [(400, "Directory_ExpiredPageToken"), (400, "BadRequest"), (410, "gone")])
def test_a_page_that_is_too_old_is_said(entra: Entra, status: int, code: str) -> None:
    """Whoever reads on begins again; it is nobody's to mend."""
    entra.script(error(status, code))

    with pytest.raises(Invalid, match=r"begin the list again"):
        asking(entra, lambda client: search.groups(client, after="$skiptoken=x"))


def test_a_page_too_long_to_be_ours_is_refused(entra: Entra) -> None:
    """Nobody gets to send kilobytes through us."""
    with pytest.raises(Invalid):
        asking(entra, lambda client: search.groups(client, after="x" * 10_000))


def test_a_long_text_is_cut(entra: Entra) -> None:
    """What nobody types is not sent."""
    asking(entra, lambda client: search.groups(client, "x" * 5000))

    assert len(entra.asked[0].query) < 1000


def test_one_group(entra: Entra) -> None:
    """To be added, a group is read by its id; one that is not there is None."""

    def answer(asked: Asked) -> Reply:
        return Reply(200, GROUP) if asked.path.endswith(DIRECTORY) else error(404, "Request_ResourceNotFound")

    entra.graph = answer
    found = asking(entra, lambda client: search.group(client, DIRECTORY.upper()))

    assert found is not None
    assert "Sales" == found.display_name
    assert None is asking(entra, lambda client: search.group(client, DIRECTORY.replace("a", "b")))


@pytest.mark.parametrize("key", ["", "x", "../users", f"{DIRECTORY}/members", "a" * 36])
def test_a_group_is_named_by_its_object_id(entra: Entra, key: str) -> None:
    """What is none never becomes part of an address."""
    with pytest.raises(Invalid):
        asking(entra, lambda client: search.group(client, key))

    assert [] == entra.asked


def test_a_fault_in_the_fallback_is_told(entra: Entra) -> None:
    """Where neither way works it is refused, once each."""
    entra.script(error(400, "BadRequest"))

    with pytest.raises(GraphRefused, match="BadRequest"):
        asking(entra, lambda client: search.groups(client, "x"))

    assert 2 == len(entra.asked)
