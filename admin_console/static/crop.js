// Choosing a square of a picture before it is sent: drag, zoom, or the keyboard. Without it the picture is sent as it is.
"use strict";

const SIDE = 640;
const form = document.getElementById("photo-form");
const file = document.getElementById("photo");
const view = document.getElementById("crop-view");
const zoom = document.getElementById("zoom");

if (form && "createImageBitmap" in window) {
  const pen = view.getContext("2d");
  let picture = null;
  let at = { x: 0, y: 0 }; // the middle of what is shown, in pixels of the picture
  let ready = false;

  const shown = () => Math.min(picture.width, picture.height) * 100 / zoom.value;

  const keepInside = () => {
    const half = shown() / 2;
    at.x = Math.min(Math.max(at.x, half), picture.width - half);
    at.y = Math.min(Math.max(at.y, half), picture.height - half);
  };

  const drawOn = (canvas, side) => {
    const size = shown();
    canvas.fillStyle = "#fff";
    canvas.fillRect(0, 0, side, side);
    canvas.imageSmoothingQuality = "high";
    canvas.drawImage(picture, at.x - size / 2, at.y - size / 2, size, size, 0, 0, side, side);
  };

  const draw = () => {
    keepInside();
    drawOn(pen, view.width);
    ready = false;
  };

  file.addEventListener("change", async () => {
    picture = null;
    try {
      picture = await createImageBitmap(file.files[0]);
    } catch {
      // Nothing was chosen, or what is no picture: the server says what is wrong with it.
    }
    document.getElementById("crop").hidden = picture === null;
    if (!picture) return;
    zoom.value = 100;
    at = { x: picture.width / 2, y: picture.height / 2 };
    draw();
  });

  zoom.addEventListener("input", draw);

  view.addEventListener("pointerdown", (event) => {
    view.setPointerCapture(event.pointerId);
    let last = event;
    const move = (to) => {
      const scale = shown() / view.getBoundingClientRect().width;
      at = { x: at.x - (to.clientX - last.clientX) * scale, y: at.y - (to.clientY - last.clientY) * scale };
      last = to;
      draw();
    };
    view.addEventListener("pointermove", move);
    view.addEventListener("lostpointercapture", () => view.removeEventListener("pointermove", move), { once: true });
  });

  view.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom.value = Number(zoom.value) - event.deltaY / 4;
    draw();
  }, { passive: false });

  view.addEventListener("keydown", (event) => {
    const step = shown() / 20;
    const ways = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (event.key in ways) at = { x: at.x + ways[event.key][0], y: at.y + ways[event.key][1] };
    else if (event.key === "+" || event.key === "=") zoom.value = Number(zoom.value) + 10;
    else if (event.key === "-") zoom.value = Number(zoom.value) - 10;
    else return;
    event.preventDefault();
    draw();
  });

  // Before anything is sent, the square takes the place of the picture.
  form.addEventListener("submit", (event) => {
    if (!picture || ready) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const square = Object.assign(document.createElement("canvas"), { width: SIDE, height: SIDE });
    drawOn(square.getContext("2d"), SIDE);
    square.toBlob((blob) => {
      const kept = new DataTransfer();
      kept.items.add(new File([blob], "cropped.jpg", { type: "image/jpeg" }));
      file.files = kept.files;
      ready = true;
      form.requestSubmit();
    }, "image/jpeg", 0.9);
  }, { capture: true });
}
