/**
 * A session with its clock and its carriers: what the connector decides is done here, and what arrives is handed on.
 *
 * Every input - a packet, an end, a timer, a message to send - changes something and then calls `step`, which does
 * whatever is due and sets the one timer for what is due next. There are no other timers and no other loops.
 */
import { ATTACHED, OPENERS, REPLACED, TRYING, UPGRADING, createCarrier } from "./carrier.js";
import { Connector } from "./connector.js";
import { Emitter } from "./emitter.js";
import { GapError, HoldfastError, LocalProtocolError, RefusedError, RemoteProtocolError, check } from "./errors.js";
import { withDefaults } from "./options.js";
import { watchPage } from "./page.js";
import { createPoster } from "./poster.js";
import { Session } from "./session/session.js";
import { post } from "./transports/post.js";
import { POLLING, STREAM, WEBSOCKET } from "./wire/kinds.js";
import { SEPARATOR, decodeObject, decodePacket, packet } from "./wire/packet.js";

/** @typedef {import("./wire/packet.js").Data} Data */
/** @typedef {import("./carrier.js").Carrier} Carrier */
/** A poll that is answered sooner, with nothing, was not held. */
const IDLE_MS = 1000;
/** For the answer of what the server has attached already. */
const HURRY_MS = 1000;
/** How long a replaced carrier is still read. */
const LINGER_MS = 2000;
/** The most patience that a slow network gets. */
const SLACK_MS = 4000;
/** More than this waiting in a WebSocket is written later. */
const BUFFER_BYTES = 1e6;
/** Until there may be room again; and the least pause of all, so that a deadline that has passed cannot become a busy loop. */
const PAUSE_MS = 20;

/** @typedef {{from: string | null, to: string, reason: string}} Change What carries now, and why not what did before. */
/** @typedef {{description?: Error, unconfirmed: any[]}} Details What was said for it, and what the server may not have got. */
/** @typedef {{open: [], message: [data: Data], ping: [], transport: [change: Change], close: [reason: string, details: Details]}} LiveEvents */

/**
 * What it knows and does is the constructor's own, but for a few members.
 * @extends {Emitter<LiveEvents, keyof LiveEvents>}
 */
export class Live extends Emitter {
  /** The transport that carries the session, or did last. */
  transport = { name: "" };
  /** @type {"opening" | "open" | "closed"} */
  readyState = "opening";
  /** The engine's own id: a secret, unlike a socket's. */
  id = "";
  /** Called when all that was due is done. @type {(() => void) | undefined} @internal */
  _stepped;

