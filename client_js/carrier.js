/**
 * What is known of one carrier, from its first byte to its end.
 *
 * It is TRYING until it has completed a round trip, then ATTACHED, then REPLACED; a WebSocket that takes over from standard
 * polling is UPGRADING while the last poll comes home.
 */
import { openPoll } from "./transports/polling.js";
import { openStream } from "./transports/stream.js";
import { openWebSocket } from "./transports/websocket.js";

export const TRYING = 0;
export const ATTACHED = 1;
export const REPLACED = 2;
export const UPGRADING = 3;

export const WEBSOCKET = "websocket";
export const STREAM = "stream";
export const POLLING = "polling";

/** @type {Record<string, typeof openPoll>} */
export const OPENERS = { [WEBSOCKET]: openWebSocket, [STREAM]: openStream, [POLLING]: openPoll };

export class Carrier {
  /** @type {0 | 1 | 2 | 3} */
  state = TRYING;
  /** 1 for the opening one; 0 until a WebSocket has its number. */
  number = 1;
  /** Whether its attach is on the way. */
  asked = false;
  /** When it was probed; 0 when there is no doubt. */
  probed = 0;
  /** Where both streams were when the last doubt was answered. */
  progress = -1;
  /** Characters it has brought. */
  length = 0;
  /** Whether it has ended and still stands for the session: a poll until the next, or until what replaces it answers. */
  ended = false;
  /** @type {Error | undefined} */
  error;
  /** @type {import("./transports/http.js").Carrier} */
  io = { close() {} };

  /**
   * @param {string} kind
   * @param {number} now
   * @param {number} deadline When it is given up.
   * @param {number} received How far we were when it began.
   */
  constructor(kind, now, deadline, received) {
    this.kind = kind;
    this.since = this.heard = now;
    this.deadline = deadline;
    this.received = received;
  }
}
