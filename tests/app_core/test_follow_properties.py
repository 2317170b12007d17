"""Whatever the directory and the administrator do, in whatever order and however often: what must follow follows.

Hypothesis thinks of sequences of acts; `follow_model` computes from the acts alone what must be there, after each of
them. The thresholds of what happens at once are lowered, so that the worker has its share.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from app_core import follow
from tests.app_core.follow_model import HEX, TABLES, Facts, Model, Store, chosen, settle_everybody, some
from tests.scim_server.generated import examples

T = TypeVar("T")
USERS, GROUPS = 6, 3
Act = Callable[[], object]
Step = tuple[str, int, int]


@pytest.fixture(scope="module")
def store(core_url: str) -> Iterator[Store]:
    """The migrated database, opened once for all examples."""
    opened = Store(core_url)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(follow, "AT_ONCE", 2)
        patched.setattr(follow, "BATCH", 2)
        yield opened
    opened.close()


# ── Acts ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def on(what: T | None, act: Callable[..., object], **how: Any) -> Act | None:
    """Do something to what was chosen, if there was something to choose."""
    return None if what is None else functools.partial(act, what, **how)


def create_user(model: Model, a: int, b: int) -> Act:
    return functools.partial(model.create_user, a % USERS, active=b % 4 != 0)


def switch_user(model: Model, a: int, b: int) -> Act | None:
    user = chosen(model.accounts, a)
    return on(user, model.change_user, active=bool(b % 2))


def bury_user(model: Model, a: int, b: int) -> Act | None:
    """Soft-delete: Entra deactivates the user and puts its object id in front of its name; or take that back."""
    user = chosen(model.accounts, a)
    if user is None:
        return None
    name = f"slot{user.slot}@contoso.com"
    if b % 2:
        return functools.partial(model.change_user, user, active=True, name=name)
    return functools.partial(model.change_user, user, active=False, name=HEX + name)


def rename_user(model: Model, a: int, b: int) -> Act | None:
    user = chosen(model.accounts, a)
    if user is None:
        return None
    return functools.partial(model.change_user, user, name=f"slot{user.slot}{'-new' * (b % 2)}@contoso.com")


def delete_user(model: Model, a: int, b: int) -> Act | None:
    user = chosen(model.accounts, a)
    return on(user, model.delete_user)


def create_group(model: Model, a: int, b: int) -> Act:
    return functools.partial(model.create_group, a % GROUPS, some(model.accounts, b))


def rename_group(model: Model, a: int, b: int) -> Act | None:
    group = chosen(model.circles, a)
    return on(group, model.change_group, name=f"Name {b % 2}")


def _members(op: str) -> Callable[[Model, int, int], Act | None]:
    def act(model: Model, a: int, b: int) -> Act | None:
        group = chosen(model.circles, a)
        return on(group, model.change_group, op=op, members=some(model.accounts, b))

    return act


def delete_group(model: Model, a: int, b: int) -> Act | None:
    group = chosen(model.circles, a)
    return on(group, model.delete_group)


def assign(model: Model, a: int, b: int) -> Act:
    return functools.partial(model.assign, sorted(model.assigned)[a % 2], some(model.circles, b))


def sync_group(model: Model, a: int, b: int) -> Act | None:
    group = chosen(model.circles, a)
    return on(group, model.sync_group)


def remove_group(model: Model, a: int, b: int) -> Act | None:
    group = chosen(model.circles, a)
    return on(group, model.remove_group)


def delete_team(model: Model, a: int, b: int) -> Act | None:
    team = chosen(model.crews, a)
    return on(team, model.delete_team)


def add_login(model: Model, a: int, b: int) -> Act | None:
    team = chosen(model.crews, a)
    return on(team, model.add_login)


def move_login(model: Model, a: int, b: int) -> Act | None:
    login, team = chosen(model.secrets, a), chosen(model.crews, b)
    return None if team is None else on(login, functools.partial(model.move_login, crew=team))


def delete_login(model: Model, a: int, b: int) -> Act | None:
    login = chosen(model.secrets, a)
    return on(login, model.delete_login)


def reactivate_card(model: Model, a: int, b: int) -> Act | None:
    card = chosen(list(model.held.values()), a)
    return on(card, model.reactivate_card)


def delete_card(model: Model, a: int, b: int) -> Act | None:
    card = chosen(list(model.held.values()), a)
    return on(card, model.delete_card)


def delete_person(model: Model, a: int, b: int) -> Act | None:
    human = chosen(model.humans, a)
    return on(human, model.delete_person)


def set_seat_limit(model: Model, a: int, b: int) -> Act:
    return functools.partial(model.set_seat_limit, [None, 0, 1, 2, 3, 5][a % 6])


def set_policies(model: Model, a: int, b: int) -> Act:
    return functools.partial(model.set_policies, ["all", "selected"][a % 2], ["refuse", "detach"][b % 2])


def issue_code(model: Model, a: int, b: int) -> Act | None:
    human = chosen(model.humans, a)
    return on(human, model.issue_code)


def redeem(model: Model, a: int, b: int) -> Act | None:
    human = chosen(model.humans, a)
    return on(human, model.redeem, right=b % 4 != 0)


def activate(model: Model, a: int, b: int) -> Act | None:
    """Both at once: most sequences are too short to come to it."""
    human = chosen(model.humans, a)
    if human is None:
        return None

    def act() -> None:
        model.issue_code(human)
        model.redeem(human, right=True)

    return act


def revoke(model: Model, a: int, b: int) -> Act | None:
    human = chosen(model.humans, a)
    return on(human, model.revoke)


def work(model: Model, a: int, b: int) -> Act:
    return functools.partial(model.drain if a % 2 else model.step)


ACTS: dict[str, Callable[[Model, int, int], Act | None]] = {
    "create user": create_user,
    "switch user": switch_user,
    "bury user": bury_user,
    "rename user": rename_user,
    "delete user": delete_user,
    "create group": create_group,
    "rename group": rename_group,
    "add members": _members("add"),
    "remove members": _members("remove"),
    "replace members": _members("replace"),
    "delete group": delete_group,
    "assign": assign,
    "sync group": sync_group,
    "remove group": remove_group,
    "delete team": delete_team,
    "add login": add_login,
    "move login": move_login,
    "delete login": delete_login,
    "reactivate card": reactivate_card,
    "delete card": delete_card,
    "delete person": delete_person,
    "set seat limit": set_seat_limit,
    "set policies": set_policies,
    "issue code": issue_code,
    "redeem": redeem,
    "activate": activate,
    "revoke": revoke,
    "work": work,
}
OFTEN = ["create user", "switch user", "delete user", "add members", "remove members", "assign", "reactivate card"]
NOT_IDEMPOTENT = {"add login", "issue code", "activate", "work", "redeem"}
PRELUDE: list[Step] = [
    *[("create user", slot, 1) for slot in range(4)],
    ("create group", 0, 0b0011),
    ("create group", 1, 0b1110),
    ("assign", 0, 0b01),
]
STEPS = st.lists(
    st.tuples(st.sampled_from([*ACTS, *OFTEN * 2, "again", "again"]), st.integers(0, 63), st.integers(0, 63)),
    max_size=30,
)


# ── Sequences ───────────────────────────────────────────────────────────────────────────────────────────────────────


def live(store: Store, steps: list[Step], seat_limit: int | None, say: Callable[[str], object] = print) -> None:
    """Carry out a sequence, and hold what is there against what must be there after each act and at the end."""
    model = Model(store, seat_limit=seat_limit)
    done: list[tuple[str, Act]] = []
    for verb, a, b in [*PRELUDE, *steps]:
        if verb == "again":
            # Whatever was said once may arrive again, however late.
            verb, act = done[-1 - a % len(done)]  # noqa: PLW2901
        else:
            found = ACTS[verb](model, a, b)
            if found is None:
                continue
            act = found
        say(f"{verb} {act.args} {act.keywords}" if isinstance(act, functools.partial) else verb)
        done.append((verb, act))
        act()
        model.check()
    verb, act = done[-1]
    if verb not in NOT_IDEMPOTENT:
        changes_nothing(model, act)
    say("all work is done")
    model.drain()
    model.due = set(model.humans)
    model.check()
    changes_nothing(model, lambda: settle_everybody(model))
    model.check_events(model.facts())


def changes_nothing(model: Model, act: Act) -> None:
    """Do something that was done before: nobody is told anything, and no row is another."""
    before: Facts = model.facts()
    model.events.clear()
    act()

    assert [] == model.events
    after = model.facts()
    for name in TABLES:
        assert before[name] == after[name], name


# Members of the first group are users 0 and 1, and it leads to the first template; see PRELUDE and `chosen`.
FIRST_GROUP, SECOND_GROUP = 1, 0
USER_1 = 2
LAST_CARD = 0
FOUND: dict[str, list[Step]] = {
    "one card comes back and another is new": [
        ("remove members", FIRST_GROUP, 0b0001),
        ("add members", FIRST_GROUP, 0b0101),
    ],
    "the worker finds cards that come back among new ones": [("assign", 0, 0b00), ("assign", 0, 0b10), ("work", 1, 0)],
    "a person that was kept by hand comes back": [
        ("delete user", USER_1, 0),
        ("reactivate card", LAST_CARD, 0),
        ("create user", 1, 1),
        ("delete user", 0, 0),
        ("reactivate card", LAST_CARD, 0),
    ],
    "a person comes back disabled, with an account": [
        ("activate", USER_1, 0),
        ("delete user", USER_1, 0),
        ("create user", 1, 0),
        ("switch user", 0, 1),
    ],
    "a person is kept by hand, with an account": [
        ("activate", USER_1, 0),
        ("delete user", USER_1, 0),
        ("reactivate card", LAST_CARD, 0),
    ],
    "a person is kept by hand for one of two cards": [
        ("assign", 1, 0b01),
        ("remove members", FIRST_GROUP, 0b0010),
        ("reactivate card", 2, 0),
        ("delete user", USER_1, 0),
        ("reactivate card", LAST_CARD, 0),
    ],
    "a manual card is deleted while a group leads to it": [
        ("remove members", FIRST_GROUP, 0b0010),
        ("reactivate card", LAST_CARD, 0),
        ("add members", FIRST_GROUP, 0b0010),
        ("delete card", LAST_CARD, 0),
    ],
    "a paused card is deleted while its group leads to it": [
        ("switch user", USER_1, 0),
        ("delete card", LAST_CARD, 0),
        ("switch user", USER_1, 1),
    ],
}


@pytest.mark.parametrize("seat_limit", [None, 1])
@pytest.mark.parametrize("steps", FOUND.values(), ids=FOUND)
def test_sequences_that_went_wrong_once(store: Store, steps: list[Step], seat_limit: int | None) -> None:
    """What hypothesis found, or whoever read the code, as short as it gets."""
    live(store, steps, seat_limit)


@examples(60)
@given(steps=STEPS, seat_limit=st.sampled_from([None, 0, 1, 2, 3]))
def test_follow_comes_to_what_the_acts_say(store: Store, steps: list[Step], seat_limit: int | None) -> None:
    """After any sequence of acts, and after each of them, every row is as computed from the acts alone."""
    live(store, steps, seat_limit, note)
