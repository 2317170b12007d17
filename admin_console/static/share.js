// Sharing an address: by what the device offers, else into the clipboard. Without it the address can be copied by hand.
"use strict";

for (const button of document.querySelectorAll("button[data-share]")) {
  const { share: url, title } = button.dataset;
  const word = button.querySelector("span");
  const before = word.textContent;
  button.hidden = !navigator.share && !navigator.clipboard;
  button.addEventListener("click", async () => {
    if (navigator.share) {
      // Whoever closes the dialog has shared nothing, and knows it.
      await navigator.share({ title, url }).catch(() => undefined);
      return;
    }
    await navigator.clipboard.writeText(url);
    word.textContent = "Link copied";
    setTimeout(() => { word.textContent = before; }, 1800);
  });
}
