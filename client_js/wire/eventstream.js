/**
 * The framing of `text/event-stream`, piece by piece
 * (https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream).
 *
 * Only `id` and `data` matter here. Comments keep a connection warm and are dropped.
 */

/** @typedef {{id: string, data: string}} StreamEvent */

export class EventStreamDecoder {
  /** What came of a line that has not ended. */
  #rest = "";
  #id = "";
  /** @type {string[]} */
  #data = [];

  /**
   * @param {string} text Any piece of the stream, cut anywhere.
   * @returns {StreamEvent[]} The events it completes.
   */
  decode(text) {
    // A lone CR at the end may be half of a CRLF: it waits for what follows.
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = /** @type {string} */ (lines.pop());
    /** @type {StreamEvent[]} */
    const events = [];
    for (const line of lines) {
      const [, name, value] = /** @type {RegExpExecArray} */ (/^([^:]*)(?::[ ]?)?([^]*)$/.exec(line));
      if (line) {
        if (name == "data") this.#data.push(value);
        else if (name == "id") this.#id = value;
      } else if (this.#data.length) {
        events.push({ id: this.#id, data: this.#data.splice(0).join("\n") });
      }
    }
    return events;
  }
}
