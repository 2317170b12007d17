"""Pages: empty ones are normal, circles are noticed, and only a walk that reaches its end is complete."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph_fallback import pages
from graph_fallback.client import DeltaExpired, ForeignLink, GraphClient
from graph_fallback.pages import ALL_USERS, USERS_DELTA, ListingBroken, Page
from graph_fallback.tokens import GraphError, GraphUnavailable
from tests.graph_fallback.loopback import Asked, Entra, Reply, StillClock, asking, error


def book(entra: Entra, *leaves: dict[str, Any]) -> None:
    """Answer with pages one behind the other; each but the last names the next."""

    def answer(asked: Asked) -> Reply:
        at = int(asked.params.get("$skiptoken", 0))
        leaf = dict(leaves[at])
        if at + 1 < len(leaves) and "@odata.nextLink" not in leaf:
            leaf["@odata.nextLink"] = f"{entra.url}/v1.0{asked.path.removeprefix('/v1.0')}?$skiptoken={at + 1}"
        return Reply(200, leaf)

    entra.graph = answer


def objects(*ids: str) -> list[dict[str, str]]:
    return [{"id": each} for each in ids]


async def read_delta(client: GraphClient, start: str = USERS_DELTA, **how: Any) -> list[Page]:
    return [page async for page in pages.delta(client, start, **how)]


async def read_list(client: GraphClient, start: str = ALL_USERS, **how: Any) -> list[Page]:
    return [page async for page in pages.listed(client, start, **how)]


def delta_link(entra: Entra) -> dict[str, str]:
    return {"@odata.deltaLink": f"{entra.url}/v1.0/users/delta?$deltatoken=new"}


def test_a_round_of_changes(entra: Entra) -> None:
    """Empty pages in the middle are gone through; the last page has the delta link, the others the next one."""
    book(
        entra,
        {"value": objects("1", "2")},
        {"value": []},
        {"value": []},
        {"value": objects("3")},
        {"value": [], **delta_link(entra)},
    )

    found = asking(entra, read_delta)

    assert ["1", "2", "3"] == [item["id"] for page in found for item in page.items]
    assert [True] * 4 + [False] == [page.next_link is not None for page in found]
    assert [None] * 4 + [delta_link(entra)["@odata.deltaLink"]] == [page.delta_link for page in found]
    assert [page.next_link or page.delta_link for page in found] == [page.link for page in found]


def test_what_a_round_asks(entra: Entra) -> None:
    """All properties are named, or their changes would show nobody; a first round asks for whole objects."""
    book(entra, {"value": [], **delta_link(entra)})

    asking(entra, read_delta)
    asking(entra, lambda client: read_delta(client, pages.GROUPS_DELTA))

    users, groups = entra.asked
    assert ("/v1.0/users/delta", "/v1.0/groups/delta") == (users.path, groups.path)
    assert {"department", "companyName", "accountEnabled", "manager", "faxNumber"} <= set(
        users.params["$select"].split(",")
    )
    assert {"displayName", "members"} <= set(groups.params["$select"].split(","))
    assert "prefer" not in users.headers


def test_a_later_round_may_ask_for_changes_only(entra: Entra) -> None:
    """`Prefer: return=minimal` goes with every page of the round."""
    book(entra, {"value": []}, {"value": [], **delta_link(entra)})

    asking(entra, lambda client: read_delta(client, minimal=True))

    assert ["return=minimal"] * 2 == [asked.headers["prefer"] for asked in entra.asked]


def test_nothing_changed(entra: Entra) -> None:
    """One empty page with a new link is a whole round."""
    book(entra, {"value": [], **delta_link(entra)})

    (page,) = asking(entra, read_delta)

    assert ([], delta_link(entra)["@odata.deltaLink"]) == (page.items, page.link)


def test_a_round_goes_on_where_it_was_left(entra: Entra) -> None:
    """The next link of any page is a start; what came before it is not asked again."""
    book(entra, {"value": objects("1")}, {"value": objects("2")}, {"value": objects("3"), **delta_link(entra)})
    first = asking(entra, read_delta)[0]
    entra.asked.clear()

    rest = asking(entra, lambda client: read_delta(client, first.link or ""))

    assert ["2", "3"] == [item["id"] for page in rest for item in page.items]
    assert 2 == len(entra.asked)


def test_a_round_that_just_stops_is_broken(entra: Entra) -> None:
    """A page with no link at all is not handed out: whoever remembered its link would forget where to go on."""
    book(entra, {"value": objects("1")}, {"value": objects("2")})
    seen: list[Page] = []

    async def read(client: GraphClient) -> None:
        async for page in pages.delta(client, USERS_DELTA):
            seen.append(page)  # noqa: PERF401 - what came before it broke counts

    with pytest.raises(ListingBroken):
        asking(entra, read)

    assert ["1"] == [item["id"] for page in seen for item in page.items]
    assert None not in [page.link for page in seen]


@pytest.mark.parametrize("back_to", [0, 1, 2])
def test_a_circle_is_noticed(entra: Entra, back_to: int) -> None:
    """A page that names an earlier one ends the walk, and nobody gets to remember that link."""
    circle = {"@odata.nextLink": f"{entra.url}/v1.0/users/delta?$skiptoken={back_to}"}
    book(entra, {"value": objects("1")}, {"value": []}, {"value": objects("2"), **circle})
    seen: list[Page] = []

    async def read(client: GraphClient) -> None:
        async for page in pages.delta(client, f"{entra.url}/v1.0/users/delta?$skiptoken=0"):
            seen.append(page)  # noqa: PERF401 - what came before it broke counts

    with pytest.raises(ListingBroken, match="circles"):
        asking(entra, read)

    assert 2 == len(seen)
    assert 3 == len(entra.asked)


def test_an_endless_list_ends(entra: Entra) -> None:
    """Ever new links to ever more empty pages do not keep a worker for ever."""
    entra.graph = lambda asked: Reply(
        200,
        {
            "value": [],
            "@odata.nextLink": f"{entra.url}/v1.0/users?$skiptoken={int(asked.params.get('$skiptoken', 0)) + 1}",
        },
    )

    with pytest.raises(ListingBroken, match="more than 10 pages"):
        asking(entra, lambda client: read_list(client, most=10))

    assert 10 == len(entra.asked)


def test_one_page_of_a_round(entra: Entra) -> None:
    """For whoever takes a page a step: it has a link to remember, or is refused."""
    book(entra, {"value": objects("1")}, {"value": objects("2")})

    first = asking(entra, lambda client: pages.delta_page(client, USERS_DELTA, minimal=True))

    assert first.next_link == first.link is not None
    assert "return=minimal" == entra.asked[0].headers["prefer"]
    with pytest.raises(ListingBroken):
        asking(entra, lambda client: pages.delta_page(client, first.link or ""))


def test_a_complete_list(entra: Entra) -> None:
    """A list ends where no next page is named."""
    book(entra, {"value": objects("1"), "@odata.count": 2}, {"value": objects("2")})

    found = asking(entra, read_list)

    assert ["1", "2"] == [item["id"] for page in found for item in page.items]
    assert [2, None] == [page.count for page in found]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"value": None},
        {"value": {"id": "1"}},
        {"value": [], "@odata.nextLink": 5},
        {"value": [], "@odata.nextLink": ""},
        {"value": [], "@odata.deltaLink": ["x"]},
    ],
)
def test_what_is_no_page_breaks_the_list(entra: Entra, body: dict[str, Any]) -> None:
    """A page that cannot be read is no end of a list."""
    book(entra, {"value": objects("1"), "@odata.nextLink": f"{entra.url}/v1.0/users?$skiptoken=1"}, body)

    with pytest.raises(ListingBroken):
        asking(entra, read_list)


def test_unreadable_entries_are_counted(entra: Entra) -> None:
    """What has no id is left out and counted: a listing with such an entry proves nobody's absence."""
    book(entra, {"value": [{"id": "1"}, {"id": None}, {"id": ""}, "x", 5, None, {}, {"id": "2"}]})

    (page,) = asking(entra, read_list)

    assert (["1", "2"], 6) == ([item["id"] for item in page.items], page.unreadable)


