"""The product's rules. No HTTP, no SCIM, no HTML, no environment; synchronous, typed, testable alone.

Ways in       provisioning                      the directory speaks: SCIM and Graph share it
Facts         directory, connections, tenants   the mirror, who may speak, for whom
Records       provisioning_log                  what came in and what came of it
A unit        work                              connection + tenant + actor + instant
Ground        db, clock, ids, resource, credentials, errors, migrations
"""
