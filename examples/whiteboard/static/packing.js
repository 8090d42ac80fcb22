/**
 * How things travel: see board.py, which says it once for both sides. Typed arrays are little-endian on every machine
 * that has a browser.
 */

/** What the board keeps at most of one stroke, in points; a longer one goes on as another. */
export const MAX_POINTS = 2000;
/** In bytes. */
export const MAX_PICTURE = 300_000;

const HEAD = 16;

/** One client hands bytes over as an ArrayBuffer, the other as a Uint8Array, which may be part of a larger buffer. */
const bufferOf = (packed) => (packed instanceof ArrayBuffer ? packed : packed.slice().buffer);

/** @param {number[]} points x, y, x, y, … */
export const packStroke = (width, colour, points) => {
  const packed = new Uint8Array(4 + 2 * points.length);
  packed.set([width, ...colour]);
  new Int16Array(packed.buffer, 4).set(points);
  return packed.buffer;
};

export const unpackStroke = (packed) => {
  const buffer = bufferOf(packed);
  const [width, ...colour] = new Uint8Array(buffer, 0, 4);
  return { width, colour, points: new Int16Array(buffer, 4) };
};

/** @param {ArrayBuffer} file */
export const packPicture = ({ x, y, width, height }, file) => {
  const packed = new Uint8Array(8 + file.byteLength);
  new Int16Array(packed.buffer, 0, 4).set([x, y, width, height]);
  packed.set(new Uint8Array(file), 8);
  return packed.buffer;
};

export const packPoint = (x, y) => Int16Array.of(x, y).buffer;

export const unpackPoint = (packed) => new Int16Array(bufferOf(packed));

/** Items, one after the other: one that was just drawn, or the whole board. */
export function* unpackItems(packed) {
  const buffer = bufferOf(packed);
  const view = new DataView(buffer);
  for (let at = 0; at < buffer.byteLength; ) {
    const [id, author, size] = [0, 4, 8].map((offset) => view.getUint32(at + offset, true));
    const body = buffer.slice(at + HEAD, at + HEAD + size);
    const [width, ...colour] = new Uint8Array(buffer, at + 12, 4);
    at += HEAD + size;
    if (width) yield { id, author, width, colour, points: new Int16Array(body) };
    else {
      const [x, y, across, down] = new Int16Array(body, 0, 4);
      yield { id, author, picture: new Blob([body.slice(8)]), place: [x, y, across, down] };
    }
  }
}
