"""Who may sign in, by what, for how long, and what ends it."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from sqlalchemy import delete, select

from app_core import (
    accounts,
    administrators,
    clock,
    credentials,
    graph_links,
    migrations,
    people,
    provisioning,
    sessions,
    sign_in_flows,
    tenants,
)
from app_core.administrators import Account
from app_core.clock import Stamp
from app_core.db import Connection, Database, Statement
from app_core.errors import (
    Conflict,
    DomainError,
    Forbidden,
    Invalid,
    NotFound,
    NotPossible,
    Unauthenticated,
    WrongCode,
)
from app_core.ports import Identity
from app_core.sessions import IDLE_SECONDS, LIFE_SECONDS, Kind, NoAccount, Visitor
from app_core.sign_in_flows import Kept
from app_core.work import Actor, Source, Work
from tests.app_core.builders import a_directory_user, person_of, switched
from tests.app_core.conftest import MakeWork
from tests.processes import in_core, new_customer

MINUTE, HOUR = 60.0, 3600.0
TABLES = (accounts.O, accounts.A, sessions.L, sessions.S, sign_in_flows.F)


@pytest.fixture
def nobody(connection: Connection) -> None:
    """Nobody can sign in: what other tests have committed is gone as long as this one lasts."""
    for table in TABLES:
        connection.run(Statement(delete(table)), {})


def after(now: Stamp, seconds: float) -> Stamp:
    return clock.stamp(clock.seconds(now) + seconds)


def an_operator(connection: Connection) -> Account:
    return administrators.add_operator(connection, f"{uuid.uuid4().hex}@vendor.example")


def an_administrator(work: Work, email: str = "ada@contoso.com") -> Account:
    return administrators.add(work, email)


def signed_in(connection: Connection, account: Account, now: Stamp, agent: str = "Firefox") -> tuple[str, Visitor]:
    return sessions.open_by_link(connection, sessions.new_link(connection, account.subject, now), now, agent)


def an_identity(**given: str) -> Identity:
    members: dict[str, Any] = {"tid": str(uuid.uuid4()), "oid": str(uuid.uuid4()), **given}
    return Identity(**members)


def a_member(work: Work, *, directory_id: str | None = None) -> tuple[people.Person, Identity]:
    """Let a directory be connected, and a user of it lead to a person; give the person and who Microsoft says it is."""
    identity = an_identity(**({} if directory_id is None else {"tid": directory_id}))
    graph_links.connect(work, identity.tid, shared=directory_id is not None)
    user = a_directory_user(work, f"m{uuid.uuid4().hex[:8]}", externalId=identity.oid)
    return person_of(work, user), identity


# Links --------------------------------------------------------------------------------------------------------------


def test_a_link_signs_in_once(connection: Connection, work: Work) -> None:
    """It says whom it would sign in as often as it is opened, and signs in once; what was made beside it goes too."""
    account, now = an_administrator(work), work.now
    first, second = (sessions.new_link(connection, account.subject, now) for _ in range(2))
    other = sessions.new_link(connection, an_administrator(work, "bob@contoso.com").subject, now)
    expected = Visitor("", Kind.ADMINISTRATOR, work.tenant_id, account.id, "ada@contoso.com", False)
    assert [expected, expected] == [sessions.peek_link(connection, first, now) for _ in range(2)]

    secret, visitor = sessions.open_by_link(connection, first, now, "Firefox")

    assert expected._replace(session_id=credentials.token_hash(secret)) == visitor
    assert visitor == sessions.find(connection, secret, now)
    for used in (first, second, "scimlink_unknown"):
        assert sessions.peek_link(connection, used, now) is None
        with pytest.raises(WrongCode, match="new one"):
            sessions.open_by_link(connection, used, now, "Firefox")
    assert sessions.peek_link(connection, other, now) is not None


def test_a_link_expires(connection: Connection, work: Work) -> None:
    """After a quarter of an hour it is worth nothing."""
    link = sessions.new_link(connection, an_administrator(work).subject, work.now)

    assert sessions.peek_link(connection, link, after(work.now, 15 * MINUTE - 1)) is not None
    assert sessions.peek_link(connection, link, after(work.now, 15 * MINUTE)) is None
    with pytest.raises(WrongCode):
        sessions.open_by_link(connection, link, after(work.now, 15 * MINUTE), "")


def test_only_one_of_many_uses_a_link(core_url: str) -> None:
    """Of many browsers that use it at the same moment one is signed in."""
    customer = new_customer(core_url)

    def make(connection: Connection) -> str:
        account = administrators.add(customer.work(connection), "ada@contoso.com")
        return sessions.new_link(connection, account.subject, clock.now())

    async def race(database: Database) -> list[Any]:
        link = await database.write(make)
        tries = [
            database.write(lambda connection: sessions.open_by_link(connection, link, clock.now(), ""))
            for _ in range(10)
        ]
        return await asyncio.gather(*tries, return_exceptions=True)

    outcomes = in_core(core_url, race)

    assert 1 == len([each for each in outcomes if isinstance(each, tuple)])
    assert 9 == len([each for each in outcomes if isinstance(each, WrongCode)])


def test_a_member_signs_in_by_a_link(connection: Connection, work: Work) -> None:
    """As long as the person is active: who is deactivated neither gets a link nor uses one, and is signed out."""
    user = a_directory_user(work, "eve")
    person = person_of(work, user)
    links = [sessions.new_member_link(work, person.id) for _ in range(2)]
    assert sessions.peek_link(connection, links[1], work.now) is not None

    secret, visitor = sessions.open_by_link(connection, sessions.new_member_link(work, person.id), work.now, "Safari")
    again = sessions.new_member_link(work, person.id)
    assert (Kind.MEMBER, work.tenant_id, person.id, "Eve") == visitor[1:5]
    switched(work, user, active=False)

    assert sessions.find(connection, secret, work.now) is None
    assert sessions.peek_link(connection, again, work.now) is None
    with pytest.raises(NoAccount):
        sessions.new_member_link(work, person.id)
    with pytest.raises(WrongCode):
        sessions.open_by_link(connection, again, work.now, "")


def test_links_for_persons_of_others_are_not_made(work: Work, make_work: MakeWork) -> None:
    """A person of another tenant is not there, nor is an administrator."""
    stranger = make_work()
    person, account = person_of(stranger, a_directory_user(stranger)), an_administrator(stranger)

    with pytest.raises(NotFound):
        sessions.new_member_link(work, person.id)
    with pytest.raises(NotFound):
        administrators.new_link(work, account.id)


# Sessions -----------------------------------------------------------------------------------------------------------


def test_only_hashes_are_kept(connection: Connection, work: Work) -> None:
    """No row holds what signs somebody in."""
    link = administrators.new_link(work, an_administrator(work).id)
    secret, visitor = signed_in(connection, an_operator(connection), work.now)
    flow = sign_in_flows.keep(connection, Kept("{}", "sign-in"), work.now)
    rows = repr([[tuple(row) for row in connection.rows(Statement(select(table)), {})] for table in TABLES])

    assert visitor.session_id in rows
    for hidden, prefix in ((link, "scimlink_"), (secret, "scimsession_"), (flow, "scimflow_")):
        assert hidden not in rows
        assert credentials.token_hash(hidden) in rows
        assert len(prefix) + 43 == len(hidden)
        assert credentials.SECRET.fullmatch(hidden)


@pytest.mark.parametrize("kind", list(Kind))
def test_a_session_ends_when_it_is_idle(connection: Connection, work: Work, kind: Kind) -> None:
    """Each use puts the end off, up to one that nothing puts off; uses within a minute are one."""
    secret, start = signed_in_as(kind, connection, work), work.now
    idle, life = IDLE_SECONDS[kind], LIFE_SECONDS[kind]

    assert sessions.find(connection, secret, after(start, idle - 1)) is not None
    assert sessions.find(connection, secret, after(start, idle)) is None

    sessions.touch(connection, secret, after(start, MINUTE - 1))
    assert sessions.find(connection, secret, after(start, idle)) is None
    sessions.touch(connection, secret, after(start, MINUTE))
    assert sessions.find(connection, secret, after(start, idle)) is not None

    sessions.touch(connection, secret, after(start, life - MINUTE))
    assert sessions.find(connection, secret, after(start, life - 1)) is not None
    assert sessions.find(connection, secret, after(start, life)) is None


def signed_in_as(kind: Kind, connection: Connection, work: Work) -> str:
    if kind is Kind.MEMBER:
        link = sessions.new_member_link(work, person_of(work, a_directory_user(work)).id)
        return sessions.open_by_link(connection, link, work.now, "")[0]
    account = an_operator(connection) if kind is Kind.OPERATOR else an_administrator(work)
    return signed_in(connection, account, work.now)[0]


def test_how_long_sessions_are() -> None:
    """Whoever administers is asked again sooner than a member."""
    assert {"operator": 2 * HOUR, "administrator": 2 * HOUR, "member": 24 * HOUR} == IDLE_SECONDS
    assert {"operator": 12 * HOUR, "administrator": 12 * HOUR, "member": 168 * HOUR} == LIFE_SECONDS


def test_signing_out(connection: Connection, work: Work) -> None:
    """What the cookie holds is worth nothing afterwards; other sessions stay."""
    account = an_administrator(work)
    secret, _ = signed_in(connection, account, work.now)
    other, visitor = signed_in(connection, account, work.now)

    sessions.close(connection, secret)

    assert sessions.find(connection, secret, work.now) is None
    assert visitor == sessions.find(connection, other, work.now)


def test_sessions_are_listed_and_ended(connection: Connection, work: Work) -> None:
    """One's own, the one used last first; nobody ends those of others."""
    ada, bob = an_administrator(work), an_administrator(work, "bob@contoso.com")
    kept, mine = signed_in(connection, ada, work.now, "Firefox\n\x00" + "x" * 500)
    secrets = [signed_in(connection, ada, work.now, agent)[0] for agent in ("Safari", "Edge")]
    elsewhere, other = signed_in(connection, bob, work.now, "Chrome")
    sessions.touch(connection, secrets[1], after(work.now, 2 * MINUTE))
    listed = sessions.list_of(connection, mine)
    assert ["Edge", *sorted(["Safari", "Firefox" + "x" * 113])] == [
        listed[0].agent,
        *sorted(each.agent for each in listed[1:]),
    ]
    assert {mine.session_id, *map(credentials.token_hash, secrets)} == {each.session_id for each in listed}

    for session_id in (other.session_id, "unknown"):
        with pytest.raises(NotFound):
            sessions.close_one(connection, mine, session_id)
    sessions.close_one(connection, mine, credentials.token_hash(secrets[0]))
    assert sessions.find(connection, secrets[0], work.now) is None
    assert 1 == sessions.close_all(connection, mine, but=mine.session_id)
    assert [mine.session_id] == [each.session_id for each in sessions.list_of(connection, mine)]
    assert 1 == sessions.close_all(connection, mine)
    assert [] == list(sessions.list_of(connection, mine))
    assert sessions.find(connection, kept, work.now) is None
    assert other == sessions.find(connection, elsewhere, work.now)


