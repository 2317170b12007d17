// The open log takes in what is newer, while the reader is at its top and has not switched it off.
"use strict";

const EVERY = 3000;
const MOST_ROWS = 300;
const MOST_AT_ONCE = 200;
const POLL = { "HX-Request": "true", "HX-Target": "newer", "X-Poll": "true" };

const live = document.getElementById("live");
const came = document.getElementById("came");
live.closest(".live").hidden = false;

const isWatched = () => live.checked && !document.hidden && window.scrollY < 240;
const reload = () => htmx.ajax("GET", location.pathname + location.search, "#rows");

// Some seconds are asked for again: of two transactions, the one that began first may end last.
function backThen(id) {
  const at = parseInt(id.replaceAll("-", "").slice(0, 12), 16) - 15000;
  const text = at.toString(16).padStart(12, "0");
  return `${text.slice(0, 8)}-${text.slice(8)}`;
}

function takeIn(entries, found) {
  let count = 0;
  for (const row of found) {
    const older = [...entries.rows].find((each) => each.dataset.entry <= row.dataset.entry);
    if (!older || older.id === row.id) continue;
    row.classList.add("fresh");
    entries.insertBefore(row, older);
    localTimes(row);
    count += 1;
  }
  return count;
}

async function look() {
  const entries = document.getElementById("entries");
  if (!entries) {
    if (!new URLSearchParams(location.search).has("before")) await reload();
    return;
  }
  const path = new URL(entries.dataset.newer, location.href);
  path.searchParams.set("since", backThen(entries.rows[0].dataset.entry));
  const answer = await fetch(path, { headers: POLL });
  if (answer.headers.has("hx-redirect")) location.reload();
  if (answer.status !== 200) return;
  const found = new DOMParser().parseFromString(await answer.text(), "text/html").querySelectorAll("tr");
  const count = takeIn(entries, found);
  if (found.length >= MOST_AT_ONCE || entries.rows.length > MOST_ROWS) await reload();
  if (count) came.textContent = `${count} new ${count === 1 ? "entry" : "entries"}`;
}

setInterval(() => {
  if (isWatched()) look().catch(() => {});
}, EVERY);
