// The editor of a template: fields are dragged into another order, fields say what is in them, and colours that were
// loaded once do not flash. Without it the arrows and the buttons do the same by the server.
"use strict";

const editor = document.getElementById("editor");
const previewer = document.getElementById("previewer");
const moved = document.getElementById("moved");

function changed() {
  document.getElementById("dirty").hidden = false;
  htmx.trigger(previewer, "redraw");
}

editor.addEventListener("input", () => { document.getElementById("dirty").hidden = false; });

// What a folded field says, as the server words it.
function summary(row) {
  const of = (name) => row.querySelector(`[name^="${name}-"]`);
  const word = (name) => of(name).selectedOptions[0].textContent;
  const on = of("on");
  const said = [];
  if (on && !on.checked) return "Not on the card";
  if (!of("source").value || of("mode").value === "none") said.push(of("editable").checked ? "Typed by the member" : "Given with an invitation");
  else {
    said.push(`${word("source")}, ${word("mode").toLowerCase()}`);
    if (of("editable").checked) said.push("editable");
  }
  if (of("required").checked) said.push("required");
  return said.join(" · ");
}

editor.addEventListener("input", (event) => {
  const row = event.target.closest(".field-row");
  if (!row) return;
  const [name] = event.target.name.split("-");
  const mode = row.querySelector('[name^="mode-"]');
  // Whoever names a source wants it shown; whoever takes it away cannot keep it in sync.
  if (name === "source") mode.value = event.target.value ? (mode.value === "none" ? "always" : mode.value) : "none";
  const kind = row.querySelector('[name^="kind-"]');
  if (kind) kind.closest(".field").hidden = Boolean(row.querySelector('[name^="source-"]').value);
  row.classList.toggle("off", row.querySelector('[name^="on-"]')?.checked === false);
  row.querySelector("summary span").textContent = summary(row);
  if (name === "label") row.querySelector("summary b").textContent = event.target.value;
});

// What was folded again need not be sent unfolded.
editor.addEventListener("toggle", (event) => {
  const open = event.target.querySelector("[name=open]");
  if (open) open.disabled = !event.target.open;
}, true);

document.addEventListener("htmx:beforeSwap", (event) => {
  const { target, xhr } = event.detail;
  if (target.id !== "preview") return;
  const [, address] = /href="(\/c\/look\/[^"]+)"/.exec(xhr.responseText) ?? [];
  if (address && !document.head.querySelector(`link[href="${address}"]`)) {
    const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href: address });
    document.head.append(link);
  }
});
// What was moved is said, and the preview follows.
document.addEventListener("htmx:afterSettle", (event) => {
  if (event.detail.target.id !== "fields") return;
  const { said } = event.detail.target.querySelector("[data-said]").dataset;
  if (!said) return;
  moved.textContent = said;
  event.detail.target.querySelector(".field-row.new input:not([type=hidden])")?.select();
  changed();
});

// Dragging by the handle, with a mouse or a finger.
editor.addEventListener("pointerdown", (event) => {
  const grip = event.target.closest(".sortable .grip");
  if (!grip || event.button) return;
  event.preventDefault();
  const item = grip.closest("li");
  const list = item.parentElement;
  const before = [...list.children].indexOf(item);
  grip.setPointerCapture(event.pointerId);
  item.classList.add("dragged");
  const move = (to) => {
    for (const other of list.children) {
      if (other === item) continue;
      const box = other.getBoundingClientRect();
      const middle = box.top + box.height / 2;
      const follows = item.compareDocumentPosition(other) & Node.DOCUMENT_POSITION_FOLLOWING;
      if (follows && to.clientY > middle) other.after(item);
      else if (!follows && to.clientY < middle) { other.before(item); break; }
    }
  };
  const drop = () => {
    grip.removeEventListener("pointermove", move);
    item.classList.remove("dragged");
    const after = [...list.children].indexOf(item);
    if (after === before) return;
    moved.textContent = `${item.querySelector(".field-row b").textContent} is at place ${after + 1} of ${list.children.length}.`;
    changed();
  };
  grip.addEventListener("pointermove", move);
  grip.addEventListener("lostpointercapture", drop, { once: true });
});
