"""G2: only the people of chosen groups, where only we pull; teams are another matter."""

from __future__ import annotations

from typing import Any

import pytest

from app_core import directory, jobs, templates, user_filter
from app_core.administration import assign_template
from app_core.errors import Invalid
from app_core.graph_links import pull_slot
from app_core.work import Work
from tests.flows.test_pull import USED, Joined, entra, graph_url, joined
from tests.processes import Customer, new_customer
from tests.pulling import group_members, log, managers, stepping
from tests.raw import sql

__all__ = ["entra", "graph_url", "joined"]  # fixtures


def choose(joined: Joined, *groups: str) -> bool:
    """Set the filter as an administrator does, with what is told of it."""

    async def act(hand: Any) -> bool:
        return bool(await hand.write(lambda work: user_filter.choose(work, groups)))

    return joined.do(act)


def here(joined: Joined) -> dict[str, bool]:
    """Give who is in the mirror, and whether active."""
    rows = sql(
        joined.url, "SELECT user_name, active FROM directory_user WHERE tenant_id = ?", joined.customer.tenant_id
    )
    return {str(name).partition("@")[0]: bool(active) for name, active in rows}


def members(joined: Joined, object_id: str) -> set[str] | None:
    return joined.read(lambda work: group_members(work, object_id))


class Company:
    """Four people; two are in the chosen group, three in another, whose team is of no concern to the filter."""

    def __init__(self, joined: Joined) -> None:
        there = joined.there
        self.anna, self.bert, self.carl, self.dora = (
            there.user(each, displayName=each) for each in ("anna", "bert", "carl", "dora")
        )
        self.chosen = there.group("Chosen", self.anna, self.bert)
        self.sales = there.group("Sales", self.bert, self.carl, self.dora)


def test_only_the_people_of_chosen_groups_come(joined: Joined) -> None:
    """Groups all come; of people those of a chosen group, with all their memberships. The same again tells nothing."""
    company = Company(joined)
    choose(joined, company.chosen)

    assert "done" == joined.sync()["state"]

    assert {"anna": True, "bert": True} == here(joined)
    assert ({"anna", "bert"}, {"bert"}) == (members(joined, company.chosen), members(joined, company.sales))
    before = joined.events()
    joined.sync()
    assert before == joined.events()


def test_a_team_follows_its_group_whatever_is_chosen(joined: Joined) -> None:
    """Name and members of a team are its group's, of those people that are here (G2, G4)."""
    company = Company(joined)
    choose(joined, company.chosen)
    joined.sync()
    joined.do(lambda hand: hand.add(company.sales))
    assert {"bert"} == joined.team("Sales")

    joined.there.do("rename_group", group=company.sales, name="Sales EMEA")
    joined.there.do("add_members", group=company.sales, members=[company.anna])
    joined.sync()

    assert {"anna", "bert"} == joined.team("Sales EMEA")
    assert {"anna", "bert"} == set(here(joined))


def test_who_enters_comes_in_the_same_pull(joined: Joined) -> None:
    """A membership is no change of the user, so it is read by itself: with its manager, and all of its groups."""
    company = Company(joined)
    joined.there.do("set_manager", user=company.carl, manager=company.anna)
    choose(joined, company.chosen)
    joined.sync()
    assert "carl" not in here(joined)

    joined.there.do("add_members", group=company.chosen, members=[company.carl])
    stages = joined.do(stepping())

    assert stages.count("arrivals") == 2
    assert {"anna": True, "bert": True, "carl": True} == here(joined)
    assert {"bert", "carl"} == members(joined, company.sales)
    assert "anna" == joined.read(managers)["carl"]


def test_who_enters_has_the_cards_of_all_groups(joined: Joined) -> None:
    """What follows from a group that was told of before follows from the user that comes later."""
    company = Company(joined)
    choose(joined, company.chosen)
    joined.sync()

    def connect(work: Work) -> None:
        group_id = directory.group_by_object_id(work, company.sales)
        assert group_id is not None
        made = templates.create(work, "Card", fields=[{"key": "name", "source": "display_name", "mode": "always"}])
        assign_template(work, made.id, [group_id])

    joined.read(connect)
    cards = "SELECT state FROM card WHERE tenant_id = ?"
    assert [("active",)] == sql(joined.url, cards, joined.customer.tenant_id)

    joined.there.do("add_members", group=company.chosen, members=[company.carl])
    joined.sync()
    assert [("active",)] * 2 == sql(joined.url, cards, joined.customer.tenant_id)
    joined.there.do("remove_members", group=company.chosen, members=[company.carl])
    joined.sync()
    assert [("active",), ("paused",)] == sorted(sql(joined.url, cards, joined.customer.tenant_id))


