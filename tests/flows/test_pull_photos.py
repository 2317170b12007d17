"""G6: photos, for which the directory has no change feed, asked for by their etags, in batches, against a simulated Entra."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from sqlalchemy import bindparam, select, update

from app_core import directory, directory_photos, people, photos
from app_core.db import Statement
from app_core.people import Person
from app_core.photos import D, Origin
from app_core.work import Work
from tests.app_core.test_photos import PNG
from tests.flows.test_pull import USED, Joined, entra, graph_url, joined
from tests.pulling import log, stepping

__all__ = ["entra", "graph_url", "joined"]  # fixtures

METADATA, VALUE, BATCH = "GET /users/{id}/photo", "GET /users/{id}/photo/$value", "POST /$batch"
YESTERDAY = Statement(
    update(D).where(D.c.tenant_id == directory.tenant, D.c.due_at > bindparam("now")).values(due_at=bindparam("then"))
)
NO_IMAGE = base64.b64encode(b"\xff\xd8\xff but this is no picture").decode()


def person(work: Work, object_id: str) -> Person:
    key = directory.user_by_object_id(work, object_id)
    assert key is not None
    return people.lock(work, people.of_users(work, [key])[0])


def photo(joined: Joined, object_id: str) -> bytes | None:
    found = joined.read(lambda work: photos.get(work, person(work, object_id).id))
    return None if found is None else found.data


def in_entra(joined: Joined, object_id: str) -> bytes:
    with joined.there.graph() as graph:
        return graph.get(f"/users/{object_id}/photo/$value").content


def asked(joined: Joined) -> dict[str, int]:
    """Pull, with everybody's turn come, and count what was asked."""
    joined.read(directory_photos.ask_all)
    joined.entra.do("counters", reset=True)
    assert "done" == joined.sync()["state"]
    return counted(joined)


def counted(joined: Joined) -> dict[str, int]:
    counters = joined.entra.do("counters")["counters"]
    return {what: counters.get(what, 0) for what in (METADATA, VALUE, BATCH)}


def set_photo(joined: Joined, object_id: str, **given: Any) -> None:
    joined.there.do("set_photo", user=object_id, **given)


def by_hand(joined: Joined, object_id: str, data: bytes | None) -> None:
    """Give a photo, or take it away, as an administrator does."""

    def act(work: Work) -> None:
        holder = person(work, object_id)
        if data is None:
            photos.remove(work, holder)
        else:
            photos.put(work, holder, data)

    joined.read(act)


# When -----------------------------------------------------------------------------------------------------------------


def test_a_photo_comes_with_its_users_turn(joined: Joined) -> None:
    """An import asks for nobody's photo; each has an hour of the day, and then it is the directory's, byte for byte."""
    anna, bert = joined.there.user("anna"), joined.there.user("bert")
    set_photo(joined, anna)
    joined.entra.do("counters", reset=True)
    joined.sync()
    assert {METADATA: 0, VALUE: 0, BATCH: 0} == counted(joined)
    assert (None, (2, 0, 0, 0)) == (photo(joined, anna), joined.read(directory_photos.status)[:4])

    assert {METADATA: 2, VALUE: 1, BATCH: 1} == asked(joined)

    assert in_entra(joined, anna) == photo(joined, anna)
    assert photo(joined, bert) is None
    status = joined.read(directory_photos.status)
    assert ((2, 1, 0, 0), True) == (status[:4], status.asked_at is not None)
    held = joined.read(lambda work: photos.get(work, person(work, anna).id))
    assert held is not None
    assert (Origin.DIRECTORY, "image/png") == (held.origin, held.media_type)
    assert [(["photo"], "success")] == [
        (each["changed"], each["outcome"]) for each in joined.read(lambda work: log(work, action="pull-photo"))
    ]
    # Until tomorrow nobody is asked again.
    joined.entra.do("counters", reset=True)
    joined.sync()
    assert {METADATA: 0, VALUE: 0, BATCH: 0} == counted(joined)


