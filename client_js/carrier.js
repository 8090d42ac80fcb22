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

/** @typedef {ReturnType<typeof createCarrier> & {error?: Error}} Carrier `error`: what it has ended with. */

/**
 * @param {string} kind
 * @param {number} now
 * @param {number} deadline When it is given up.
 */
export const createCarrier = (kind, now, deadline) => ({
  kind,
  since: now,
  /** When it last brought something. */
  heard: now,
  deadline,
  /** @type {number} */
  state: TRYING,
  /** 1 for the opening one; 0 until a WebSocket has its number. */
  number: 1,
  /** Whether its attach is on the way. */
  asked: false,
  /** When it was asked to prove itself; 0 when that was answered. */
  probed: 0,
  /** When it was last asked. */
  asking: -Infinity,
  /** Whether another has been started beside it, because it did not answer. */
  rivalled: false,
  /** Whether that was for a reason. */
  doubted: false,
  /** Where both streams were when the last doubt was answered. */
  progress: -1,
  /** Characters it has brought. */
  length: 0,
  /** Whether it has ended and still stands for the session: a poll until the next, or until what replaces it answers. */
  ended: false,
  /** What `inspect` is to say of it. @type {import("./attempts.js").Judge} */
  judge() {},
  io: /** @type {import("./transports/http.js").Carrier} */ ({ close() {} }),
});