def test_who_leaves_is_inactive_and_comes_back(joined: Joined) -> None:
    """As on push: out of scope is inactive, never deleted, in its groups still; in scope again, the account decides."""
    company = Company(joined)
    choose(joined, company.chosen)
    joined.sync()
    joined.there.do("remove_members", group=company.chosen, members=[company.anna, company.bert])
    joined.sync()
    # What else changes of somebody who is out of scope makes nobody active, not even until the end of the pull.
    joined.there.do("change_user", user=company.anna, department="Tours")
    joined.sync()
    assert 0 == joined.events("person.reactivated")
    assert {"anna": False, "bert": False} == here(joined)
    assert {"bert"} == members(joined, company.sales)
    assert "'department': 'Tours'" in str(joined.user(company.anna))
    assert (2, 0) == (joined.events("person.deactivated"), joined.events("person.deleted"))
    before = joined.events()
    joined.sync()
    assert before == joined.events()

    joined.there.do("change_user", user=company.bert, accountEnabled=False)
    joined.there.do("add_members", group=company.chosen, members=[company.anna, company.bert])
    joined.sync()

    assert {"anna": True, "bert": False} == here(joined)
    joined.there.do("change_user", user=company.bert, accountEnabled=True)
    joined.sync()
    assert {"anna": True, "bert": True} == here(joined)
    assert 2 == joined.events("person.created")


def test_who_moves_between_chosen_groups_stays(joined: Joined) -> None:
    """It is looked at when all groups are told: nobody is switched off and on."""
    company = Company(joined)
    choose(joined, company.chosen, company.sales)
    joined.sync()
    joined.there.do("move_members", source=company.chosen, target=company.sales, members=[company.anna])

    joined.sync()

    assert dict.fromkeys(("anna", "bert", "carl", "dora"), True) == here(joined)
    assert 0 == joined.events("person.deactivated")


def test_another_filter_begins_full_rounds(joined: Joined) -> None:
    """A change asks for a pull, at whose end who is here is who is in a chosen group; without one it is everybody."""
    company = Company(joined)
    joined.sync()
    assert {"anna", "bert", "carl", "dora"} == {name for name, active in here(joined).items() if active}

    def active_after(*groups: str) -> set[str]:
        assert choose(joined, *groups)
        assert joined.read(lambda work: jobs.unfinished(work, pull_slot(work))) is not None
        joined.sync()
        return {name for name, active in here(joined).items() if active}

    assert {"anna", "bert"} == active_after(company.chosen)
    assert {"bert", "carl", "dora"} == active_after(company.sales)
    assert {"anna", "bert", "carl", "dora"} == active_after(company.sales, company.chosen)
    assert {"anna", "bert"} == active_after(company.chosen)
    assert {"anna", "bert", "carl", "dora"} == active_after()
    assert {"bert", "carl", "dora"} == members(joined, company.sales)
    assert 4 == joined.events("person.created")
    assert 5 == joined.events("settings.changed")


def test_everybody_comes_with_their_groups(joined: Joined) -> None:
    """Who was left out comes with all memberships once nothing is chosen any more."""
    company = Company(joined)
    choose(joined, company.chosen)
    joined.sync()

    choose(joined)
    joined.sync()

    assert ({"anna", "bert"}, {"bert", "carl", "dora"}) == (
        members(joined, company.chosen),
        members(joined, company.sales),
    )


def test_a_chosen_group_that_is_not_there_switches_nobody_off(joined: Joined) -> None:
    """It proves nothing of anybody: each pull says so, until it is taken out of the filter."""
    company = Company(joined)
    choose(joined, company.chosen, company.sales)
    joined.sync()
    joined.there.do("delete", object=company.sales)

    joined.sync()

    assert dict.fromkeys(("anna", "bert", "carl", "dora"), True) == here(joined)
    (said,) = joined.read(lambda work: log(work, outcome="warning"))
    assert ("filter-group-missing", company.sales) == (said["reason_code"], said["target_id"])
    held = {each.object_id: (each.display_name, each.group_id is None) for each in joined.read(user_filter.chosen)}
    assert {company.chosen: ("Chosen", False), company.sales: (None, True)} == held
    choose(joined, company.chosen)
    joined.sync()
    assert {"anna": True, "bert": True, "carl": False, "dora": False} == here(joined)


def test_who_is_restored_comes_though_no_group_says_so(joined: Joined) -> None:
    """A user that was in the recycle bin is in its groups all the time; its round alone names it (entra.md §8.4)."""
    company = Company(joined)
    joined.there.do("delete", object=company.anna)
    choose(joined, company.chosen)
    joined.sync()
    assert {"bert": True} == here(joined)

    joined.there.do("restore", object=company.anna)
    joined.sync()

    assert {"anna": True, "bert": True} == here(joined)
    assert {"anna", "bert"} == members(joined, company.chosen)


