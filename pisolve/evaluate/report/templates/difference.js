// What two images differ by, first minus second: blue where it is less, orange where it is more, black where they agree.
const signed = colourMap(data.signed);

class Difference extends Panel {
  constructor(size) {
    super({name: "difference", note: "", reference: false, colour: -1, values: [], absent: []}, -1, size);
    this.label = this.figure.querySelector(".name");
  }

  get pair() { return [$("first").value, $("second").value].map(k => panels[+k]); }

  get reading() { return false; }

  at(x, y) {
    const k = y * this.width + x, [a, b] = this.pair;
    return a.levels[k] - b.levels[k];
  }

  paint() {
    const [a, b] = this.pair, s = current(), out = new Uint32Array(this.pixels.data.buffer);
    if (!a?.levels || !b?.levels) return;
    [this.levels, this.name] = [a.levels, `${a.name} − ${b.name}`];
    this.label.textContent = this.label.title = this.name;
    this.absent[view.slice] = a.absent[view.slice] || b.absent[view.slice];
    const scale = 127.5 * s.peak / LEVELS / (view.limit * s.top);
    for (let k = 0; k < out.length; k++) out[k] = signed[Math.min(255, Math.max(0, Math.round(127.5 + scale * (a.levels[k] - b.levels[k]))))];
    this.offscreen.getContext("2d").putImageData(this.pixels, 0, 0);
    this.canvas.setAttribute("aria-label", `difference ${this.name}, ${called()}`);
    this.draw();
  }
}

function toggleDifference() {
  if ($("difference").disabled) return;
  view.difference = !view.difference;
  arrange();
  describe();
  paintAll();
}
