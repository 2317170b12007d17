"""The human door: pages for administrators and operators (`/console`), for members (`/me`) and for everybody (`/c`).

app.py        one request from the socket to the page: session, form, one unit of work, log entry, headers
table.py      every path, and what answers it
endpoint.py   what answers one method of one path, and what it may give: a page, a redirect, a file
request.py    a request as the pages see it
forms.py      form fields → typed values, with a message beside the field
rate_limit.py how often one address may try links and codes
guard.py      cookies, forgery tokens, the headers that forbid what the pages do not need
render.py     Jinja: the environment, filters, one part of a page alone
paging.py     lists by cursor; exports.py lists as files; charts.py what came in, as bars
advice.py     what a reason of the log means, and what to do about it
pages/        one module a noun: functions `(work, request) -> Answer`
html/         the pages; `_*.html` are macros; static/ is sent as it is

Pages work without scripts; htmx and console.js only spare a reader the reload. Nothing is inline, nothing comes from
another host, so the Content-Security-Policy can forbid both.
"""