def test_what_has_the_same_etag_is_not_read_again(joined: Joined) -> None:
    """Twenty to a batch; only where the etag is another the photo itself is read, and only a change is told."""
    everybody = [joined.there.user(f"p{at}") for at in range(45)]
    for each in everybody[:30]:
        set_photo(joined, each)
    joined.sync()

    assert {METADATA: 45, VALUE: 30, BATCH: 3} == asked(joined)

    before = joined.events()
    assert {METADATA: 45, VALUE: 0, BATCH: 3} == asked(joined)
    assert before == joined.events()
    set_photo(joined, everybody[3], seed="another")
    joined.there.do("remove_photo", user=everybody[4])
    assert {METADATA: 45, VALUE: 1, BATCH: 3} == asked(joined)
    assert in_entra(joined, everybody[3]) == photo(joined, everybody[3])
    assert photo(joined, everybody[4]) is None
    assert before + 2 == joined.events()
    assert 29 == joined.read(directory_photos.status).photos


def test_a_missed_turn_is_made_up_for(joined: Joined) -> None:
    """Who should have been asked while nothing ran is asked by the next pull."""
    anna = joined.there.user("anna")
    set_photo(joined, anna)
    joined.sync()
    joined.read(lambda work: work.run(YESTERDAY, now=work.now, then="2026-01-01T00:05:00.000Z"))

    joined.sync()

    assert in_entra(joined, anna) == photo(joined, anna)


def test_the_inactive_are_passed_over(joined: Joined) -> None:
    """Of who is disabled nothing is asked; a photo that is there stays for the return."""
    anna = joined.there.user("anna")
    set_photo(joined, anna)
    joined.sync()
    asked(joined)
    joined.there.do("change_user", user=anna, accountEnabled=False)
    set_photo(joined, anna, seed="another")
    held = photo(joined, anna)
    assert held is not None

    assert {METADATA: 0, VALUE: 0, BATCH: 0} == asked(joined)

    assert held == photo(joined, anna)
    joined.there.do("change_user", user=anna, accountEnabled=True)
    assert {METADATA: 1, VALUE: 1, BATCH: 1} == asked(joined)
    assert held != photo(joined, anna)


def test_where_entra_pushes_photos_are_pulled(joined: Joined) -> None:
    """No mapping sends one: of known users they come by Graph, where it is connected (entra.md §7)."""
    anna = joined.there.user("anna")
    joined.sync()
    joined.read(lambda work: work.run(USED, now=work.now))
    set_photo(joined, anna)
    stranger = joined.there.user("stranger")
    set_photo(joined, stranger)

    asked(joined)

    assert in_entra(joined, anna) == photo(joined, anna)
    assert joined.user(stranger) is None


# Who wins -------------------------------------------------------------------------------------------------------------


def test_a_photo_given_by_hand_stands(joined: Joined) -> None:
    """Whatever the directory has, and whether it has one at all; once it is taken away the directory's comes back."""
    anna = joined.there.user("anna")
    set_photo(joined, anna)
    joined.sync()
    asked(joined)
    by_hand(joined, anna, PNG)

    set_photo(joined, anna, seed="another")
    assert {METADATA: 0, VALUE: 0, BATCH: 0} == asked(joined)
    assert PNG == photo(joined, anna)
    joined.there.do("remove_photo", user=anna)
    asked(joined)
    assert PNG == photo(joined, anna)
    set_photo(joined, anna, seed="another")
    by_hand(joined, anna, None)
    assert photo(joined, anna) is None

    joined.sync()

    assert in_entra(joined, anna) == photo(joined, anna)


def test_the_same_picture_by_hand_is_by_hand(joined: Joined) -> None:
    """Who gives the very photo that the directory has makes it their own, and nothing is told."""
    anna = joined.there.user("anna")
    set_photo(joined, anna)
    joined.sync()
    asked(joined)
    before = joined.events()

    by_hand(joined, anna, in_entra(joined, anna))

    joined.there.do("remove_photo", user=anna)
    asked(joined)
    assert photo(joined, anna) is not None
    assert before == joined.events()


