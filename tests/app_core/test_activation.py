"""Activations and start codes: shown once, working once, and saying nothing to who guesses (T3, invariant 20)."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import select

from app_core import activation, administration, credentials, manual_people, people, seats, self_service
from app_core.activation import V
from app_core.db import Statement
from app_core.errors import NotFound, NotPossible, WrongCode
from app_core.people import Person
from app_core.work import Work
from tests.app_core.builders import a_directory_user, later, person_of, refused, switched, told
from tests.app_core.conftest import MakeWork

CODE = re.compile(r"[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){2}")
EVERYTHING = Statement(select(V).where(V.c.tenant_id == V.c.tenant_id))


@pytest.fixture
def ada(work: Work) -> Person:
    """A person from the directory; what came before is not told."""
    person = person_of(work, a_directory_user(work))
    told(work)
    return person


def state_of(work: Work, person: Person) -> str | None:
    found = activation.find(work, person.id)
    return None if found is None else found.state


def wrong(work: Work, who: str, code: str) -> WrongCode:
    """Try a code that does not work; what was counted stays, as the door commits it."""
    with pytest.raises(WrongCode) as refusal:
        self_service.redeem_start_code(work, who, code)
    return refusal.value


def test_an_account_is_activated(work: Work, ada: Person) -> None:
    """Requested, code shown, redeemed: then it takes a seat. Asking twice is asking once."""
    assert state_of(work, ada) is None
    activation.request(work, ada.id)
    activation.request(work, ada.id)
    assert "requested" == state_of(work, ada)
    code, expires_at = activation.issue_code(work, ada.id)
    assert CODE.fullmatch(code)
    assert "code_sent" == state_of(work, ada)
    assert seats.of_person(work, ada.id) is None

    assert ada.id == self_service.redeem_start_code(work, "ADA@contoso.com ", code.lower().replace("-", " "))

    found = activation.find(work, ada.id)
    assert found is not None
    assert ("active", work.now, 0) == (found.state, found.used_at, found.attempts)
    seat = seats.of_person(work, ada.id)
    assert seat is not None
    assert seat.opened_at is not None
    assert expires_at > later(work, days=6.9).now
    assert ["activation.requested", "activation.code_issued", "activation.redeemed"] == told(work, ada.id)


def test_a_code_alone_asks_for_the_account(work: Work, ada: Person) -> None:
    """Who shows a code of somebody not yet chosen has chosen them."""
    activation.issue_code(work, ada.id)

    assert ["activation.requested", "activation.code_issued"] == told(work)


def test_inv_20_only_a_hash_is_kept(work: Work, ada: Person) -> None:
    """The code is in no column, no event and no refusal."""
    code, _ = activation.issue_code(work, ada.id)
    bare = code.replace("-", "")
    written = repr([tuple(row) for row in work.rows(EVERYTHING)]) + repr(work.events)
    spoken = wrong(work, "ada@contoso.com", code[:-1] + ("0" if code[-1] != "0" else "1"))

    assert code not in written
    assert bare not in written
    assert code[:9] not in repr((spoken.sentence, spoken.facts))


def test_inv_20_a_code_works_once(work: Work, ada: Person) -> None:
    """What is used, unknown or of somebody else is refused with one and the same sentence."""
    code, _ = activation.issue_code(work, ada.id)
    other = manual_people.add(work, "Grace", "grace@example.com")
    activation.issue_code(work, other.id)
    self_service.redeem_start_code(work, "ada@contoso.com", code)

    refusals = [
        wrong(work, "ada@contoso.com", code),
        wrong(work, "nobody@contoso.com", code),
        wrong(work, "grace@example.com", code),
        wrong(work, "grace@example.com", ""),
        wrong(work, "", code),
    ]
    assert 1 == len({refusal.sentence for refusal in refusals})
    assert [False, False, True, True, False] == [refusal.counted for refusal in refusals]


def test_inv_20_a_new_code_voids_the_former(work: Work, ada: Person) -> None:
    """Only the latest works, and starts with five tries."""
    former, _ = activation.issue_code(work, ada.id)
    wrong(work, "ada@contoso.com", "wrong")
    latest, _ = activation.issue_code(work, ada.id)

    found = activation.find(work, ada.id)
    assert found is not None
    assert 0 == found.attempts
    wrong(work, "ada@contoso.com", former)
    assert ada.id == self_service.redeem_start_code(work, "ada@contoso.com", latest)


def test_inv_20_a_code_expires(work: Work, ada: Person) -> None:
    """After a week it is as good as none, and trying it counts nothing."""
    code, _ = activation.issue_code(work, ada.id)

    assert not wrong(later(work, days=7.01), "ada@contoso.com", code).counted
    assert ada.id == self_service.redeem_start_code(later(work, days=6.99), "ada@contoso.com", code)


def test_inv_20_five_tries(work: Work, ada: Person) -> None:
    """The fifth wrong one ends the code, for the right one as well; a new one is needed."""
    code, _ = activation.issue_code(work, ada.id)
    for _ in range(5):
        assert wrong(work, "ada@contoso.com", "0000-0000-0000").counted

    assert not wrong(work, "ada@contoso.com", code).counted
    found = activation.find(work, ada.id)
    assert found is not None
    assert ("code_sent", 5) == (found.state, found.attempts)
    fresh, _ = activation.issue_code(work, ada.id)
    assert ada.id == self_service.redeem_start_code(work, "ada@contoso.com", fresh)


def test_four_tries_leave_one(work: Work, ada: Person) -> None:
    """Who mistypes four times still gets in."""
    code, _ = activation.issue_code(work, ada.id)
    for _ in range(4):
        wrong(work, "ada@contoso.com", "0000-0000-0000")

    assert ada.id == self_service.redeem_start_code(work, "ada@contoso.com", code)


def test_several_people_of_one_address(work: Work, ada: Person) -> None:
    """The sign-in name says who is meant; of those who only share an address, the latest code does."""
    shared = [manual_people.add(later(work, days=n), f"Twin {n}", "team@example.com") for n in range(2)]
    codes = [activation.issue_code(later(work, days=n / 10), twin.id).code for n, twin in enumerate(shared)]

    wrong(work, "team@example.com", codes[0])
    assert shared[1].id == self_service.redeem_start_code(work, "team@example.com", codes[1])
    assert shared[0].id == self_service.redeem_start_code(work, "team@example.com", codes[0])


def test_another_tenant_knows_nothing(work: Work, ada: Person, make_work: MakeWork) -> None:
    """A code works in its tenant only, and nobody's account is asked for from another."""
    code, _ = activation.issue_code(work, ada.id)
    stranger = make_work()

    assert not wrong(stranger, "ada@contoso.com", code).counted
    with refused(stranger, NotFound):
        activation.request(stranger, ada.id)
    assert activation.find(stranger, ada.id) is None
    assert {} == activation.of_people(stranger, [ada.id])
    assert [ada.id] == list(activation.of_people(work, [ada.id, "nobody"]))