def test_a_list_whose_link_ages_is_broken(entra: Entra) -> None:
    """A skip token that is no longer good cannot be told from a list that ends: it is not complete."""
    pages_then = [Reply(200, {"value": objects("1"), "@odata.nextLink": f"{entra.url}/v1.0/users?$skiptoken=1"})]
    entra.script(*pages_then, error(400, "Directory_ExpiredPageToken"))

    with pytest.raises(ListingBroken) as broken:
        asking(entra, read_list)

    assert "Directory_ExpiredPageToken" == broken.value.facts["error"]


def test_a_round_whose_link_ages_asks_for_a_full_one(entra: Entra) -> None:
    """Of a round of changes it is told as what it is, with where to begin."""
    restart = f"{entra.url}/v1.0/users/delta?$deltatoken="
    first = Reply(200, {"value": objects("1"), "@odata.nextLink": f"{entra.url}/v1.0/users/delta?$skiptoken=1"})
    entra.script(first, Reply(410, {}, {"Location": restart}))

    with pytest.raises(DeltaExpired) as expired:
        asking(entra, read_delta)

    assert restart == expired.value.restart


def test_trouble_in_the_middle_is_no_end(entra: Entra, clock: StillClock) -> None:
    """Throttled or unreachable for too long: it is told, and what was read so far is no complete list."""
    first = Reply(200, {"value": objects("1"), "@odata.nextLink": f"{entra.url}/v1.0/users?$skiptoken=1"})
    entra.script(first, error(503, "x"))

    with pytest.raises(GraphUnavailable):
        asking(entra, read_list, clock)


