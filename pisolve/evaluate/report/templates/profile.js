// Values along a row, a column or any line, of all images that are shown.
const SVG = "http://www.w3.org/2000/svg";

function svg(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function setRowOrColumn([x, y]) {
  const {width, height} = panels[0];
  view.line = view.kind === "row" ? [0, y, width - 1, y] : [x, 0, x, height - 1];
}

// Bilinear between pixels; on a row or column these are the pixels themselves.
function along(panel, [x0, y0, x1, y1]) {
  const count = Math.max(2, Math.round(Math.hypot(x1 - x0, y1 - y0)) + 1), out = [];
  for (let k = 0; k < count; k++) {
    const x = x0 + (x1 - x0) * k / (count - 1), y = y0 + (y1 - y0) * k / (count - 1);
    const i = Math.min(Math.floor(x), panel.width - 2), j = Math.min(Math.floor(y), panel.height - 2), u = x - i, v = y - j;
    out.push(physical((1 - v) * ((1 - u) * panel.at(i, j) + u * panel.at(i + 1, j)) + v * ((1 - u) * panel.at(i, j + 1) + u * panel.at(i + 1, j + 1))));
  }
  return out;
}

function steps(high) {
  const size = 10 ** Math.floor(Math.log10(high / 4)), step = size * [1, 2, 5, 10].find(f => high / (size * f) <= 5);
  return Array.from({length: Math.floor(high / step + 1e-9) + 1}, (_, k) => k * step);
}

function drawProfile() {
  $("profile-box").hidden = !view.profile;
  if (!view.profile || !view.line || !panels.length) return;
  const used = panels.filter(p => !p.hidden && p.levels && !p.absent[view.slice]), lines = used.map(p => along(p, view.line));
  const wide = Math.max(320, $("profile-plot").clientWidth), [left, right, top, bottom] = [64, wide - 12, 10, 200];
  const length = Math.hypot(view.line[2] - view.line[0], view.line[3] - view.line[1]) || 1;
  const high = Math.max(...lines.flat(), 1e-12), x = v => (left + v / length * (right - left)).toFixed(1), y = v => (bottom - v / high * (bottom - top)).toFixed(1);
  const plot = svg("svg", {viewBox: `0 0 ${wide} 240`, role: "img", "aria-label": "Values along the line"});
  for (const v of steps(high)) plot.append(svg("path", {class: "grid", d: `M${left} ${y(v)}H${right}`}), svg("text", {x: left - 6, y: +y(v) + 4, "text-anchor": "end"}, v.toPrecision(2).replace(/\.?0+(e|$)/, "$1")));
  for (const v of steps(length)) plot.append(svg("path", {class: "grid", d: `M${x(v)} ${top}V${bottom}`}), svg("text", {x: x(v), y: bottom + 15, "text-anchor": "middle"}, String(Math.round(v * data.step))));
  plot.append(svg("text", {class: "axis", x: (left + right) / 2, y: 234, "text-anchor": "middle"}, "pixels along the line"));
  const order = used.map((_, k) => k).sort((a, b) => used[b].reference - used[a].reference);  // the reference lies below
  for (const k of order)
    plot.append(svg("g", {class: `series s${used[k].colour}`}, svg("title", {}, used[k].name),
      svg("path", {d: "M" + lines[k].map((v, i) => `${x(i / (lines[k].length - 1) * length)} ${y(v)}`).join("L")})));
  $("profile-plot").replaceChildren(plot);
  $("profile-legend").replaceChildren(...used.map(p => {
    const item = element("li", {class: `s${p.colour}`});
    item.append(svg("svg", {viewBox: "0 0 24 8", "aria-hidden": "true"}, svg("path", {d: "M0 4H24"})), p.name);
    return item;
  }));
  const [x0, y0, x1, y1] = view.line.map(v => Math.round(v * data.step));
  const where = y0 === y1 ? `row y = ${y0}` : x0 === x1 ? `column x = ${x0}` : `line from (${x0}, ${y0}) to (${x1}, ${y1})`;
  $("profile-text").textContent = `${view.error && panels[0].reference ? "Errors (the reference: its values)" : "Values"} along ${where}, in the scan's units. Click an image for another ${view.kind}, drag for a line.`;
}
