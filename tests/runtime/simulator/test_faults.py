"""Faults: each strikes as it is told, and pages that mislead still lead to the end."""

from __future__ import annotations

import time

import httpx
import pytest

from tests.runtime.simulator.rounds import DELTA, NEXT, error_code, items, latest, ok, pages
from tests.simulator import EntraTenant


@pytest.fixture
def people(contoso: EntraTenant) -> list[str]:
    """Twelve users on pages of three."""
    contoso.entra.do("settings", delta_page=3, list_page=3)
    return [contoso.user(f"person{n}") for n in range(12)]


# ── Refusals ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_storm_of_429_ends_for_who_waits(contoso: EntraTenant, graph: httpx.Client) -> None:
    """Retry-After is told; who asks again too early is refused again, and counted."""
    contoso.entra.do("fault", kind="throttle", retry_after=1, path="^/users/delta")

    first, early = graph.get("/users/delta"), graph.get("/users/delta")
    time.sleep(1)
    late = graph.get("/users/delta")

    assert [429, 429, 200] == [answer.status_code for answer in (first, early, late)]
    assert ("1", "TooManyRequests") == (first.headers["Retry-After"], error_code(first))
    assert first.headers["x-ms-throttle-scope"].startswith("Tenant_Application/")
    assert 1 == contoso.entra.do("counters")["counters"]["impatient"]


def test_429_may_lack_its_header(contoso: EntraTenant, graph: httpx.Client) -> None:
    """Then the client has to think of a delay by itself."""
    contoso.entra.do("fault", kind="throttle", count=2)

    answers = [graph.get("/users") for _ in range(3)]

    assert [429, 429, 200] == [answer.status_code for answer in answers]
    assert "Retry-After" not in answers[0].headers


def test_quota_is_counted_in_units(contoso: EntraTenant, graph: httpx.Client) -> None:
    """With a quota set, its use is told before it is used up."""
    contoso.entra.do("settings", units_per_10s=10)

    answers = [graph.get("/users") for _ in range(6)]

    assert [200] * 5 + [429] == [answer.status_code for answer in answers]
    assert "1.00" == answers[4].headers["x-ms-throttle-limit-percentage"]
    assert 1 <= int(answers[5].headers["Retry-After"]) <= 10


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_server_errors(contoso: EntraTenant, graph: httpx.Client, status: int) -> None:
    """A 5xx in Graph's form, with Retry-After when asked for."""
    contoso.entra.do("fault", kind="error", status=status, retry_after=2)

    answer = graph.get("/users")

    assert (status, "2") == (answer.status_code, answer.headers["Retry-After"])
    assert error_code(answer)
    assert 200 == graph.get("/users").status_code


def test_gateway_answers_html(contoso: EntraTenant, graph: httpx.Client) -> None:
    """Not everything that answers is Graph."""
    contoso.entra.do("fault", kind="error", status=502, html=True)
    contoso.entra.do("fault", kind="garbage", skip=1)

    gateway, garbage = graph.get("/users"), graph.get("/users")

    assert [(502, "text/html"), (200, "text/html")] == [
        (answer.status_code, answer.headers["Content-Type"].partition(";")[0]) for answer in (gateway, garbage)
    ]


def test_refused_tokens_and_permissions(contoso: EntraTenant, graph: httpx.Client) -> None:
    """401 and 403 at will, whatever the token says."""
    contoso.entra.do("fault", kind="unauthorized")
    contoso.entra.do("fault", kind="forbidden", skip=1)

    assert [401, 403, 200] == [graph.get("/users").status_code for _ in range(3)]


def test_slow_answer_and_one_that_never_comes(contoso: EntraTenant, graph: httpx.Client) -> None:
    """A slow answer is right; a timeout is a connection that says nothing and then breaks."""
    contoso.entra.do("fault", kind="slow", seconds=0.3)
    contoso.entra.do("fault", kind="timeout", seconds=0.2, skip=1)
    contoso.entra.do("fault", kind="timeout", seconds=30, skip=1)

    begun = time.monotonic()
    assert 200 == graph.get("/users").status_code
    assert time.monotonic() - begun >= 0.3
    with pytest.raises(httpx.RemoteProtocolError):
        graph.get("/users")
    with pytest.raises(httpx.ReadTimeout):
        graph.get("/users", timeout=0.3)


def test_answer_breaks_off(contoso: EntraTenant, graph: httpx.Client, people: list[str]) -> None:
    """The connection ends in the middle of a page; asked again it is whole."""
    contoso.entra.do("fault", kind="truncate", skip=1)
    first = ok(graph.get("/users"))

    with pytest.raises(httpx.RemoteProtocolError):
        graph.get(first[NEXT])
    assert 3 == len(ok(graph.get(first[NEXT]))["value"])


# ── Tokens ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "status", "code"), [("expired", 400, "syncStateNotFound"), ("gone", 410, "resyncRequired")]
)
def test_token_expires_in_the_middle_of_a_round(
    contoso: EntraTenant, graph: httpx.Client, people: list[str], kind: str, status: int, code: str
) -> None:
    """A first request has no token that could expire; the third page has."""
    contoso.entra.do("fault", kind=kind, skip=1, when="skiptoken")

    first = ok(graph.get("/users/delta"))
    second = ok(graph.get(first[NEXT]))
    third = graph.get(second[NEXT])

    assert (status, code) == (third.status_code, error_code(third))
    if status == 410:
        assert f"{contoso.entra.url}/v1.0/users/delta?$deltatoken=" == third.headers["Location"]


