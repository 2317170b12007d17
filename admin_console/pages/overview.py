"""The first page: how the connection is, what needs attention, how full the seats are, what has come in."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from admin_console.advice import ADVICE
from admin_console.charts import SPANS, chart
from admin_console.endpoint import Answer, page
from admin_console.pages.settings import WEBHOOKS
from admin_console.pages.webhooks import TROUBLES, host_of
from admin_console.paging import at
from admin_console.request import Request
from app_core import attention, clock, connections, graph_links, jobs, people, provisioning_log, seats, teams, templates
from app_core.clock import Stamp
from app_core.connections import Pushes, Token
from app_core.graph_links import GraphLink
from app_core.ports import Trouble
from app_core.seats import Counts
from app_core.work import Work

DAY = 86400.0
SILENT = 3 * 3600.0
"""Seconds without a visit of Entra, or a pull, from which on that is said: either is due within the hour."""
EXPIRES_SOON = 14 * DAY
FEW_REQUESTS = 20
QUARANTINE_SHARE = 40
"""Percent of failures from which on Entra puts a job in quarantine."""
ENDS = 2_000
"""How many entries of the last day are looked at for how they ended, the newest first."""
SHOWN = 5
"""How many things of one kind are named."""


class Item(NamedTuple):
    """Something that needs attention: how badly, what, why, and where it is mended."""

    tone: str
    title: str
    text: str
    path: str
    word: str


def overview(work: Work, request: Request) -> Answer:
    """Show how things stand."""
    connections.act_on_first(work)
    pushes, link = connections.pushes(work), graph_links.find(work)
    assert request.tenant is not None
    tokens = connections.tokens_of(work.connection, request.tenant)
    stand = seats.counts(work)
    ends = provisioning_log.ends(work, clock.seconds(work.now) - DAY, most=ENDS)
    steps = _steps(work, pushes, link)
    items = [
        *_of_push(pushes, tokens, ends, work.now),
        *_of_pull(work, link),
        *_of_products(work, stand),
    ]
    return page(
        "overview.html",
        "Overview",
        place="overview",
        steps=None if _is_running(pushes, link, steps) else steps,
        items=sorted(items, key=lambda item: item.tone != "bad"),
        pushes=pushes,
        link=link,
        next_pull_at=link.next_pull_at(work.now),
        seats=stand,
        refused=sum([count for _, outcome, _, count in ends if outcome == "failure"]),
        refused_of=ENDS if sum([count for *_, count in ends]) >= ENDS else None,
        reasons=_reasons(ends),
        chart=chart(work, request.asked("span")),
        spans=SPANS,
        most=provisioning_log.LOOKED_THROUGH,
    )


# Beginning ----------------------------------------------------------------------------------------------------------


class Step(NamedTuple):
    """A step of the way to a tenant that runs, and whether it is done."""

    done: bool
    title: str
    text: str
    path: str
    word: str


def _steps(work: Work, pushes: Pushes, link: GraphLink) -> Sequence[Step]:
    arrived = bool(people.page(work, limit=1, origin="directory"))
    used = bool(templates.page(work, limit=1)) or bool(teams.page(work, limit=1))
    return [
        Step(
            pushes.live_tokens > 0,
            "Make a secret for Entra",
            "Entra signs in here with the Tenant URL and a secret token. The secret is shown once.",
            "/console/setup",
            "Set up Entra",
        ),
        Step(
            pushes.last_used_at is not None or link.live,
            "Paste both into Entra and test the connection",
            "In the Entra admin center: your enterprise application, Provisioning, Admin credentials. Or let us read "
            "the directory with Microsoft Graph instead.",
            "/console/setup",
            "See how",
        ),
        Step(
            arrived,
            "Assign users and groups, and start provisioning",
            "What you assign to the enterprise application arrives here within 40 minutes, the first time at once.",
            "/console/log",
            "Watch the log",
        ),
        Step(
            used,
            "Choose what follows the directory",
            "Groups become teams. A card template gives a business card to each member of the groups that you choose.",
            "/console/templates",
            "Make a template",
        ),
    ]


def _is_running(pushes: Pushes, link: GraphLink, steps: Sequence[Step]) -> bool:
    """Say whether the tenant is past its beginning: the directory has come, and somebody of it is here."""
    return (pushes.last_used_at is not None or link.live) and steps[2].done


# Attention ----------------------------------------------------------------------------------------------------------


def _of_pull(work: Work, link: GraphLink) -> Iterator[Item]:
    path, word = "/console/setup/graph", "Mend the connection"
    if link.status == "quarantined":
        missing = f" Missing: {', '.join(link.missing)}." if link.missing else ""
        text = f"{link.status_reason or 'Microsoft Graph refuses us.'}{missing} A pull that succeeds ends it."
        yield Item("bad", "Microsoft Graph refuses to be read", text, path, word)
    elif link.live and _ago(link.pulled_at or link.connected_at, work.now) > SILENT:
        job = jobs.unfinished(work, graph_links.pull_slot(work))
        reason = f" The last try said: {job.error}" if job is not None and job.error else ""
        text = f"It is pulled hourly, at five past. If it stays so, tell the operator of this server.{reason}"
        yield Item("warn", "The directory has not been pulled for a while", text, path, "Look at the connection")


def _ago(at: Stamp | None, now: Stamp) -> float:
    return 0.0 if at is None else clock.seconds(now) - clock.seconds(at)


def _of_push(
    pushes: Pushes, tokens: Sequence[Token], ends: Sequence[tuple[str, str, str | None, int]], now: Stamp
) -> Iterator[Item]:
    if pushes.last_used_at is None:
        return
    if not pushes.live_tokens:
        text = (
            "Entra's requests are refused, and Entra puts the application in quarantine. Make a new secret and paste "
            "it into Entra."
        )
        yield Item("bad", "No secret for Entra is live", text, "/console/setup", "Make a secret")
    elif _ago(pushes.last_used_at, now) > SILENT:
        text = (
            "It comes about every 40 minutes while provisioning is on, and once a day in quarantine. In Entra: "
            "Provisioning, Overview says whether it is paused or in quarantine, and why."
        )
        yield Item("warn", "Entra has not come for a while", text, "/console/setup", "Test the connection")
    yield from _of_tokens(tokens, now)
    share = _failing(ends)
    if share > QUARANTINE_SHARE:
        text = (
            f"{share} % of Entra's requests of the last day were refused. From {QUARANTINE_SHARE} % on, Entra puts an "
            "application in quarantine and comes once a day only. Mend the commonest reasons below."
        )
        yield Item("bad", "Entra may go into quarantine", text, "/console/log?outcome=failure&source=scim", "See what")


def _of_tokens(tokens: Sequence[Token], now: Stamp) -> Iterator[Item]:
    """Warn of the last secret that is live, if it ends soon."""
    live = [each for each in tokens if each.revoked_at is None and (each.expires_at is None or each.expires_at > now)]
    ends = [each.expires_at for each in live]
    last = max([each for each in ends if each is not None], default=None)
    if last is None or None in ends or clock.seconds(last) - clock.seconds(now) > EXPIRES_SOON:
        return
    text = "Without another one, Entra's requests are refused from then on. Make a new secret; both work meanwhile."
    yield Item("warn", f"The secret for Entra expires on {last[:10]}", text, "/console/setup", "Make a secret")


def _failing(ends: Sequence[tuple[str, str, str | None, int]]) -> int:
    """Give the percentage of Entra's requests that were refused; 0 where there are too few to say."""
    pushed = [(outcome, count) for source, outcome, _, count in ends if source == "scim"]
    total = sum(count for _, count in pushed)
    return 0 if total < FEW_REQUESTS else 100 * sum(count for each, count in pushed if each == "failure") // total