def test_a_photo_of_the_directory_that_was_taken_away_stays_away(joined: Joined) -> None:
    """Until the directory has another one."""
    anna = joined.there.user("anna")
    set_photo(joined, anna)
    joined.sync()
    asked(joined)

    by_hand(joined, anna, None)

    assert {METADATA: 1, VALUE: 0, BATCH: 1} == asked(joined)
    assert photo(joined, anna) is None
    set_photo(joined, anna, seed="another")
    asked(joined)
    assert in_entra(joined, anna) == photo(joined, anna)


@pytest.mark.parametrize("photoless", ["404", "1x1"])
def test_what_no_photo_looks_like(joined: Joined, photoless: str) -> None:
    """Nothing, or a picture of one pixel that has no etag (entra.md §8.12)."""
    anna = joined.there.user("anna")
    set_photo(joined, anna)
    joined.sync()
    asked(joined)
    joined.entra.do("settings", photoless=photoless)
    joined.there.do("remove_photo", user=anna)

    assert {METADATA: 1, VALUE: 0, BATCH: 1} == asked(joined)

    assert photo(joined, anna) is None
    assert (1, 0, 0, 0) == joined.read(directory_photos.status)[:4]


# What goes wrong ------------------------------------------------------------------------------------------------------


def test_one_that_is_throttled_waits_alone(joined: Joined) -> None:
    """A 429 of one part holds up nobody else; that photo is asked for when Graph wants, and not before."""
    everybody = [joined.there.user(f"p{at}") for at in range(8)]
    for each in everybody:
        set_photo(joined, each)
    joined.sync()
    joined.entra.do("fault", kind="part", status=429, retry_after=3000, path=f"/users/{everybody[2]}/photo")

    assert {METADATA: 8, VALUE: 7, BATCH: 1} == asked(joined)

    assert [2] == [at for at, each in enumerate(everybody) if photo(joined, each) is None]
    (due_at,) = {row[0] for row in joined.read(lambda work: work.rows(DUE_OF, object_id=everybody[2]))}
    # Graph said fifty minutes: with the next hour's pull, not in a day.
    assert joined.read(lambda work: work.now) < due_at < joined.read(lambda work: _later(work, 3000))
    joined.entra.do("counters", reset=True)
    joined.sync()
    assert {METADATA: 0, VALUE: 0, BATCH: 0} == counted(joined)
    joined.read(directory_photos.ask_all)
    joined.sync()
    assert photo(joined, everybody[2]) is not None


DUE_OF = Statement(
    select(D.c.due_at)
    .select_from(D.join(directory.U, directory_photos.OF_USER))
    .where(D.c.tenant_id == directory.tenant, directory.U.c.entra_object_id == bindparam("object_id"))
)


def _later(work: Work, seconds: float) -> str:
    from app_core import clock

    return clock.stamp(clock.seconds(work.now) + seconds + 1)


def test_a_whole_batch_that_is_throttled_goes_on(joined: Joined) -> None:
    """A pull that has to wait for Graph loses no photo, and asks for none twice."""
    everybody = [joined.there.user(f"p{at}") for at in range(25)]
    for each in everybody:
        set_photo(joined, each)
    joined.sync()
    joined.entra.do("fault", kind="throttle", retry_after=1, path=r"\$batch")
    joined.entra.do("fault", kind="throttle", retry_after=1, path=r"\$value", skip=3)
    joined.entra.do("fault", kind="error", status=503, path=r"\$value", skip=10)

    assert 25 == asked(joined)[VALUE] - 2

    assert all(photo(joined, each) == in_entra(joined, each) for each in everybody[::6])
    assert 25 == joined.read(directory_photos.status).photos


