/**
 * The last minute as a line that steps between four lanes: one for each transport, and one for none.
 */

const SPAN_MS = 60000;
const LANES = ["websocket", "stream", "polling", "none"];
const FONT = "12px system-ui, sans-serif";

export class Timeline {
  #canvas;
  #names;
  /** @type {{at: number, kind: string}[]} */
  #steps = [{ at: performance.now(), kind: "none" }];
  /** @type {{at: number, text: string, isMended: boolean}[]} */
  #marks = [];

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {Record<string, string>} names
   */
  constructor(canvas, names) {
    this.#canvas = canvas;
    this.#names = names;
  }

  /** @param {string} kind What carries the session from now on. */
  carries(kind) {
    this.#steps.push({ at: performance.now(), kind });
    this.#describe();
  }

  /**
   * @param {string} text
   * @param {{at?: number, isMended?: boolean}} [options] When it was done, if not now; whether something is well again.
   */
  mark(text, { at = performance.now(), isMended = false } = {}) {
    this.#marks.push({ at, text, isMended });
    this.#marks.sort((a, b) => a.at - b.at);
  }

  #describe() {
    const steps = this.#steps.slice(-6).map(({ kind }) => this.#names[kind]);
    this.#canvas.setAttribute("aria-label", `What carried the session, latest last: ${steps.join(", ")}`);
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const scale = devicePixelRatio || 1;
    if (this.#canvas.width !== Math.round(width * scale)) this.#canvas.width = Math.round(width * scale);
    if (this.#canvas.height !== Math.round(height * scale)) this.#canvas.height = Math.round(height * scale);
    const pen = /** @type {CanvasRenderingContext2D} */ (this.#canvas.getContext("2d"));
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = FONT;
    const style = getComputedStyle(document.documentElement);
    const color = (/** @type {string} */ name) => style.getPropertyValue(`--${name}`);
    const now = performance.now();
    const left = 82;
    const top = 42;
    const lane = (height - top - 20) / LANES.length;
    const x = (/** @type {number} */ at) => width - 8 - ((now - at) / SPAN_MS) * (width - 8 - left);
    const y = (/** @type {string} */ kind) => top + lane * (LANES.indexOf(kind) + 0.5);
    this.#forget(now - SPAN_MS);

    pen.textBaseline = "middle";
    pen.lineWidth = 1;
    for (const kind of LANES) {
      pen.fillStyle = color("soft");
      pen.textAlign = "left";
      pen.fillText(this.#names[kind], 0, y(kind));
      this.#line(pen, color("line"), [left, y(kind)], [width - 8, y(kind)]);
    }
    pen.textAlign = "center";
    pen.fillStyle = color("soft");
    for (let ago = 0; ago <= 60; ago += width < 460 ? 30 : width < 640 ? 20 : 10) {
      const at = x(now - ago * 1000);
      pen.textAlign = ago ? (ago === 60 ? "left" : "center") : "right";
      pen.fillText(ago ? `${ago} s ago` : "now", at, height - 8);
    }
    this.#drawMarks(pen, color, x, top, height - 20, left);
    this.#drawSteps(pen, color, x, y, now, left);
  }

  #forget(/** @type {number} */ before) {
    while (this.#steps.length > 1 && this.#steps[1].at < before) this.#steps.shift();
    while (this.#marks.length && this.#marks[0].at < before) this.#marks.shift();
  }

  #line(pen, style, from, to) {
    pen.strokeStyle = style;
    pen.beginPath();
    pen.moveTo(...from);
    pen.lineTo(...to);
    pen.stroke();
  }

  #drawSteps(pen, color, x, y, now, left) {
    pen.lineCap = "round";
    this.#steps.forEach(({ at, kind }, index) => {
      const begin = Math.max(left, x(at));
      const end = x(this.#steps[index + 1]?.at ?? now);
      const previous = this.#steps[index - 1];
      if (previous && x(at) >= left) {
        pen.lineWidth = 1.5;
        this.#line(pen, color("soft"), [begin, y(previous.kind)], [begin, y(kind)]);
      }
      pen.lineWidth = 7;
      this.#line(pen, color(kind), [begin, y(kind)], [Math.max(begin, end), y(kind)]);
    });
    pen.lineWidth = 1;
    const last = this.#steps[this.#steps.length - 1];
    pen.fillStyle = color(last.kind);
    pen.beginPath();
    pen.arc(x(now), y(last.kind), 6.5, 0, 2 * Math.PI);
    pen.fill();
  }

  /** Labels stand in the first of three rows that has room for them, or else beside the one that ends first. */
  #drawMarks(pen, color, x, top, bottom, left) {
    const right = x(performance.now());
    const free = [left, left, left];
    const labels = [];
    for (const { at, text, isMended } of this.#marks) {
      const place = x(at);
      if (place < left) continue;
      const style = color(isMended ? "good" : "bad");
      pen.setLineDash([3, 3]);
      pen.lineWidth = 1;
      this.#line(pen, style, [place, 4], [place, bottom]);
      const wide = pen.measureText(text).width;
      const begin = place + wide + 8 > right ? place - wide - 4 : place + 4;
      let row = free.findIndex((end) => begin >= end);
      let from = begin;
      if (row < 0) {
        row = free.indexOf(Math.min(...free));
        from = free[row];
      }
      // The last resort, when a dozen things happen in a second: the colour of the line is all that tells.
      if (from + wide > right + 8) continue;
      free[row] = from + wide + 8;
      labels.push({ text, style, from, row });
    }
    pen.setLineDash([]);
    pen.textAlign = "left";
    pen.lineJoin = "round";
    for (const { text, style, from, row } of labels) {
      pen.strokeStyle = color("card");
      pen.lineWidth = 5;
      pen.strokeText(text, from, 8 + row * 13);
      pen.fillStyle = style;
      pen.fillText(text, from, 8 + row * 13);
    }
    pen.textBaseline = "middle";
  }
}
