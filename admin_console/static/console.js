// What spares a reader the reload, and what only a script can do: the reader's own time zone, the clipboard, a question
// before something is taken away. Without it every page works all the same.
"use strict";

// Instants in the reader's zone; the page holds them in UTC.
const minute = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const second = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const time = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

function localTimes(root) {
  for (const each of root.querySelectorAll("time[datetime]:not([title])")) {
    const at = new Date(each.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    each.title = second.format(at);
    each.textContent = ("day" in each.dataset ? day : "time" in each.dataset ? time : minute).format(at);
  }
}

// One dialog asks all questions.
function ask(question) {
  return new Promise((resolve) => {
    const dialog = document.createElement("dialog");
    dialog.innerHTML = '<form method="dialog" class="stack"><p></p><div class="actions"><button value="yes" class="primary">Yes</button><button value="no">Cancel</button></div></form>';
    dialog.querySelector("p").textContent = question;
    dialog.setAttribute("aria-label", "Please confirm");
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "yes");
      dialog.remove();
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

document.addEventListener("htmx:confirm", (event) => {
  if (!event.detail.question) return;
  event.preventDefault();
  ask(event.detail.question).then((yes) => yes && event.detail.issueRequest(true));
});

// What a page asks by itself does not keep its reader signed in.
document.addEventListener("htmx:configRequest", (event) => {
  if (!event.detail.triggeringEvent) event.detail.headers["X-Poll"] = "true";
});

// A refusal goes where refusals are read; what was typed stays in its form.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr } = event.detail;
  if (xhr.status < 400) return;
  const alert = document.getElementById("alert");
  document.getElementById("done")?.replaceChildren();
  event.detail.shouldSwap = true;
  event.detail.isError = false;
  event.detail.target = alert;
  event.detail.swapOverride = "innerHTML";
});

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target?.id === "alert") event.detail.target.scrollIntoView({ block: "nearest" });
});

document.addEventListener("htmx:sendError", () => {
  const alert = document.getElementById("alert");
  const said = document.createElement("p");
  said.className = "alert bad";
  said.textContent = "The server cannot be reached. Nothing was changed; try again in a moment.";
  alert.replaceChildren(said);
});

document.addEventListener("htmx:load", (event) => localTimes(event.detail.elt));
document.addEventListener("DOMContentLoaded", () => localTimes(document));

// What was typed into a search before the scripts had come is searched for now.
document.addEventListener("DOMContentLoaded", () => {
  const search = document.getElementById("q");
  if (search && search.value !== search.defaultValue) search.dispatchEvent(new Event("input", { bubbles: true }));
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.copy) {
    const field = document.getElementById(button.dataset.copy);
    if (field.select) field.select();
    else getSelection().selectAllChildren(field);
    try {
      await navigator.clipboard.writeText(field.value ?? field.textContent);
    } catch {
      document.execCommand("copy");
    }
    const before = button.innerHTML;
    button.textContent = "Copied";
    setTimeout(() => { button.innerHTML = before; }, 1600);
  }
  if (button?.dataset.toggle) {
    const open = document.getElementById(button.dataset.toggle).classList.toggle("open");
    button.setAttribute("aria-expanded", String(open));
  }
  // A menu closes when the reader clicks elsewhere.
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  }
  const typing = event.target.matches?.("input, textarea, select");
  if (event.key === "/" && !typing) {
    const search = document.getElementById("q");
    if (search) {
      event.preventDefault();
      search.focus();
    }
  }
});