def _of_products(work: Work, stand: Counts) -> Iterator[Item]:
    yield from _of_teams(work)
    for run in attention.held_runs(work)[:SHOWN]:
        text = f"A reconciliation would remove {run.removals:,} things at once, more than it may without being asked."
        path = f"/console/reconciliations/{run.id}"
        yield Item("warn", "Removals wait for your approval", text, path, "Look at them")
    if stand.waiting:
        waits = "1 person waits" if stand.waiting == 1 else f"{stand.waiting:,} people wait"
        text = "All seats are taken. Pause cards or revoke accounts, or have the operator raise the limit."
        yield Item("warn", f"{waits} for a seat", text, "/console/people?need=seat", "See who")
    problems = attention.people_with_problems(work)
    if problems:
        more = "or more " if problems >= attention.COUNTED else ""
        title = "1 person has" if problems == 1 else f"{problems:,} {more}people have"
        text = "Cards leave the number off. Write it in Entra in full, such as +14255550100."
        yield Item(
            "warn", f"{title} a phone number that no card can show", text, "/console/people?need=problem", "See who"
        )
    yield from _of_webhooks(work)
    for job in attention.failed_jobs(work)[:SHOWN]:
        yield _of_job(job)


def _of_webhooks(work: Work) -> Iterator[Item]:
    for webhook, dead in attention.webhooks_in_trouble(work)[:SHOWN]:
        name, path = webhook.description or host_of(webhook), f"{WEBHOOKS}/{webhook.id}"
        if webhook.reason == Trouble.GONE:
            text = "Its receiver answered 410, so nothing is sent there. What happens is kept until you resume it."
            yield Item("bad", f"The webhook “{name}” is disabled", text, path, "Open the webhook")
        elif webhook.failing_since is not None:
            why = TROUBLES.get(webhook.last_reason or "", "")
            answered = f"It answered {webhook.last_status}. " if webhook.last_status else ""
            text = f"{answered}{why} What happens is kept, and tried again by itself."
            yield Item("bad", f"The webhook “{name}” takes nothing", text, path, "Open the webhook")
        elif dead:
            events = "1 event was" if dead == 1 else f"{dead:,} events were"
            more = " or more" if dead >= attention.COUNTED else ""
            text = f"{events}{more} given up after ten tries. Have them sent again once the receiver is mended."
            yield Item("warn", f"The webhook “{name}” has not taken all", text, f"{path}?state=dead", "See which")


