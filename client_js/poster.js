/**
 * The POSTs of a session: one in flight with messages, and notes that do not wait for it.
 */
import { HoldfastError } from "./errors.js";
import { pause } from "./options.js";
import { encodePost, takeAnswer } from "./session/posts.js";
import { createAbort } from "./transports/http.js";
import { post } from "./transports/post.js";

/** @typedef {ReturnType<typeof createPoster>} Poster */

/**
 * @param {import("./options.js").Options} options
 * @param {import("./session/session.js").Session} session
 * @param {import("./connector.js").Connector} connector It is told the round trip.
 * @param {() => string} url
 */
export const createPoster = (options, session, connector, url) => {
  let failures = 0;
  /** @type {Set<AbortController>} */
  const inFlight = new Set();
  const poster = {
    /** Whether one is in flight. */
    busy: false,
    /** What is in flight, or was last. */
    flight: Promise.resolve(),
    /** When the next may go; 0 when nothing has failed. */
    next: 0,

    /** Those in flight are on a network that is dead. */
    giveUp() {
      for (const abort of inFlight) abort.abort();
    },

    /**
     * @param {string} body
     * @returns {Promise<void>} The answer has been taken.
     * @throws {Error} It failed, or was refused.
     */
    async bring(body) {
      const since = options.now();
      const abort = createAbort();
      inFlight.add(abort);
      const text = await post(options, url(), body, abort).finally(() => inFlight.delete(abort));
      connector.rtt = options.now() - since;
      if (session.plain) return;
      if (text[0] != "7") throw new HoldfastError("not an answer");
      takeAnswer(session, text.slice(1), options.now());
    },

    /**
     * Bring what there is; not while another is in flight.
     * @param {string[]} control
     * @returns {Promise<void>}
     * @throws {Error} As `bring`.
     */
    pump: (control) => (poster.flight = run(control)),

    /**
     * Bring all there is, after what is in flight, as long as it is taken.
     * @param {string[]} control
     * @throws {Error} As `bring`.
     */
    async drain(control) {
      const { outbox } = session;
      await poster.flight.catch(() => {});
      for (let before = -1; outbox.acked > before && outbox.last > outbox.acked; await poster.pump(control)) before = outbox.acked;
    },
  };

  /** @param {string[]} control */
  const run = async (control) => {
    const sent = [...control];
    const { acked, last } = session.outbox;
    poster.busy = true;
    try {
      await poster.bring(encodePost(session, control, options.now()));
      // That nothing of it was taken is as good as a failure, for when to try again.
      failures = session.outbox.acked > acked || last == acked ? 0 : failures + 1;
    } catch (error) {
      failures++;
      control.unshift(...sent);
      throw error;
    } finally {
      poster.busy = false;
      poster.next = failures && options.now() + pause(failures, options.random);
    }
  };
  return poster;
};
