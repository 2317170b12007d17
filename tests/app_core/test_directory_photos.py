"""When the directory is asked for photos: each user has an hour of the day, the same each day."""

from __future__ import annotations

import uuid
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app_core import clock, directory_photos, people, photos
from app_core.directory_photos import SLOTS, next_turn, slot_of
from app_core.graph_links import slot_of as hour_of
from app_core.photos import Origin
from app_core.work import Work
from tests.app_core.builders import a_directory_user, later, person_of, switched, told
from tests.app_core.test_photos import JPEG, PNG

DAY = 86400


def test_users_are_spread_evenly() -> None:
    """Of 24,000 each hour has about a thousand."""
    counts = Counter(
        slot_of(str(uuid.UUID(int=at * 0x9E3779B97F4A7C15F39CC0605CEDC834 % 2**128))) for at in range(24_000)
    )

    assert set(range(SLOTS)) == set(counts)
    assert all(850 < count < 1150 for count in counts.values())


@given(st.uuids().map(str), st.integers(0, 400 * DAY * 1000))
def test_the_next_turn(object_id: str, milliseconds: int) -> None:
    """It lies in the user's own slot, within a day, and behind the present one; asked in time, it comes daily."""
    now = clock.stamp(1_800_000_000 + milliseconds / 1000)

    turn = next_turn(object_id, now)

    assert slot_of(object_id) == int(hour_of(turn)[11:13])
    assert hour_of(now) < hour_of(turn)
    assert 0 < clock.seconds(turn) - clock.seconds(now) <= DAY
    again = next_turn(object_id, clock.stamp(clock.seconds(turn) + 100))
    assert DAY == clock.seconds(again) - clock.seconds(turn)


def test_a_day_of_turns(work: Work) -> None:
    """Over a day of hourly pulls each user comes up once, in its slot."""
    users = [a_directory_user(work, f"u{at}") for at in range(60)]
    at: str | None = ""
    while at is not None:
        at = directory_photos.enrol(work, after=at, look=7)
    assert 60 == directory_photos.status(work).users
    assert directory_photos.enrol(work) is None
    seen: list[str] = []

    for hour in range(1, SLOTS + 1):
        then = later(work, days=hour / SLOTS)
        for turn in directory_photos.due(then, 100):
            assert int(hour_of(then.now)[11:13]) == slot_of(turn.object_id)
            directory_photos.settle(then, turn, None)
            seen.append(turn.user_id)

    assert sorted(user.id for user in users) == sorted(seen)


def test_who_is_not_asked_about(work: Work) -> None:
    """Whoever is inactive by then, or has a photo by hand, comes up and is not asked about."""
    ada, bob, eve = (a_directory_user(work, name) for name in ("ada", "bob", "eve"))
    directory_photos.enrol(work)
    assert 3 == directory_photos.ask_all(work)
    switched(work, ada, active=False)
    photos.put(work, person_of(work, bob), PNG)

    turns = {turn.user_id: bool(turn.asked) for turn in directory_photos.due(work, 100)}

    assert {ada.id: False, bob.id: False, eve.id: True} == turns


def test_who_gave_a_photo_counts(work: Work) -> None:
    """The directory's never takes the place of one by hand, and takes away only its own."""
    user = a_directory_user(work, "ada")
    directory_photos.enrol(work)
    told(work)

    assert directory_photos.take(work, person_of(work, user), PNG)
    assert photos.put(work, person_of(work, user), JPEG)
    assert not directory_photos.take(work, person_of(work, user), PNG)
    assert not directory_photos.drop(work, person_of(work, user))
    held = photos.get(work, person_of(work, user).id)
    assert held is not None
    assert (JPEG, Origin.HAND) == (held.data, held.origin)
    assert photos.remove(work, person_of(work, user))
    assert directory_photos.take(work, person_of(work, user), PNG)
    assert directory_photos.drop(work, person_of(work, user))
    assert not directory_photos.drop(work, person_of(work, user))
    assert ["person.updated"] * 5 == told(work)


@pytest.mark.parametrize("gives", [True, False])
def test_a_photo_by_hand_has_the_directory_asked_anew(work: Work, gives: bool) -> None:
    """What was taken over last is forgotten when one by hand comes, and the directory is asked when it goes."""
    user = a_directory_user(work, "ada")
    directory_photos.enrol(work)
    directory_photos.ask_all(work)
    (turn,) = directory_photos.due(work, 100)
    directory_photos.take(work, person_of(work, user), PNG)
    directory_photos.settle(work, turn, '"A"')
    assert [] == directory_photos.due(work, 100)

    photos.put(work, person_of(work, user), JPEG)
    if not gives:
        photos.remove(work, person_of(work, user))

    (turn,) = directory_photos.due(work, 100)
    assert (None, not gives) == (turn.etag, bool(turn.asked))


def test_a_person_by_hand_has_no_turn(work: Work) -> None:
    """Nobody in the directory is asked about them."""
    person = people.insert_manual(work, "Ada", None)

    assert photos.put(work, person, PNG)
    assert photos.remove(work, people.lock(work, person.id))

    directory_photos.enrol(work)
    assert 0 == directory_photos.status(work).users
