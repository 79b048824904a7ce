// The controls, the pointer and the keys.
let turn = 0, timer = 0, drag = null, film = 0;

function press(id, on) { $(id).setAttribute("aria-pressed", on); }

function options(select, names, chosen) {
  select.replaceChildren(...names.map((n, k) => element("option", {value: k}, n)));
  select.value = chosen;
}

function describe() {
  const s = current(), grey = v => v.toPrecision(3), width = view.window / 100 * s.top, middle = view.level / 100 * s.top;
  $("slice-text").textContent = s.total > 1 ? s.names[view.slice] : "only one";
  $("slice").setAttribute("aria-valuetext", $("slice-text").textContent);
  $("window-text").textContent = `${view.window} %`;
  $("level-text").textContent = `${view.level} %`;
  $("rate-text").textContent = $("rate").value;
  $("speed-text").textContent = `${$("speed").value} / s`;
  $("zoom-text").textContent = `${view.zoom.toFixed(view.zoom < 10 ? 1 : 0)}×`;
  const parts = [`Black ${grey(middle - width / 2)}, white ${grey(middle + width / 2)} (100 % = ${grey(s.top)}, the 99.8th percentile of ${panels[0]?.reference ? "the reference" : "the images"}; stored up to ${grey(s.peak)} in steps of ${(s.peak / LEVELS).toPrecision(2)}).`];
  if (panels[0]?.reference) parts.push(`Errors: | |image| − |reference| |, one scale for all, 0 (black) to ${100 * view.limit} % of ${grey(s.top)} (brightest).`);
  else parts.push("No errors: there is no reference.");
  if (view.difference) parts.push(`Difference: first minus second of the two chosen, magnitudes, −${100 * view.limit} % (blue) over 0 (black) to ${100 * view.limit} % of ${grey(s.top)} (orange).`);
  $("legend").textContent = parts.join(" ");
}

function arrange() {
  const pair = [$("first").value, $("second").value].map(k => panels[+k]);
  for (const p of panels) p.figure.hidden = view.flicker ? p !== pair[view.showFirst ? 0 : 1] : p.hidden;
  for (const [id, on] of [["difference", view.difference], ["flicker", view.flicker], ["play", view.playing], ["error", view.error], ["profile", view.profile]]) press(id, on);
  $("limit").disabled = !panels[0]?.reference && !view.difference;
  if (!view.difference || view.flicker) gap.figure.remove(); else $("grid").append(gap.figure);
  $("play").textContent = view.playing ? "Stop" : "Run";
  $("movie").textContent = view.movie ? "Pause" : "Play";
  press("movie", view.movie);
  $("grid").classList.toggle("profiling", view.profile);
  layout();
}

async function showSlice() {
  const mine = ++turn, s = current(), k = s.slices[view.slice];
  describe();
  const all = await Promise.all(panels.map(p => load(view.setting, p.index, k)));
  if (mine !== turn) return;  // another slice was asked for meanwhile
  panels.forEach((p, i) => { p.levels = all[i]; p.valuesText.textContent = p.values[view.slice]; });
  paintAll();
  drawProfile();
  $("grid").dataset.ready = `${view.setting}-${k}`;
  const next = s.slices[view.slice + 1];
  if (next !== undefined) setTimeout(() => { if (mine === turn) panels.forEach(p => load(view.setting, p.index, next)); }, 200);
}

function showSetting() {
  const s = current(), hidden = new Set(panels.filter(p => p.hidden).map(p => p.name)), before = panels.map(p => p.name);
  const pair = [$("first"), $("second")].map(e => before[+e.value]);
  panels = s.panels.map((info, k) => new Panel(info, k, s.size));
  panels.forEach(p => { p.hidden = hidden.has(p.name); listen(p); });
  gap = new Difference(s.size);
  listen(gap);
  $("difference").disabled = panels.length < 2;
  view.difference = view.difference && panels.length > 1;
  $("grid").replaceChildren(...panels.map(p => p.figure));
  $("shown").replaceChildren(element("legend", {class: "unseen"}, "Methods shown"), ...panels.map(p => {
    const box = element("input", {type: "checkbox"});
    box.checked = !p.hidden;
    box.addEventListener("change", () => { p.hidden = !box.checked; arrange(); drawProfile(); });
    return element("label", {class: `s${p.colour}`}, box, p.name);
  }));
  const names = panels.map(p => p.name), last = Math.max(0, names.length - 1);
  [$("first"), $("second")].forEach((e, k) => options(e, names, names.includes(pair[k]) ? names.indexOf(pair[k]) : Math.min(k, last)));
  view.slice = Math.min(view.slice, s.slices.length - 1);
  Object.assign($("slice"), {max: s.slices.length - 1, value: view.slice, disabled: s.slices.length < 2});
  $("slice-axis").textContent = s.axis;
  $("film").hidden = !s.next;
  if (!s.next) view.movie = false;
  $("pattern-axes").textContent = s.patternAxes;
  const truth = Boolean(panels[0]?.reference);
  view.error = view.error && truth;
  view.limit = s.limit || 0.1;
  $("limit").value = view.limit;
  $("error").disabled = !truth;
  $("error").title = truth ? "Errors instead of images (e)" : "No errors without a reference";
  $("pattern").src = s.pattern;
  $("pattern").alt = `Sampling pattern of ${s.label}`;
  $("pattern-text").textContent = `${s.label}: ${s.sampled}`;
  for (const part of document.querySelectorAll(".by-setting")) part.hidden = +part.dataset.setting !== view.setting;
  if (view.line && panels.length) setRowOrColumn([panels[0].width >> 1, panels[0].height >> 1]);
  place();
  arrange();
  if (panels.length) showSlice();
}

