/**
 * What both drivers of a session do alike: live.js, by all that gets through, and single.js, by WebSocket alone.
 */
import { RefusedError, check } from "./errors.js";
import { checkNumber, decodeObject } from "./wire/packet.js";

/** The most patience that a slow network gets. */
export const SLACK_MS = 4000;
/** More than this waiting in a WebSocket is written later. */
export const BUFFER_BYTES = 1e6;
/** Until there may be room again; and the least pause of all, so that a deadline that has passed cannot become a busy loop. */
export const PAUSE_MS = 20;
/** A heartbeat is late. */
export const LATE_MS = 1000;
/** So often a question rides on what is said anyway: its answer tells the round trip, and that the carrier lives. */
export const ASK_MS = 1000;
/** A timer later than this, or a clock further on: the machine or the page has slept. Looked at this often. */
export const SLEPT_MS = 2000;
export const LOOK_MS = 5000;

/** @typedef {"opening" | "open" | "closed"} Phase As `readyState`. */
/** @typedef {{from: string | null, to: string, reason: string}} Change What carries now, and why not what did before. */
/** @typedef {{description?: Error, unconfirmed: any[]}} Details What was said for it, and what the server may not have got. */
/**
 * @typedef {"connecting" | "connected" | "stalled" | "recovering" | "offline" | "closed"} Status
 *   `stalled`: what carries is asked to prove itself and has not yet; `recovering`: the session lives and nothing carries it;
 *   `offline`: nothing carries, and the browser says that there is no network.
 */
/** @typedef {{open: [], message: [data: import("./wire/packet.js").Data], ping: [], transport: [change: Change], status: [status: Status], close: [reason: string, details: Details]}} LiveEvents */

export const isOffline = () => globalThis.navigator?.onLine === false;

/**
 * @param {Phase} phase
 * @param {"connected" | "stalled" | false} [carried] If something carries.
 * @returns {Status}
 */
export const statusOf = (phase, carried) =>
  phase == "closed" ? phase : carried || (isOffline() ? "offline" : phase == "open" ? "recovering" : "connecting");

/**
 * @param {Phase} phase
 * @param {import("./session/session.js").Session} session
 * @returns What a support person wants to see of it. Nothing secret.
 */
export const report = (phase, { plain, inbox, outbox }) => ({
  // Quoted: a name that the build shortens.
  "state": phase,
  isHoldfast: !plain,
  sent: outbox.last,
  acknowledged: outbox.acked,
  received: inbox.received,
});

/**
 * @param {string} text The data of the server's `1`.
 * @returns {RefusedError}
 */
export const refusalOf = (text) => {
  const { code = 1, message = "closed", received, retry = 0 } = text ? decodeObject(text) : {};
  check(typeof message == "string");
  return new RefusedError(checkNumber(code) > 5 ? code : 1, message, received, checkNumber(retry));
};

/**
 * @param {Error | undefined} error What a carrier has ended with.
 * @param {boolean} isOpen
 * @param {boolean} [isTried] Whether it did not carry yet: what was not attached in time, for the page slept, is closed with
 *   4003, and the session goes on.
 * @returns {string} Why the session is over, if that is a refusal from which nothing else follows.
 */
export const endOf = (error, isOpen, isTried) => {
  const code = error instanceof RefusedError ? error.code : 0;
  if (code == 3) return isTried ? "" : "parse error";
  return code > (isOpen ? 0 : 1) && code < 6 ? "transport close" : "";
};

/**
 * @param {import("./session/outbox.js").Outbox} outbox
 * @param {Error | undefined} error What the session has ended with.
 * @returns {Details}
 */
export const detailsOf = (outbox, error) => {
  // Only a refusal says it; what comes after is as good as never written.
  const said = /** @type {any} */ (error)?.received;
  const received = Number.isInteger(said) ? said : NaN;
  if (received < outbox.written) outbox.written = received;
  return { description: error, unconfirmed: outbox.after(received).map(({ meta, data }) => meta ?? data) };
};
