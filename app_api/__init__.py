"""The JSON door under /api/v1: the same verbs for the vendor's application and for automation. It decides nothing.

app            routes in one table; one request from the socket to the answer and its log entry
auth           API key → tenant and scope
endpoint       what answers one method of one path, read from the annotations of its function
exchange       a request and its answer as plain values
bodies         strict readers of bodies and queries, which name what is at fault
problems       refusals as problem details (RFC 9457)
replay         Idempotency-Key: the same request, the same answer
log            what the provisioning log says of a request
openapi        the description, derived from the table; event_feed describes the events likewise
people, teams, logins, …   one module a noun: what its JSON looks like, and which verb of the core answers
"""
