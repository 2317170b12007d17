"""Whatever the directory and the administrator do, in whatever order and however often: what must follow follows.

Hypothesis thinks of sequences of acts; `follow_model` computes from the acts alone what must be there, after each of
them. The thresholds of what happens at once are lowered, so that the worker has its share.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from app_core import follow
from tests.app_core.follow_model import HEX, TABLES, Facts, Model, Store, chosen, settle_everybody, some
from tests.scim_server.generated import examples

USERS, GROUPS = 6, 3
Act = Callable[[], None]
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


def create_user(model: Model, a: int, b: int) -> Act:
    return functools.partial(model.create_user, a % USERS, active=b % 4 != 0)


def switch_user(model: Model, a: int, b: int) -> Act | None:
    user = chosen(model.accounts, a)
    return user and functools.partial(model.change_user, user, active=bool(b % 2))


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
    return user and functools.partial(model.change_user, user, name=f"slot{user.slot}{'-new' * (b % 2)}@contoso.com")


def delete_user(model: Model, a: int, b: int) -> Act | None:
    user = chosen(model.accounts, a)
    return user and functools.partial(model.delete_user, user)


def create_group(model: Model, a: int, b: int) -> Act:
    return functools.partial(model.create_group, a % GROUPS, some(model.accounts, b))


def rename_group(model: Model, a: int, b: int) -> Act | None:
    group = chosen(model.circles, a)
    return group and functools.partial(model.change_group, group, name=f"Name {b % 2}")


def _members(op: str) -> Callable[[Model, int, int], Act | None]:
    def act(model: Model, a: int, b: int) -> Act | None:
        group = chosen(model.circles, a)
        return group and functools.partial(model.change_group, group, op=op, members=some(model.accounts, b))

    return act


def delete_group(model: Model, a: int, b: int) -> Act | None:
    group = chosen(model.circles, a)
    return group and functools.partial(model.delete_group, group)


def assign(model: Model, a: int, b: int) -> Act:
    return functools.partial(model.assign, sorted(model.assigned)[a % 2], some(model.circles, b))


def sync_group(model: Model, a: int, b: int) -> Act | None:
    group = chosen(model.circles, a)
    return group and functools.partial(model.sync_group, group)


def remove_group(model: Model, a: int, b: int) -> Act | None:
    group = chosen(model.circles, a)
    return group and functools.partial(model.remove_group, group)


def delete_team(model: Model, a: int, b: int) -> Act | None:
    team = chosen(model.crews, a)
    return team and functools.partial(model.delete_team, team)


def add_login(model: Model, a: int, b: int) -> Act | None:
    team = chosen(model.crews, a)
    return team and functools.partial(model.add_login, team)


def move_login(model: Model, a: int, b: int) -> Act | None:
    login, team = chosen(model.secrets, a), chosen(model.crews, b)
    return login and team and functools.partial(model.move_login, login, team)


def delete_login(model: Model, a: int, b: int) -> Act | None:
    login = chosen(model.secrets, a)
    return login and functools.partial(model.delete_login, login)


def reactivate_card(model: Model, a: int, b: int) -> Act | None:
    card = chosen(list(model.held.values()), a)
    return card and functools.partial(model.reactivate_card, card)


def delete_card(model: Model, a: int, b: int) -> Act | None:
    card = chosen(list(model.held.values()), a)
    return card and functools.partial(model.delete_card, card)


def delete_person(model: Model, a: int, b: int) -> Act | None:
    human = chosen(model.humans, a)
    return human and functools.partial(model.delete_person, human)


def set_seat_limit(model: Model, a: int, b: int) -> Act:
    return functools.partial(model.set_seat_limit, [None, 0, 1, 2, 3, 5][a % 6])


def set_policies(model: Model, a: int, b: int) -> Act:
    return functools.partial(model.set_policies, ["all", "selected"][a % 2], ["refuse", "detach"][b % 2])


def issue_code(model: Model, a: int, b: int) -> Act | None:
    human = chosen(model.humans, a)
    return human and functools.partial(model.issue_code, human)


def redeem(model: Model, a: int, b: int) -> Act | None:
    human = chosen(model.humans, a)
    return human and functools.partial(model.redeem, human, right=b % 4 != 0)


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
    return human and functools.partial(model.revoke, human)


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
    max_size=25,
)


# ── Sequences ───────────────────────────────────────────────────────────────────────────────────────────────────────


def live(store: Store, steps: list[Step], seat_limit: int | None) -> None:
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
        note(f"{verb} {act.args} {act.keywords}" if isinstance(act, functools.partial) else verb)
        done.append((verb, act))
        act()
        model.check()
    verb, act = done[-1]
    if verb not in NOT_IDEMPOTENT:
        changes_nothing(model, act)
    note("all work is done")
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


@examples(60)
@given(steps=STEPS, seat_limit=st.sampled_from([None, 0, 1, 2, 3]))
def test_follow_comes_to_what_the_acts_say(store: Store, steps: list[Step], seat_limit: int | None) -> None:
    """After any sequence of acts, and after each of them, every row is as computed from the acts alone."""
    live(store, steps, seat_limit)