def test_a_picture_that_is_none_is_said_once(joined: Joined) -> None:
    """It is left out with a warning, the former stays, and it is read again only when it is another."""
    anna, bert = joined.there.user("anna"), joined.there.user("bert")
    for each in (anna, bert):
        set_photo(joined, each)
    joined.sync()
    asked(joined)
    former = photo(joined, anna)
    set_photo(joined, anna, content=NO_IMAGE)

    assert {METADATA: 2, VALUE: 1, BATCH: 1} == asked(joined)
    assert {METADATA: 2, VALUE: 0, BATCH: 1} == asked(joined)

    assert former == photo(joined, anna)
    (said,) = joined.read(lambda work: log(work, outcome="warning"))
    assert ("pull-photo", "photo") == (said["action"], said["reason_code"])
    assert "no photo that can be shown" in said["reason"]
    (problem,) = joined.read(directory_photos.problems)
    assert said["target_id"] == problem.user_id
    assert (1, 2) == (joined.read(directory_photos.status).problems, joined.read(directory_photos.status).photos)
    set_photo(joined, anna, seed="better")
    asked(joined)
    assert in_entra(joined, anna) == photo(joined, anna)
    assert [] == joined.read(directory_photos.problems)


def test_a_picture_that_is_too_large_is_not_read(joined: Joined) -> None:
    """It is broken off at the limit, said once, and stops nobody else's."""
    anna, bert = joined.there.user("anna"), joined.there.user("bert")
    set_photo(joined, anna, content=base64.b64encode(PNG + bytes(photos.MOST_BYTES)).decode())
    set_photo(joined, bert)
    joined.sync()

    asked(joined)

    assert photo(joined, anna) is None
    assert photo(joined, bert) is not None
    (said,) = joined.read(lambda work: log(work, outcome="warning"))
    assert "larger than" in said["reason"]
    assert {METADATA: 2, VALUE: 0, BATCH: 1} == asked(joined)


def test_photos_that_are_not_given_do_not_fail_the_pull(joined: Joined) -> None:
    """Without the permission for them everything else is pulled; the status and the log say what to grant."""
    anna = joined.there.user("anna")
    set_photo(joined, anna)
    joined.sync()
    joined.entra.do("fault", kind="part", status=403, path="/photo", count=None)

    asked(joined)
    asked(joined)

    (said,) = joined.read(lambda work: log(work, outcome="warning"))
    assert "ProfilePhoto.Read.All" in said["reason"]
    assert 1 == joined.read(directory_photos.status).problems
    joined.entra.do("clear_faults")
    asked(joined)
    assert (photo(joined, anna), []) == (in_entra(joined, anna), joined.read(directory_photos.problems))


def test_each_step_may_be_taken_twice(joined: Joined) -> None:
    """A worker that dies after each commit asks for some once more, and tells of each photo once (G7)."""
    everybody = [joined.there.user(f"p{at}") for at in range(45)]
    for each in everybody:
        set_photo(joined, each)
    joined.sync()
    before = joined.events("person.updated")
    joined.read(directory_photos.ask_all)

    stages = joined.do(stepping(twice=True))

    assert 45 == joined.events("person.updated") - before
    assert 45 == joined.read(directory_photos.status).photos
    assert 2 <= stages.count("photos") <= 5


def test_who_goes_while_being_asked_about(joined: Joined) -> None:
    """A user that is deleted between question and answer is no error, and leaves nothing behind."""
    anna, bert = joined.there.user("anna"), joined.there.user("bert")
    for each in (anna, bert):
        set_photo(joined, each)
    joined.sync()
    joined.read(directory_photos.ask_all)

    def happens(stage: str) -> None:
        if stage == "photos":
            joined.there.do("purge", object=anna) if not gone else None
            gone.append(stage)

    gone: list[str] = []
    joined.do(stepping(happens))
    assert photo(joined, bert) is not None
    joined.sync()

    assert joined.user(anna) is None
    assert 1 == joined.read(directory_photos.status).users