def test_each_step_may_be_taken_twice(joined: Joined) -> None:
    """A worker that dies after each commit imports nobody twice, and nobody who is left out (G7)."""
    people = [joined.there.user(f"p{at}") for at in range(45)]
    chosen = joined.there.group("Chosen", *people[:30])
    sales = joined.there.group("Sales", *people[15:])
    joined.entra.do("settings", delta_page=7, members_page=6, shuffle=True)
    choose(joined, chosen)

    joined.do(stepping(twice=True))

    assert {f"p{at}": True for at in range(30)} == here(joined)
    assert {f"p{at}" for at in range(15, 30)} == members(joined, sales)
    assert 30 == joined.events("person.created")


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "part", "status": 429, "retry_after": 1, "count": 3},
        {"kind": "part", "status": 503, "count": 5},
        {"kind": "error", "status": 503, "count": 2, "path": r"\$batch"},
        {"kind": "throttle", "retry_after": 1, "count": 1, "path": r"\$batch"},
    ],
    ids=["part-throttled", "part-503", "503", "throttled"],
)
def test_faults_lose_nobody(joined: Joined, fault: dict[str, Any]) -> None:
    """Who cannot be read now is read a little later (G7)."""
    company = Company(joined)
    choose(joined, company.chosen, company.sales)
    joined.entra.do("fault", **fault)

    assert "done" == joined.sync()["state"]

    assert dict.fromkeys(("anna", "bert", "carl", "dora"), True) == here(joined)
    assert ({"anna", "bert"}, {"bert", "carl", "dora"}) == (
        members(joined, company.chosen),
        members(joined, company.sales),
    )


def test_one_who_is_not_given_stops_nobody(joined: Joined) -> None:
    """A refusal of one person is said in the log, and the others come."""
    company = Company(joined)
    choose(joined, company.chosen)
    joined.entra.do("fault", kind="part", status=403, path=f"/users/{company.anna}", count=1)

    assert "done" == joined.sync()["state"]

    assert {"bert": True} == here(joined)
    (said,) = joined.read(lambda work: log(work, outcome="failure"))
    assert (company.anna, "graph-refused") == (said["target_id"], said["reason_code"])
    # The next listing finds out.
    joined.do(lambda hand: hand.reconcile(lambda text: None, grace=0))
    assert {"anna": True, "bert": True} == here(joined)


# Reconciliation -------------------------------------------------------------------------------------------------------


def test_a_listing_respects_the_filter(joined: Joined) -> None:
    """Nobody comes whom the filter leaves out, and nobody who was left out counts as gone; who is in it comes (G5)."""
    company = Company(joined)
    joined.sync()
    choose(joined, company.chosen)
    joined.sync()
    assert {"anna": True, "bert": True, "carl": False, "dora": False} == here(joined)
    fresh = joined.there.user("fresh")
    emil = joined.there.user("emil")
    joined.there.do("add_members", group=company.chosen, members=[emil, company.carl])

    result = joined.do(lambda hand: hand.reconcile(lambda text: None, grace=0))

    found = sorted((each["kind"], each["object_id"], each["outcome"]) for each in result["items"])
    assert (
        sorted(
            [
                ("account_enabled", company.carl, "repaired"),
                ("member_missing", company.chosen, "repaired"),
                ("member_missing", company.chosen, "repaired"),
                ("user_unknown", emil, "repaired"),
            ]
        )
        == found
    )
    assert 0 == result["removals"]
    assert {"anna": True, "bert": True, "carl": True, "dora": False, "emil": True} == here(joined)
    assert joined.user(fresh) is None
    assert [] == joined.do(lambda hand: hand.reconcile(lambda text: None, grace=0))["items"]
    joined.sync()
    assert {"anna": True, "bert": True, "carl": True, "dora": False, "emil": True} == here(joined)


# The setting ----------------------------------------------------------------------------------------------------------


def test_where_entra_pushes_the_filter_says_nothing(joined: Joined) -> None:
    """Its assignments decide: nobody comes, nobody goes (ADR 0018)."""
    company = Company(joined)
    joined.sync()
    joined.read(lambda work: work.run(USED, now=work.now))

    choose(joined, company.chosen)
    joined.sync()

    assert dict.fromkeys(("anna", "bert", "carl", "dora"), True) == here(joined)
    assert {"bert", "carl", "dora"} == members(joined, company.sales)


def test_the_filter_is_checked(joined: Joined) -> None:
    """It holds object ids, each once and in any case; the same again is no change; other tenants' are theirs."""
    group = "AAAAAAAA-0000-4000-8000-00000000000A"
    assert choose(joined, group, group.lower())
    assert [group.lower()] == [each.object_id for each in joined.read(user_filter.chosen)]
    assert not choose(joined, f" {group} ")
    assert 1 == joined.events("settings.changed")

    for wrong in (["Sales"], [""], [f"{at:08d}-0000-4000-8000-000000000000" for at in range(101)]):
        with pytest.raises(Invalid, match="user_filter"):
            choose(joined, *wrong)

    assert [group.lower()] == [each.object_id for each in joined.read(user_filter.chosen)]
    assert [] == _other(joined).read(user_filter.chosen)


def test_a_tenant_without_a_directory_may_choose(joined: Joined) -> None:
    """What is chosen before a directory is connected asks for nothing, and holds from the first pull on."""
    other = _other(joined)

    assert choose(other, "aaaaaaaa-0000-4000-8000-00000000000a")

    assert other.read(lambda work: jobs.unfinished(work, pull_slot(work))) is None
    assert 1 == len(other.read(user_filter.chosen))


def _other(joined: Joined) -> Joined:
    customer: Customer = new_customer(joined.url)
    return Joined(joined.url, joined.entra, joined.there, customer)
