"""The product's rules. No HTTP, no SCIM, no HTML, no environment; synchronous, typed, testable alone.

Ways in       provisioning                      the directory speaks: SCIM and Graph share it
              administration, manual_people     the administrator decides
              self_service, invitations         the person redeems a code, claims a card
Consequences  follow                            people, teams, cards and seats agree with the mirror
              deletion                          what may be deleted, and what stands in its way
Nouns         seats, cards, templates           who has a card, of what, and a seat for it
              cards_view, fields, photos        what a card shows
              activation, vault                 accounts and start codes; logins of teams
              teams, people                     what logins belong to; the only "who" that products know
Facts         directory, connections, tenants   the mirror, who may speak, for whom
              api_keys                          the same for the JSON API
Graph         graph_links, reconciliations      how far a pull is; what a listing found to differ
              user_filter, awaited              whose people come; who was named and is not here yet
              directory_photos                  whose turn it is to be asked about
Records       provisioning_log                  what came in and what came of it
              events, outbox                    what happened, told in order
              jobs                              what takes longer than a request
              webhooks, deliveries              where that is sent to; what has not been taken yet
              idempotency                       what was answered to a request that may be sent again
Lists         overviews                         joins of nouns, to look at
              names, attention                  whom an id stands for; what waits for an administrator
A unit        work                              connection + tenant + actor + instant + what happened
Ground        db, clock, ids, texts, resource, credentials, errors, tables, migrations

Who may import whom is held by import-linter (pyproject.toml): from the ways in down to the ground, never up.
"""