  /**
   * @param {string} origin
   * @param {Partial<import("./options.js").Options>} [given]
   * @param {Connector} [known] What is known of the network already.
   */
  constructor(origin, given, known) {
    super();
    const options = withDefaults(given);
    const base = (origin + options.path).replace(/\/?$/, options.addTrailingSlash === false ? "?" : "/?");
    const { now: clock, answerMs, probeMs } = options;
    const connector = known ?? new Connector(options);
    const session = new Session();
    const { inbox, outbox } = session;
    /** @internal */
    this._session = session;
    const poster = createPoster(options, session, () => to(POLLING));
    /** As `readyState`. @type {"opening" | "open" | "closed"} */
    let phase = "opening";
    /** @type {Set<Carrier>} */
    const carriers = new Set();
    /** What carries the session. @type {Carrier | undefined} */
    let current;
    /** Why that what carried last does not any more. */
    let lostFor = "";
    let lostAt = 0;
    /** The number kept for polling while a WebSocket with the next one races it. */
    let reserved = 0;
    /** The highest number whose attach was sent. */
    let highest = 1;
    /** Encoded packets that do not wait behind messages. @type {string[]} */
    const control = [];
    let isDue = false;
    /** How many polls in a row were not held. */
    let idle = 0;
    /** When there may be room in the WebSocket again. */
    let roomAt = 0;
    /** How long what carries took to be attached: patience on a slow network. */
    let slack = 0;
    /** @type {any} */
    let timer;
    let unwatch = () => {};

    this.open = () => {
      lostAt = clock();
      connector.race(lostAt);
      if (options.page) unwatch = watchPage(this.wake, () => this.close("transport close", true));
      step();
    };

    /**
     * @param {Data | ArrayBuffer} data Sent as soon as something carries, and again until the server has it.
     * @throws {LocalProtocolError} It cannot be carried, or the session is closed; nothing was sent.
     */
    this.send = (data) => this._send([data]);

    /**
     * @param {(Data | ArrayBuffer)[]} messages All of them, or none.
     * @param {unknown} [meta]
     * @internal
     */
    this._send = (messages, meta) => {
      if (phase == "closed") throw new LocalProtocolError("closed");
      session.send(messages, meta);
      stepSoon();
    };

    /**
     * Look at once whether the network is there.
     * @param {boolean} [isNewNetwork] What was known of it is worth nothing.
     */
    this.wake = (isNewNetwork) => {
      if (isNewNetwork || !current) connector.refresh(clock());
      doubt();
      step();
    };

    /**
     * End the session, here and at the server.
     * @param {string} [reason]
     * @param {boolean} [isLeaving] The page goes away: the last word must outlive it.
     */
    this.close = (reason = "forced close", isLeaving) => {
      bye(isLeaving);
      end(reason);
    };

    /** @internal */
    this._carried = () => !!current;

    /** @param {boolean} [isLeaving] */
    const bye = (isLeaving) => {
      if (phase != "open") return;
      const io = current?.io;
      if (io?.send && !isLeaving) {
        flush(io);
        io.send("1");
      } else {
        endBy(session.post(control, clock()), session.sid, isLeaving);
      }
    };

    /**
     * Close a session by POST.
     * @param {string} body What goes first.
     * @param {string} sid
     * @param {boolean} [isLeaving]
     */
    const endBy = (body, sid, isLeaving) =>
      post(options, to(POLLING, sid), (body && body + SEPARATOR) + "1", isLeaving).catch(() => {});

    /** @param {import("./transports/http.js").Carrier} io A WebSocket. */
    const flush = (io) => session.frames(control, clock()).forEach((frame) => io.send?.(frame));

    /**
     * @param {string} kind
     * @param {string} [sid]
     */
    const to = (kind, sid = session.sid) =>
      base + new URLSearchParams({ ...options.query, EIO: "4", transport: kind, holdfast: "1", ...(sid && { sid }) });

    /**
     * @param {string} kind
     * @param {Carrier} [previous] The poll before this one, or the stream to be replaced by another.
     * @param {number} [wait] How long the server may hold a poll.
     */
    const start = (kind, previous, wait) => {
      const now = clock();
      const { plain } = session;
      // The opening race has the time that the application gives it.
      /** @type {Carrier} */
      const carrier = createCarrier(kind, now, phase == "open" ? now + answerMs : Infinity);
      let attach;
      if (previous) carrier.heard = previous.heard;
      if (previous && kind == POLLING) {
        carrier.state = ATTACHED;
        // A plain poll is held until the next ping; its silence is seen by the heartbeat.
        carrier.deadline = plain ? Infinity : now + (wait ?? session.pingInterval) + answerMs;
        current = carrier;
        carriers.delete(previous);
      }
      if (phase == "open" && !plain) {
        carrier.number = 0;
        if (kind != WEBSOCKET) {
          const probe = (kind == STREAM && current && !previous) || undefined;
          carrier.number = numberFor(kind, previous);
          if (probe) give(carrier, 2 * probeMs + slack);
          else ask(carrier);
          // What JSON leaves out is not said; only the first poll, that proves polling, is not held.
          attach = session.attachment(carrier.number, { probe: probe && true, wait: previous ? wait : kind == POLLING ? 0 : undefined });
        }
      }
      carriers.add(carrier);
      /** @type {(handle: (carrier: Carrier, value: any) => void) => (value?: any) => void} */
      const on = (handle) => (value) => {
        if (!carriers.has(carrier)) return;
        handle(carrier, value);
        stepSoon();
      };
      carrier.io = OPENERS[kind](options, to(kind), attach, { open: on(opened), data: on(hear), end: on(lose) });
    };

    /**
     * @param {string} kind
     * @param {Carrier} [previous]
     */
    const numberFor = (kind, previous) =>
      // Polls go on under one number, so that a better carrier that is being probed meanwhile keeps a higher one.
      kind == POLLING && previous && previous.number > 1 && previous.number >= highest
        ? previous.number
        : // A WebSocket that has sent its attach must not be overtaken by the poll that races it.
          !current && reserved && isAsking()
          ? reserved
          : session.attach();

    /**
     * @param {Carrier} carrier
     * @param {number} ms From now on, to come to something.
     */
    const give = (carrier, ms) => {
      carrier.deadline = clock() + ms;
    };

    /**
     * @param {Carrier} carrier
     * @param {number} ms At most.
     */
    const hurry = (carrier, ms) => {
      carrier.deadline = Math.min(carrier.deadline, clock() + ms);
    };

    /** What has been asked for is attached by now, if it gets through at all: its answer should be here soon. */
    const hurryAll = () => {
      for (const other of carriers) if (other.asked) hurry(other, HURRY_MS);
    };

    /** @param {Carrier} carrier */
    const opened = (carrier) => {
      if (phase != "open") return;
      if (carrier.kind == STREAM) {
        if (current && current.kind != STREAM) {
          give(carrier, probeMs + slack);
          bring("2" + carrier.number);
        }
      } else if (current) {
        give(carrier, probeMs + slack);
        carrier.io.send?.("2probe");
      } else attachSocket(carrier);
    };

    /** Whether something better has sent its attach and waits for the answer. */
    const isAsking = () => [...carriers].some(({ state, asked }) => state == TRYING && asked);

    /** @param {Carrier} carrier Its attach is sent. */
    const ask = (carrier) => {
      carrier.asked = true;
      carrier.since = clock();
      highest = Math.max(highest, carrier.number);
    };

    /** @param {Carrier} carrier A WebSocket. */
    const attachSocket = (carrier) => {
      reserved = current ? 0 : session.attach();
      carrier.number = session.attach();
      ask(carrier);
      give(carrier, answerMs);
      carrier.io.send?.("7" + session.attachment(carrier.number));
    };

    /**
     * @param {Carrier} carrier
     * @param {Data} data
     */
    const hear = (carrier, data) => {
      carrier.heard = clock();
      carrier.length += data.length;
      try {
        if (typeof data != "string") return take(carrier, packet("4", data));
        const single = session.plain && phase == "open" && carrier.kind == WEBSOCKET;
        for (const part of single ? [data] : data.split(SEPARATOR)) {
          if (phase == "closed") return;
          take(carrier, decodePacket(part, session.plain));
        }
      } catch (error) {
        if (!(error instanceof HoldfastError)) throw error;
        // On what has not proved itself yet, anyone may be speaking.
        if (carrier.state == TRYING || error instanceof GapError || error instanceof RefusedError) lose(carrier, error);
        else {
          bye();
          end("parse error", error);
        }
      }
    };

    /**
     * @param {Carrier} carrier
     * @param {import("./wire/packet.js").Packet} packet
     */
    const take = (carrier, packet) => {
      const { type } = packet;
      const { state, kind, number } = carrier;
      const text = /** @type {string} */ (packet.data);
      if (type == "0") {
        check(state == TRYING);
        if (phase == "open") dismiss(carrier, text);
        else {
          session.open(text, kind == WEBSOCKET);
          connector.offer([kind, ...session.transports]);
          this.id = session.sid;
          this.readyState = phase = "open";
          carries(carrier, "open");
          // Who hears of the transport may have closed it.
          if (phase == "open") this.fire("open");
        }
        return;
      }
      check(phase == "open");
      if (type == "1") {
        const { code, message = "closed", received } = text ? decodeObject(text) : {};
        throw new RefusedError(code > 5 ? code : 1, message, received);
      }
      if (type == "2") {
        control.push("3" + text);
        this.fire("ping");
      } else if (type == "3") pong(carrier, text);
      else if (type == "7") {
        session.answer(text, number, kind == WEBSOCKET, clock());
        if (number < session.current) throw new RefusedError(6, "replaced");
        if (state == TRYING) carries(carrier, lostFor || "better");
      } else if (state != TRYING) {
        const message = session.receive(number, packet, clock());
        if (message !== undefined) {
          // What has brought something was not idle, however short it was held.
          carrier.since = -Infinity;
          this.fire("message", message);
        }
      }
    };

    /**
     * @param {Carrier} carrier
     * @param {string} text
     */
    const pong = (carrier, text) => {
      if (carrier.probed) {
        carrier.probed = 0;
        carrier.progress = progress();
        session.calm(clock());
      } else if (carrier.state == TRYING) {
        if (carrier.kind == STREAM) {
          if (text == "" + carrier.number) {
            give(carrier, answerMs);
            ask(carrier);
            bring("", carrier);
          }
        } else if (text == "probe") {
          if (!session.plain) attachSocket(carrier);
          else if (current) carrier.state = UPGRADING;
        }
      }
    };

    /** How far both streams are, as one number that only grows. */
    const progress = () => outbox.acked + inbox.received;

    /**
     * A carrier has completed a round trip, and carries the session from here on.
     * @param {Carrier} carrier
     * @param {string} reason
     */
    const carries = (carrier, reason) => {
      const from = this.transport.name;
      const to = carrier.kind;
      for (const other of carriers) {
        if (other == carrier) continue;
        if (other.state == TRYING) {
          hurry(other, answerMs);
          // In the opening race a request cannot be taken back: its answer is, when it comes.
          if (reason == "open" ? other.kind == WEBSOCKET : other.number && other.number < carrier.number) drop(other);
        } else {
          other.state = REPLACED;
          give(other, LINGER_MS);
        }
      }
      carrier.state = ATTACHED;
      carrier.deadline = Infinity;
      current = carrier;
      slack = Math.min(clock() - carrier.since, SLACK_MS);
      this.transport = { name: to };
      connector.carries(to, clock());
      if (from != to || lostFor) this.fire("transport", { from: from || null, to, reason });
      lostFor = "";
    };

    /**
     * Give up a try that says nothing about its transport.
     * @param {Carrier} carrier
     */
    const drop = (carrier) => {
      carriers.delete(carrier);
      connector.dropped(carrier.kind);
      carrier.io.close();
    };

    /**
     * Close a session that was opened by the slower one in the race.
     * @param {Carrier} carrier
     * @param {string} text Its open packet.
     */
    const dismiss = (carrier, text) => {
      const { sid, holdfast } = decodeObject(text);
      drop(carrier);
      if (sid == session.sid) return;
      endBy(holdfast ? "7" + JSON.stringify({ key: holdfast.key, received: 0 }) : "", sid);
    };

    /**
     * @param {Carrier} carrier It has ended.
     * @param {Error} [error] Without one, in order.
     */
    const lose = (carrier, error) => {
      const now = clock();
      const { kind, state } = carrier;
      if (kind == POLLING && state != TRYING && !error) {
        carrier.ended = true;
        if (carrier != current) carriers.delete(carrier);
        // Someone on the way may answer for the server, at once and with nothing: that must not become a busy loop.
        idle = now - carrier.since < IDLE_MS ? idle + 1 : 0;
        give(carrier, idle > 2 ? Math.min(PAUSE_MS * idle, IDLE_MS / 2) : 0);
        return;
      }
      carriers.delete(carrier);
      session.end(carrier.number);
      carrier.io.close();
      if (error) inbox.untold();
      if (isRefused(error, carrier)) return;
      if (carrier == current) {
        if (isAsking()) {
          // The server ends what it replaces, and that can be heard before the answer of what replaces it.
          hurryAll();
          carrier.ended = true;
          carrier.error = error;
          return;
        }
        current = undefined;
        lostAt = now;
        lostFor = error?.message ?? "ended";
        if (session.plain) end(error && kind != WEBSOCKET ? "transport error" : "transport close", error);
        else connector.lost(kind, now, !error);
      } else if (state == TRYING || state == UPGRADING) {
        connector.failed(kind, now);
        if (error instanceof RefusedError && error.code == 6) hurryAll();
        if (phase == "opening" && !carriers.size && (connector.rounds || connector.deadline(now) == Infinity)) {
          end("transport error", error);
        }
      }
    };

    /**
     * @param {Carrier} carrier
     * @param {string} why
     */
    const fail = (carrier, why) => lose(carrier, new HoldfastError(why));

    /**
     * @param {Error | undefined} error
     * @param {Carrier} [carrier]
     * @returns {boolean} It was a refusal, and nothing else follows from it.
     */
    const isRefused = (error, carrier) => {
      if (!(error instanceof RefusedError)) return false;
      const { code } = error;
      if (code === 0 && carrier && phase == "opening") connector.refuse(carrier.kind);
      if (!(code > 0 && code < 6) || (code == 1 && phase != "open")) return false;
      end(code == 3 ? "parse error" : "transport close", error);
      return true;
    };

    /**
     * @param {string} reason
     * @param {Error} [error]
     */
    const end = (reason, error) => {
      if (phase == "closed") return;
      this.readyState = phase = "closed";
      options.clearTimeout(timer);
      unwatch();
      for (const { io } of carriers) io.close();
      carriers.clear();
      current = undefined;
      // Only a refusal says it.
      const unconfirmed = outbox.after(/** @type {any} */ (error)?.received).map(({ meta, data }) => meta ?? data);
      this.fire("close", reason, { description: error, unconfirmed });
    };

    /** There is reason to doubt what carries: let it prove itself, unless it is asked already. */
    const doubt = () => {
      const carrier = current;
      if (!carrier || carrier.probed || session.plain) return;
      const { kind, number, io } = carrier;
      if (kind == POLLING) {
        // A poll proves itself by being answered: another one, that is not held, takes its place.
        session.calm(clock());
        io.close();
        start(kind, carrier, 0);
        give(current ?? carrier, probeMs + slack);
      } else {
        carrier.probed = clock();
        if (kind == STREAM) bring("2" + number);
        else control.push("2" + number);
      }
    };

    /**
     * A POST that does not wait for the one in flight.
     * @param {string} note
     * @param {Carrier} [carrier] To be attached with it.
     */
    const bring = (note, carrier) =>
      follow(poster.bring(session.note(note, carrier?.number)), (error) => {
        if (carrier?.state == TRYING) lose(carrier, error);
      });

    /**
     * @param {Promise<void>} posted
     * @param {(error: Error) => void} failed
     */
    const follow = (posted, failed) =>
      posted
        .catch((error) => {
          if (phase == "closed") return;
          inbox.untold();
          if (error instanceof RemoteProtocolError) end("parse error", error);
          else if (!isRefused(error)) failed(error);
        })
        .finally(stepSoon);

    /** One step for all that happens at once: messages sent in a row, a poll's answer and its end. */
    const stepSoon = () => {
      if (!isDue) queueMicrotask(step);
      isDue = true;
    };

    /** Do what is due, and set the timer for what is due next. */
    const step = () => {
      isDue = false;
      const now = clock();
      for (const carrier of carriers) {
        if (carrier.deadline <= now && !carrier.ended) {
          if (carrier.state == REPLACED) drop(carrier);
          else fail(carrier, "timeout");
        }
      }
      if (current?.ended && current.kind != POLLING && !isAsking()) lose(current, current.error);
      const limit = lostAt + (phase == "open" ? session.grace : options.timeout);
      if (!current && now >= limit) end(phase == "open" ? "transport close" : "transport error", new HoldfastError("timeout"));
      checkCurrent(now);
      write(now);
      this._stepped?.();
      if (phase == "closed") return;
      // After the next poll: its number is lower than that of what is to take over from it.
      for (const kind of connector.next(now)) start(kind);
      options.clearTimeout(timer);
      const deadlines = [...carriers].map(({ ended, deadline }) => (ended && deadline <= now ? Infinity : deadline));
      const at = Math.min(current ? nextAt(current, now) : limit, connector.deadline(now), ...deadlines);
      if (at < Infinity) timer = options.setTimeout(step, at > now ? Math.ceil(at - clock()) : PAUSE_MS);
    };

    /**
     * @param {Carrier} carrier
     * @returns {number} When there is reason to doubt it, or silence has lasted too long.
     */
    const doubtAt = ({ kind, heard }) =>
      Math.min(
        kind == POLLING && !session.plain ? Infinity : heard + session.pingInterval + session.pingTimeout,
        session.doubtful(options.doubtMs + slack),
      );

    /**
     * @param {Carrier} carrier
     * @param {number} now
     * @returns {number} When it wants attention.
     */
    const nextAt = (carrier, now) => {
      const { probed, kind, io } = carrier;
      // What cannot be written now must not set the timer to now.
      const blocked = io.send ? roomAt : poster.busy ? Infinity : poster.next;
      return Math.min(probed ? probed + probeMs + slack : doubtAt(carrier), blocked > now ? blocked : kind == POLLING ? Infinity : inbox.due);
    };

    /** @param {number} now */
    const checkCurrent = (now) => {
      const carrier = current;
      if (!carrier || phase != "open") return;
      if (carrier.probed) {
        if (now >= carrier.probed + probeMs + slack) fail(carrier, "timeout");
      } else if (now >= doubtAt(carrier)) {
        if (session.plain) end("ping timeout");
        // It answers probes, and yet nothing moves: the server has another in mind.
        else if (carrier.progress == progress()) fail(carrier, "timeout");
        else doubt();
      } else if (carrier.kind == STREAM && carrier.length > options.rotateLength) {
        carrier.length = -Infinity;
        start(STREAM, carrier);
      }
    };

    /**
     * @param {number} now
     * @returns {void}
     */
    const write = (now) => {
      const carrier = current;
      if (!carrier || phase != "open") return;
      const { io } = carrier;
      if (io.send) {
        roomAt = /** @type {number} */ (io.bufferedAmount) > BUFFER_BYTES ? now + PAUSE_MS : 0;
        if (!roomAt) flush(io);
        return;
      }
      const upgrading = [...carriers].find(({ state }) => state == UPGRADING);
      if (upgrading) {
        if (!carrier.ended || poster.busy) return;
        upgrading.io.send?.("5");
        session.upgrade();
        carriers.delete(carrier);
        carries(upgrading, "better");
        return write(now);
      }
      if (carrier.ended && carrier.deadline <= now && !isAsking()) start(POLLING, carrier);
      const due = control.length || outbox.last > outbox.acked || (carrier.kind == STREAM && inbox.due <= now);
      if (due && !poster.busy && now >= poster.next) {
        follow(poster.pump(control), (error) => {
          if (session.plain) end("transport error", error);
          else doubt();
        });
      }
    };
  }

  /** Whether a message would leave at once. Applications read it, as they do with Socket.IO's own engine. */
  get writable() {
    return this._carried();
  }
}
