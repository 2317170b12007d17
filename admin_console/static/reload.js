// What was waited for is over: the page is loaded anew to show what came of it.
"use strict";

document.addEventListener("htmx:afterSettle", () => {
  if (document.querySelector("[data-reload]")) location.reload();
});
