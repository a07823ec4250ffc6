// The slider of the result page, and that a part of a page does not renew itself under the hands of a person.
"use strict";
// Somebody ticks or chooses in a live part: it stays as it is until a button of it was pressed.
document.addEventListener("change", (event) => {
  const live = event.target.closest(".live");
  if (live) live.dataset.held = "yes";
});
document.addEventListener("htmx:beforeRequest", (event) => {
  const live = event.detail.elt;
  if (live.classList.contains("live") && live.dataset.held) event.preventDefault();
});
document.addEventListener("htmx:afterRequest", (event) => {
  const live = event.detail.elt.closest("form") && event.detail.elt.closest(".live");
  if (live) delete live.dataset.held;
});
document.addEventListener("DOMContentLoaded", () => {
  const slider = document.getElementById("slider");
  if (!slider) return;
  const picture = document.getElementById("slice");
  const overlay = document.getElementById("overlay");
  const shown = document.getElementById("shown");
  const slices = slider.dataset.slices.split(",");
  const show = () => {
    const n = slices[Number(slider.value)];
    picture.src = `${slider.dataset.base}sagittal-${n}.png`;
    overlay.src = `${slider.dataset.base}sagittal-${n}-overlay.png`;
    shown.textContent = String(Number(n) + 1);
    slider.setAttribute("aria-valuetext", `slice ${Number(n) + 1}`);
  };
  slider.addEventListener("input", show);
  document.getElementById("overlaid").addEventListener("change", (event) => {
    document.querySelectorAll(".overlay").forEach((layer) => { layer.hidden = !event.target.checked; });
  });
});
