"""Reconciliations: in what directory and mirror differ, why, and what a repair did or would do about it (G5)."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from admin_console.endpoint import Answer, done, page
from admin_console.exports import as_csv
from admin_console.paging import ROWS, at
from admin_console.request import Request
from app_core import administrators, connections, entra_directory, graph_links, jobs, names, reconciliations
from app_core.errors import Invalid
from app_core.names import Named
from app_core.reconciliations import Finding, Policy, Run, State
from app_core.work import Work

PATH = "/console/reconciliations"
EXPORTED = 10_000
STATES = {
    "queued": ("waits to begin", "accent"),
    "listing": ("under way", "accent"),
    "held": ("waits for approval", "warn"),
    "done": ("done", "good"),
    "failed": ("failed", "bad"),
}
POLICIES = {"report": "Report", "repair": "Repair"}
OUTCOMES = {
    "found": ("found", "plain"),
    "reported": ("reported", "accent"),
    "repaired": ("repaired", "good"),
    "held": ("held back", "warn"),
    "left": ("left alone", "plain"),
    "refused": ("refused", "bad"),
}
KINDS = {
    "user_unknown": "User is not here",
    "user_not_linked": "User has no object id here",
    "attributes_differ": "Attributes differ",
    "account_disabled": "Account is disabled",
    "account_enabled": "Account is enabled",
    "user_gone": "User is gone",
    "group_unknown": "Group is not here",
    "group_renamed": "Group was renamed",
    "member_missing": "Member is missing",
    "member_extra": "Member too many",
    "group_gone": "Group is gone",
    "group_recreated": "Group was made anew",
}
"""How directory and mirror can differ."""
COLUMNS = ("kind", "what", "member", "object_id", "member_id", "our_id", "why", "repair", "outcome", "reason")


class Line(NamedTuple):
    """A finding as shown: which object, and which member of it where it is about one."""

    finding: Finding
    what: Named | None
    member: Named | None


# Runs ---------------------------------------------------------------------------------------------------------------


def runs(work: Work, request: Request) -> Answer:
    """List the runs, and offer another one."""
    connections.act_on_first(work)
    before = request.asked("before")
    found = reconciliations.runs(work, before=before or "~", limit=ROWS + 1)
    shown = found[:ROWS]
    return page(
        "reconciliations/list.html",
        "Reconciliation",
        place="reconciliations",
        link=graph_links.find(work),
        runs=shown,
        unfinished=[job for each in Policy if (job := jobs.unfinished(work, reconciliations.slot(work, each)))],
        now=work.now,
        next=at(PATH, {"before": shown[-1].id}) if len(found) > ROWS else None,
        first=PATH if before else None,
        states=STATES,
        policies=POLICIES,
    )


def start(work: Work, request: Request) -> Answer:
    """Compare the whole directory with what is here, in the background."""
    policy = request.text("policy")
    if policy not in POLICIES:
        raise Invalid("Choose whether to report or to repair.")
    connections.act_on_first(work)
    run = entra_directory.reconcile(work, Policy(policy))
    return done(f"{PATH}/{run.id}", "The run is asked for. This page shows how far it is.", target_id=run.id)


def run(work: Work, request: Request) -> Answer:
    """Show a run: how far it is, what it found, and what came of that."""
    found = _required(work, request)
    kind, outcome, after = _filters(request)
    findings = reconciliations.findings(work, found.id, after=after, limit=ROWS + 1, kind=kind, outcome=outcome)
    shown = findings[:ROWS]
    asked = {"kind": kind or "", "outcome": outcome or ""}
    path = f"{PATH}/{found.id}"
    return page(
        "reconciliations/run.html",
        f"{POLICIES[found.policy]} of {found.started_at[:10]}",
        place="reconciliations",
        **_progress(work, found),
        lines=_lines(work, shown),
        counts=reconciliations.counts(work, found.id),
        asked=asked,
        filtered=bool(kind or outcome),
        next=at(path, {**asked, "after": str(shown[-1].position)}) if len(findings) > ROWS else None,
        first=at(path, asked) if after >= 0 else None,
        approver=_approver(work, found),
        outcomes=OUTCOMES,
        kinds=KINDS,
        exported=EXPORTED,
    )


def progress(work: Work, request: Request) -> Answer:
    """Show how far a run is, for a page that is open."""
    return page("reconciliations/progress.html", "Reconciliation", **_progress(work, _required(work, request)))


def approve(work: Work, request: Request) -> Answer:
    """Carry out the held removals of a run, of those that are still true."""
    connections.act_on_first(work)
    approved = entra_directory.approve(work, request.id)
    said = "The removals are approved. What is still so is carried out now."
    return done(f"{PATH}/{approved.id}", said, target_id=approved.id)


def _required(work: Work, request: Request) -> Run:
    connections.act_on_first(work)
    return reconciliations.require(work, request.id)


def _progress(work: Work, found: Run) -> Mapping[str, Any]:
    job = reconciliations.job_of(work, found)
    word, tone = STATES[found.state]
    if found.state == State.HELD and job is not None:
        word, tone = "carries out what was approved", "accent"
    return {"run": found, "job": job, "word": word, "tone": tone, "policies": POLICIES}


def _approver(work: Work, found: Run) -> str:
    """Say who approved a run."""
    if found.approved_by is None:
        return ""
    return administrators.name_of(work, [found.approved_by]).get(found.approved_by, "an API key or the command line")


# Findings -----------------------------------------------------------------------------------------------------------


def export(work: Work, request: Request) -> Answer:
    """Give the findings of a run that the filters let in as a file."""
    found = _required(work, request)
    kind, outcome, _ = _filters(request)
    findings = reconciliations.findings(work, found.id, limit=EXPORTED, kind=kind, outcome=outcome)
    return as_csv(f"reconciliation-{found.started_at[:10]}", COLUMNS, [_cells(line) for line in _lines(work, findings)])


def _cells(line: Line) -> Sequence[Any]:
    drift = line.finding.drift
    return (
        KINDS.get(drift.kind, drift.kind),
        line.what and line.what.name,
        line.member and line.member.name,
        drift.object_id,
        drift.member_id,
        drift.our_id,
        drift.why,
        drift.repair,
        line.finding.outcome,
        line.finding.reason,
    )


def _filters(request: Request) -> tuple[str | None, str | None, int]:
    kind, outcome, after = (request.asked(name) for name in ("kind", "outcome", "after"))
    return (
        kind if kind in KINDS else None,
        outcome if outcome in OUTCOMES else None,
        int(after) if after.isdecimal() and len(after) < 10 else -1,
    )


def _lines(work: Work, findings: Sequence[Finding]) -> Sequence[Line]:
    drifts = [each.drift for each in findings]
    users = {each.our_id or each.object_id for each in drifts if not _is_of_group(each.kind)}
    users |= {each.member_id for each in drifts if each.member_id is not None}
    groups = {each.our_id or each.object_id for each in drifts if _is_of_group(each.kind)}
    of_users = names.users(work, sorted(users)) if users else {}
    of_groups = names.groups(work, sorted(groups)) if groups else {}
    return [
        Line(
            each,
            (of_groups if _is_of_group(each.drift.kind) else of_users).get(each.drift.our_id or each.drift.object_id),
            of_users.get(each.drift.member_id or ""),
        )
        for each in findings
    ]


def _is_of_group(kind: str) -> bool:
    return kind.startswith(("group_", "member_"))