def test_what_goes_takes_its_sessions_along(connection: Connection, make_work: MakeWork) -> None:
    """Without an administrator, a person, an operator or a tenant there is neither session nor link of it."""
    work, other = make_work(), make_work()
    person = people.insert_manual(work, "Eve", "eve@contoso.com")
    ada, bob, operator = an_administrator(work), an_administrator(other), an_operator(connection)
    member, _ = sessions.open_by_link(connection, sessions.new_member_link(work, person.id), work.now, "")
    secrets = [member, *(signed_in(connection, each, work.now)[0] for each in (ada, bob, operator))]
    links = [sessions.new_member_link(work, person.id)]
    links += [sessions.new_link(connection, each.subject, work.now) for each in (ada, bob, operator)]
    sessions.choose_tenant(connection, secrets[3], other.tenant_id, work.now)

    def there() -> tuple[list[bool], list[bool]]:
        return (
            [sessions.find(connection, each, work.now) is not None for each in secrets],
            [sessions.peek_link(connection, each, work.now) is not None for each in links],
        )

    assert ([True] * 4, [True] * 4) == there()
    people.remove(work, person)
    assert ([False, True, True, True], [False, True, True, True]) == there()
    administrators.remove(work, ada.id)
    assert ([False, False, True, True], [False, False, True, True]) == there()
    tenants.delete_all_of(connection, tenants.acting(other))
    assert ([False, False, False, True], [False, False, False, True]) == there()
    visitor = sessions.find(connection, secrets[3], work.now)
    assert visitor is not None
    assert visitor.tenant_id is None
    administrators.remove_operator(connection, operator.id, actor_id="cli")
    assert ([False] * 4, [False] * 4) == there()


