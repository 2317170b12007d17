"""Photos, for which the directory has no change feed: asked for by their etag, a part of the users each hour (G6).

Twenty users are one batch and one transaction, so that a worker that is killed asks once more for twenty at most. Each
photo waits for itself where Graph asks for a pause; one that cannot be shown is said once, until there is another.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import quote

from app_core import clock, directory_photos, people
from app_core.clock import Stamp
from app_core.directory_photos import Due
from app_core.errors import Invalid, NotFound
from app_core.photos import MOST_BYTES
from app_core.provisioning_log import Entry, Outcome
from app_core.work import Work
from graph_fallback import apply
from graph_fallback.apply import Tally
from graph_fallback.client import GraphClient, NotInDirectory, Part, TooLarge
from graph_fallback.tokens import GraphRefused, GraphUnavailable

AT_ONCE = 20
"""As many as a batch holds."""
FETCH_SECONDS = 10.0
"""After so long the photos that are left wait for the next step: a step is shorter than the lease of its job."""
PAUSE_SECONDS = 600.0
"""How long a photo waits that was not served, where Graph does not say."""
NO_SUCH_USER = "Request_ResourceNotFound"


class Kind(StrEnum):
    """What the directory has of a user's photo."""

    SAME = "same"
    NONE = "none"
    NEW = "new"
    LATER = "later"
    """It was not served."""
    REFUSED = "refused"
    """It is not given to us, or cannot be taken."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What Graph says of the photo of somebody whose turn it is."""

    turn: Due
    kind: Kind
    etag: str | None = None
    data: bytes = field(default=b"", repr=False)
    until: Stamp | None = None
    problem: str | None = None


async def ask(client: GraphClient, turns: Sequence[Due]) -> list[Answer]:
    """Ask for the photos of up to twenty people; who is not in the answers has the turn still. Raises GraphError."""
    asked = [turn for turn in turns if turn.asked]
    parts = await client.batch_once([_path(turn) for turn in asked])
    answers = [Answer(turn, Kind.SAME, turn.etag) for turn in turns if not turn.asked]
    until = clock.ticks() + FETCH_SECONDS
    for turn, part in zip(asked, parts, strict=True):
        answer = _judged(turn, part)
        if answer.kind is Kind.NEW:
            if clock.ticks() > until:
                continue
            answer = await _fetched(client, answer)
        answers.append(answer)
        if answer.kind is Kind.LATER and answer.until is not None and part.status == 200:
            # Graph wants a pause for all that is fetched.
            until = 0.0
    return answers


def _path(turn: Due) -> str:
    return f"/users/{quote(turn.object_id, safe='')}/photo"


def _judged(turn: Due, part: Part) -> Answer:
    """Say what the metadata of a photo mean (entra.md §8.12)."""
    if part.try_again:
        wait = PAUSE_SECONDS if part.wait is None else part.wait
        return Answer(turn, Kind.LATER, until=clock.later(wait))
    if part.status == 404:
        # Somebody who is gone keeps the photo until a pull says more.
        return Answer(turn, Kind.SAME, turn.etag) if part.error == NO_SUCH_USER else Answer(turn, Kind.NONE)
    if part.status != 200:
        return Answer(turn, Kind.REFUSED, turn.etag, problem=_refused(part.status, part.error))
    etag = part.json.get("@odata.mediaEtag")
    if etag == "" or (etag is None and part.json.get("id") == "1x1"):
        return Answer(turn, Kind.NONE)
    etag = etag if isinstance(etag, str) and "\0" not in etag else None
    return Answer(turn, Kind.SAME if etag is not None and etag == turn.etag else Kind.NEW, etag)


def _refused(status: int, error: str | None) -> str:
    return (
        f"Microsoft Graph does not give the photo ({status} {error or 'no code'}). If it is so for everybody, grant "
        "ProfilePhoto.Read.All as well."
    )


async def _fetched(client: GraphClient, answer: Answer) -> Answer:
    try:
        blob = await client.get_bytes(f"{_path(answer.turn)}/$value", most=MOST_BYTES)
    except NotInDirectory:
        return Answer(answer.turn, Kind.NONE)
    except TooLarge:
        problem = f"The photo in Entra is larger than {MOST_BYTES} bytes and is left out."
        return Answer(answer.turn, Kind.REFUSED, answer.etag, problem=problem)
    except GraphUnavailable as error:
        return Answer(answer.turn, Kind.LATER, until=error.retry_at)
    except GraphRefused as error:
        status, code = error.facts.get("status"), error.facts.get("error")
        if status is None:
            raise
        return Answer(answer.turn, Kind.REFUSED, answer.turn.etag, problem=_refused(status, code))
    return Answer(answer.turn, Kind.NEW, answer.etag, blob.data)


def take(work: Work, answers: Sequence[Answer]) -> Tally:
    """Write down what the directory has, each person's in turn."""
    tally = Tally(seen=len(answers))
    # In one order, so that two transactions never wait for each other crosswise.
    for answer in sorted(answers, key=lambda each: each.turn.person_id):
        if answer.kind is Kind.LATER:
            directory_photos.put_off(work, answer.turn, answer.until)
        elif not answer.turn.asked:
            directory_photos.put_off(work, answer.turn)
        else:
            _take_one(work, tally, answer)
    return tally


def _take_one(work: Work, tally: Tally, answer: Answer) -> None:
    etag, problem = answer.etag, answer.problem
    changed = False
    if answer.kind in (Kind.NEW, Kind.NONE):
        try:
            person = people.lock(work, answer.turn.person_id)
            if answer.kind is Kind.NEW:
                changed = directory_photos.take(work, person, answer.data)
            else:
                changed = directory_photos.drop(work, person)
        except NotFound:
            # It went in between, and its turn with it.
            return
        except Invalid as refusal:
            problem = f"The photo in Entra is left out. {refusal.sentence}"
    elif answer.kind is Kind.SAME:
        problem = answer.turn.problem
    directory_photos.settle(work, answer.turn, etag, problem)
    if changed:
        tally.changed += 1
        apply.log(work, Entry("pull-photo", "User", answer.turn.user_id, Outcome.SUCCESS, 200, changed=["photo"]))
    elif problem is not None and problem != answer.turn.problem:
        tally.refused += 1
        entry = Entry("pull-photo", "User", answer.turn.user_id, Outcome.WARNING, 200, "photo", problem)
        apply.log(work, entry)
