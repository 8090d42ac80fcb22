/**
 * What is known of one carrier, from its first byte to its end.
 *
 * It is TRYING until it has completed a round trip, then ATTACHED, then REPLACED; a WebSocket that takes over from standard
 * polling is UPGRADING while the last poll comes home.
 */
export const TRYING = 0;
export const ATTACHED = 1;
export const REPLACED = 2;
export const UPGRADING = 3;

/**
 * @typedef {object} Carrier What is optional is not the case yet.
 * @property {string} kind
 * @property {number} since
 * @property {number} heard When it last brought something.
 * @property {number} deadline When it is given up.
 * @property {number} state
 * @property {number} number 1 for the opening one; 0 until a WebSocket has its number.
 * @property {boolean} [asked] Whether its attach is on the way.
 * @property {number} [probed] When it was asked to prove itself; 0 when that was answered.
 * @property {number} asking When it was last asked.
 * @property {boolean} [rivalled] Whether another has been started beside it, because it did not answer.
 * @property {boolean} [doubted] Whether it was asked for a reason.
 * @property {number} progress Where both streams were when the last doubt was answered.
 * @property {number} length Characters it has brought.
 * @property {boolean} [ended] Whether it has ended and still stands for the session: a poll until the next, or until what replaces it answers.
 * @property {Error} [error] What it has ended with.
 * @property {import("./attempts.js").Judge} judge What `inspect` is to say of it.
 * @property {import("./transports/http.js").Carrier} io
 */

/**
 * @param {string} kind
 * @param {number} now
 * @param {number} deadline
 * @returns {Carrier} Who starts it adds `judge` and `io`.
 */
export const createCarrier = (kind, now, deadline) =>
  /** @type {any} */ ({ kind, since: now, heard: now, deadline, state: TRYING, number: 1, asking: -Infinity, progress: -1, length: 0 });