// Zoom and place within the image.
function place() {
  const p = panels[0];
  if (!p) return;
  view.zoom = Math.min(32, Math.max(1, view.zoom));
  const far = (size) => size / 2 * (1 - 1 / view.zoom);
  view.x = Math.min(far(p.width), Math.max(-far(p.width), view.x));
  view.y = Math.min(far(p.height), Math.max(-far(p.height), view.y));
  describe();
}

function zoom(factor, u = 0, v = 0) {  // about the place (u, v) of the panel, -0.5..0.5
  const p = panels[0], before = view.zoom;
  view.zoom = Math.min(32, Math.max(1, view.zoom * factor));
  view.x += u * p.width * (1 / before - 1 / view.zoom);
  view.y += v * p.height * (1 / before - 1 / view.zoom);
  place();
  drawAll();
}

function pan(x, y) {
  view.x += x;
  view.y += y;
  place();
  drawAll();
}

function scale(window, level) {
  view.window = Math.round(Math.min(250, Math.max(2, window)));
  view.level = Math.round(Math.min(200, Math.max(0, level)));
  $("window").value = view.window;
  $("level").value = view.level;
  describe();
  paintAll();
}

function reset() {
  Object.assign(view, {zoom: 1, x: 0, y: 0});
  place();
  scale(100, 50);
}

function step(by) {
  view.slice = Math.min(current().slices.length - 1, Math.max(0, view.slice + by));
  $("slice").value = view.slice;
  showSlice();
}

// The frames of a series in turn: the next one when this one is there, so that a slow page is slow and not stuck.
async function play(on) {
  const mine = ++film;
  view.movie = on && Boolean(current().next);
  arrange();
  while (view.movie && mine === film) {
    const start = performance.now();
    view.slice = current().next[view.slice];
    $("slice").value = view.slice;
    await showSlice();
    await new Promise(done => setTimeout(done, Math.max(0, 1000 / $("speed").value - (performance.now() - start))));
  }
}

function toggleMovie() {
  if (current().next) play(!view.movie);
}

function toggleError() {
  if ($("error").disabled) return;
  view.error = !view.error;
  arrange();
  describe();
  paintAll();
  drawProfile();
}

function run(on) {
  clearInterval(timer);
  view.playing = on && view.flicker;
  if (view.playing) timer = setInterval(swap, 1000 / $("rate").value);
  arrange();
}

function swap() {
  view.showFirst = !view.showFirst;
  arrange();
}

function toggleFlicker() {
  view.flicker = !view.flicker;
  run(view.flicker && !matchMedia("(prefers-reduced-motion: reduce)").matches);
}

function toggleProfile() {
  view.profile = !view.profile;
  if (!view.line && panels.length) setRowOrColumn([panels[0].width >> 1, panels[0].height >> 1]);
  arrange();
  drawProfile();
}