def test_token_expires_at_the_beginning(contoso: EntraTenant, graph: httpx.Client, people: list[str]) -> None:
    """`when` chooses which tokens expire."""
    link = latest(graph, "/users/delta")
    contoso.entra.do("fault", kind="expired", when="deltatoken")

    assert 4 == len(pages(graph, "/users/delta"))
    assert "syncStateNotFound" == error_code(graph.get(link))
    assert 200 == graph.get(link).status_code


def test_listing_breaks_off(contoso: EntraTenant, graph: httpx.Client, people: list[str]) -> None:
    """By an expired page token, which can be seen, or by a page that looks like the last, which cannot."""
    contoso.entra.do("fault", kind="expired_page", path="^/users", skip=1)
    contoso.entra.do("fault", kind="short_listing", path="^/groups", skip=1)
    for n in range(9):
        contoso.group(f"Group {n}")

    first = ok(graph.get("/users"))
    second = ok(graph.get(first[NEXT]))

    assert "Directory_ExpiredPageToken" == error_code(graph.get(second[NEXT]))
    short = pages(graph, "/groups")
    assert [3, 3] == [len(page["value"]) for page in short]
    assert NEXT not in short[-1]


# ── Shapes ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_misleading_pages_lead_to_everybody(contoso: EntraTenant, graph: httpx.Client, people: list[str]) -> None:
    """Empty pages, replays, duplicates and other orders, half of the time: nobody is missing at the end."""
    for seed, kind in enumerate(("empty_page", "replay", "duplicate", "reorder")):
        contoso.entra.do("fault", kind=kind, count=None, chance=0.5, seed=seed)

    found = pages(graph, "/users/delta?$select=id")

    struck = {fault["kind"]: fault["struck"] for fault in contoso.entra.do("faults")["faults"]}
    assert all(struck.values()), struck
    assert [] in [page["value"] for page in found]
    assert len(people) < len(items(found))
    assert set(people) == {item["id"] for item in items(found)}
    assert [True] == [DELTA in page for page in found if NEXT not in page]


def test_link_to_another_host(contoso: EntraTenant, graph: httpx.Client, people: list[str]) -> None:
    """A nextLink that would carry our token away."""
    contoso.entra.do("fault", kind="foreign_link")

    assert ok(graph.get("/users/delta"))[NEXT].startswith("http://graph.attacker.invalid/v1.0/users/delta?$skiptoken=")


def test_faults_strike_the_same_again_from_one_seed(contoso: EntraTenant, graph: httpx.Client) -> None:
    """Chance is reproducible."""

    def statuses() -> list[int]:
        contoso.entra.do("fault", kind="error", chance=0.4, seed=7, count=None)
        found = [graph.get("/users").status_code for _ in range(30)]
        contoso.entra.do("clear_faults")
        return found

    first = statuses()

    assert first == statuses()
    assert {200, 503} == set(first)


def test_login_can_fail(contoso: EntraTenant) -> None:
    """The token endpoint has faults of its own."""
    contoso.entra.do("fault", kind="error", face="login", path="/token", status=503, count=1)

    contoso.entra.do("fault", kind="throttle", face="login", retry_after=3, skip=1)
    contoso.entra.do("fault", kind="timeout", face="login", seconds=0.1, skip=1)

    assert 503 == contoso.entra.token(contoso.id).status_code
    with pytest.raises(httpx.RemoteProtocolError):
        contoso.entra.token(contoso.id)
    assert 200 == contoso.entra.token(contoso.id).status_code


# ── What was asked ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_requests_are_counted_and_listed(contoso: EntraTenant, graph: httpx.Client) -> None:
    """Counters by route and status; requests with their harmless headers, and never the token."""
    graph.get("/users/delta?$select=id", headers={"User-Agent": "scim-server/1", "x-ms-throttle-priority": "low"})
    graph.get("/users/none")

    counters = contoso.entra.do("counters")["counters"]
    [first, second] = contoso.entra.do("requests", path="/users")["requests"]

    assert (1, 1, 1) == (counters["GET /users/delta"], counters["GET /users/{id}"], counters["404"])
    assert {"user-agent": "scim-server/1", "x-ms-throttle-priority": "low"} == first["headers"]
    assert ("$select=id", contoso.id, 200) == (first["query"], first["tenant"], first["status"])
    assert 404 == second["status"]
    contoso.entra.do("counters", reset=True)
    assert {} == contoso.entra.do("counters")["counters"]


@pytest.mark.parametrize(
    ("verb", "arguments", "sentence"),
    [
        ("dance", {}, "There is no 'dance'"),
        ("settings", {"delta_page": 0}, "greater than or equal to 1"),
        ("settings", {"colour": "red"}, "colour"),
        ("fault", {"kind": "earthquake"}, "kind"),
        ("rename_group", {"group": "Nobody"}, "name"),
        ("rename_group", {"group": "Nobody", "name": "x"}, "There is no 'Nobody'"),
        ("create_user", {"userPrincipalName": "x@y.z", "shoeSize": 44}, "shoeSize"),
        ("create_tenant", {"name": "Contoso", "domain": "contoso.com"}, "already"),
    ],
)
def test_wrong_commands_are_refused(
    contoso: EntraTenant, verb: str, arguments: dict[str, object], sentence: str
) -> None:
    """A typing error in a test is loud, and says what is wrong."""
    answer = contoso.entra.control.post(f"/control/{verb}", json=arguments)

    assert 400 == answer.status_code
    assert sentence in answer.json()["error"]
