// One panel an image: its levels, painted once for each grey scale, drawn as often as zoom and place change.
const view = {setting: 0, slice: 0, error: false, window: 100, level: 50, limit: 0.1, zoom: 1, x: 0, y: 0, profile: false,
  kind: "row", line: null, cursor: null, flicker: false, difference: false, playing: false, movie: false, showFirst: true};
let panels = [], gap = null;  // gap: the difference of two of them

function colourMap(text) {
  const rgb = bytes(text);
  return Uint32Array.from({length: 256}, (_, k) => 0xff000000 | rgb[3 * k + 2] << 16 | rgb[3 * k + 1] << 8 | rgb[3 * k]);
}

const heat = colourMap(data.heat);

const current = () => data.settings[view.setting];
const called = () => { const s = current(), name = s.names[view.slice]; return s.axis === "Slice" ? `slice ${s.slices[view.slice]}` : name; };
const physical = level => level / LEVELS * current().peak;

function greys() {
  const s = current(), width = view.window / 100 * s.top, low = view.level / 100 * s.top - width / 2;
  return Uint32Array.from({length: LEVELS + 1}, (_, k) => {
    const g = Math.min(255, Math.max(0, Math.round(255 * (physical(k) - low) / width)));
    return 0xff000000 | g << 16 | g << 8 | g;
  });
}

function heats() {
  const s = current();
  return Uint32Array.from({length: LEVELS + 1}, (_, k) => heat[Math.min(255, Math.round(255 * physical(k) / (view.limit * s.top)))]);
}

class Panel {
  constructor(info, index, size) {
    Object.assign(this, info, {index, hidden: false, levels: null});
    [this.height, this.width] = size;
    this.tall = this.height * current().aspect / this.width;  // of the image, as its pixels are
    this.canvas = element("canvas", {role: "img"});
    this.canvas.style.aspectRatio = `${1 / this.tall}`;
    this.valuesText = element("span", {class: "values"});
    this.valueText = element("span", {class: "value"});
    const name = element("span", {class: "name", title: info.name + (info.note ? `, ${info.note}` : "")},
      element("span", {class: `swatch s${info.colour}`}), info.name);
    this.figure = element("figure", {class: "panel"}, element("figcaption", {}, name, this.valuesText), this.canvas, this.valueText);
    this.offscreen = element("canvas", {width: this.width, height: this.height});
    this.pixels = this.offscreen.getContext("2d").createImageData(this.width, this.height);
  }

  get reading() { return view.error && !this.reference && panels[0].reference; }

  at(x, y) {
    const k = y * this.width + x;
    return this.reading ? Math.abs(this.levels[k] - panels[0].levels[k]) : this.levels[k];
  }

  paint(grey, hot) {
    const out = new Uint32Array(this.pixels.data.buffer), levels = this.levels;
    if (this.reading) {
      const truth = panels[0].levels;
      for (let k = 0; k < out.length; k++) out[k] = hot[Math.abs(levels[k] - truth[k])];
    } else for (let k = 0; k < out.length; k++) out[k] = grey[levels[k]];
    this.offscreen.getContext("2d").putImageData(this.pixels, 0, 0);
    const what = this.reading ? "errors of " : "";
    this.canvas.setAttribute("aria-label", `${what}${this.name}, ${called()}, ${this.valuesText.textContent}`);
    this.draw();
  }

  // The part of the image that is seen: left, top, width, height in pixels.
  get seen() {
    const w = this.width / view.zoom, h = this.height / view.zoom;
    return [this.width / 2 + view.x - w / 2, this.height / 2 + view.y - h / 2, w, h];
  }

  draw() {
    const wide = this.canvas.clientWidth;
    if (!wide) return;
    const ratio = window.devicePixelRatio || 1, w = Math.round(wide * ratio), h = Math.round(wide * ratio * this.tall);
    if (this.canvas.width !== w || this.canvas.height !== h) Object.assign(this.canvas, {width: w, height: h});
    const context = this.canvas.getContext("2d"), [left, top, sw, sh] = this.seen;
    context.imageSmoothingEnabled = false;
    context.fillStyle = "#000";
    context.fillRect(0, 0, w, h);
    const sx = w / sw, sy = h / sh;
    if (this.absent[view.slice]) {
      Object.assign(context, {fillStyle: "#ffb454", font: `${13 * ratio}px sans-serif`, textAlign: "center", textBaseline: "middle"});
      context.fillText(this.absent[view.slice], w / 2, h / 2, 0.94 * w);
      return;
    }
    context.drawImage(this.offscreen, -left * sx, -top * sy, this.width * sx, this.height * sy);
    if (!view.line || !view.profile) return;
    const [x0, y0, x1, y1] = view.line.map((v, k) => (v + 0.5 - (k % 2 ? top : left)) * (k % 2 ? sy : sx));
    context.strokeStyle = "#ffb454";
    context.lineWidth = ratio;
    context.beginPath();
    context.moveTo(x0, y0);
    context.lineTo(x1, y1);
    context.stroke();
  }

  // The pixel under the pointer, or null.
  pixel(event) {
    const box = this.canvas.getBoundingClientRect(), [left, top, w, h] = this.seen;
    const x = Math.floor(left + (event.clientX - box.left) / box.width * w), y = Math.floor(top + (event.clientY - box.top) / box.height * h);
    return x >= 0 && y >= 0 && x < this.width && y < this.height ? [x, y] : null;
  }

  tell() {
    if (!view.cursor || !this.levels || this.absent[view.slice]) { this.valueText.textContent = ""; return; }
    const value = physical(this.at(...view.cursor));
    this.valueText.textContent = this.reading ? `${(100 * value / current().top).toFixed(2)} % of white` : value.toPrecision(3);
  }
}

const shown = () => [...panels, gap].filter(p => p && p.figure.isConnected && !p.figure.hidden);

// As large as fits the height of the window, and never so small that nothing can be seen.
function layout() {
  const many = shown().length, grid = $("grid"), room = grid.clientWidth - 20;
  if (!many || room <= 0) return;
  const tall = panels[0].tall, words = 96, gap = 10, least = Math.min(room, 190);
  let best = [0, 1];  // size of an image, columns
  for (let c = 1; c <= many; c++) {
    const wide = (room - gap * (c - 1)) / c, high = (0.86 * innerHeight / Math.ceil(many / c) - words) / tall;
    if (Math.min(wide, high) > best[0]) best = [Math.min(wide, high), c];
  }
  if (best[0] < least) {
    const c = Math.min(many, Math.max(1, Math.floor((room + gap) / (least + gap))));
    best = [Math.min((room - gap * (c - 1)) / c, 1.5 * least), c];
  }
  grid.style.gridTemplateColumns = `repeat(${best[1]}, ${Math.floor(best[0])}px)`;
  shown().forEach(p => p.draw());
}

function paintAll() {
  const grey = greys(), hot = heats();
  for (const p of panels) if (p.levels) p.paint(grey, hot);
  if (view.difference) gap.paint();
  tellAll();
}

function drawAll() {
  shown().forEach(p => p.draw());
}

function tellAll() {
  [...panels, gap].forEach(p => p?.tell());
  $("readout").textContent = view.cursor ? `x ${view.cursor[0] * data.step}, y ${view.cursor[1] * data.step}` : "\u00a0";
}
