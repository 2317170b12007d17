"""What `diff` finds, and that repairing it leaves nothing to find: apply twice = apply once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app_core.reconciliations import Drift
from app_core.resource import ENTERPRISE_USER
from graph_fallback.payloads import UNSET, GraphUser, ManagerDelta, applied, changes, scim_resource
from graph_fallback.reconcile import (
    FEW,
    REMOVALS,
    STAGES,
    HeldGroup,
    HeldUser,
    Kind,
    ListedGroup,
    Listing,
    Mirror,
    arriving_in,
    diff,
    over_the_brakes,
)

USERS = [f"0000000{at}-0000-4000-8000-000000000000" for at in range(6)]
GROUPS = [f"1111111{at}-0000-4000-8000-000000000000" for at in range(3)]
OURS = {object_id: f"ours-{object_id}" for object_id in [*USERS, *GROUPS]}
THEN, NOW, CUTOFF = "2026-11-24T10:00:00.000Z", "2026-11-24T12:00:00.000Z", "2026-11-24T11:00:00.000Z"
ENTERING = {Kind.USER_UNKNOWN, Kind.ACCOUNT_ENABLED}
texts = st.sampled_from([None, UNSET, "a", "b", "Ä"])


def managers(object_id: str) -> st.SearchStrategy[Any]:
    return st.sampled_from([None, *[ManagerDelta(each) for each in USERS[:2] if each != object_id]])


@st.composite
def said(draw: st.DrawFn, object_id: str) -> GraphUser:
    """A user as a complete listing says it."""
    names = ("display_name", "given_name", "surname", "mail", "department", "city", "street_address", "mobile_phone")
    values: dict[str, Any] = {
        name: draw(texts) for name in (*names, "office_location", "company_name", "business_phone", "job_title")
    }
    return GraphUser(
        object_id,
        user_principal_name=f"{object_id[:8]}@x.example",
        account_enabled=draw(st.booleans()),
        manager=draw(managers(object_id)),
        **values,
    )


@st.composite
def held(draw: st.DrawFn, object_id: str, stamps: st.SearchStrategy[str]) -> HeldUser:
    """The same user as it is here: whatever Graph might have said before."""
    resource = scim_resource(draw(said(object_id)), external_id_is_object_id=True)
    active = bool(resource.pop("active"))
    manager = draw(st.sampled_from([None, OURS[USERS[0]], OURS[USERS[1]], "somebody"]))
    if manager is not None:
        resource[ENTERPRISE_USER] = {**resource.get(ENTERPRISE_USER, {}), "manager": {"value": manager}}
    return HeldUser(OURS[object_id], active, resource, draw(stamps), draw(st.booleans()))


@st.composite
def both(draw: st.DrawFn, stamps: st.SearchStrategy[str] = st.just(THEN)) -> tuple[Listing, Mirror]:  # noqa: B008
    """A complete listing, and a mirror that has drifted away from it."""
    listed = draw(st.sets(st.sampled_from(USERS)))
    # Managers are here and stay: who arrives in the same run is known as a manager in the next.
    here = draw(st.sets(st.sampled_from(USERS)))
    recycled = draw(st.sets(st.sampled_from(USERS))) - listed
    mirrored_groups = draw(st.sets(st.sampled_from(GROUPS)))
    groups: dict[str, ListedGroup | None] = {}
    held_groups = {}
    for object_id in sorted(mirrored_groups):
        members = draw(st.sets(st.sampled_from(sorted(listed)))) if listed else set()
        name = draw(st.sampled_from(["Sales", "Tours", None]))
        groups[object_id] = draw(st.sampled_from([None, ListedGroup(name, members)]))
        before = draw(st.dictionaries(st.sampled_from(sorted(here)), stamps)) if here else {}
        held_groups[object_id] = HeldGroup(
            OURS[object_id], draw(st.sampled_from(["Sales", "Old"])), before, draw(stamps)
        )
    users = {object_id: draw(held(object_id, stamps)) for object_id in sorted(here)}
    mirror = Mirror(
        # Who is not in the directory under any id is not linked, and nothing is known of it.
        {each: user if each in listed else replace(user, linked=True) for each, user in users.items()},
        held_groups,
        managers={each: OURS[each] for each in here & listed & set(USERS[:2])},
        # Everybody, nobody (Entra pushes), or whom the filter lets in.
        scope=draw(st.one_of(st.none(), st.sets(st.sampled_from(USERS)))),
        cutoff=CUTOFF,
    )
    namesakes = {each: ["2" * 8] for each, group in groups.items() if group is None}
    listing = Listing([draw(said(each)) for each in sorted(listed)], groups, recycled=recycled, namesakes=namesakes)
    return replace(listing, complete=True), mirror


def repaired(mirror: Mirror, listing: Listing, drifts: list[Drift]) -> Mirror:
    """Carry drifts out on values, in the order in which a run does, as the way in does it on rows."""
    users, groups = dict(mirror.users), dict(mirror.groups)
    listed = {user.id: user for user in listing.users}
    for drift in sorted([each for each in drifts if each.kind in STAGES], key=lambda each: STAGES[each.kind]):
        if STAGES[drift.kind] == 0:
            users[drift.object_id] = _as_said(users.get(drift.object_id), listed.get(drift.object_id), drift, mirror)
        elif drift.kind == Kind.USER_GONE:
            del users[drift.object_id]
            for object_id, group in groups.items():
                left = {member: since for member, since in group.members.items() if member != drift.object_id}
                groups[object_id] = replace(group, members=left)
        elif drift.kind == Kind.GROUP_GONE:
            del groups[drift.object_id]
        else:
            groups[drift.object_id] = _moved(groups[drift.object_id], drift)
    return replace(mirror, users=users, groups=groups)


def _as_said(user: HeldUser | None, listed: GraphUser | None, drift: Drift, mirror: Mirror) -> HeldUser:
    if listed is None:
        assert user is not None
        assert drift.kind == Kind.ACCOUNT_DISABLED
        return replace(user, active=False)
    if user is None:
        resource = scim_resource(listed, external_id_is_object_id=True)
        user = HeldUser(OURS[listed.id], bool(resource.pop("active")), resource)
    wanted = changes(listed, {**user.resource, "active": user.active}, complete=True)
    if mirror.scope is not None and listed.id not in mirror.scope and wanted.get("active") is True:
        del wanted["active"]
    active = bool(wanted.pop("active", user.active))
    resource = applied(user.resource, wanted)
    enterprise: dict[str, Any] = dict(resource.get(ENTERPRISE_USER, {}))
    if listed.manager is None:
        enterprise.pop("manager", None)
    elif isinstance(listed.manager, ManagerDelta) and listed.manager.now in mirror.managers:
        enterprise["manager"] = {"value": mirror.managers[listed.manager.now or ""]}
    resource = {**resource, ENTERPRISE_USER: enterprise}
    return replace(user, active=active, resource=resource, linked=True)


def _moved(group: HeldGroup, drift: Drift) -> HeldGroup:
    if drift.kind == Kind.GROUP_RENAMED:
        assert drift.name is not None
        return replace(group, display_name=drift.name)
    assert drift.member_id is not None
    members: Mapping[str, str] = {
        **{member: since for member, since in group.members.items() if member != drift.member_id},
        **({drift.member_id: THEN} if drift.kind == Kind.MEMBER_MISSING else {}),
    }
    return replace(group, members=members)


def without_the_lost(listing: Listing, mirror: Mirror) -> Listing:
    return replace(listing, groups={each: group for each, group in listing.groups.items() if each in mirror.groups})


@given(both())
def test_repairing_leaves_nothing(drifted: tuple[Listing, Mirror]) -> None:
    """Applying the repairs and comparing again finds nothing; applying twice is applying once."""
    listing, mirror = drifted
    drifts = diff(listing, mirror)

    once = repaired(mirror, listing, drifts)

    assert [] == diff(without_the_lost(listing, once), once)
    twice = repaired(once, listing, [each for each in drifts if each.kind not in ("user_gone", "group_gone")])
    assert [] == diff(without_the_lost(listing, twice), twice)
    assert once == twice


@given(both(st.sampled_from([THEN, NOW])))
def test_what_is_fresh_is_left_alone(drifted: tuple[Listing, Mirror]) -> None:
    """No drift is of a row that has changed after the listing began."""
    listing, mirror = drifted

    for drift in diff(listing, mirror):
        if drift.kind == Kind.MEMBER_EXTRA:
            assert drift.member_id is not None
            assert mirror.groups[drift.object_id].members[drift.member_id] == THEN
        elif drift.kind == Kind.GROUP_RECREATED:
            continue
        elif drift.object_id in mirror.groups:
            assert mirror.groups[drift.object_id].modified_at == THEN
        elif drift.object_id in mirror.users:
            assert mirror.users[drift.object_id].modified_at == THEN


@given(both())
def test_a_part_removes_nobody(drifted: tuple[Listing, Mirror]) -> None:
    """Only a complete listing says who is gone; who is not in scope neither comes nor is made active (invariant 6)."""
    listing, mirror = drifted

    part = {drift.kind for drift in diff(replace(listing, complete=False), mirror)}
    scope = mirror.scope or set()
    entering = [each for each in diff(listing, replace(mirror, scope=scope)) if each.kind in ENTERING]

    assert Kind.USER_GONE not in part
    assert all(each.object_id in scope for each in entering)
    listed = {user.id for user in listing.users}
    gone = {each.object_id for each in diff(listing, mirror) if each.kind == Kind.USER_GONE}
    assert not gone & listed


def test_an_unknown_group_is_taken_over() -> None:
    """Once, where it has a name; what is gone and unknown says nothing."""
    groups = {
        GROUPS[0]: ListedGroup("Sales", frozenset(USERS)),
        GROUPS[1]: ListedGroup(None, frozenset()),
        GROUPS[2]: None,
    }

    found = diff(Listing(groups=groups, present=frozenset(USERS), complete=True), Mirror())

    assert [(Kind.GROUP_UNKNOWN, GROUPS[0], None)] == [(each.kind, each.object_id, each.our_id) for each in found]


@given(both(), st.data())
def test_page_by_page_finds_the_same(drifted: tuple[Listing, Mirror], data: st.DataObject) -> None:
    """A listing that is compared in parts, in any order, finds what it finds as a whole."""
    listing, mirror = drifted
    whole = diff(listing, mirror)
    users = data.draw(st.permutations(list(listing.users)))
    cut = data.draw(st.integers(0, len(users)))
    found: list[Drift] = []
    for page in (users[:cut], users[cut:]):
        found += diff(Listing(page), mirror)
    present, arriving = frozenset(user.id for user in users), frozenset(arriving_in(found))
    for object_id, group in listing.groups.items():
        part = Listing((), {object_id: group}, present, listing.recycled, arriving, listing.namesakes)
        found += diff(part, mirror)
    found += diff(Listing(present=present, recycled=listing.recycled, complete=True), mirror)

    assert sorted(whole, key=str) == sorted(found, key=str)


@given(both())
def test_findings_are_plain(drifted: tuple[Listing, Mirror]) -> None:
    """Each says why, and what a repair would do, without what a user's attributes hold; each is found once."""
    found = diff(*drifted)

    assert len(found) == len(set(found))
    for drift in found:
        assert drift.why.endswith(".")
        assert drift.repair
        assert "@" not in drift.why
        assert (drift.our_id is None) == (drift.kind == Kind.USER_UNKNOWN)


@given(st.integers(0, 60), st.integers(0, 300))
def test_the_brakes(count: int, total: int) -> None:
    """More than max(10, 20 %) of a kind waits; other drifts and other kinds do not count."""
    gone = [Drift(Kind.USER_GONE, str(at), "x", "why.", "repair") for at in range(count)]
    others = [Drift(Kind.ATTRIBUTES_DIFFER, str(at), "x", "why.", "repair") for at in range(500)]

    over = over_the_brakes([*gone, *others], {"users": total, "groups": 0, "memberships": 0})

    assert (count > max(FEW, total * 0.2)) == bool(over)
    assert set(REMOVALS) == {Kind.USER_GONE, Kind.GROUP_GONE, Kind.MEMBER_EXTRA}
