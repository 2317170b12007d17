"""What is true of a tenant's rows whenever nobody is at work: the invariants of house.md §4 as queries.

Each query gives the rows that break its invariant; cards that a worker has still to issue count as missing.
"""

from __future__ import annotations

from tests.raw import sql

HIS = "p.tenant_id = k.tenant_id AND p.id = k.person_id"
WANTS = """
    SELECT p.tenant_id, p.id AS person_id, a.template_id
    FROM person p
    JOIN directory_membership m ON m.tenant_id = p.tenant_id AND m.user_id = p.directory_user_id
    JOIN template_assignment a ON a.tenant_id = m.tenant_id AND a.group_id = m.group_id
    WHERE p.active
"""
NEEDS = """
    SELECT k.tenant_id, k.person_id FROM card k WHERE k.state = 'active' AND k.person_id IS NOT NULL
    UNION SELECT v.tenant_id, v.person_id FROM activation v WHERE v.state = 'active'
"""
BROKEN = {
    "8: a synced team is called otherwise than its group": """
        SELECT t.name, g.display_name FROM team t
        JOIN directory_group g ON g.tenant_id = t.tenant_id AND g.id = t.group_id
        WHERE t.tenant_id = ? AND t.name <> g.display_name
    """,
    "8: a synced team has members of its own": """
        SELECT t.name, m.person_id FROM team t
        JOIN team_membership m ON m.tenant_id = t.tenant_id AND m.team_id = t.id
        WHERE t.tenant_id = ? AND t.group_id IS NOT NULL
    """,
    "10: a manual person is led to by a user": """
        SELECT p.display_name FROM person p
        WHERE p.tenant_id = ? AND p.origin = 'manual' AND p.directory_user_id IS NOT NULL
    """,
    "13: a card is wanted and there is no live one": f"""
        SELECT w.person_id, w.template_id FROM ({WANTS}) w
        WHERE w.tenant_id = ? AND NOT EXISTS (
            SELECT 1 FROM card k
            WHERE k.tenant_id = w.tenant_id AND k.person_id = w.person_id AND k.template_id = w.template_id
            AND k.state = 'active')
    """,
    "13: an assigned card is live and not wanted": f"""
        SELECT k.id FROM card k
        WHERE k.tenant_id = ? AND k.origin = 'assigned' AND k.state = 'active' AND NOT EXISTS (
            SELECT 1 FROM ({WANTS}) w
            WHERE w.tenant_id = k.tenant_id AND w.person_id = k.person_id AND w.template_id = k.template_id)
    """,
    "16: a card is live and its person is not active": f"""
        SELECT k.id FROM card k JOIN person p ON {HIS}
        WHERE k.tenant_id = ? AND k.state = 'active' AND NOT p.active
    """,
    "16: an account is activated and its person is not active": """
        SELECT v.person_id FROM activation v
        JOIN person p ON p.tenant_id = v.tenant_id AND p.id = v.person_id
        WHERE v.tenant_id = ? AND v.state = 'active' AND NOT p.active
    """,
    "14: a seat is needed and neither open nor waited for": f"""
        SELECT n.person_id FROM ({NEEDS}) n
        WHERE n.tenant_id = ? AND NOT EXISTS (
            SELECT 1 FROM seat s
            WHERE s.tenant_id = n.tenant_id AND s.person_id = n.person_id AND s.released_at IS NULL)
    """,
    "14: a seat is held or waited for and not needed": f"""
        SELECT s.person_id FROM seat s
        WHERE s.tenant_id = ? AND s.released_at IS NULL AND NOT EXISTS (
            SELECT 1 FROM ({NEEDS}) n WHERE n.tenant_id = s.tenant_id AND n.person_id = s.person_id)
    """,
    "14: a person has two seats": """
        SELECT s.person_id, count(*) FROM seat s
        WHERE s.tenant_id = ? AND s.released_at IS NULL GROUP BY s.person_id HAVING count(*) > 1
    """,
    "15: the open seats are miscounted, or more than the limit": """
        SELECT t.seats_open, t.seat_limit FROM tenant t
        WHERE t.id = ? AND (t.seats_open > t.seat_limit OR t.seats_open <> (
            SELECT count(*) FROM seat s
            WHERE s.tenant_id = t.id AND s.opened_at IS NOT NULL AND s.released_at IS NULL))
    """,
    "15: somebody waits although a seat is free": """
        SELECT s.person_id FROM seat s JOIN tenant t ON t.id = s.tenant_id
        WHERE s.tenant_id = ? AND s.opened_at IS NULL AND s.released_at IS NULL
        AND (t.seat_limit IS NULL OR t.seats_open < t.seat_limit)
    """,
}


def disagreements(database_url: str, tenant_id: str) -> list[str]:
    """Say which invariants a tenant's rows break, and where."""
    found = {what: sql(database_url, query, tenant_id) for what, query in BROKEN.items()}
    return [f"{what}: {rows[:5]}" for what, rows in found.items() if rows]
