/**
 * The POSTs of a session: one in flight with messages, and notes that do not wait for it.
 */
import { HoldfastError, RefusedError } from "./errors.js";
import { pause } from "./options.js";
import { encodePost, takeAnswer } from "./session/posts.js";
import { FRAME_LENGTH } from "./session/session.js";
import { post } from "./transports/post.js";
import { SEPARATOR, decodeObject } from "./wire/packet.js";

/** Said by somebody on the way: what the server does not take is known beforehand. */
export const TOO_LARGE = "HTTP 413";
/** A POST that takes longer, in ms, has too much to bring for a network that may break at any time. */
const FAST = 500;

/**
 * @param {import("./options.js").Options} options
 * @param {import("./session/session.js").Session} session
 * @param {import("./connector.js").Connector} connector It is told the round trip.
 * @param {string[]} control Encoded packets that do not wait behind messages.
 * @param {(sid?: string) => string} url
 */
export const createPoster = (options, session, connector, control, url) => {
  const { now: clock } = options;
  const { outbox } = session;
  /** The POSTs that are on their way. @type {Set<AbortController>} */
  const inFlight = new Set();
  /** The last one with messages: there is one at a time. */
  let flight = Promise.resolve();
  /** How many in a row came to nothing, and when the next may go; Infinity while one is in flight. */
  let failures = 0;
  let nextAt = 0;
  /** How much one brings: twice as much after each that was fast, if more waits. */
  let most = FRAME_LENGTH;
  /** Somebody on the way takes no more at once. */
  let limit = Infinity;

  /**
   * One POST: its answer is taken.
   * @param {string} body
   * @throws {Error} It failed, or was refused.
   */
  const bring = async (body) => {
    const since = clock();
    const text = await post(options, url(), body, inFlight);
    connector.rtt = clock() - since;
    if (session.plain) return;
    if (text[0] != "7") throw new HoldfastError("not an answer");
    takeAnswer(session, text.slice(1), clock());
  };

  const pump = async () => {
    const sent = [...control];
    const { acked, last } = outbox;
    nextAt = Infinity;
    failures++;
    const body = encodePost(session, control, clock(), most);
    try {
      await bring(body);
      // That nothing of it was taken is as good as a failure, for when to try again.
      if (outbox.acked > acked || last == acked) failures = 0;
      most = Math.min(limit, outbox.last > outbox.acked && /** @type {number} */ (connector.rtt) < FAST ? most * 2 : FRAME_LENGTH);
    } catch (error) {
      control.unshift(...sent);
      most = Math.min(most, FRAME_LENGTH);
      if (!session.plain && /** @type {Error} */ (error).message == TOO_LARGE) {
        limit = most = Math.min(most, body.length) / 2;
        failures = 0;
        // With one message alone it is not less any more.
        if (most > 1) return await pump();
      }
      throw error;
    } finally {
      nextAt = failures && clock() + pause(failures, options.random);
    }
  };

  /** Bring all there is, after what is in flight, as long as it is taken. */
  const drain = async () => {
    await flight.catch(() => {});
    for (let before = -1; outbox.acked > before && outbox.last > outbox.acked; await pump()) before = outbox.acked;
  };

  /**
   * Close a session by POST.
   * @param {string} body What goes first.
   * @param {string} sid
   * @param {boolean} [isLeaving]
   * @param {string} [word] The packet that closes it.
   */
  const endBy = async (body, sid, isLeaving, word = "1") => {
    // In a moment there may be a network again.
    for (let tries = 0, until = clock() + options.answerMs; clock() < until; tries++) {
      try {
        return await post(options, url(sid), (body && body + SEPARATOR) + word, inFlight, isLeaving);
      } catch (error) {
        // A plain server takes what is said twice for two things.
        if (isLeaving || session.plain || error instanceof RefusedError) return;
        await new Promise((resolve) => options.setTimeout(/** @type {() => void} */ (resolve), pause(tries, options.random)));
      }
    }
  };

  return {
    bring,

    /**
     * Bring what there is; not while another is in flight.
     * @throws {Error} As `bring`.
     */
    pump: () => (flight = pump()),

    /** When `pump` may be called again. */
    blocked: () => nextAt,

    /** What is on its way is on a network that is dead. */
    giveUp() {
      for (const abort of inFlight) abort.abort();
    },

    /**
     * @param {boolean} [isLeaving]
     * @param {string} [word] As of `endBy`.
     * @returns {Promise<unknown> | undefined} Until when a plain server must have its poll: it takes the end of that for the session's.
     */
    bye(isLeaving, word) {
      const last = () => endBy(encodePost(session, control, clock(), most), session.sid, isLeaving, word);
      const said = isLeaving ? last() : drain().then(last, last);
      if (session.plain && !isLeaving) return said;
    },

    /**
     * Close a session that was opened by the slower one in the race.
     * @param {string} text Its open packet.
     */
    dismiss(text) {
      const { sid, holdfast } = decodeObject(text);
      if (sid != session.sid) endBy(holdfast ? "7" + JSON.stringify({ key: holdfast.key, received: 0 }) : "", sid);
    },
  };
};
