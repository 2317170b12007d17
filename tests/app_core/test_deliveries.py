"""Deliveries and webhooks in the core: what is taken and kept, when it is tried again, who may write that down."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from app_core import clock, deliveries, migrations, outbox, teams, webhooks
from app_core.db import SqliteConnection, Statement, open_sqlite, settle_statistics
from app_core.deliveries import PAUSES, Batch, Fate
from app_core.errors import Invalid, NotFound, Stale
from app_core.ids import new_id
from app_core.outbox import Published
from app_core.ports import Address, Receipt, Trouble
from app_core.sealing import SealBroken, Sealer
from app_core.webhooks import Webhook
from app_core.work import Work
from tests.app_core.conftest import MakeWork

URL = Address("https://app.example.com/hooks")
SEALER = Sealer(["the key of 2026"])
TAKEN, FAILED = Receipt(None, 204, 0.1), Receipt(Trouble.STATUS, 500, 0.1)


def a_webhook(work: Work) -> Webhook:
    return webhooks.create(work, SEALER, URL)[0]


def some_events(work: Work, number: int = 1) -> None:
    for at in range(number):
        teams.create_manual(work, f"Team {at} {new_id()}")
    outbox.flush(work)


def taken(work: Work) -> Batch:
    batch = deliveries.take(work.connection)
    assert batch is not None
    assert work.tenant_id == batch.webhook.tenant_id
    return batch


def recorded(work: Work, receipt: Receipt) -> Batch:
    """Take a batch and let all of it end so."""
    batch = taken(work)
    positions = [item.event.position for chain in batch.chains for item in chain]
    deliveries.record(work.connection, batch, dict.fromkeys(positions, receipt))
    return batch


def in_time(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let the clock of the core show a later instant."""
    at = clock.milliseconds() / 1000 + seconds
    monkeypatch.setattr(clock, "now", lambda: clock.stamp(at))
    monkeypatch.setattr(clock, "later", lambda more: clock.stamp(at + more))


def test_what_is_taken_leaves_no_row_and_is_not_taken_again(work: Work) -> None:
    """The webhook stands at the end of what was sent; there is nothing due any more."""
    webhook = a_webhook(work)
    some_events(work, 3)
    batch = recorded(work, TAKEN)

    assert 3 == len(batch.chains)
    assert [] == deliveries.page(work, webhook.id)
    assert webhooks.find(work, webhook.id).position == batch.position > webhook.position
    assert deliveries.take(work.connection) is None
    assert not deliveries.is_any_due(work.connection)


