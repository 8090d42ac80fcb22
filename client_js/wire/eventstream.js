/**
 * The framing of `text/event-stream`, piece by piece
 * (https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream).
 *
 * Only `data` matters here: positions travel in the packets. Comments keep a connection warm and are dropped.
 */

export class EventStreamDecoder {
  constructor() {
    /** What came of a line that has not ended. */
    let rest = "";
    /** @type {string[]} */
    const pending = [];

    /**
     * @param {string} text Any piece of the stream, cut anywhere.
     * @returns {string[]} The data of the events it completes.
     */
    this.decode = (text) => {
      // A lone CR at the end may be half of a CRLF: it waits for what follows.
      const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
      rest = /** @type {string} */ (lines.pop());
      /** @type {string[]} */
      const events = [];
      for (const line of lines) {
        const data = /^data(?:$|: ?)([^]*)/.exec(line);
        if (data) pending.push(data[1]);
        else if (!line && pending.length) events.push(pending.splice(0).join("\n"));
      }
      return events;
    };
  }
}
