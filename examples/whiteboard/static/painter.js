/**
 * Two canvases: what lies on the board, and above it what is being drawn.
 */
const PAPER = "#fdfcf9";

/** @param {ArrayLike<number>} points x, y, x, y, … */
const paintStroke = (context, { width, colour, points }) => {
  context.strokeStyle = `rgb(${colour.join(" ")})`;
  context.lineWidth = width;
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  context.moveTo(points[0], points[1]);
  // Through the middles, with the points as handles: hands draw curves.
  for (let at = 2; at < points.length - 2; at += 2) {
    const [x, y] = [points[at], points[at + 1]];
    context.quadraticCurveTo(x, y, (x + points[at + 2]) / 2, (y + points[at + 3]) / 2);
  }
  // A little further, because a line without length need not be painted, and a dot is one.
  context.lineTo(points[points.length - 2] + 0.01, points[points.length - 1]);
  context.stroke();
};

export class Painter {
  /** By id, which is the order in which they lie on each other. */
  items = new Map();
  /** What is being drawn: ours by nonce, that of others by author. */
  sketches = new Map();
  #board;
  #sketch;
  #isAsked = false;

  /**
   * @param {HTMLCanvasElement} board
   * @param {HTMLCanvasElement} sketch
   */
  constructor(board, sketch) {
    this.#board = board.getContext("2d");
    this.#sketch = sketch.getContext("2d");
  }

  replace(items) {
    this.items.clear();
    for (const item of items) this.#take(item);
    this.#repaint();
  }

  add(item) {
    if (this.items.has(item.id)) return;
    this.#take(item);
    if (item.points) paintStroke(this.#board, item);
  }

  remove(id) {
    if (this.items.delete(id)) this.#repaint();
  }

  #take(item) {
    this.items.set(item.id, item);
    if (!item.picture) return;
    createImageBitmap(item.picture).then(
      (bitmap) => {
        item.bitmap = bitmap;
        this.#repaint();
      },
      () => {}, // What cannot be decoded is not shown; the rest of the board is.
    );
  }

  #repaint() {
    const context = this.#board;
    context.clearRect(0, 0, context.canvas.width, context.canvas.height);
    for (const item of this.items.values()) {
      if (item.points) paintStroke(context, item);
      else if (item.bitmap) context.drawImage(item.bitmap, ...item.place);
    }
  }

  /** The sketches have changed. */
  sketch() {
    if (this.#isAsked) return;
    this.#isAsked = true;
    requestAnimationFrame(() => {
      this.#isAsked = false;
      const context = this.#sketch;
      context.clearRect(0, 0, context.canvas.width, context.canvas.height);
      for (const stroke of this.sketches.values()) paintStroke(context, stroke);
    });
  }

  /** @returns {Promise<Blob>} The board as a PNG, with its paper. */
  picture() {
    const { canvas } = this.#board;
    const whole = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
    const context = whole.getContext("2d");
    context.fillStyle = PAPER;
    context.fillRect(0, 0, whole.width, whole.height);
    context.drawImage(canvas, 0, 0);
    return new Promise((resolve) => whole.toBlob(resolve));
  }
}