def test_deactivation_suspends(work: Work) -> None:
    """The account and its seat go with the person's activity and come back with it; a code in between is refused."""
    user, other = a_directory_user(work), a_directory_user(work, "bob")
    ada, bob = person_of(work, user), person_of(work, other)
    self_service.redeem_start_code(work, "ada@contoso.com", activation.issue_code(work, ada.id).code)
    code, _ = activation.issue_code(work, bob.id)
    told(work)

    switched(work, user, active=False)
    switched(work, other, active=False)
    assert ("suspended", "code_sent") == (state_of(work, ada), state_of(work, bob))
    assert seats.of_person(work, ada.id) is None
    assert not wrong(work, "bob@contoso.com", code).counted
    with refused(work, NotPossible) as refusal:
        activation.issue_code(work, bob.id)
    assert "activate the user there first" in refusal.value.sentence

    switched(work, user, active=True)
    switched(work, other, active=True)
    assert "active" == state_of(work, ada)
    assert seats.of_person(work, ada.id) is not None
    assert ["activation.suspended", "activation.resumed"] == [
        each for each in told(work, ada.id) if each.startswith("activation")
    ]
    assert bob.id == self_service.redeem_start_code(work, "bob@contoso.com", code)


def test_revoking_frees_the_seat(work: Work, ada: Person) -> None:
    """An ended account has no code and no seat; it can be asked for anew."""
    code, _ = activation.issue_code(work, ada.id)
    self_service.redeem_start_code(work, "ada@contoso.com", code)
    with refused(work, NotPossible):
        activation.issue_code(work, ada.id)

    assert administration.revoke_activation(work, ada.id)
    assert not administration.revoke_activation(work, ada.id)
    assert "revoked" == state_of(work, ada)
    assert seats.of_person(work, ada.id) is None
    wrong(work, "ada@contoso.com", code)

    told(work)
    fresh, _ = activation.issue_code(work, ada.id)
    assert ["activation.requested", "activation.code_issued"] == told(work)
    assert ada.id == self_service.redeem_start_code(work, "ada@contoso.com", fresh)


def test_a_revoked_account_does_not_come_back(work: Work) -> None:
    """Revoked while suspended: the person's return changes nothing."""
    user = a_directory_user(work)
    ada = person_of(work, user)
    self_service.redeem_start_code(work, "ada@contoso.com", activation.issue_code(work, ada.id).code)
    switched(work, user, active=False)
    administration.revoke_activation(work, ada.id)

    switched(work, user, active=True)
    assert "revoked" == state_of(work, ada)
    assert seats.of_person(work, ada.id) is None


def test_no_seat_left(make_work: MakeWork) -> None:
    """The code works all the same; the account waits for a seat."""
    work = make_work(seats=1)
    ada, bob = (person_of(work, a_directory_user(work, name)) for name in ("ada", "bob"))
    for person in (ada, bob):
        self_service.redeem_start_code(work, person.sign_in, activation.issue_code(work, person.id).code)

    assert (1, 1, 1) == seats.counts(work)
    administration.revoke_activation(work, ada.id)
    assert (1, 1, 0) == seats.counts(work)
    assert people.find(work, bob.id) is not None
    seat = seats.of_person(work, bob.id)
    assert seat is not None
    assert seat.opened_at is not None


def test_codes_are_read_as_they_are_meant() -> None:
    """Case, hyphens, blanks, and letters that look like digits make no difference; anything else does."""
    stored = credentials.code_hash("0123-4567-89AB")

    for typed in ("0123-4567-89AB", "0123456789ab", " o123 4567 89aB ", "OI23–4567—89AB", "0L23-4567-89AB"):
        assert credentials.code_matches(typed, stored), typed
    for typed in ("0123-4567-89A", "0123-4567-89AC", "", "\0", "\ud800", "0" * 10_000):
        assert not credentials.code_matches(typed, stored), typed
    assert not credentials.code_matches("", None)
    assert 1000 == len({credentials.new_code() for _ in range(1000)})
