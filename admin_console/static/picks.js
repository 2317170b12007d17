// Choosing groups for a template: what is ticked among those found joins the chosen ones, so that searching on loses nothing.
// Without it each search is sent together with what is ticked.
"use strict";

document.getElementById("found").addEventListener("change", (event) => {
  const item = event.target.closest("li");
  if (!item || !event.target.checked) return;
  document.getElementById("leading").append(item);
  event.target.focus();
});
