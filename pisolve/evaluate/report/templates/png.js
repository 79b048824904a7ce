// Grey PNG data to numbers, exactly: no canvas is read back, so no browser can add noise or a colour profile to it.
const data = JSON.parse(document.getElementById("data").textContent);
const LEVELS = 2 ** data.bits - 1;
const kept = new Map();

function bytes(text) {
  return Uint8Array.from(atob(text), c => c.charCodeAt(0));
}

async function decode(file) {
  const view = new DataView(file.buffer), idat = [];
  let width, height, deep;
  for (let at = 8; at < file.length;) {
    const size = view.getUint32(at), name = String.fromCharCode(...file.subarray(at + 4, at + 8));
    if (name === "IHDR") [width, height, deep] = [view.getUint32(at + 8), view.getUint32(at + 12), file[at + 16] / 8];
    if (name === "IDAT") idat.push(file.subarray(at + 8, at + 8 + size));
    at += size + 12;
  }
  const stream = new Blob(idat).stream().pipeThrough(new DecompressionStream("deflate"));
  const raw = new Uint8Array(await new Response(stream).arrayBuffer());
  const row = width * deep;
  let above = new Uint8Array(row), out = new Uint16Array(width * height);
  for (let y = 0; y < height; y++) {
    const kind = raw[y * (row + 1)], line = raw.subarray(y * (row + 1) + 1, (y + 1) * (row + 1));
    for (let i = 0; i < row; i++) {
      const left = i < deep ? 0 : line[i - deep], up = above[i], corner = i < deep ? 0 : above[i - deep];
      if (kind === 1) line[i] += left;
      else if (kind === 2) line[i] += up;
      else if (kind === 3) line[i] += (left + up) >> 1;
      else if (kind === 4) {
        const p = left + up - corner, a = Math.abs(p - left), b = Math.abs(p - up), c = Math.abs(p - corner);
        line[i] += a <= b && a <= c ? left : b <= c ? up : corner;
      }
    }
    for (let x = 0; x < width; x++)
      out[y * width + x] = deep === 1 ? line[x] : (line[2 * x] << 8 | line[2 * x + 1]) >> (16 - data.bits);
    above = line;
  }
  return out;
}

// The levels 0..LEVELS of an image; the latest ones are kept.
function load(setting, panel, slice) {
  const id = `image-${setting}-${panel}-${slice}`;
  const found = kept.get(id) || decode(bytes(document.getElementById(id).textContent));
  kept.delete(id);
  kept.set(id, found);
  while (kept.size > 96) kept.delete(kept.keys().next().value);
  return found;
}