def test_an_operator_chooses_a_tenant(connection: Connection, work: Work) -> None:
    """For one session; nobody else does, and a tenant that is not there is not chosen."""
    operator = an_operator(connection)
    secret, visitor = signed_in(connection, operator, work.now)
    other, _ = signed_in(connection, operator, work.now)
    assert (Kind.OPERATOR, None) == (visitor.kind, visitor.tenant_id)

    sessions.choose_tenant(connection, secret, work.tenant_id, work.now)

    chosen = sessions.find(connection, secret, work.now)
    assert visitor._replace(tenant_id=work.tenant_id) == chosen
    assert visitor.subject == chosen.subject
    assert (unchosen := sessions.find(connection, other, work.now))
    assert unchosen.tenant_id is None
    with pytest.raises(NotFound):
        sessions.choose_tenant(connection, secret, "nosuch", work.now)
    sessions.choose_tenant(connection, secret, None, work.now)
    assert visitor == sessions.find(connection, secret, work.now)
    administrator, _ = signed_in(connection, an_administrator(work), work.now)
    with pytest.raises(Forbidden):
        sessions.choose_tenant(connection, administrator, work.tenant_id, work.now)
    with pytest.raises(Unauthenticated):
        sessions.choose_tenant(connection, "scimsession_unknown", work.tenant_id, work.now)


