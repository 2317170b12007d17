"""A small Entra in one process, for tests, the demo and measurements: a directory in memory, on a real socket.

It is a program of its own (`python -m runtime.simulator --help`) and imports nothing of this product, so that nothing
it gets wrong can be got wrong the same way here. Two faces and a back door:

    graph        `/v1.0/…`        Microsoft Graph as the fact sheet states it: delta rounds, lists, photos, `$batch`
                                  (gate: token, throttling, faults · pages: links · graph_call: what a request is)
    login        `/{tenant}/…`    tokens, keys, admin consent, a sign-in page
    scim_push    (goes out)       the provisioning service: cycles of SCIM requests to a Tenant URL
    control      `/control/…`     changes the directory, switches faults on, starts cycles, tells what was asked

    directory    one tenant: people, groups, who is in which, and a journal of every change
    company      makes plausible and large directories
    delta        rounds of changes, computed from the journal; their tokens
    tokens       RS256, on `cryptography` alone
    odata        `$select`, `$filter`, `$search`, `$orderby`
    mapping      Entra's default attribute mapping, and PATCH bodies in both of its styles
    faults       what goes wrong on purpose, by count or by chance
    cloud        all of it together: tenants, applications, consents, settings, what has been asked
"""