function listen(p) {
  const c = p.canvas;
  c.addEventListener("pointerdown", e => {
    if (e.button) return;
    $("grid").focus({preventScroll: true});
    c.setPointerCapture(e.pointerId);
    drag = {from: [e.clientX, e.clientY], at: [e.clientX, e.clientY], pixel: p.pixel(e), grey: e.shiftKey, scale: [view.window, view.level], moved: false};
    $("grid").classList.add("dragging");
  });
  c.addEventListener("pointermove", e => {
    view.cursor = p.pixel(e);
    tellAll();
    if (!drag) return;
    const [dx, dy] = [e.clientX - drag.at[0], e.clientY - drag.at[1]];
    drag.moved ||= Math.hypot(e.clientX - drag.from[0], e.clientY - drag.from[1]) > 3;
    drag.at = [e.clientX, e.clientY];
    if (drag.grey) scale(drag.scale[0] + (e.clientX - drag.from[0]) / 2, drag.scale[1] + (e.clientY - drag.from[1]) / 4);
    else if (!view.profile) pan(-dx / c.clientWidth * p.width / view.zoom, -dy / c.clientHeight * p.height / view.zoom);
    else if (drag.moved && drag.pixel && view.cursor) {
      view.line = [...drag.pixel, ...view.cursor];
      drawAll();
      drawProfile();
    }
  });
  c.addEventListener("pointerup", () => {
    if (drag && view.profile && !drag.moved && !drag.grey && drag.pixel) { setRowOrColumn(drag.pixel); drawAll(); drawProfile(); }
    drag = null;
    $("grid").classList.remove("dragging");
  });
  c.addEventListener("pointercancel", () => { drag = null; });
  c.addEventListener("pointerleave", () => { view.cursor = null; tellAll(); });
  c.addEventListener("dblclick", reset);
  c.addEventListener("wheel", e => {
    if (document.activeElement !== $("grid") && !e.ctrlKey) return;  // an image that was not clicked lets the page scroll
    e.preventDefault();
    const box = c.getBoundingClientRect();
    zoom(2 ** (-Math.sign(e.deltaY) * Math.min(1, Math.abs(e.deltaY) / 200)), (e.clientX - box.left) / box.width - 0.5, (e.clientY - box.top) / box.height - 0.5);
  }, {passive: false});
}

const ARROWS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
const KEYS = {d: toggleDifference, f: toggleFlicker, m: toggleMovie, e: toggleError, p: toggleProfile, t: toggleTheme, "?": () => $("help").showModal(), "[": () => step(-1), "]": () => step(1),
  "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), 0: reset};

function arrow([dx, dy]) {
  const p = panels[0];
  if (!view.profile) return pan(dx * 0.1 * p.width / view.zoom, dy * 0.1 * p.height / view.zoom);
  const [x0, y0, x1, y1] = view.line, mx = Math.round((x0 + x1) / 2) + dx, my = Math.round((y0 + y1) / 2) + dy;
  setRowOrColumn([Math.min(p.width - 1, Math.max(0, mx)), Math.min(p.height - 1, Math.max(0, my))]);
  drawAll();
  drawProfile();
}

document.addEventListener("keydown", e => {
  if (e.ctrlKey || e.metaKey || e.altKey || $("help").open || !panels.length) return;
  const where = e.target.closest("input, select, textarea, button, a, summary, pre") ? e.target.tagName : "";
  const act = e.target === $("grid") && ARROWS[e.key] ? () => arrow(ARROWS[e.key])
    : e.key === " " && view.flicker && !["BUTTON", "INPUT", "SUMMARY", "SELECT"].includes(where) ? () => { run(false); swap(); }
    : e.key === "Escape" && view.flicker ? toggleFlicker
    : where !== "SELECT" ? KEYS[e.key] : null;
  if (!act) return;
  e.preventDefault();
  act();
});

$("setting").addEventListener("change", e => { play(false); view.setting = +e.target.value; showSetting(); });
$("slice").addEventListener("input", e => { if (view.movie) play(false); view.slice = +e.target.value; showSlice(); });
$("speed").addEventListener("input", describe);
$("window").addEventListener("input", e => scale(+e.target.value, view.level));
$("level").addEventListener("input", e => scale(view.window, +e.target.value));
$("limit").addEventListener("change", e => { view.limit = +e.target.value; describe(); paintAll(); });
$("kind").addEventListener("change", e => { view.kind = e.target.value; if (view.profile) arrow([0, 0]); else toggleProfile(); });
for (const id of ["first", "second"]) $(id).addEventListener("change", () => { arrange(); if (view.difference) gap.paint(); });
$("rate").addEventListener("input", () => { describe(); if (view.playing) run(true); });
for (const [id, act] of [["error", toggleError], ["difference", toggleDifference], ["movie", toggleMovie], ["flicker", toggleFlicker], ["profile", toggleProfile], ["reset", reset], ["swap", () => { if (!view.flicker) toggleFlicker(); run(false); swap(); }],
  ["play", () => { if (!view.flicker) view.flicker = true; run(!view.playing); }], ["zoom-in", () => zoom(1.25)], ["zoom-out", () => zoom(0.8)]])
  $(id).addEventListener("click", act);
new ResizeObserver(() => { layout(); drawProfile(); }).observe($("grid"));
view.slice = data.settings[0].start;
showSetting();
