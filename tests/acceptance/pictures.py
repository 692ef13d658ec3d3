"""Pictures of the page, small enough for a repository: PNG with a palette, made in the browser that drew them."""

from __future__ import annotations

import base64
import struct
import zlib
from pathlib import Path

from playwright.sync_api import Page

_COLOURS = 256
# The most frequent colours stay as they are; each of the others becomes the nearest of them.
_TO_PALETTE = """async ([png, most]) => {
  const bytes = Uint8Array.from(atob(png), letter => letter.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes], {type: 'image/png'}));
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext('2d');
  context.drawImage(bitmap, 0, 0);
  const pixels = context.getImageData(0, 0, bitmap.width, bitmap.height).data;
  const counts = new Map();
  const colourAt = at => (pixels[at] << 16) | (pixels[at + 1] << 8) | pixels[at + 2];
  for (let at = 0; at < pixels.length; at += 4) counts.set(colourAt(at), (counts.get(colourAt(at)) ?? 0) + 1);
  const palette = [...counts].sort((a, b) => b[1] - a[1]).slice(0, most).map(([colour]) => colour);
  const parts = colour => [colour >> 16, (colour >> 8) & 255, colour & 255];
  const far = (a, b) => parts(a).reduce((sum, part, index) => sum + (part - parts(b)[index]) ** 2, 0);
  const index = new Map(palette.map((colour, number) => [colour, number]));
  for (const colour of counts.keys()) if (!index.has(colour)) {
    index.set(colour, palette.reduce((best, other, number) => far(colour, other) < far(colour, palette[best]) ? number : best, 0));
  }
  let shown = '';
  for (let at = 0; at < pixels.length; at += 4) shown += String.fromCharCode(index.get(colourAt(at)));
  return {width: bitmap.width, height: bitmap.height, palette: palette.flatMap(parts), shown: btoa(shown)};
}"""


def keep(page: Page, path: Path) -> None:
    """Write what the window shows to `path`."""
    found = page.evaluate(_TO_PALETTE, [base64.b64encode(page.screenshot()).decode(), _COLOURS])
    width, height, indexes = found["width"], found["height"], base64.b64decode(found["shown"])
    rows = b"".join(b"\0" + indexes[at : at + width] for at in range(0, len(indexes), width))
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"PLTE", bytes(found["palette"])), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in chunks))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
