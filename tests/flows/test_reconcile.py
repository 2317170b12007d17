"""G5: a complete listing against the mirror, with planted drifts, against a simulated Entra on a real socket."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import bindparam, select, update

from app_core import directory, graph_links, jobs, provisioning, reconciliations, vault
from app_core.db import Statement
from app_core.errors import NotFound, NotPossible
from app_core.provisioning import GroupChange, GroupRecord, MemberStep
from app_core.reconciliations import Policy
from app_core.resource import UserRecord, attributes_of
from app_core.work import Work
from graph_fallback import pages
from tests.flows.test_pull import USED, Joined, entra, graph_url, joined
from tests.processes import command

__all__ = ["entra", "graph_url", "joined"]  # fixtures

DEPARTMENT = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
OLD = Statement(
    update(directory.G).where(directory.G.c.tenant_id == bindparam("tenant_id")).values(modified_at=bindparam("then"))
)
TOUCHED = Statement(
    select(directory.U.c.id, directory.U.c.version)
    .where(directory.U.c.tenant_id == bindparam("tenant_id"))
    .order_by(directory.U.c.id)
)


def quiet(text: str) -> None:
    assert "@" not in text


def reconciled(joined: Joined, *, dry_run: bool = False, grace: float = 0.0) -> dict[str, Any]:
    return joined.do(lambda hand: hand.reconcile(quiet, dry_run=dry_run, grace=grace))


def kinds(result: dict[str, Any], outcome: str | None = None) -> list[str]:
    return sorted(each["kind"] for each in result["items"] if outcome in (None, each["outcome"]))


def plant(joined: Joined, object_id: str, act: Callable[[Work, str], None], kind: str = "user") -> None:
    """Change the mirror behind the directory's back."""
    find = directory.user_by_object_id if kind == "user" else directory.group_by_object_id

    def change(work: Work) -> None:
        key = find(work, object_id)
        assert key is not None
        act(work, key)

    joined.read(change)


def with_department(text: str) -> Callable[[Work, str], None]:
    def act(work: Work, key: str) -> None:
        before = provisioning.lock_user(work, key)
        resource = {**attributes_of(before.document), DEPARTMENT: {"department": text}}
        provisioning.save_user(work, before, UserRecord(resource, bool(before.active)))

    return act


def with_name(name: str) -> Callable[[Work, str], None]:
    def act(work: Work, key: str) -> None:
        before = provisioning.lock_group(work, key)
        provisioning.change_group(work, before, GroupChange(GroupRecord(name, before.external_id, before.extensions)))

    return act


def members(joined: Joined, op: str, *object_ids: str) -> Callable[[Work, str], None]:
    def act(work: Work, key: str) -> None:
        ids = list(directory.users_by_object_id(work, object_ids).values())
        provisioning.change_group(work, provisioning.lock_group(work, key), GroupChange(steps=[MemberStep(op, ids)]))

    return act


class Company:
    """Three people in two teams, and every drift there is between them and the directory."""

    def __init__(self, joined: Joined) -> None:
        there = joined.there
        self.joined = joined
        self.anna = there.user("anna", displayName="Anna A", accountEnabled=True)
        self.bert = there.user("bert", displayName="Bert B", accountEnabled=True)
        self.carl = there.user("carl", displayName="Carl C", accountEnabled=True)
        self.sales = there.group("Sales", self.anna, self.carl)
        self.tours = there.group("Tours", self.anna)
        joined.sync()
        for group in (self.sales, self.tours):
            joined.do(lambda hand, group=group: hand.add(group))  # type: ignore[misc]

    def drift_apart(self) -> str:
        """Plant every drift; give the object id of the group that was made again under the same name."""
        joined, there = self.joined, self.joined.there
        plant(joined, self.sales, with_name("Sale"), "group")
        plant(joined, self.sales, members(joined, "add", self.bert), "group")
        plant(joined, self.sales, members(joined, "remove", self.anna), "group")
        plant(joined, self.anna, with_department("Sales"))
        there.do("change_user", user=self.bert, accountEnabled=False)
        there.do("delete", object=self.carl)
        there.do("purge", object=self.carl)
        there.do("delete", object=self.tours)
        return there.group("Tours", self.anna)


