// The slider of the result page: shows another slice and its overlay. Everything else works without a script of ours.
"use strict";
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
