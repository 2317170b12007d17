"""What anybody may try, one address may try so often: then it is told when to come back, and others are not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest

from admin_console import rate_limit
from admin_console.rate_limit import Buckets
from app_core import clock
from tests.api import NAME, Company
from tests.conftest import Server
from tests.console import said


class Hands:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    """The clock of this process, in our hands."""
    made = Hands()
    monkeypatch.setattr(clock, "ticks", made)
    return made


def test_an_address_has_so_many_turns_and_gets_others_with_time(hands: Hands) -> None:
    """It is told in whole seconds when there is another one, and that is true; nothing is saved up beyond the first."""
    buckets = Buckets(burst=3, per_second=0.5)

    assert [0, 0, 0, 2] == [buckets.take("192.0.2.1") for _ in range(4)]
    hands.now += 1.5
    assert 1 == buckets.take("192.0.2.1")
    hands.now += 0.5
    assert [0, 2] == [buckets.take("192.0.2.1") for _ in range(2)]
    hands.now += 3600
    assert [0, 0, 0, 2] == [buckets.take("192.0.2.1") for _ in range(4)]


def test_asking_while_there_is_no_turn_does_not_put_it_off(hands: Hands) -> None:
    """Who asks again and again waits no longer than who does not."""
    buckets = Buckets(burst=1, per_second=0.125)
    buckets.take("192.0.2.1")
    waits = []
    for _ in range(8):
        waits.append(buckets.take("192.0.2.1"))
        hands.now += 1

    assert [8, 7, 6, 5, 4, 3, 2, 1] == waits
    assert 0 == buckets.take("192.0.2.1")


def test_addresses_do_not_share_turns_but_one_network_of_ipv6_does(hands: Hands) -> None:
    """A household has a /64; an IPv4 address is the same in both spellings."""
    buckets = Buckets(burst=1)

    assert 0 == buckets.take("192.0.2.1")
    assert 0 == buckets.take("192.0.2.2")
    assert 0 < buckets.take("::ffff:192.0.2.1")
    assert 0 == buckets.take("2001:db8:1:2::1")
    assert 0 < buckets.take("2001:db8:1:2:ffff::9%eth0")
    assert 0 == buckets.take("2001:db8:1:3::1")
    assert 0 == buckets.take("testclient")


def test_only_so_many_addresses_are_remembered(hands: Hands) -> None:
    """Whoever was quiet the longest is forgotten first."""
    buckets = Buckets(burst=1, most=100)
    for at in range(1000):
        buckets.take(f"198.51.100.{at}")
        buckets.take("192.0.2.1")

    assert 100 == len(buckets)
    assert 0 < buckets.take("192.0.2.1")
    assert 0 == buckets.take("198.51.100.5")


@pytest.fixture
def somebody(server: Server) -> Iterator[httpx.Client]:
    """Somebody whose proxy says which address is theirs."""
    with httpx.Client(base_url=server.url, headers={"X-Forwarded-For": "192.0.2.77"}, timeout=60) as http:
        yield http


def test_who_tries_too_much_is_told_when_to_come_back(somebody: httpx.Client, server: Server, company: Company) -> None:
    """Codes, claim links and sign-in links share the turns of an address; cards and other addresses do not."""
    tries: list[Callable[[], httpx.Response]] = [
        lambda: somebody.post("/start", data={"at": "nowhere", "who": "a", "code": "b"}),
        lambda: somebody.get("/claim/scimclaim_made-up"),
        lambda: somebody.get("/console/sign-in?link=scimlink_made-up"),
        lambda: somebody.post("/me/sign-in", data={"link": "scimlink_made-up"}),
    ]
    answers = [tries[at % len(tries)]() for at in range(rate_limit.BURST)]
    refused = next(answer for answer in (each() for _ in range(200) for each in tries) if answer.status_code == 429)
    elsewhere = httpx.get(f"{server.url}/start", headers={"X-Forwarded-For": "192.0.2.78"})
    person = company.hire()
    company.new_template(NAME, groups=[company.found(person)])
    card = company.card(company.person(person))

    assert 429 not in {each.status_code for each in answers}
    assert 0 < int(refused.headers["retry-after"]) <= 2
    assert f"Try again in {refused.headers['retry-after']} second" in said(refused)
    assert 200 == elsewhere.status_code
    assert 200 == somebody.get(f"/c/{card['slug']}").status_code
