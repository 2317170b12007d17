"""Every path and method of the door. Whoever adds one adds it here, and nowhere else."""

from app_api import (
    activations,
    cards,
    connection,
    events,
    groups,
    invitations,
    jobs,
    logins,
    people,
    provisioning_log,
    reconciliations,
    seats,
    settings,
    teams,
    templates,
    webhooks,
)
from app_api.endpoint import Endpoint
from app_core.api_keys import KeyScope

READ, WRITE, ADMIN = KeyScope.READ, KeyScope.WRITE, KeyScope.ADMIN
# Of what asks the directory while the client waits.
GRAPH = ("not-found", "not-possible", "graph", "graph-refused", "graph-unavailable")

TABLE: dict[str, dict[str, Endpoint]] = {
    "/people": {
        "GET": Endpoint(people.find, READ, "find", "Person"),
        "POST": Endpoint(people.create, WRITE, "create", "Person", 201),
    },
    "/people/{id}": {
        "GET": Endpoint(people.read, READ, "read", "Person"),
        "PATCH": Endpoint(people.change, WRITE, "update", "Person", conditional=True, refusals=("not-possible",)),
        "DELETE": Endpoint(people.delete, WRITE, "delete", "Person", 204, conditional=True, refusals=("not-possible",)),
    },
    "/people/{id}/link": {"POST": Endpoint(people.link, WRITE, "link", "Person", refusals=("not-possible",))},
    "/people/{id}/activation": {
        "POST": Endpoint(people.activate, WRITE, "activate", "Person", refusals=("not-possible",)),
        "DELETE": Endpoint(people.deactivate, WRITE, "revoke activation", "Person", 204),
    },
    "/people/{id}/start-code": {
        "POST": Endpoint(
            people.issue_start_code, WRITE, "issue start code", "Person", once=True, refusals=("not-possible",)
        )
    },
    "/people/{id}/start-code/mail": {
        "POST": Endpoint(
            people.mail_start_code,
            WRITE,
            "mail start code",
            "Person",
            refusals=("not-possible", "mail-not-sent"),
        )
    },
    "/people/{id}/photo": {
        "GET": Endpoint(people.read_photo, READ, "read photo", "Person"),
        "PUT": Endpoint(people.put_photo, WRITE, "set photo", "Person", 204),
        "DELETE": Endpoint(people.delete_photo, WRITE, "remove photo", "Person", 204),
    },
    "/activations/redeem": {
        "POST": Endpoint(activations.redeem, WRITE, "redeem start code", "Person", refusals=("wrong-code",))
    },
    "/teams": {
        "GET": Endpoint(teams.find, READ, "find", "Team"),
        "POST": Endpoint(teams.create, WRITE, "create", "Team", 201),
    },
    "/teams/{id}": {
        "GET": Endpoint(teams.read, READ, "read", "Team"),
        "PATCH": Endpoint(teams.change, WRITE, "update", "Team", conditional=True, refusals=("not-possible",)),
        "DELETE": Endpoint(
            teams.delete, ADMIN, "delete", "Team", 204, conditional=True, refusals=("team-has-logins", "not-possible")
        ),
    },
    "/teams/{id}/members": {"GET": Endpoint(teams.members, READ, "find", "Person")},
    "/teams/{id}/members/{person_id}": {
        "PUT": Endpoint(teams.add_member, WRITE, "add member", "Team", 204, refusals=("not-possible",)),
        "DELETE": Endpoint(teams.remove_member, WRITE, "remove member", "Team", 204, refusals=("not-possible",)),
    },
    "/teams/{id}/logins": {
        "GET": Endpoint(logins.find, READ, "find", "Login"),
        "POST": Endpoint(logins.create, WRITE, "create", "Login", 201),
    },
    "/teams/{id}/logins/{login_id}": {
        "GET": Endpoint(logins.read, READ, "read", "Login"),
        "PATCH": Endpoint(logins.change, WRITE, "update", "Login", conditional=True),
        "DELETE": Endpoint(logins.delete, WRITE, "delete", "Login", 204, conditional=True),
    },
    "/teams/{id}/logins/{login_id}/move": {
        "POST": Endpoint(logins.move, WRITE, "move", "Login", conditional=True),
    },
    "/groups": {"GET": Endpoint(groups.find, READ, "find", "Group")},
    "/groups/{id}": {"GET": Endpoint(groups.read, READ, "read", "Group")},
    "/groups/{id}/team": {
        "POST": Endpoint(groups.add, ADMIN, "add as team", "Group", 201),
        "DELETE": Endpoint(groups.remove, ADMIN, "remove team", "Group", 204, refusals=("team-has-logins",)),
    },
    "/templates": {
        "GET": Endpoint(templates.find, READ, "find", "Template"),
        "POST": Endpoint(templates.create, ADMIN, "create", "Template", 201, refusals=("conflict",)),
    },
    "/templates/{id}": {
        "GET": Endpoint(templates.read, READ, "read", "Template"),
        "PATCH": Endpoint(templates.change, ADMIN, "update", "Template", conditional=True, refusals=("conflict",)),
        "DELETE": Endpoint(
            templates.delete, ADMIN, "delete", "Template", 204, conditional=True, refusals=("still-holds",)
        ),
    },
    "/templates/{id}/assignments": {
        "GET": Endpoint(templates.read_assignments, READ, "read assignments", "Template"),
        "PUT": Endpoint(templates.assign, ADMIN, "assign", "Template"),
    },
    "/templates/{id}/assignments/preview": {
        # It tries the change in a transaction, and takes it back.
        "POST": Endpoint(templates.preview, READ, "preview assignment", "Template", logged=False)
    },
    "/cards": {"GET": Endpoint(cards.find, READ, "find", "Card")},
    "/cards/{id}": {
        "GET": Endpoint(cards.read, READ, "read", "Card"),
        "PATCH": Endpoint(cards.change, WRITE, "update", "Card", conditional=True),
        "DELETE": Endpoint(cards.delete, WRITE, "delete", "Card", 204, conditional=True, refusals=("not-possible",)),
    },
    "/cards/{id}/reactivate": {
        "POST": Endpoint(cards.reactivate, WRITE, "reactivate", "Card", refusals=("not-possible",))
    },
    "/cards/{id}/refresh": {"POST": Endpoint(cards.refresh, WRITE, "refresh", "Card")},
    "/seats": {"GET": Endpoint(seats.find, READ, "find", "Seat")},
    "/invitations": {
        "GET": Endpoint(invitations.find, READ, "find", "Invitation"),
        "POST": Endpoint(
            invitations.create, WRITE, "create", "Invitation", 201, once=True, refusals=("missing-fields", "not-found")
        ),
    },
    "/invitations/claim": {"POST": Endpoint(invitations.claim, WRITE, "claim", "Card", refusals=("wrong-code",))},
    "/invitations/{id}": {
        "GET": Endpoint(invitations.read, READ, "read", "Invitation"),
        "DELETE": Endpoint(invitations.revoke, WRITE, "revoke", "Invitation", 204, refusals=("not-possible",)),
    },
    "/connection": {"GET": Endpoint(connection.read, READ, "read", "Connection", refusals=("not-found",))},
    "/connection/consent": {
        "POST": Endpoint(
            connection.ask_for_consent,
            ADMIN,
            "ask for consent",
            "Connection",
            once=True,
            refusals=("not-possible", "not-found"),
        )
    },
    "/connection/disconnect": {
        "POST": Endpoint(connection.disconnect, ADMIN, "disconnect", "Connection", refusals=("not-found",))
    },
    "/connection/sync": {
        "POST": Endpoint(connection.sync, WRITE, "sync now", "Connection", 202, refusals=("not-possible", "not-found"))
    },
    "/connection/groups": {
        "GET": Endpoint(
            connection.find_groups,
            READ,
            "find",
            "Group",
            refusals=GRAPH,
            before=connection.directory_of,
            fetch=connection.fetch_groups,
        ),
        "POST": Endpoint(
            connection.add_group,
            ADMIN,
            "add as team",
            "Group",
            201,
            refusals=GRAPH,
            before=connection.directory_of,
            fetch=connection.fetch_group,
        ),
    },
    "/connection/groups/{object_id}": {
        "DELETE": Endpoint(connection.remove_group, ADMIN, "remove team", "Group", 204, refusals=("team-has-logins",))
    },
    "/connection/user-filter": {
        "GET": Endpoint(connection.read_user_filter, READ, "read user filter", "Connection", refusals=("not-found",)),
        "PUT": Endpoint(connection.choose, ADMIN, "choose users", "Connection", refusals=("not-found",)),
    },
    "/reconciliations": {
        "GET": Endpoint(reconciliations.find, READ, "find", "Reconciliation", refusals=("not-found",)),
        "POST": Endpoint(
            reconciliations.ask,
            ADMIN,
            "reconcile",
            "Reconciliation",
            202,
            refusals=("not-possible", "not-found"),
        ),
    },
    "/reconciliations/{id}": {"GET": Endpoint(reconciliations.read, READ, "read", "Reconciliation")},
    "/reconciliations/{id}/findings": {"GET": Endpoint(reconciliations.findings, READ, "find", "Finding")},
    "/reconciliations/{id}/export": {"GET": Endpoint(reconciliations.export, READ, "export", "Finding")},
    "/reconciliations/{id}/approve": {
        "POST": Endpoint(reconciliations.approve, ADMIN, "approve", "Reconciliation", 202, refusals=("not-possible",))
    },
    "/jobs": {"GET": Endpoint(jobs.find, READ, "find", "Job")},
    "/jobs/{id}": {"GET": Endpoint(jobs.read, READ, "read", "Job")},
    "/provisioning-log": {"GET": Endpoint(provisioning_log.find, READ, "find", "LogEntry")},
    "/provisioning-log/{id}": {"GET": Endpoint(provisioning_log.read, READ, "read", "LogEntry")},
    # Reading the feed gives out positions, for which it needs a transaction.
    "/events": {"GET": Endpoint(events.find, READ, "find", "Event", writes=True, logged=False)},
    "/webhooks": {
        "GET": Endpoint(webhooks.find, READ, "find", "Webhook"),
        "POST": Endpoint(
            webhooks.create,
            ADMIN,
            "create",
            "Webhook",
            201,
            once=True,
            refusals=("not-possible",),
            fetch=webhooks.check,
        ),
    },
    "/webhooks/{id}": {
        "GET": Endpoint(webhooks.read, READ, "read", "Webhook"),
        "PATCH": Endpoint(webhooks.change, ADMIN, "update", "Webhook", fetch=webhooks.check),
        "DELETE": Endpoint(webhooks.delete, ADMIN, "delete", "Webhook", 204),
    },
    "/webhooks/{id}/rotate-secret": {
        "POST": Endpoint(webhooks.rotate, ADMIN, "rotate secret", "Webhook", once=True, refusals=("not-possible",))
    },
    "/webhooks/{id}/test": {
        "POST": Endpoint(
            webhooks.tell,
            ADMIN,
            "test",
            "Webhook",
            refusals=("not-possible", "refused"),
            before=webhooks.trial_of,
            fetch=webhooks.try_out,
        )
    },
    "/webhooks/{id}/deliveries": {"GET": Endpoint(webhooks.deliveries_of, READ, "find", "Delivery")},
    "/webhooks/{id}/deliveries/{event_id}/replay": {
        "POST": Endpoint(webhooks.replay, ADMIN, "replay", "Webhook", refusals=("not-possible",))
    },
    "/webhooks/{id}/replay": {
        "POST": Endpoint(webhooks.replay_dead, ADMIN, "replay", "Webhook", refusals=("not-possible",))
    },
    "/settings": {
        "GET": Endpoint(settings.read, READ, "read", "Settings"),
        "PATCH": Endpoint(settings.change, ADMIN, "update", "Settings"),
    },
}