@pytest.mark.usefixtures("nobody")
def test_what_is_over_is_removed(connection: Connection, work: Work) -> None:
    """Links, sessions and sign-ins under way, when their time has come and not before."""
    account = an_administrator(work)
    secret, _ = signed_in(connection, account, work.now)
    sessions.new_link(connection, account.subject, work.now)
    sign_in_flows.keep(connection, Kept("{}", "sign-in"), work.now)

    def removed(seconds: float) -> tuple[int, int]:
        now = after(work.now, seconds)
        return sessions.purge(connection, now), sign_in_flows.purge(connection, now)

    assert (0, 0) == removed(10 * MINUTE - 1)
    assert (0, 1) == removed(10 * MINUTE)
    assert (1, 0) == removed(15 * MINUTE)
    assert sessions.find(connection, secret, work.now) is not None
    assert (1, 0) == removed(12 * HOUR)
    assert sessions.find(connection, secret, work.now) is None


# Microsoft ----------------------------------------------------------------------------------------------------------


def test_microsoft_signs_in_whom_it_was_linked_to(connection: Connection, work: Work) -> None:
    """By directory and object id, both of them, in any case; an address proves nobody."""
    account, identity = an_administrator(work), an_identity(preferred_username="ada@contoso.com")
    _, visitor = signed_in(connection, account, work.now)
    with pytest.raises(NoAccount):
        sessions.open_for_identity(connection, identity, work.now, "")

    administrators.link_microsoft(connection, visitor, identity)

    upper = Identity(identity.tid.upper(), identity.oid.upper(), "Ada", "someone@else.example")
    secret, found = sessions.open_for_identity(connection, upper, work.now, "Edge")
    assert visitor._replace(session_id=credentials.token_hash(secret), microsoft=True) == found
    for other in (
        an_identity(tid=identity.tid, preferred_username="ada@contoso.com"),
        an_identity(oid=identity.oid, preferred_username="ada@contoso.com"),
    ):
        with pytest.raises(NoAccount):
            sessions.open_for_identity(connection, other, work.now, "")
    administrators.unlink_microsoft(connection, found)
    with pytest.raises(NoAccount):
        sessions.open_for_identity(connection, identity, work.now, "")


