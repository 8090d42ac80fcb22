/**
 * The framing of `text/event-stream`, piece by piece
 * (https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream).
 *
 * Only `data` matters here: positions travel in the packets. Comments keep a connection warm and are dropped.
 */
import { check } from "../errors.js";

/** An event has fewer characters. */
const LIMIT = 1e8;

export class EventStreamDecoder {
  constructor() {
    /** What came of a line that has not ended; and a CR behind it, that may be half of a CRLF. */
    let rest = "";
    let half = "";
    /** @type {string[]} */
    const pending = [];
    /** What came since the last event. */
    let size = 0;

    /**
     * @param {string} text Any piece of the stream, cut anywhere.
     * @returns {string[]} The data of the events it completes.
     * @throws {import("../errors.js").RemoteProtocolError} It does not come to an end.
     */
    this.decode = (text) => {
      check((size += text.length) < LIMIT);
      // Only what is new is looked through: an event may come in very many pieces.
      const [, all, end] = /** @type {RegExpExecArray} */ (/^([^]*?)(\r?)$/.exec(half + text));
      half = end;
      const lines = all.split(/\r\n?|\n/);
      lines[0] = rest + lines[0];
      rest = /** @type {string} */ (lines.pop());
      /** @type {string[]} */
      const events = [];
      for (const line of lines) {
        const data = /^data(?:$|: ?)([^]*)/.exec(line);
        if (data) pending.push(data[1]);
        else if (!line) {
          size = 0;
          if (pending.length) events.push(pending.splice(0).join("\n"));
        }
      }
      return events;
    };
  }
}
