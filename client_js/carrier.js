/**
 * What is known of one carrier, from its first byte to its end.
 */

/**
 * @typedef {object} Carrier What is optional is not the case yet.
 * @property {string} kind
 * @property {import("./attempts.js").Judge} judge What `inspect` is to say of it.
 * @property {number} asked When it was last asked: to open, to attach, to prove itself, or for a poll's answer.
 * @property {boolean} [isOwing] Whether its attach, or the question to prove itself, is on its way and not answered.
 * @property {boolean} [isHeld] Of polls: whether the server may wait with its answer to the last one.
 * @property {boolean} [isMute] Of a WebSocket: it is open and has brought nothing yet.
 * @property {number} heard When it last brought something.
 * @property {number} deadline When it is given up; or, if it has ended, goes on.
 * @property {((carrier: Carrier) => void) | undefined} [ended] It has ended and still stands for the session, until what replaces
 *   it answers; if nothing does, that is to be done.
 * @property {boolean} isTried It has not completed a round trip yet.
 * @property {number} number 1 for the opening one; 0 until it has one.
 * @property {number} [progress] How far both streams were when it was last doubted for something that did not move.
 * @property {number} length Characters it has brought.
 * @property {import("./transports/http.js").Carrier} io Of polls, one after the other.
 */

/**
 * @param {string} kind
 * @param {number} now
 * @param {import("./attempts.js").Judge} judge
 * @returns {Carrier} Who starts it adds `io`.
 */
export const createCarrier = (kind, now, judge) =>
  /** @type {any} */ ({ kind, judge, asked: now, heard: now, deadline: Infinity, isTried: true, number: 0, length: 0 });