ALL = [
    "account_disabled",
    "attributes_differ",
    "group_gone",
    "group_recreated",
    "group_renamed",
    "group_unknown",
    "member_extra",
    "member_missing",
    "user_gone",
]


def test_planted_drifts_are_found_and_repaired(joined: Joined) -> None:
    """Each drift is found, said, and repaired; a second run finds nothing and tells nobody (G5)."""
    company = Company(joined)
    again = company.drift_apart()

    result = reconciled(joined)

    assert ("done", ALL) == (result["state"], kinds(result))
    assert ["group_recreated"] == kinds(result, "reported")
    assert sorted(set(ALL) - {"group_recreated"}) == kinds(result, "repaired")
    assert (3, 2, 3) == (result["users"], result["groups"], result["memberships"])
    assert {"anna"} == joined.team("Sales")
    assert joined.team("Sale") is None
    assert joined.team("Tours") is None
    assert "department" not in str(joined.user(company.anna))
    assert joined.user(company.bert)["active"] is False  # type: ignore[index]
    assert joined.user(company.carl) is None
    assert [again] == [each["object_id"] for each in result["items"] if each["kind"] == "group_recreated"]
    before = joined.events()
    assert [] == reconciled(joined)["items"]
    assert before == joined.events()
    assert 2 == len(joined.read(reconciliations.runs))


def test_a_dry_run_changes_nothing(joined: Joined) -> None:
    """The report says what differs, why, and what a repair would do; mirror, teams and feed stay as they are."""
    company = Company(joined)
    company.drift_apart()
    events, users = joined.events(), joined.read(lambda work: work.rows(TOUCHED))

    result = reconciled(joined, dry_run=True)

    assert ("done", ALL, ALL) == (result["state"], kinds(result), kinds(result, "reported"))
    assert all(each["why"] and each["repair"] for each in result["items"])
    assert not any("@" in each["why"] or "Anna" in each["why"] for each in result["items"])
    assert (events, users) == (joined.events(), joined.read(lambda work: work.rows(TOUCHED)))
    assert {"bert", "carl"} == joined.team("Sale")


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "expired_page", "path": "/users"},
        {"kind": "foreign_link", "path": r"/users\?"},
        {"kind": "short_listing", "path": r"/users\?"},
        {"kind": "part", "path": "/groups/", "status": 403, "count": None},
        {"kind": "garbage", "path": "/members", "count": None},
    ],
    ids=["expired", "foreign", "cut-short", "forbidden", "unreadable"],
)
def test_inv_06_a_listing_that_breaks_off_removes_nothing(
    joined: Joined, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any]
) -> None:
    """Absence proves something in a complete listing only (invariant 6); one that only looks complete removes nobody."""
    monkeypatch.setattr(pages, "ALL_USERS", pages.ALL_USERS.replace("$top=999", "$top=5"))
    people = [joined.there.user(f"p{at}", displayName=f"P {at}", accountEnabled=True) for at in range(12)]
    sales = joined.there.group("Sales", *people)
    joined.sync()
    joined.do(lambda hand: hand.add(sales))
    joined.entra.do("fault", **fault)

    result = reconciled(joined)

    assert all(joined.user(each) is not None for each in people)
    assert 12 == len(joined.team("Sales") or ())
    assert [] == kinds(result, "repaired")
    if fault["kind"] == "short_listing":
        assert ["user_gone"] * len(result["items"]) == kinds(result, "left")
        assert result["items"]
    else:
        assert "failed" == result["state"]
        assert result["error"]


