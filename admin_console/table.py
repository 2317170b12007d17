"""Every path and method of the door. Whoever adds one adds it here, and nowhere else."""

from admin_console.endpoint import Endpoint, Who
from admin_console.pages import (
    cards,
    claim,
    connection,
    groups,
    invitations,
    jobs,
    letters,
    log,
    me,
    microsoft,
    overview,
    people,
    probe,
    public,
    reconciliations,
    settings,
    setup,
    sign_in,
    start,
    teams,
    templates,
    webhooks,
)

# Staff and members come in alike, each below their own path.
SIGN_IN = {
    "GET": Endpoint(sign_in.sign_in, Who.ANYONE, limited=True),
    "POST": Endpoint(sign_in.use_link, Who.ANYONE, limited=True),
}
SIGN_OUT = {"POST": Endpoint(sign_in.sign_out, Who.ANYONE)}
MICROSOFT = {"GET": Endpoint(microsoft.go, Who.ANYONE, writes=True, fetch=microsoft.begin)}
MICROSOFT_RETURN = {
    "GET": Endpoint(microsoft.come_back, Who.ANYONE, writes=True, before=microsoft.find_begun, fetch=microsoft.finish)
}
CLAIM = Endpoint(claim.show, Who.ANYONE, tenant=claim.tenant_of, limited=True)
START = Endpoint(start.show, Who.ANYONE, limited=True)

