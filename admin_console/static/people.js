// One box ticks all that can be ticked on the page; without scripts it is not there.
"use strict";

function offerAll(root) {
  for (const all of root.querySelectorAll("input[data-all]")) {
    const boxes = all.form.querySelectorAll(`input[name="${all.dataset.all}"]`);
    all.hidden = boxes.length < 2;
  }
}

document.addEventListener("change", (event) => {
  const all = event.target.closest("input[data-all]");
  if (!all) return;
  for (const box of all.form.querySelectorAll(`input[name="${all.dataset.all}"]`)) box.checked = all.checked;
});

document.addEventListener("htmx:load", (event) => offerAll(event.detail.elt));
document.addEventListener("DOMContentLoaded", () => offerAll(document));