def test_inv_06_a_fifth_and_more_waits_for_approval(joined: Joined) -> None:
    """21 % removals are held, others of the run are repaired; approved, just these go, of those that are still true."""
    people = [joined.there.user(f"p{at}", displayName=f"P {at}", accountEnabled=True) for at in range(57)]
    joined.sync()
    plant(joined, people[56], with_department("Sales"))
    for each in people[:12]:
        joined.there.do("delete", object=each)
        joined.there.do("purge", object=each)

    held = reconciled(joined)

    assert ("held", 12, ["user_gone"] * 12) == (held["state"], held["removals"], kinds(held, "held"))
    assert ["attributes_differ"] == kinds(held, "repaired")
    assert "12 of 57 users" in held["error"]
    assert all(joined.user(each) is not None for each in people)
    # One of them changes here in the meantime, and somebody else goes, who was not asked about.
    plant(joined, people[0], with_department("Back"))
    joined.there.do("delete", object=people[20])
    joined.there.do("purge", object=people[20])

    done = joined.do(lambda hand: hand.approve(quiet, held["run_id"]))

    assert ("done", ["user_gone"]) == (done["state"], kinds(done, "left"))
    assert ["attributes_differ", *["user_gone"] * 11] == kinds(done, "repaired")
    assert {people[0], *people[12:]} == {each for each in people if joined.user(each) is not None}
    with pytest.raises(NotPossible):
        joined.do(lambda hand: hand.approve(quiet, held["run_id"]))
    with pytest.raises(NotFound):
        joined.do(lambda hand: hand.approve(quiet, "nothing"))


