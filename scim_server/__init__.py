"""The SCIM 2.0 door. It knows RFC 7643, 7644 and 9865 and Entra's habits, and decides nothing about products.

app            routes, limits, one request from the socket to the answer and its log entry
auth           bearer token → caller, and with it the tenant
schemas        the resource types, derived from scim2-models; attributes as the rest of the door sees them
documents      a body → what is stored: types, names, characteristics
patch          PATCH paths and the PATCH interpreter
filters        filter text → tree → SQL, or → verdict about one element
listing        paging, sorting, attributes/excludedAttributes
users, groups  the endpoints; search, bulk, discovery likewise
entra          Entra's deviations, one named function each
errors         refusals → SCIM errors
"""