def test_pauses_grow_over_three_days_and_then_it_is_dead(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten tries: at once, and after 5 s, 5 min, 30 min, 2, 5, 10, 14, 20 and 24 h, each give or take a tenth."""
    webhook = a_webhook(work)
    some_events(work)
    tried, passed = [], 0.0
    for _ in range(10):
        recorded(work, FAILED)
        delivery = deliveries.page(work, webhook.id)[0]
        assert delivery.last_attempt_at is not None
        tried.append(clock.seconds(delivery.last_attempt_at))
        if delivery.next_attempt_at is not None:
            passed += clock.seconds(delivery.next_attempt_at) - clock.seconds(delivery.last_attempt_at) + 300
            in_time(monkeypatch, passed)

    [delivery] = deliveries.page(work, webhook.id)
    assert (Fate.DEAD, 10, None) == (delivery.state, delivery.attempts, delivery.next_attempt_at)
    # A webhook that takes nothing rests as well, up to five minutes.
    for pause, (before, after) in zip(PAUSES, pairwise(tried), strict=True):
        assert 0.89 * pause <= after - before <= 1.11 * pause + 301
    assert deliveries.take(work.connection) is None


def test_a_lease_is_one_at_a_time_and_who_lost_it_writes_nothing(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody sends, nobody else does; once that takes too long, the next goes on and the first is refused."""
    webhook = a_webhook(work)
    some_events(work)
    first = taken(work)
    assert deliveries.take(work.connection) is None
    in_time(monkeypatch, deliveries.LEASE_SECONDS + 1)
    second = taken(work)

    with pytest.raises(Stale):
        deliveries.record(work.connection, first, {})
    deliveries.record(work.connection, second, {second.position: TAKEN})

    assert first.chains == second.chains
    assert [] == deliveries.page(work, webhook.id)


def test_leases_of_the_dead_are_taken_back(work: Work) -> None:
    """The one server of a file need not wait for whom it has followed."""
    a_webhook(work)
    some_events(work)
    first = taken(work)
    deliveries.take_back(work.connection)

    assert first.chains == taken(work).chains


def test_who_is_told_to_stop_keeps_what_was_not_sent(work: Work) -> None:
    """It waits, is due at once, and is sent in its order."""
    webhook = a_webhook(work)
    some_events(work, 3)
    batch = taken(work)
    sent = batch.chains[1][0].event.position
    deliveries.record(work.connection, batch, {sent: TAKEN})

    left = deliveries.page(work, webhook.id)
    assert [(0, "waiting")] * 2 == [(each.attempts, each.state) for each in left]
    assert sent not in [each.position for each in left]
    assert 2 == len(taken(work).chains)


def test_an_event_goes_behind_those_of_its_subject(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without being sent; a dead one stands in nobody's way."""
    webhook = a_webhook(work)
    team = teams.create_manual(work, "Sales")
    outbox.flush(work)
    recorded(work, FAILED)
    for name in ("A", "B"):
        teams.rename_manual(work, teams.lock(work, team.id), name)
        outbox.flush(work)
    in_time(monkeypatch, 5.0)
    behind = taken(work)
    deliveries.record(work.connection, behind, {})
    _, second, first = deliveries.page(work, webhook.id)
    in_time(monkeypatch, 400.0)
    chains = taken(work).chains

    assert 2 == len(behind.behind)
    assert second.next_attempt_at is None
    assert first.next_attempt_at is not None
    assert [["team.created", "team.renamed", "team.renamed"]] == [[item.event.type for item in each] for each in chains]


def test_what_is_too_old_goes_and_lets_those_behind_it_go(work: Work) -> None:
    """Retention takes deliveries with their events, and whoever waited behind them is sent."""
    webhook = a_webhook(work)
    team = teams.create_manual(work, "Sales")
    outbox.flush(work)
    recorded(work, FAILED)
    later = Work(work.connection, work.tenant_id, "", work.actor, "test", clock.later(100))
    teams.rename_manual(later, teams.lock(work, team.id), "A")
    outbox.flush(later)
    webhooks.change(work, webhook.id, description="tried again at once")
    work.run(deliveries.TRY_NOW, webhook_id=webhook.id)
    deliveries.record(work.connection, taken(work), {})
    before = [each.next_attempt_at for each in deliveries.page(work, webhook.id)]

    removed = deliveries.purge(work.connection, work.tenant_id, clock.later(50))

    [left] = deliveries.page(work, webhook.id)
    assert (1, "team.renamed") == (removed, left.type)
    assert None in before
    assert left.next_attempt_at is not None


def test_a_webhook_is_of_one_tenant(make_work: MakeWork) -> None:
    """Nobody else finds it, changes it or sees what waits for it."""
    ours, theirs = make_work(), make_work()
    webhook = a_webhook(ours)
    some_events(theirs)
    assert deliveries.take(ours.connection) is None
    some_events(ours)
    recorded(ours, FAILED)
    [delivery] = deliveries.page(ours, webhook.id)

    for act in (
        lambda: webhooks.find(theirs, webhook.id),
        lambda: webhooks.change(theirs, webhook.id, active=False),
        lambda: webhooks.rotate(theirs, SEALER, webhook.id),
        lambda: webhooks.remove(theirs, webhook.id),
        lambda: deliveries.find(theirs, webhook.id, delivery.event_id),
        lambda: deliveries.replay(theirs, webhook, delivery.event_id),
    ):
        with pytest.raises(NotFound):
            act()
    assert 0 == deliveries.replay_dead(theirs, webhook)
    assert [] == deliveries.page(theirs, webhook.id)
    assert [delivery] == deliveries.page(ours, webhook.id)


def test_the_end_of_the_feed_is_behind_all_that_is_there(work: Work) -> None:
    """However many events have no place yet."""
    for _ in range(25):
        some_events(work, 50)

    assert 1250 == outbox.end(work)
    some_events(work)
    [event] = outbox.read(work, after=1250)
    assert isinstance(event, Published)
    assert 1251 == event.position


@pytest.mark.parametrize("statement", [deliveries.LOOK, outbox.UNPLACED], ids=["who has something due", "what is new"])
def test_looking_for_work_reads_no_table_through(tmp_path: Path, statement: Statement) -> None:
    """On SQLite each process looks four times a second, however many events there are: every table by an index."""
    migrations.upgrade(f"sqlite:///{tmp_path}/plans.db")
    raw = open_sqlite(str(tmp_path / "plans.db"))
    settle_statistics(raw)
    compiled = statement.compiled(SqliteConnection.dialect)
    plan = raw.execute(f"EXPLAIN QUERY PLAN {compiled.sql}", [default for _, default in compiled.names]).fetchall()
    raw.close()

    assert [] == [step for *_, step in plan if "SCAN" in step]


# Secrets --------------------------------------------------------------------------------------------------------------


def test_secrets_are_sealed_anew_and_former_ones_forgotten(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are sealed by the new key; the former goes once it signs no more; what cannot be opened stays and says so."""
    webhook, first = webhooks.create(work, SEALER, URL)
    other, _ = webhooks.create(work, Sealer(["a key that is lost"]), URL)
    _, second = webhooks.rotate(work, SEALER, webhook.id)
    both, new = Sealer(["the key of 2027", "the key of 2026"]), Sealer(["the key of 2027"])
    with pytest.raises(SealBroken):
        webhooks.secrets_of(webhooks.find(work, webhook.id), new, work.now)

    changed = webhooks.reseal(work.connection, both), webhooks.reseal(work.connection, both)
    during = webhooks.secrets_of(webhooks.find(work, webhook.id), new, work.now)
    broken = webhooks.find(work, other.id)
    in_time(monkeypatch, webhooks.ROTATION_SECONDS + 1)
    webhooks.reseal(work.connection, new)
    after = webhooks.find(work, webhook.id)

    assert (1, 0) == changed
    assert [second, first] == during
    assert ("active", "seal-broken", other.secret) == (broken.state, broken.last_reason, broken.secret)
    assert broken.failing_since is not None
    assert (None, None) == (after.former_secret, after.former_until)
    with pytest.raises(SealBroken):
        webhooks.secrets_of(after, None, work.now)
    healed, third = webhooks.rotate(work, new, other.id)
    assert [third] == webhooks.secrets_of(healed, new, work.now)


def test_an_address_is_not_taken_before_it_is_checked() -> None:
    """What the core can see of it alone."""
    assert URL == webhooks.require_address(URL, local=False)
    assert "http://[::1]:8080/x" == webhooks.require_address("http://[::1]:8080/x", local=True)
    for url in ("http://app.example.com/", "https://localhost/", "https://[::1]/", "https://a:b@app.example.com/"):
        with pytest.raises(Invalid):
            webhooks.require_address(url, local=False)
    for url in ("https://10.0.0.1/", "http://169.254.169.254/", "https://app.example.com/#x"):
        with pytest.raises(Invalid):
            webhooks.require_address(url, local=True)
