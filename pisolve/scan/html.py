"""What a notebook shows of a scan or a result: pictures and a small table, without matplotlib."""

from __future__ import annotations

import base64
import html
import struct
import zlib

import numpy as np

from pisolve.scan import views
from pisolve.scan.size import pixel_of
from pisolve.scan.views import planes as planes

_LARGEST = 256  # pixels along a side; larger planes are thinned out
_STYLE = "display:inline-block;margin:0 6px 6px 0;font:12px sans-serif;text-align:center"


def page(title: str, rows, pictures, pixel=(1.0, 1.0)) -> str:
    """HTML of pictures [(what it is, plane (y, x), real or complex)] on one grey scale, above a table of `rows`.

    `pixel` is how large a pixel is along y and x.
    """
    seen = [abs(np.asarray(p)) for _, p in pictures]
    finite = [s[np.isfinite(s)] for s in seen]
    top = max((float(np.percentile(s, 99.8)) for s in finite if s.size), default=0) or 1.0
    return _html(title, rows, [(name, s / top, pixel) for (name, _), s in zip(pictures, seen)])


def of_scan(scan) -> str:
    """HTML of a scan: the root sum of squares of its middle slice, and its k-space."""
    one = views.middle(scan)
    image = np.linalg.norm(views.coil_images(one), axis=0)
    top = float(np.percentile(image, 99.8)) or 1.0
    kspace = views.log_kspace(one)
    rows = [("k-space", f"{scan.kspace.shape} ({', '.join(scan.axes)}), {scan.kspace.dtype}"),
            ("maps", "none" if scan.mps is None else str(scan.mps.shape)),
            ("reference", "none" if scan.reference is None else str(scan.reference.shape)),
            ("sampling", f"{scan.encoding.fraction:.1%} of k-space" if scan.mask is not None and scan.coord is None else
             "anywhere" if scan.coord is not None else "no mask")]
    return _html("Scan", rows, [("root sum of squares", image / top, pixel_of(scan.meta)),
                                ("k-space, log", np.maximum(kspace / views.DECADES + 1, 0), (1.0, 1.0))])


def _html(title: str, rows, pictures) -> str:
    shown = "".join(
        f'<div style="{_STYLE}"><img src="data:image/png;base64,{_coded(plane)}" '
        f'style="image-rendering:pixelated{_size(plane, pixel)}" '
        f'alt="{html.escape(name or title, quote=True)}"><br>{html.escape(name)}</div>'
        for name, plane, pixel in pictures)
    lines = "".join(f"<tr><td>{html.escape(str(n))}</td><td style=\"text-align:left\">{html.escape(str(v))}</td></tr>"
                    for n, v in rows)
    return f"<div><b>{html.escape(title)}</b><div>{shown}</div><table>{lines}</table></div>"


def _size(plane, pixel) -> str:
    """How large a plane is drawn, where its pixels are not square."""
    if pixel[0] == pixel[1]:
        return ""
    step, least = max(1, -(-max(plane.shape) // _LARGEST)), min(pixel)
    high, wide = (round(-(-n // step) * mm / least) for n, mm in zip(plane.shape, pixel))
    return f";width:{wide}px;height:{high}px"


def _coded(plane) -> str:
    step = max(1, -(-max(plane.shape) // _LARGEST))
    plane = np.nan_to_num(plane[::step, ::step], nan=0, posinf=1, neginf=0)
    return base64.b64encode(png(np.clip(plane * 255, 0, 255).astype(np.uint8))).decode()


def png(grey: np.ndarray) -> bytes:
    """A grey picture (y, x) uint8 as the bytes of a .png."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = np.pad(grey, ((0, 0), (1, 0)))  # each row begins with the number of its filter, none
    head = struct.pack(">IIBBBBB", grey.shape[1], grey.shape[0], 8, 0, 0, 0, 0)
    data = zlib.compress(rows.tobytes())
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