def test_a_microsoft_account_is_one_administrator(connection: Connection, make_work: MakeWork) -> None:
    """Of two who link it the second is refused, also in another tenant; to be an operator besides is no conflict."""
    identity, work, other = an_identity(), make_work(), make_work()
    _, ada = signed_in(connection, an_administrator(work), work.now)
    _, bob = signed_in(connection, an_administrator(other), work.now)
    _, operator = signed_in(connection, an_operator(connection), work.now)
    administrators.link_microsoft(connection, ada, identity)
    administrators.link_microsoft(connection, ada, identity)

    with pytest.raises(Conflict, match="somebody else"), connection.savepoint():
        administrators.link_microsoft(connection, bob, identity)
    assert ada.subject == sessions.open_for_identity(connection, identity, work.now, "")[1].subject
    administrators.link_microsoft(connection, operator, identity)
    assert operator.subject == sessions.open_for_identity(connection, identity, work.now, "")[1].subject
    wanted = sessions.open_for_identity(connection, identity, work.now, "", Kind.ADMINISTRATOR)
    assert ada.subject == wanted[1].subject


def test_a_member_signs_in_with_microsoft(connection: Connection, work: Work) -> None:
    """As the person whose user has the object id, in the directory that a token has proved; else nobody."""
    person, identity = a_member(work)

    _, visitor = sessions.open_for_identity(connection, identity, work.now, "", Kind.MEMBER)

    assert (Kind.MEMBER, work.tenant_id, person.id) == visitor[1:4]
    assert visitor.subject == sessions.open_for_identity(connection, identity, work.now, "")[1].subject
    with pytest.raises(Forbidden):
        administrators.link_microsoft(connection, visitor, identity)
    for other in (an_identity(tid=identity.tid), an_identity(oid=identity.oid)):
        with pytest.raises(NoAccount, match="administrator"):
            sessions.open_for_identity(connection, other, work.now, "", Kind.MEMBER)
    graph_links.disconnect(work)
    with pytest.raises(NoAccount):
        sessions.open_for_identity(connection, identity, work.now, "", Kind.MEMBER)


def test_an_inactive_member_does_not_sign_in(connection: Connection, work: Work) -> None:
    """Microsoft knows them, and we say why not; no session is left."""
    person, identity = a_member(work)
    assert person.directory_user_id is not None
    user = provisioning.lock_user(work, person.directory_user_id)
    switched(work, user, active=False)

    with pytest.raises(NoAccount, match="deactivated"), connection.savepoint():
        sessions.open_for_identity(connection, identity, work.now, "")


def test_of_a_shared_directory_the_owner_comes_first(connection: Connection, make_work: MakeWork) -> None:
    """Where an operator lets two tenants have one directory, an active person comes before one who is not."""
    shared, own = make_work(), make_work()
    person, identity = a_member(own)
    graph_links.connect(shared, identity.tid, shared=True)
    other = person_of(shared, a_directory_user(shared, "twice", externalId=identity.oid))

    def found() -> str:
        return sessions.open_for_identity(connection, identity, own.now, "", Kind.MEMBER)[1].subject_id

    assert person.id == found()
    assert person.directory_user_id is not None
    user = provisioning.lock_user(own, person.directory_user_id)
    switched(own, user, active=False)
    assert other.id == found()


def test_a_sign_in_under_way_is_taken_up_once(connection: Connection, work: Work) -> None:
    """Within ten minutes, by who has the cookie's secret."""
    kept = Kept('{"nonce": "n"}', "link", "/console/settings", "session")
    secret, late = (sign_in_flows.keep(connection, kept, work.now) for _ in range(2))

    assert sign_in_flows.take(connection, "scimflow_unknown", work.now) is None
    assert kept == sign_in_flows.find(connection, secret, after(work.now, 10 * MINUTE - 1))
    assert kept == sign_in_flows.take(connection, secret, after(work.now, 10 * MINUTE - 1))
    assert sign_in_flows.find(connection, secret, work.now) is None
    assert sign_in_flows.find(connection, late, after(work.now, 10 * MINUTE)) is None
    assert sign_in_flows.take(connection, secret, work.now) is None
    assert sign_in_flows.take(connection, late, after(work.now, 10 * MINUTE)) is None