TABLE: dict[str, dict[str, Endpoint]] = {
    "/console": {"GET": Endpoint(overview.overview)},
    "/console/letters": {"GET": Endpoint(letters.letters, fetch=letters.fetch)},
    # Set up Entra
    "/console/setup": {"GET": Endpoint(setup.setup)},
    "/console/setup/tokens": {
        "POST": Endpoint(setup.create_token, action="create", kind="Token", again=Endpoint(setup.setup))
    },
    "/console/setup/tokens/{id}/revoke": {"POST": Endpoint(setup.revoke_token, action="revoke", kind="Token")},
    "/console/setup/test": {"POST": Endpoint(setup.test_connection, fetch=probe.ask)},
    "/console/setup/graph": {"GET": Endpoint(connection.show, fetch=connection.directory)},
    "/console/setup/graph/filter": {
        "GET": Endpoint(connection.show_filter, before=connection.directory_id_of, fetch=connection.search),
        "POST": Endpoint(connection.choose, action="choose users", kind="Connection"),
    },
    "/console/setup/graph/filter/search": {
        "POST": Endpoint(connection.search_filter, before=connection.directory_id_of, fetch=connection.search)
    },
    "/console/microsoft/consent": {"GET": Endpoint(connection.ask, writes=True, fetch=connection.directory)},
    "/console/connection/consented": {
        "GET": Endpoint(microsoft.go_for_consent, writes=True, before=connection.expect, fetch=connection.begin_proof)
    },
    "/console/connection/finish": {
        "GET": Endpoint(connection.wait),
        "POST": Endpoint(
            connection.accept,
            action="connect",
            kind="Connection",
            before=connection.expect_proved,
            fetch=connection.prove,
        ),
    },
    "/console/connection/disconnect": {"POST": Endpoint(connection.disconnect, action="disconnect", kind="Connection")},
    "/console/connection/sync": {"POST": Endpoint(connection.sync, action="sync now", kind="Connection")},
    # Groups and teams
    "/console/groups": {"GET": Endpoint(groups.show_list, before=groups.look, fetch=groups.search)},
    "/console/groups/{id}": {"GET": Endpoint(groups.show)},
    "/console/groups/{id}/add": {"POST": Endpoint(groups.add, action="add as team", kind="Group")},
    "/console/groups/{id}/remove": {"POST": Endpoint(groups.remove, action="remove team", kind="Group")},
    "/console/groups/entra/{object_id}/add": {
        "POST": Endpoint(
            groups.add_from_entra,
            action="add as team",
            kind="Group",
            before=connection.directory_id_of,
            fetch=groups.read_group,
        )
    },
    "/console/teams": {
        "GET": Endpoint(teams.show_list),
        "POST": Endpoint(teams.create, action="create", kind="Team"),
    },
    "/console/teams/{id}": {"GET": Endpoint(teams.show)},
    "/console/teams/{id}/rename": {"POST": Endpoint(teams.rename, action="update", kind="Team")},
    "/console/teams/{id}/delete": {"POST": Endpoint(teams.delete, action="delete", kind="Team")},
    "/console/teams/{id}/members": {"POST": Endpoint(teams.add_member, action="add member", kind="Team")},
    "/console/teams/{id}/members/{person_id}/remove": {
        "POST": Endpoint(teams.remove_member, action="remove member", kind="Team")
    },
    "/console/teams/{id}/move": {
        "GET": Endpoint(teams.choose_move),
        "POST": Endpoint(teams.move_all, action="move logins", kind="Team"),
    },
    "/console/teams/{id}/logins/{login_id}/move": {
        "GET": Endpoint(teams.choose_move),
        "POST": Endpoint(teams.move, action="move", kind="Login"),
    },
    "/console/teams/{id}/logins/{login_id}/delete": {
        "POST": Endpoint(teams.delete_login, action="delete", kind="Login")
    },
    # Templates and cards
    "/console/templates": {
        "GET": Endpoint(templates.find),
        "POST": Endpoint(templates.create, action="create", kind="Template"),
    },
    "/console/templates/{id}": {
        "GET": Endpoint(templates.read),
        "POST": Endpoint(templates.save, action="update", kind="Template"),
    },
    # These two show the form that is sent, and save nothing; who loads their page again begins anew.
    "/console/templates/{id}/fields": {"GET": Endpoint(templates.read), "POST": Endpoint(templates.redraw)},
    "/console/templates/{id}/preview": {"GET": Endpoint(templates.read), "POST": Endpoint(templates.preview)},
    "/console/templates/{id}/groups": {
        "GET": Endpoint(templates.groups),
        "POST": Endpoint(templates.assign, action="assign", kind="Template"),
    },
    "/console/templates/{id}/groups/preview": {
        "GET": Endpoint(templates.groups),
        "POST": Endpoint(templates.preview_groups),
    },
    "/console/templates/{id}/delete": {"POST": Endpoint(templates.delete, action="delete", kind="Template")},
    "/console/cards": {"GET": Endpoint(cards.find)},
    "/console/cards/{id}": {
        "GET": Endpoint(cards.read),
        "POST": Endpoint(cards.edit, action="update", kind="Card"),
    },
    "/console/cards/{id}/photo": {"GET": Endpoint(cards.photo)},
    "/console/cards/{id}/reactivate": {"POST": Endpoint(cards.reactivate, action="reactivate", kind="Card")},
    "/console/cards/{id}/refresh": {"POST": Endpoint(cards.refresh, action="refresh", kind="Card")},
    "/console/cards/{id}/delete": {"POST": Endpoint(cards.delete, action="delete", kind="Card")},
    # Everybody
    "/c/look/{name}": {"GET": Endpoint(templates.colours, Who.ANYONE)},
    "/c/{slug}": {"GET": Endpoint(public.read, Who.ANYONE)},
    "/c/{slug}/card.vcf": {"GET": Endpoint(public.contact, Who.ANYONE)},
    "/c/{slug}/qr.svg": {"GET": Endpoint(public.qr_code, Who.ANYONE)},
    "/c/{slug}/photo": {"GET": Endpoint(public.photo, Who.ANYONE)},
    # Members
    "/me": {"GET": Endpoint(me.read, Who.MEMBER)},
    "/me/cards/{id}": {
        "GET": Endpoint(me.card, Who.MEMBER),
        "POST": Endpoint(me.edit, Who.MEMBER, action="update", kind="Card"),
    },
    "/me/cards/{id}/photo": {"GET": Endpoint(me.photo, Who.MEMBER)},
    "/me/photo": {"POST": Endpoint(me.set_photo, Who.MEMBER, action="set photo", kind="Person")},
    "/me/photo/delete": {"POST": Endpoint(me.remove_photo, Who.MEMBER, action="remove photo", kind="Person")},
    "/me/account": {"GET": Endpoint(me.account, Who.MEMBER)},
    "/me/theme": {"POST": Endpoint(me.set_theme, Who.MEMBER)},
    "/me/sessions/end": {"POST": Endpoint(me.end_sessions, Who.MEMBER)},
    "/me/sessions/{id}/end": {"POST": Endpoint(me.end_session, Who.MEMBER)},
    "/me/sign-in": SIGN_IN,
    "/me/sign-out": SIGN_OUT,
    # The log, reconciliations, settings
    "/console/log": {"GET": Endpoint(log.log)},
    "/console/log/newer": {"GET": Endpoint(log.newer)},
    "/console/log/export": {"GET": Endpoint(log.export)},
    "/console/log/{id}": {"GET": Endpoint(log.entry)},
    "/console/reconciliations": {
        "GET": Endpoint(reconciliations.runs),
        "POST": Endpoint(reconciliations.start, action="reconcile", kind="Reconciliation"),
    },
    "/console/reconciliations/{id}": {"GET": Endpoint(reconciliations.run)},
    "/console/reconciliations/{id}/progress": {"GET": Endpoint(reconciliations.progress)},
    "/console/reconciliations/{id}/export": {"GET": Endpoint(reconciliations.export)},
    "/console/reconciliations/{id}/approve": {
        "POST": Endpoint(reconciliations.approve, action="approve", kind="Reconciliation")
    },
    "/console/settings": {
        "GET": Endpoint(settings.settings),
        "POST": Endpoint(settings.change, action="update", kind="Settings"),
    },
    "/console/settings/tenant": {"POST": Endpoint(settings.change_tenant, action="update", kind="Tenant")},
    "/console/settings/api-keys": {
        "GET": Endpoint(settings.keys),
        "POST": Endpoint(settings.create_key, action="create", kind="ApiKey", again=Endpoint(settings.keys)),
    },
    "/console/settings/api-keys/{id}/revoke": {"POST": Endpoint(settings.revoke_key, action="revoke", kind="ApiKey")},
    "/console/settings/administrators": {
        "GET": Endpoint(settings.list_administrators),
        "POST": Endpoint(
            settings.add_administrator,
            action="create",
            kind="Administrator",
            again=Endpoint(settings.list_administrators),
        ),
    },
    "/console/settings/administrators/{id}/link": {
        "POST": Endpoint(settings.new_link, action="issue sign-in link", kind="Administrator")
    },
    "/console/settings/administrators/{id}/remove": {
        "POST": Endpoint(settings.remove_administrator, action="delete", kind="Administrator")
    },
    "/console/settings/webhooks": {
        "GET": Endpoint(webhooks.show_list),
        "POST": Endpoint(
            webhooks.create,
            action="create",
            kind="Webhook",
            fetch=webhooks.check,
            again=Endpoint(webhooks.show_list),
        ),
    },
    "/console/settings/webhooks/{id}": {
        "GET": Endpoint(webhooks.show),
        "POST": Endpoint(
            webhooks.change,
            action="update",
            kind="Webhook",
            before=webhooks.find,
            fetch=webhooks.check_change,
            again=Endpoint(webhooks.show),
        ),
    },
    "/console/settings/webhooks/{id}/pause": {"POST": Endpoint(webhooks.pause, action="update", kind="Webhook")},
    "/console/settings/webhooks/{id}/resume": {"POST": Endpoint(webhooks.resume, action="update", kind="Webhook")},
    "/console/settings/webhooks/{id}/delete": {"POST": Endpoint(webhooks.remove, action="delete", kind="Webhook")},
    "/console/settings/webhooks/{id}/rotate-secret": {
        "GET": Endpoint(webhooks.show),
        "POST": Endpoint(webhooks.rotate, action="rotate secret", kind="Webhook", fetch=webhooks.sealer_of),
    },
    "/console/settings/webhooks/{id}/test": {
        "GET": Endpoint(webhooks.show),
        "POST": Endpoint(webhooks.tell, action="test", kind="Webhook", before=webhooks.find, fetch=webhooks.try_out),
    },
    "/console/settings/webhooks/{id}/deliveries/{event_id}/replay": {
        "POST": Endpoint(webhooks.replay, action="replay", kind="Webhook")
    },
    "/console/settings/webhooks/{id}/replay": {"POST": Endpoint(webhooks.replay_dead, action="replay", kind="Webhook")},
    "/console/settings/jobs": {"GET": Endpoint(jobs.show)},
    "/console/settings/jobs/{id}/try": {"POST": Endpoint(jobs.try_now, action="try now", kind="Job")},
    # People
    "/console/people": {
        "GET": Endpoint(people.show_list),
        "POST": Endpoint(people.create, action="create", kind="Person"),
    },
    "/console/people/new": {"GET": Endpoint(people.ask_new)},
    "/console/people/activate": {"POST": Endpoint(people.activate_many)},
    "/console/people/import": {
        "GET": Endpoint(people.show_import),
        "POST": Endpoint(people.sync, action="sync now", kind="Connection"),
    },
    "/console/people/{id}": {"GET": Endpoint(people.show)},
    "/console/people/{id}/edit": {
        "GET": Endpoint(people.ask_change),
        "POST": Endpoint(people.change, action="update", kind="Person"),
    },
    "/console/people/{id}/delete": {"POST": Endpoint(people.remove, action="delete", kind="Person")},
    "/console/people/{id}/link": {
        "GET": Endpoint(people.ask_link),
        "POST": Endpoint(people.link, action="link", kind="Person"),
    },
    "/console/people/{id}/activate": {"POST": Endpoint(people.activate, action="activate", kind="Person")},
    "/console/people/{id}/revoke": {"POST": Endpoint(people.revoke, action="revoke activation", kind="Person")},
    "/console/people/{id}/start-code": {
        "POST": Endpoint(people.show_start_code, action="issue start code", kind="Person")
    },
    "/console/people/{id}/start-code/mail": {
        "POST": Endpoint(people.mail_start_code, action="mail start code", kind="Person")
    },
    "/console/people/{id}/sign-in-link": {
        "POST": Endpoint(people.show_sign_in_link, action="make sign-in link", kind="Person")
    },
    "/console/people/{id}/photo": {
        "GET": Endpoint(people.photo),
        "POST": Endpoint(people.set_photo, action="set photo", kind="Person"),
    },
    "/console/people/{id}/photo/remove": {"POST": Endpoint(people.remove_photo, action="remove photo", kind="Person")},
    "/console/invitations": {
        "GET": Endpoint(invitations.show_list),
        "POST": Endpoint(invitations.create, action="create", kind="Invitation", again=Endpoint(invitations.ask_new)),
    },
    # The second shows the form that is sent for another template, and makes nothing.
    "/console/invitations/new": {"GET": Endpoint(invitations.ask_new), "POST": Endpoint(invitations.ask_new)},
    "/console/invitations/{id}/revoke": {"POST": Endpoint(invitations.revoke, action="revoke", kind="Invitation")},
    # Who is there
    "/console/sign-in": SIGN_IN,
    "/console/sign-out": SIGN_OUT,
    "/console/microsoft": MICROSOFT,
    "/console/microsoft/return": MICROSOFT_RETURN,
    "/me/microsoft": MICROSOFT,
    "/me/microsoft/return": MICROSOFT_RETURN,
    "/console/account/microsoft": {
        "GET": Endpoint(microsoft.go_to_link, Who.STAFF, writes=True, fetch=microsoft.begin_choice)
    },
    "/console/account/microsoft/unlink": {"POST": Endpoint(microsoft.unlink, Who.STAFF)},
    "/console/account": {"GET": Endpoint(sign_in.account, Who.STAFF)},
    "/console/account/theme": {"POST": Endpoint(sign_in.set_theme, Who.STAFF)},
    "/console/account/sessions/end": {"POST": Endpoint(sign_in.end_sessions, Who.STAFF)},
    "/console/account/sessions/{id}/end": {"POST": Endpoint(sign_in.end_session, Who.STAFF)},
    "/console/tenants": {
        "GET": Endpoint(sign_in.list_tenants, Who.OPERATOR),
        "POST": Endpoint(sign_in.create_tenant, Who.OPERATOR),
    },
    "/console/tenants/{id}/choose": {"POST": Endpoint(sign_in.choose_tenant, Who.OPERATOR)},
    # People without an account here: by a claim link, or a start code
    "/claim/{token}": {
        "GET": CLAIM,
        "POST": Endpoint(
            claim.claim,
            Who.ANYONE,
            action="claim",
            kind="Card",
            tenant=claim.tenant_of,
            again=CLAIM,
            limited=True,
        ),
    },
    "/start": {
        "GET": START,
        "POST": Endpoint(
            start.redeem,
            Who.ANYONE,
            action="redeem start code",
            kind="Person",
            tenant=start.tenant_of,
            again=START,
            limited=True,
        ),
    },
    "/start/done": {"GET": Endpoint(start.show_done, Who.ANYONE)},
}
