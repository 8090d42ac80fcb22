/**
 * The part of a session that travels by HTTP: polls, streams, POSTs, and what only they need.
 *
 * It is a half of live.js, and changes what is in `core`; without it a session goes by WebSocket alone.
 */
import { ATTACHED, TRYING, UPGRADING } from "./carrier.js";
import { pause } from "./options.js";
import { HoldfastError, RemoteProtocolError } from "./errors.js";
import { createSeat } from "./seat.js";
import { encodePost, takeAnswer } from "./session/posts.js";
import { post } from "./transports/post.js";
import { POLLING, STREAM, WEBSOCKET } from "./wire/kinds.js";
import { SEPARATOR, decodeObject } from "./wire/packet.js";

/** @typedef {import("./carrier.js").Carrier} Carrier */
/** @typedef {import("./live.js").Core} Core */
/** @typedef {ReturnType<typeof createRequests>} Requests */

/** A poll that is answered sooner, with nothing, was not held. */
const IDLE_MS = 1000;
/** The pause between polls that may not be held, because other tabs need the connections. */
const BRIEF_MS = 400;
/** The least pause after polls that were not held. */
const PAUSE_MS = 20;

/** @param {Core} core */
export const createRequests = (core) => {
  const { options, session, carriers, control, connector, clock } = core;
  const { answerMs, probeMs } = options;
  const { inbox, outbox } = session;
  const seat = createSeat(options, () => {
    // The pause before the next poll was for want of it.
    if (core.current?.ended) core.give(core.current, 0);
    core.stepSoon();
  });
  /** The POSTs that are on their way. @type {Set<AbortController>} */
  const inFlight = new Set();
  /** Whether one with messages is: there is one at a time. And that, or the last one. */
  let isBusy = false;
  let flight = Promise.resolve();
  /** How many in a row came to nothing, and when the next may go; 0 when nothing has failed. */
  let failures = 0;
  let nextAt = 0;
  /** How many polls in a row were not held. */
  let idle = 0;
  /** How long polls may be held, where somebody on the way ends those that are held longer. @type {number | undefined} */
  let hold;

  /**
   * @param {Carrier} carrier
   * @param {Carrier} [previous]
   */
  const numberFor = ({ kind }, previous) => {
    const racing = core.current ? undefined : core.asking();
    // Polls go on under one number, so that a better carrier that is being probed meanwhile keeps a higher one.
    if (kind == POLLING && previous && previous.number > 1 && previous.number >= core.highest) return previous.number;
    // A WebSocket that has sent its attach must not be overtaken by the poll that races it.
    return racing?.kind == WEBSOCKET ? racing.number - 1 : session.attach();
  };

  /**
   * One POST: its answer is taken.
   * @param {string} body
   * @throws {Error} It failed, or was refused.
   */
  const bring = async (body) => {
    const since = clock();
    const text = await post(options, core.url(POLLING), body, inFlight);
    connector.rtt = clock() - since;
    if (session.plain) return;
    if (text[0] != "7") throw new HoldfastError("not an answer");
    takeAnswer(session, text.slice(1), clock());
  };

  /** Bring what there is; not while another is in flight. */
  const pump = async () => {
    const sent = [...control];
    const { acked, last } = outbox;
    isBusy = true;
    try {
      await bring(encodePost(session, control, clock()));
      // That nothing of it was taken is as good as a failure, for when to try again.
      failures = outbox.acked > acked || last == acked ? 0 : failures + 1;
    } catch (error) {
      failures++;
      control.unshift(...sent);
      throw error;
    } finally {
      isBusy = false;
      nextAt = failures && clock() + pause(failures, options.random);
    }
  };

  /** Bring all there is, after what is in flight, as long as it is taken. */
  const drain = async () => {
    await flight.catch(() => {});
    for (let before = -1; outbox.acked > before && outbox.last > outbox.acked; await pump()) before = outbox.acked;
  };

  /**
   * @param {Promise<void>} posted
   * @param {(error: Error) => void} failed
   */
  const follow = (posted, failed) =>
    posted
      .catch((error) => {
        if (core.phase == "closed") return;
        inbox.untold();
        if (error instanceof RemoteProtocolError) core.end("parse error", error);
        else if (!core.isRefused(error)) failed(error);
      })
      .finally(core.stepSoon);

  /**
   * Close a session by POST.
   * @param {string} body What goes first.
   * @param {string} sid
   * @param {boolean} [isLeaving]
   */
  const endBy = (body, sid, isLeaving) => post(options, core.url(POLLING, sid), (body && body + SEPARATOR) + "1", inFlight, isLeaving).catch(() => {});

  const requests = {
    /** Other tabs may not be left without a connection. */
    seat,

    /**
     * @param {Carrier} carrier About to be opened.
     * @param {Carrier} [previous] The poll before it, or the stream that it is to replace.
     * @param {number} [wait] How long the server may hold a poll.
     * @returns {string | undefined} Its attach.
     */
    prepare(carrier, previous, wait) {
      const { kind } = carrier;
      const { plain } = session;
      const now = clock();
      if (previous) {
        carrier.heard = previous.heard;
        wait ??= seat.isOurs ? hold : 0;
        if (kind == POLLING) {
          carrier.state = ATTACHED;
          // A plain poll is held until the next ping; its silence is seen by the heartbeat.
          carrier.deadline = plain ? Infinity : now + (wait ?? session.pingInterval) + answerMs;
          carrier.judge = previous.judge;
          core.current = carrier;
          carriers.delete(previous);
        }
      }
      if (core.phase != "open" || plain) return;
      const probe = (kind == STREAM && core.current && !previous) || undefined;
      carrier.number = numberFor(carrier, previous);
      if (probe) core.give(carrier, 2 * probeMs + core.slack);
      else core.ask(carrier);
      // What JSON leaves out is not said; only the first poll, that proves polling, is not held.
      return session.attachment(carrier.number, { probe: probe && true, wait: previous ? wait : kind == POLLING ? 0 : undefined });
    },

    /** @param {Carrier} carrier A stream, whose head is here. */
    opened(carrier) {
      if (core.current && core.current.kind != STREAM) {
        core.give(carrier, probeMs + core.slack);
        requests.bring("2" + carrier.number);
      }
    },

    /**
     * @param {Carrier} carrier A stream that is being tried.
     * @param {string} text What it answered.
     */
    proved(carrier, text) {
      if (text == "" + carrier.number) {
        core.give(carrier, answerMs);
        core.ask(carrier);
        requests.bring("", carrier);
      }
    },

    /** @param {Carrier} carrier A poll that came home. */
    polled(carrier) {
      carrier.ended = true;
      if (carrier != core.current) carriers.delete(carrier);
      // Someone on the way may answer for the server, at once and with nothing: that must not become a busy loop.
      idle = clock() - carrier.since < IDLE_MS ? idle + 1 : 0;
      core.give(carrier, seat.isOurs ? (idle > 2 ? Math.min(PAUSE_MS * idle, IDLE_MS / 2) : 0) : BRIEF_MS);
    },

    /**
     * A poll proves itself by being answered: another one, that is not held, takes its place.
     * @param {Carrier} carrier
     */
    repoll(carrier) {
      session.calm(clock());
      // Numbered higher, it would take over from what is about to carry.
      if (core.asking()) return;
      carrier.io.close();
      core.start(POLLING, carrier, 0);
      core.give(/** @type {Carrier} */ (core.current), probeMs + core.slack);
    },

    /**
     * A POST that does not wait for the one in flight.
     * @param {string} note
     * @param {Carrier} [carrier] To be attached with it.
     */
    bring(note, carrier) {
      follow(bring("7" + session.attachment(carrier?.number) + (note && SEPARATOR + note)), (error) => {
        if (carrier?.state == TRYING) core.lose(carrier, error);
      });
    },

    /**
     * @param {Carrier} carrier What carries, by HTTP.
     * @param {number} now
     * @returns {void}
     */
    write(carrier, now) {
      const upgrading = [...carriers].find(({ state }) => state == UPGRADING);
      if (upgrading) {
        if (!carrier.ended || isBusy) return;
        upgrading.io.send?.("5");
        // By the standard's rules.
        session.writer = { carrier: 0, next: outbox.acked + 1, stated: true };
        carriers.delete(carrier);
        core.carries(upgrading, "better");
        return core.write(now);
      }
      if (carrier.kind == STREAM && carrier.length > options.rotateLength) {
        carrier.length = -Infinity;
        core.start(STREAM, carrier);
      }
      if (carrier.ended && carrier.deadline <= now && !core.asking()) core.start(POLLING, carrier);
      const isOwed = carrier.kind == STREAM && inbox.due <= now;
      if ((control.length || outbox.last > outbox.acked || isOwed) && now >= requests.blocked()) {
        core.ride(carrier);
        follow((flight = pump()), (error) => {
          if (session.plain) core.end("transport error", error);
          else core.doubt();
        });
      }
    },

    /** What is on its way is on a network that is dead. */
    giveUp() {
      for (const abort of inFlight) abort.abort();
    },

    /** @param {Carrier} carrier A poll that was cut off. */
    cut({ since }) {
      const held = clock() - since;
      if (held > IDLE_MS && held < Infinity) hold = Math.floor(held / 2);
    },

    /** When it can be written again; what cannot be written now must not set the timer to now. */
    blocked: () => (isBusy ? Infinity : nextAt),

    /**
     * @param {boolean} [isLeaving]
     * @returns {Promise<unknown> | undefined} Until when a plain server must have its poll: it takes the end of that for the session's.
     */
    bye(isLeaving) {
      const last = () => endBy(encodePost(session, control, clock()), session.sid, isLeaving);
      const said = isLeaving ? last() : drain().then(last, last);
      return session.plain && !isLeaving ? said : undefined;
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
  return requests;
};