# Administrators -----------------------------------------------------------------------------------------------------


def test_administrators_of_a_tenant(connection: Connection, make_work: MakeWork) -> None:
    """Added by address, unique in the tenant in any case; seen and removed only there, never by themselves."""
    work, other = make_work(), make_work()
    bob, ada = administrators.add(work, " Bob@Contoso.com "), administrators.add(work, "ada@contoso.com")
    stranger = administrators.add(other, "ada@contoso.com")
    assert ["ada@contoso.com", "Bob@Contoso.com"] == [each.email for each in administrators.list_of(work)]
    assert (bob, stranger) == (
        administrators.find_by_email(work, "BOB@contoso.com"),
        administrators.find_by_email(other, "ada@contoso.com"),
    )
    with pytest.raises(Conflict), connection.savepoint():
        administrators.add(work, "ADA@contoso.com")
    with pytest.raises(Invalid):
        administrators.add(work, "no address")

    acting = Work(connection, work.tenant_id, "", Actor(Source.ADMIN, ada.id), "test", work.now)
    for refused, kind in ((ada.id, NotPossible), (stranger.id, NotFound), ("nosuch", NotFound)):
        with pytest.raises(kind):
            administrators.remove(acting, refused)
    signed_in(connection, ada, after(work.now, 5))
    assert bob == administrators.remove(acting, bob.id)
    assert [ada._replace(signed_in_at=after(work.now, 5))] == list(administrators.list_of(work))


def test_names_for_the_log(connection: Connection, make_work: MakeWork) -> None:
    """Those of the tenant and of operators; another tenant's administrators are not told."""
    work, other = make_work(), make_work()
    ada, stranger, operator = an_administrator(work), an_administrator(other), an_operator(connection)

    asked = [ada.id, stranger.id, operator.id, "nosuch", ada.id]
    assert {ada.id: ada.email, operator.id: operator.email} == administrators.name_of(work, asked)
    assert {} == administrators.name_of(work, [])


@pytest.mark.usefixtures("nobody")
def test_the_first_operator(connection: Connection, work: Work) -> None:
    """Whoever starts a server that nobody can sign in to gets a link each time, until somebody can."""
    assert not administrators.any_exists(connection)
    links = [administrators.first_link(connection) for _ in range(2)]
    assert None not in links
    assert ["operator@localhost"] == [each.email for each in administrators.operators(connection)]
    assert not administrators.any_exists(connection)
    with pytest.raises(Conflict):
        administrators.add_operator(connection, "Operator@localhost")

    assert links[0] is not None
    _, visitor = sessions.open_by_link(connection, links[0], after(work.now, 23 * HOUR), "")

    assert (Kind.OPERATOR, "operator@localhost") == (visitor.kind, visitor.name)
    assert administrators.any_exists(connection)
    assert administrators.first_link(connection) is None


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize("kind", [Kind.OPERATOR, Kind.ADMINISTRATOR])
def test_who_was_added_counts_before_they_sign_in(connection: Connection, work: Work, kind: Kind) -> None:
    """Where somebody was given a link, the server prints none."""
    assert an_operator(connection) if kind is Kind.OPERATOR else an_administrator(work)

    assert administrators.any_exists(connection)
    assert administrators.first_link(connection) is None


def test_operators(connection: Connection) -> None:
    """Added by address, removed by others."""
    operator = an_operator(connection)
    assert operator == administrators.find_operator(connection, operator.email.upper())

    refusals: list[tuple[str, str, type[DomainError]]] = [
        (operator.id, operator.id, NotPossible),
        ("nosuch", "cli", NotFound),
    ]
    for operator_id, actor_id, kind in refusals:
        with pytest.raises(kind):
            administrators.remove_operator(connection, operator_id, actor_id=actor_id)
    administrators.remove_operator(connection, operator.id, actor_id="cli")
    assert operator not in administrators.operators(connection)
    with pytest.raises(NotFound):
        administrators.find_operator(connection, operator.email)


def test_schema_is_as_the_models_say(core_url: str) -> None:
    """Both databases have what the models have."""
    migrations.drift(core_url)