def _of_teams(work: Work) -> Iterator[Item]:
    found = attention.blocked_teams(work, SHOWN + 1)
    text = "Entra wants it gone, and it still holds logins. Move or delete them; Entra tries again by itself."
    for team in found[:SHOWN]:
        title, path = f"Team “{team.name}” cannot be deleted", f"/console/teams/{team.id}"
        yield Item("bad", title, text, path, "Open the team")
    if len(found) > SHOWN:
        text = "Entra wants them gone, and they still hold logins."
        yield Item("bad", "More teams cannot be deleted", text, "/console/teams?kind=left-behind", "See which")


def _of_job(job: attention.Trouble) -> Item:
    title, path, word = JOBS.get(job.kind, (f"The job “{job.kind}” failed", "/console/log", "See the log"))
    return Item("bad", title, f"{job.error or 'It failed too often'} It was given up.", path, word)


JOBS: Mapping[str, tuple[str, str, str]] = {
    "issue-cards": ("Cards of a group were not issued", "/console/templates", "Assign the group again"),
    "pull": ("A pull from Entra failed", "/console/setup/graph", "Sync again"),
    "reconcile": ("A reconciliation failed", "/console/reconciliations", "Run it again"),
}
"""Jobs that may fail: how that is called, and where one does something about it."""


class Reason(NamedTuple):
    """A reason for which requests were refused, and how often."""

    code: str
    times: int
    meaning: str
    path: str


def _reasons(ends: Sequence[tuple[str, str, str | None, int]]) -> Sequence[Reason]:
    counts: dict[str, int] = {}
    for _, outcome, code, count in ends:
        if outcome == "failure" and code is not None:
            counts[code] = counts.get(code, 0) + count
    return [
        Reason(
            code,
            count,
            ADVICE[code].meaning if code in ADVICE else "",
            at("/console/log", {"outcome": "failure", "reason": code}),
        )
        for code, count in sorted(counts.items(), key=lambda each: -each[1])[:SHOWN]
    ]