def test_what_is_approved_is_asked_for_once_more(joined: Joined, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing that was cut short is approved by mistake: only who is really gone goes."""
    people = [joined.there.user(f"p{at}", displayName=f"P {at}") for at in range(57)]
    joined.sync()
    for each in people[:6]:
        joined.there.do("delete", object=each)
        joined.there.do("purge", object=each)
    monkeypatch.setattr(pages, "ALL_USERS", pages.ALL_USERS.replace("$top=999", "$top=40"))
    joined.entra.do("fault", kind="short_listing", path=r"/users\?")
    held = reconciled(joined)
    assert ("held", 17) == (held["state"], held["removals"])

    done = joined.do(lambda hand: hand.approve(quiet, held["run_id"]))

    assert (6, 11) == (len(kinds(done, "repaired")), len(kinds(done, "left")))
    assert set(people[6:]) == {each for each in people if joined.user(each) is not None}


def test_few_removals_do_not_wait(joined: Joined) -> None:
    """Up to ten go without asking, whatever the share."""
    people = [joined.there.user(f"p{at}", displayName=f"P {at}") for at in range(12)]
    joined.sync()
    for each in people[:10]:
        joined.there.do("delete", object=each)
        joined.there.do("purge", object=each)

    assert "done" == reconciled(joined)["state"]

    assert 2 == sum(joined.user(each) is not None for each in people)


def test_what_is_fresh_is_left_alone(joined: Joined) -> None:
    """Graph lags behind: what has changed here within the grace period differs for now, and that is all right."""
    company = Company(joined)
    company.drift_apart()

    result = reconciled(joined, grace=300)

    assert ("done", ["group_unknown"]) == (result["state"], kinds(result))
    assert {"bert", "carl"} == joined.team("Sale")


def test_the_soft_deleted_keep_their_memberships(joined: Joined) -> None:
    """Who can be restored is inactive, and in its groups (invariant 5)."""
    company = Company(joined)
    joined.there.do("delete", object=company.carl)

    result = reconciled(joined)

    assert ["account_disabled"] == kinds(result, "repaired") == kinds(result)
    assert joined.user(company.carl)["active"] is False  # type: ignore[index]
    assert {"anna", "carl"} == joined.team("Sales")


def test_a_team_with_logins_is_held(joined: Joined) -> None:
    """A group that is gone does not take logins with it, and the run says so (invariant 9)."""
    company = Company(joined)
    team = joined.do(lambda hand: hand.add(company.tours))["team_id"]
    joined.read(lambda work: vault.add(work, team, ciphertext="x"))
    joined.there.do("delete", object=company.tours)

    result = reconciled(joined)

    assert ("done", ["group_gone"]) == (result["state"], kinds(result, "held"))
    assert "still holds 1 login" in result["items"][0]["reason"]
    assert {"anna"} == joined.team("Tours")


def test_where_entra_pushes_known_objects_are_repaired(joined: Joined) -> None:
    """Nobody is imported, nobody made active; attributes, names and memberships are repaired (§8.17)."""
    company = Company(joined)
    joined.read(lambda work: work.run(USED, now=work.now))
    dora = joined.there.user("dora", displayName="Dora D", accountEnabled=True)
    joined.there.do("add_members", group=company.sales, members=[dora])

    def out_of_scope(work: Work, key: str) -> None:
        before = provisioning.lock_user(work, key)
        resource = {**attributes_of(before.document), "active": False, "title": "Guide"}
        provisioning.save_user(work, before, UserRecord(resource, active=False))

    plant(joined, company.anna, out_of_scope)
    plant(joined, company.sales, members(joined, "remove", company.anna), "group")

    result = reconciled(joined)

    assert ["attributes_differ", "member_missing"] == kinds(result, "repaired") == kinds(result)
    assert joined.user(dora) is None
    assert joined.user(company.anna)["active"] is False  # type: ignore[index]
    assert {"anna", "carl"} == joined.team("Sales")


def test_where_only_we_pull_everybody_comes(joined: Joined) -> None:
    """Who is not here is imported, with the memberships and what was switched off here."""
    company = Company(joined)
    dora = joined.there.user("dora", displayName="Dora D", accountEnabled=True)
    joined.there.do("add_members", group=company.sales, members=[dora])

    result = reconciled(joined)

    assert ["member_missing", "user_unknown"] == kinds(result, "repaired") == kinds(result)
    assert {"anna", "carl", "dora"} == joined.team("Sales")
    assert [] == reconciled(joined)["items"]


def test_a_pull_that_began_anew_asks_for_a_run(joined: Joined) -> None:
    """What went while the link was expired was never said; a listing finds it."""
    joined.there.user("anna", displayName="Anna A")
    joined.sync()
    assert joined.read(lambda work: jobs.unfinished(work, reconciliations.slot(work, Policy.REPAIR))) is None
    joined.entra.do("expire_delta_tokens")

    joined.sync()

    job = joined.read(lambda work: jobs.unfinished(work, reconciliations.slot(work, Policy.REPAIR)))
    assert job is not None
    assert (reconciliations.RECONCILE, str(Policy.REPAIR)) == (job.kind, job.arguments()["policy"])
    assert "done" == reconciled(joined, dry_run=True)["state"]
    assert job == joined.read(lambda work: jobs.unfinished(work, reconciliations.slot(work, Policy.REPAIR)))
    assert joined.read(lambda work: jobs.unfinished(work, graph_links.pull_slot(work))) is None


def test_the_command_reports_and_repairs(joined: Joined) -> None:
    """An operator sees what differs before it is repaired, as text and as JSON."""
    company = Company(joined)
    plant(joined, company.sales, with_name("Sale"), "group")
    words, known = ["graph", "reconcile", joined.customer.tenant_id], joined.entra.server_settings
    joined.read(lambda work: work.run(OLD, then="2026-01-01T00:00:00.000Z"))

    report = command(joined.url, *words, "--dry-run", "--json", **known)
    repair = command(joined.url, *words, **known)
    refused = command(joined.url, "graph", "approve", joined.customer.tenant_id, "nothing", **known)

    assert (0, 0, 1) == (report.returncode, repair.returncode, refused.returncode), report.stderr + repair.stderr
    assert ["group_renamed"] == kinds(json.loads(report.stdout))
    assert "outcome: repaired" in repair.stdout
    assert "state: done" in repair.stdout
    assert "Reconciliation 'nothing' was not found." in refused.stderr
    assert joined.team("Sales") is not None