@pytest.mark.parametrize("name", ["@odata.nextLink", "@odata.deltaLink"])
def test_a_page_with_a_foreign_link_is_not_handed_out(entra: Entra, name: str) -> None:
    """Our token does not go there, and nobody remembers the link: who asks again asks Graph."""
    book(entra, {"value": objects("1"), name: "https://evil.example/v1.0/users/delta?$skiptoken=1"})

    with pytest.raises(ForeignLink):
        asking(entra, lambda client: pages.delta_page(client, USERS_DELTA))


@pytest.mark.parametrize(
    ("link", "all_of_it"),
    [
        (f"https://graph/v1.0{USERS_DELTA}", True),
        (f"https://graph/v1.0{USERS_DELTA}&$deltatoken=", True),
        (f"https://graph/v1.0{USERS_DELTA.replace('$', '%24').replace(',', '%2C')},aboutMe", True),
        (f"https://graph/v1.0{USERS_DELTA.removesuffix(',manager')}", False),
        ("https://graph/v1.0/users/delta?$deltatoken=", False),
    ],
)
def test_what_a_link_asks_for(link: str, all_of_it: bool) -> None:
    """A link that lacks one of our properties, or names none, is no beginning of ours."""
    assert all_of_it == pages.asks_for(link, USERS_DELTA)


def test_a_list_is_complete_or_refused(entra: Entra) -> None:
    """Whatever the pages hold: all of it in order, or an error. Never a part without an error."""

    @settings(deadline=None, max_examples=30)
    @given(st.lists(st.integers(min_value=0, max_value=5), min_size=1, max_size=8), st.none() | st.integers(0, 7))
    def law(sizes: list[int], broken_at: int | None) -> None:
        leaves: list[dict[str, Any]] = [
            {"value": objects(*(f"{at}-{each}" for each in range(size)))} for at, size in enumerate(sizes)
        ]
        breaks = broken_at is not None and broken_at < len(leaves)
        if broken_at is not None and breaks:
            leaves[broken_at] = {"error": "no page"}
        book(entra, *leaves)
        expected = [f"{at}-{each}" for at, size in enumerate(sizes) for each in range(size)]

        try:
            found = [item["id"] for page in asking(entra, read_list) for item in page.items]
        except GraphError:
            assert breaks
        else:
            assert not breaks
            assert expected == found

    law()
