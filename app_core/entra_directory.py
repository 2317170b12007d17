"""Way in 2 for the directory behind Microsoft Graph: connect it, let it go, sync it, choose its groups, reconcile it.

API, console and command line share these. Who asks Graph does so before, outside of the transaction (`ports`).
"""

from collections.abc import Mapping

from app_core import administration, consents, directory, graph_links, jobs, provisioning, reconciliations
from app_core.consents import ConsentRefused
from app_core.errors import NotFound
from app_core.jobs import Job
from app_core.ports import DirectoryProof, EntraGroup
from app_core.provisioning import GroupRecord
from app_core.reconciliations import GRACE_SECONDS, Policy, Run
from app_core.teams import Team
from app_core.work import Work

# The connection -----------------------------------------------------------------------------------------------------


def connect(work: Work, proof: DirectoryProof, *, shared: bool = False) -> None:
    """Join the acting connection to a directory that has proved itself; the schedule pulls it at its next look.

    What was under way with the directory before comes to nothing. `shared` is an operator's word that another customer
    may have the same one. Raises DirectoryTaken.
    """
    before = graph_links.find(work)
    graph_links.connect(work, proof.directory_id, shared=shared)
    # Removals that were held about one directory must not be asked of another: it has nobody of them.
    _stop(work, "The directory was connected anew.", held=before.entra_tenant_id != proof.directory_id)


def expect_return(work: Work, query: Mapping[str, str], asker: str) -> None:
    """Hold what came back from a consent link against what was asked, before the directory is. Raises ConsentRefused.

    `asker` is the browser's session, as it was said when the link was made. An error comes first; it is for
    `EntraDirectory.proof_of_return` to put into words.
    """
    if not (query.get("error") or query.get("error_description")):
        consents.require(work, query.get("state", ""), asker)


def accept_return(work: Work, query: Mapping[str, str], asker: str, signed_in: str, proof: DirectoryProof) -> None:
    """Join the acting connection to the directory that a consent link came back from, and ask for its first pull.

    A proof says that the directory consented to our application, not that the asker belongs to it. That is said by
    `signed_in`: the `tid` of a checked id token of the same browser (ADR 0021). Raises ConsentRefused, DirectoryTaken.
    """
    expected = consents.take(work, query.get("state", ""), asker)
    if signed_in.lower() != proof.directory_id:
        raise ConsentRefused(
            "You signed in to another directory than the one that consented. Sign in as an administrator of that one."
        )
    if expected not in (None, proof.directory_id):
        raise ConsentRefused(
            "Consent was granted in another directory than the one this link is for. Open a new link and sign in as an "
            "administrator of the right directory."
        )
    connect(work, proof)
    graph_links.take_slot(work, graph_links.slot_of(work.now))
    graph_links.ask_for_pull(work)


def disconnect(work: Work) -> bool:
    """Pull no more; what is there stays. Says whether that is a change."""
    changed = graph_links.disconnect(work)
    _stop(work, "The directory was disconnected.")
    return changed


def _stop(work: Work, reason: str, *, held: bool = False) -> None:
    jobs.end_all_of_connection(work, reason)
    reconciliations.give_up(work, reason, held=held)


# Jobs ---------------------------------------------------------------------------------------------------------------


def sync_now(work: Work) -> Job:
    """Ask for a pull now (G4). Raises NotPossible where no directory is connected."""
    graph_links.require_connected(work)
    return graph_links.ask_for_pull(work)


def reconcile(work: Work, policy: Policy, *, grace: float = GRACE_SECONDS) -> Run:
    """Ask for a complete listing against the mirror (G5), in place of one of that policy. Raises NotPossible."""
    graph_links.require_connected(work)
    return reconciliations.ask(work, policy, grace=grace)


def approve(work: Work, run_id: str) -> Run:
    """Let the removals of a held run be carried out, of those that are still true. Raises NotFound, NotPossible."""
    reconciliations.require(work, run_id)
    graph_links.require_connected(work)
    return reconciliations.approve(work, run_id)


# Groups -------------------------------------------------------------------------------------------------------------


def add_group(work: Work, group: EntraGroup) -> Team:
    """Take a group over as a team, with its members, of those people that are here (G3, Add).

    One that is a team stays one. Raises NotFound for a group without a name.
    """
    known = directory.group_by_object_id(work, group.object_id)
    if known is not None:
        # Its members are the pull's to say: what was read just now may be older than what that has written down since.
        return administration.sync_group(work, known)
    if group.name is None:
        raise NotFound("Group in Entra", group.object_id)
    members = list(directory.users_by_object_id(work, group.members).values())
    created = provisioning.create_group(work, GroupRecord(group.name, group.object_id), members, pushed=False)
    return administration.sync_group(work, created.id)


def remove_group(work: Work, object_id: str) -> str:
    """Stop syncing a group and delete its team; give the group's id (G3, Remove group).

    Raises NotFound where it is no team, and TeamHasLogins.
    """
    group_id = directory.group_by_object_id(work, object_id.lower())
    if group_id is None:
        raise NotFound("Group", object_id)
    administration.remove_group(work, group_id)
    return group_id
