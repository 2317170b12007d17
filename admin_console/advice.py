"""What a reason of the provisioning log means, and what to do about it: one entry for each code that a door writes.

The log keeps the code and a sentence with the facts; here is what an administrator does with both. Codes in camel case
are those of SCIM (RFC 7644 table 9), `http404` a status that SCIM has no word for, the others those of the core.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Advice(NamedTuple):
    """What it means, what to do, and where; without a path it is mended elsewhere."""

    meaning: str
    remedy: str
    path: str = ""
    word: str = ""


MAPPING = "Correct the attribute mapping in Entra (Provisioning, Mappings), then use Provision on demand for one user."
SETUP = ("/console/setup", "Set up Entra")
GRAPH = ("/console/setup/graph", "Connect Microsoft Graph")
WEBHOOKS = ("/console/settings/webhooks", "Webhooks")
NOT_OURS = "Entra does not send this by itself: look at the client that did, or at an expression in Entra's mapping."
RETRY = "Nothing to do: Entra sends it again in its next cycle, about 40 minutes later."
ADVICE: Mapping[str, Advice] = {
    # SCIM
    "uniqueness": Advice(
        "Another user or group here has this name or id already, so Entra could not create a second one.",
        "Find the one that is here. If it is the same, Entra looked for it by another attribute: match by externalId, "
        "mapped from objectId, and send it again. If it is somebody else, change one of the two names in Entra.",
        "/console/people",
        "Find it under People",
    ),
    "invalidValue": Advice("Entra sent a value that this attribute cannot hold.", MAPPING),
    "invalidSyntax": Advice("The request did not have the form that SCIM prescribes.", NOT_OURS),
    "invalidPath": Advice(
        "The request names an attribute that no schema here has.",
        "Remove the attribute from Entra's mapping, or map it to one that is listed under Set up Entra.",
        *SETUP,
    ),
    "invalidFilter": Advice(
        "The request searched in a way that cannot be answered.",
        "Match by externalId or userName in Entra's mapping; other matching attributes may not be searchable.",
        *SETUP,
    ),
    "invalidCursor": Advice("The client went on in a list with a place that is no longer known.", NOT_OURS),
    "invalidCount": Advice("The client asked for a number of results that cannot be.", NOT_OURS),
    "mutability": Advice("The request would change an attribute that never changes.", MAPPING),
    "noTarget": Advice(
        "The request would change a value that is not there, such as an address of a type that the user lacks.",
        MAPPING,
    ),
    "http401": Advice(
        "The request had no secret that is live.", "Make a new secret and paste it into Entra's credentials.", *SETUP
    ),
    "http403": Advice("This may not be asked for.", NOT_OURS),
    "http404": Advice(
        "Entra speaks of a user or group that is not here any more.",
        "Entra creates it again in its next cycle. If it does not, choose Restart provisioning in Entra.",
    ),
    "http405": Advice("This cannot be done with a thing of this kind.", NOT_OURS),
    "http409": Advice(
        "Another part of the same request, or another request at the same moment, kept this from being done.", RETRY
    ),
    "http412": Advice("Somebody else had changed it in the meantime.", RETRY),
    "http413": Advice("The request was larger than this server takes.", NOT_OURS),
    "http414": Advice("The address of the request was longer than this server takes.", NOT_OURS),
    "http415": Advice("The body was of another kind than JSON.", NOT_OURS),
    "http500": Advice(
        "This server failed, and nothing was changed.",
        "Entra sends it again. If it fails again, give the operator of this server the request id below.",
    ),
    "http501": Advice("SCIM knows this, and this server does not offer it.", NOT_OURS),
    "http503": Advice("The database was busy with other changes; nothing was changed.", RETRY),
    # What was stored and still does not do all that it should
    "unknownAttribute": Advice(
        "The request was carried out, without attributes that no schema here has.",
        "Remove them from Entra's mapping, or leave it so: they are named in the sentence above and stored nowhere.",
    ),
    "invalidPhone": Advice(
        "A phone number is not in the international form (E.164), so no card shows it.",
        "Write the number in Entra in full, such as +14255550100. The card shows it after the next cycle.",
        "/console/people?need=problem",
        "People with problems",
    ),
    "noSeat": Advice(
        "Everything is stored, but no seat is free: the person waits, and the card or account is not active yet.",
        "Free a seat (pause a card, revoke an account), or have the operator raise the limit. The oldest are served "
        "first, by themselves.",
        "/console/people?need=seat",
        "Who waits",
    ),
    "photo": Advice("The photo in Entra could not be taken over.", "Use a JPEG or PNG of usual size in Entra."),
    "filter-group-missing": Advice(
        "A group that decides who is imported is no longer in the directory, so its people are left as they are.",
        "Choose the groups of the user filter anew.",
        *GRAPH,
    ),
    # The core
    "team-has-logins": Advice(
        "The group was to be deleted, and its team still holds logins. Nothing was deleted, and nothing is lost.",
        "Move or delete the logins of the team. Entra tries again by itself and succeeds then. To let such teams stay "
        "without their group instead, change the policy under Settings.",
        "/console/teams?kind=left-behind",
        "Such teams",
    ),
    "still-holds": Advice(
        "It was to be deleted while other things belong to it. Nothing was deleted.",
        "Delete or move what it holds, then delete it again.",
    ),
    "user-name-taken": Advice(
        "Another user here has this sign-in name.",
        "Change one of the two in Entra. Somebody who was deleted there and made anew is another user to Entra.",
        "/console/people",
        "Find it under People",
    ),
    "group-name-taken": Advice(
        "Another group has this name or id, and the two cannot be told apart.",
        "Map externalId from objectId for groups in Entra, or rename one of the two.",
        "/console/groups",
        "Groups",
    ),
    "unknown-members": Advice(
        "A group has members that are not here, so none of its members were changed.",
        "Assign these users to the enterprise application in Entra, so that they are provisioned before the group.",
    ),
    "directory-taken": Advice(
        "This Entra directory is connected to another customer of this server.",
        "Disconnect it there first, or ask the operator of this server.",
    ),
    "conflict": Advice("The name is taken by another thing of this kind.", "Choose another name."),
    "invalid": Advice("A value could not be taken as it was.", "Correct it as the sentence says, and send it again."),
    "missing-fields": Advice(
        "A card could never be filled: its fields come from the directory, cannot be edited, and have no value.",
        "Give the values in Entra, or make the fields editable in the template.",
        "/console/templates",
        "Templates",
    ),
    "wrong-code": Advice(
        "A start code or link did not hold: it was mistyped, used, too old, or tried too often.",
        "Give the person a new one.",
        "/console/people",
        "People",
    ),
    "not-found": Advice("What was named is not here (any more).", "Look in its list whether it was deleted."),
    "not-possible": Advice("What was asked for does not fit the state of it.", "Do what the sentence says first."),
    "forbidden": Advice(
        "The API key may not do this.", "Make one with a wider scope.", "/console/settings/api-keys", "API keys"
    ),
    "unauthenticated": Advice(
        "The secret is not live.", "Make a new one where it comes from.", "/console/settings/api-keys", "API keys"
    ),
    "stale": Advice("Somebody else had changed it in the meantime.", "Load it again, and repeat the change."),
    "busy": Advice("The database was busy with other changes; nothing was changed.", "Do it again."),
    "already-done": Advice("The same request was carried out before.", "Nothing to do."),
    "idempotency-key-reused": Advice(
        "The application sent another request under an Idempotency-Key that it had used before.",
        "Give each request a key of its own.",
    ),
    "mail-not-sent": Advice(
        "The mail server did not take the letter; the person got nothing.",
        "Check the address, then send it again. If it fails again, ask the operator of this server.",
    ),
    "method-not-allowed": Advice("The API has no such method at this address.", "Correct the application."),
    "too-large": Advice("The body was larger than this server takes.", "Send less at once."),
    "uri-too-long": Advice("The address of the request was too long.", "Correct the application."),
    "unsupported-media-type": Advice("The body was of another kind than expected.", "Correct the application."),
    "internal": Advice(
        "This server failed, and nothing was changed.",
        "Try again. If it fails again, give the operator of this server the request id below.",
    ),
    "no-account": Advice(
        "Somebody signed in with Microsoft who has no account here, or whose account is deactivated.",
        "Provision or activate the person in Entra.",
        "/console/people",
        "People",
    ),
    "sign-in-refused": Advice(
        "Microsoft has not signed the person in, or what came back proved nothing.", "Sign in once more."
    ),
    "consent-refused": Advice(
        "The consent link did not come back as it was sent out.", "Begin again with Connect.", *GRAPH
    ),
    "seal-broken": Advice(
        "A stored secret cannot be opened with this server's key.", "Ask the operator: SECRET_KEY has changed."
    ),
    "refused": Advice("It was refused, and nothing was changed.", "Do what the sentence says."),
    # Microsoft Graph
    "graph": Advice(
        "Microsoft Graph gave an answer that was of no use.", "Nothing to do: the next pull asks again, in an hour."
    ),
    "graph-refused": Advice(
        "Microsoft refuses, and will until somebody acts.", "Do what the sentence says, then sync.", *GRAPH
    ),
    "graph-not-consented": Advice(
        "No administrator of the directory has granted what this server asks for.", "Connect again.", *GRAPH
    ),
    "graph-permission-missing": Advice(
        "The consent does not cover all permissions.", "Grant what is missing, then connect again.", *GRAPH
    ),
    "graph-credential": Advice(
        "Entra does not take this server's own secret or certificate.", "Ask the operator: it may have expired."
    ),
    "graph-unknown-directory": Advice(
        "There is no such directory in this cloud.", "Check the directory's id, then connect again.", *GRAPH
    ),
    "graph-unavailable": Advice("Microsoft could not be reached.", "Nothing to do: it is tried again by itself."),
    "graph-throttled": Advice("Microsoft asked for a pause.", "Nothing to do: it goes on by itself afterwards."),
    "graph-foreign-link": Advice(
        "Microsoft's answer led to another host, which is not followed.", "Ask the operator to check GRAPH_URL."
    ),
    "graph-too-large": Advice("An answer of Microsoft was too large to be read.", "Tell the operator of this server."),
    "graph-not-found": Advice("The directory has no such object any more.", "Nothing to do."),
    "graph-delta-expired": Advice(
        "Microsoft no longer knows where the last pull ended.", "Nothing to do: a full pull follows by itself."
    ),
    "graph-listing-broken": Advice(
        "A list could not be read to its end, so nothing was removed because of it.",
        "Run the reconciliation again.",
        "/console/reconciliations",
        "Reconciliation",
    ),
    "gone": Advice(
        "The receiver of a webhook has said that nothing shall be sent there any more. What happens is kept.",
        "Resume the webhook once its receiver is back, or delete it.",
        *WEBHOOKS,
    ),
    "given-up": Advice(
        "Events were sent to a webhook ten times within three days, and never taken.",
        "Open the webhook, see what its receiver answers, mend that, and have the events sent again.",
        *WEBHOOKS,
    ),
    "graph-consent-refused": Advice("Consent was not granted.", "Connect again, as an administrator who may.", *GRAPH),
}
BY_OUTCOME: Mapping[str, Advice] = {
    "success": Advice("It was carried out.", ""),
    "skipped": Advice("Everything was so already, so nothing was changed.", ""),
    "warning": Advice("It was carried out, and something about it needs a look.", "Do what the sentence says."),
    "failure": Advice("It was refused, and nothing was changed.", "Do what the sentence says, and send it again."),
}


def advice_on(entry: Mapping[str, Any]) -> Advice:
    """Say what a log entry means and what to do: by its reason, else by how it ended."""
    found = ADVICE.get(entry["reason_code"] or "")
    return BY_OUTCOME[entry["outcome"]] if found is None else found
