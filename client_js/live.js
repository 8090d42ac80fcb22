/**
 * A session with its clock and its carriers: what the connector decides is done here, and what arrives is handed on.
 *
 * Every input - a packet, an end, a timer, a message to send - changes something and then calls `step`, which does
 * whatever is due and sets the one timer for what is due next. There are no other timers and no other loops.
 */
import { ASK_MS, BUFFER_BYTES, LATE_MS, LOOK_MS, PAUSE_MS, SLACK_MS, SLEPT_MS, detailsOf, endOf, refusalOf, report, statusOf } from "./alike.js";
import { ATTACHED, REPLACED, TRYING, UPGRADING, createCarrier } from "./carrier.js";
import { Connector } from "./connector.js";
import { Emitter } from "./emitter.js";
import { GapError, HoldfastError, LocalProtocolError, RefusedError, RemoteProtocolError, check } from "./errors.js";
import { withDefaults } from "./options.js";
import { watchPage } from "./page.js";
import { createPoster } from "./poster.js";
import { createSeat } from "./seat.js";
import { Session } from "./session/session.js";
import { openPoll } from "./transports/polling.js";
import { openStream } from "./transports/stream.js";
import { openWebSocket } from "./transports/websocket.js";
import { POLLING, STREAM, WEBSOCKET } from "./wire/kinds.js";
import { SEPARATOR, decodePacket, packet } from "./wire/packet.js";

/** @typedef {import("./wire/packet.js").Data} Data */
/** @typedef {import("./carrier.js").Carrier} Carrier */
/** @type {Record<string, typeof openPoll>} */
const OPENERS = { [WEBSOCKET]: openWebSocket, [STREAM]: openStream, [POLLING]: openPoll };
/** What began first and answers later. */
const SLOWER = "slower";
/** A poll that is answered sooner, with nothing, was not held. */
const IDLE_MS = 1000;
/** The pause between polls that may not be held, because other tabs need the connections. */
const BRIEF_MS = 400;
/** For the answer of what the server has attached already. */
const HURRY_MS = 1000;
/** How long a replaced carrier is still read. */
const LINGER_MS = 2000;

/** @typedef {import("./alike.js").Change} Change */
/** @typedef {import("./alike.js").Details} Details */
/** @typedef {import("./alike.js").Status} Status */
/** @typedef {import("./alike.js").LiveEvents} LiveEvents */

/**
 * What it knows and does is the constructor's own, but for a few members.
 * @extends {Emitter<LiveEvents, keyof LiveEvents>}
 */
export class Live extends Emitter {
  /** The transport that carries the session, or did last. */
  transport = { name: "" };
  /** @type {"opening" | "open" | "closed"} */
  readyState = "opening";
  /** @type {Status} */
  status = "connecting";
  /** The engine's own id: a secret, unlike a socket's. */
  id = "";
  /** Called when all that was due is done. @type {(() => void) | undefined} @internal */
  _stepped;

  /**
   * @param {string} origin
   * @param {Partial<import("./options.js").Options> | undefined} given
   * @param {Connector} [known] What is known of the network already.
   */
  constructor(origin, given, known) {
    super();
    const options = withDefaults(given);
    const base = (origin + options.path).replace(/\/?$/, options.addTrailingSlash === false ? "?" : "/?");
    const { now: clock, answerMs, probeMs } = options;
    const connector = known ?? new Connector(options, base);
    const session = new Session();
    const { inbox, outbox } = session;
    /** @internal */
    this._session = session;
    /** @type {Set<Carrier>} */
    const carriers = new Set();
    /** @type {string[]} */
    const control = [];
    /** As `readyState`. @type {import("./alike.js").Phase} */
    let phase = "opening";
    /** What carries the session. @type {Carrier | undefined} */
    let current;
    /** How long it took to be attached, or to answer: patience on a slow network. */
    let slack = 0;
    /** The highest number whose attach was sent. */
    let highest = 1;
    /** How many polls in a row were not held. */
    let idle = 0;
    /** How long polls may be held, where somebody on the way ends those that are held longer. @type {number | undefined} */
    let hold;
    /** Why that what carried last does not any more. */
    let lostFor = "";
    /** What was tried last and failed. @type {Error | undefined} */
    let failure;
    let lostAt = 0;
    let isDue = false;
    /** When there may be room in the WebSocket again. */
    let roomAt = 0;
    /** When the timer should run, and by how much the clock on the wall was ahead of ours then. */
    let timerAt = Infinity;
    let ahead = NaN;
    /** @type {any} */
    let timer;
    let unwatch = () => {};

    /** Other tabs may not be left without a connection. */
    const seat = createSeat(options, base, () => {
      // The pause before the next poll was for want of it.
      if (current?.ended) give(current, 0);
      stepSoon();
    });

    this.open = () => {
      lostAt = clock();
      connector.race(lostAt);
      if (options.page) unwatch = watchPage(options.network, this.wake, () => this.close("transport close", true));
      step();
    };

    /**
     * @param {Data | ArrayBuffer} data Sent as soon as something carries, and again until the server has it.
     * @throws {LocalProtocolError} It cannot be carried, too much waits already (`bufferSize`), or the session is closed; nothing
     *   was sent.
     */
    this.send = (data) => this._send([data], undefined, options.bufferSize);

    /**
     * @param {(Data | ArrayBuffer)[]} messages All of them, or none.
     * @param {unknown} [meta]
     * @param {number} [bufferSize]
     * @internal
     */
    this._send = (messages, meta, bufferSize) => {
      if (phase == "closed") throw new LocalProtocolError("closed");
      session.send(messages, meta, bufferSize);
      stepSoon();
    };

    /**
     * Look at once whether the network is there.
     * @param {boolean} [isNewNetwork] What was known of it is worth nothing.
     */
    this.wake = (isNewNetwork) => {
      if (isNewNetwork || !current) connector.refresh(clock(), isNewNetwork);
      doubt();
      step();
    };

    /**
     * End the session, here and at the server.
     * @param {string} [reason]
     * @param {boolean} [isLeaving] The page goes away: the last word must outlive it.
     */
    this.close = (reason = "forced close", isLeaving) => {
      end(reason, undefined, bye(isLeaving));
    };

    /**
     * @param {boolean} [atOnce] Whether it could also be written now.
     * @internal
     */
    this._carried = (atOnce) => {
      const io = current?.io;
      return !!io && (!atOnce || (io.send ? !isFull(io) : poster.blocked() <= clock()));
    };

    /** @param {import("./transports/http.js").Carrier} io A WebSocket. */
    const isFull = (io) => /** @type {number} */ (io.bufferedAmount) > BUFFER_BYTES;

    this.inspect = () => report(phase, session);

    /**
     * @param {boolean} [isLeaving]
     * @returns {Promise<unknown> | undefined} Until when a plain server must have its poll: it takes the end of that for the session's.
     */
    const bye = (isLeaving) => {
      if (phase != "open") return undefined;
      const io = current?.io;
      if (io?.send) {
        flush(io);
        io.send("1");
      }
      // What a WebSocket is given while the page goes away, may not leave it any more; nor may a request get through.
      return io?.send && !isLeaving ? undefined : poster.bye(isLeaving);
    };

    /** @param {import("./transports/http.js").Carrier} io A WebSocket. */
    const flush = (io) => session.frames(control, clock()).forEach((frame) => io.send?.(frame));

    /**
     * @param {string} kind
     * @param {string} [sid]
     */
    const url = (kind, sid = session.sid) =>
      base + new URLSearchParams({ ...options.query, EIO: "4", transport: kind, holdfast: "1", ...(sid && { sid }) });

    const poster = createPoster(options, session, connector, control, (sid) => url(POLLING, sid));

    /**
     * @param {string} kind
     * @param {Carrier} [previous] The poll before this one.
     * @param {number} [wait] How long the server may hold a poll.
     */
    const start = (kind, previous, wait) => {
      const now = clock();
      const { plain } = session;
      // The opening race has the time that the application gives it.
      const carrier = createCarrier(kind, now, isOpen() ? now + answerMs : Infinity);
      if (previous) {
        wait ??= seat.isOurs ? hold : 0;
        carrier.state = ATTACHED;
        carrier.heard = previous.heard;
        // A plain poll is held until the next ping; its silence is seen by the heartbeat.
        carrier.deadline = Infinity;
        carrier.judge = previous.judge;
        current = carrier;
        carriers.delete(previous);
      } else {
        carrier.judge = connector.note(kind, now);
        // Only the first poll, that proves polling, is not held.
        if (kind == POLLING) wait = 0;
      }
      let attach;
      if (isOpen() && !plain) {
        carrier.number = 0;
        if (kind != WEBSOCKET) {
          const probe = (kind == STREAM && current && current.kind != STREAM) || undefined;
          carrier.number = numberFor(previous);
          if (probe) give(carrier, 2 * probeMs + slack);
          else ask(carrier, previous ? (wait ?? session.pingInterval) : 0);
          // What JSON leaves out is not said.
          attach = session.attachment(carrier.number, { probe, wait });
        }
      }
      carriers.add(carrier);
      /** @type {(handle: (carrier: Carrier, value: any) => void) => (value?: any) => void} */
      const on = (handle) => (value) => {
        if (!carriers.has(carrier)) return;
        handle(carrier, value);
        stepSoon();
      };
      carrier.io = OPENERS[kind](options, url(kind), attach, { open: on(opened), data: on(hear), end: on(lose) });
    };

    /** @param {Carrier} [previous] The poll before it. */
    const numberFor = (previous) => {
      // Polls go on under one number, so that a better carrier that is being probed meanwhile keeps a higher one.
      if (previous && previous.number > 1 && previous.number >= highest) return previous.number;
      const racing = current ? undefined : asking();
      // A WebSocket that has sent its attach must not be overtaken by the poll that races it.
      return racing?.kind == WEBSOCKET ? racing.number - 1 : session.attach();
    };

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
      if (!isOpen() || carrier.asked) return;
      give(carrier, probeMs + slack);
      if (carrier.kind == STREAM) bring("2" + carrier.number);
      else if (current) carrier.io.send?.("2probe");
      else attachSocket(carrier);
    };

    /** What has sent its attach and waits for the answer. */
    const asking = () => [...carriers].find(({ state, asked }) => state == TRYING && asked);

    /**
     * @param {Carrier} carrier Its attach is sent.
     * @param {number} [held] How long the server may take.
     */
    const ask = (carrier, held = 0) => {
      carrier.asked = true;
      carrier.since = clock();
      give(carrier, held + answerMs);
      highest = Math.max(highest, carrier.number);
    };

    /** @param {Carrier} carrier A WebSocket. */
    const attachSocket = (carrier) => {
      // The one below is for the poll that races it, which must not overtake it.
      session.attach();
      carrier.number = session.attach();
      ask(carrier);
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

    /**
     * A POST that does not wait for the one in flight.
     * @param {string} note
     * @param {Carrier} [carrier] To be attached with it.
     */
    const bring = (note, carrier) =>
      follow(poster.bring("7" + session.attachment(carrier?.number) + (note && SEPARATOR + note)), (error) => {
        if (carrier?.state == TRYING) lose(carrier, error);
      });

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
        if (phase == "open") {
          drop(carrier, "later");
          poster.dismiss(text);
        } else {
          session.open(text, kind == WEBSOCKET);
          connector.offer([kind, ...session.transports]);
          this.id = session.sid;
          this.readyState = phase = "open";
          carries(carrier, "open");
          // Who hears of the transport may have closed it.
          if (isOpen()) this.fire("open");
        }
        return;
      }
      check(isOpen());
      if (type == "1") throw refusalOf(text);
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

    const isOpen = () => phase == "open";

    /**
     * @param {Carrier} carrier
     * @param {string} text
     */
    const pong = (carrier, text) => {
      const now = clock();
      if (carrier.probed) {
        const rtt = (connector.rtt = now - carrier.probed);
        slack = Math.min(Math.max(slack / 2, rtt), SLACK_MS);
        carrier.probed = 0;
        if (carrier.rivalled) lostFor = "";
        carrier.rivalled = false;
        if (carrier.doubted) {
          carrier.doubted = false;
          carrier.progress = session.doubtful(0) < Infinity ? progress() : -1;
          session.calm(now);
        }
      } else if (carrier.state == TRYING) {
        if (carrier.kind == STREAM) {
          if (text != "" + carrier.number) return;
          ask(carrier);
          bring("", carrier);
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
      const now = clock();
      const from = this.transport.name;
      const to = carrier.kind;
      for (const other of carriers) {
        if (other == carrier) continue;
        if (other.state == TRYING) {
          hurry(other, answerMs);
          // In the opening race a request cannot be taken back: its answer is, when it comes.
          if (reason == "open" ? other.kind == WEBSOCKET : other.number && other.number < carrier.number) {
            drop(other, reason == "open" ? SLOWER : "overtaken");
          }
        } else {
          other.state = REPLACED;
          other.judge("replaced", now);
          give(other, LINGER_MS);
        }
      }
      carrier.state = ATTACHED;
      carrier.deadline = Infinity;
      current = carrier;
      slack = Math.min(now - carrier.since, SLACK_MS);
      this.transport = { name: to };
      carrier.judge("carries", now);
      connector.carries(to, now);
      if (from != to || lostFor) this.fire("transport", { from: from || null, to, reason });
      lostFor = "";
    };

    /**
     * Give up a try that says nothing about its transport.
     * @param {Carrier} carrier
     * @param {string} why
     */
    const drop = (carrier, why) => {
      carriers.delete(carrier);
      carrier.io.close();
      if (carrier.state != TRYING) return;
      connector.dropped(carrier.kind, why == SLOWER);
      carrier.judge(why, clock());
    };

    /**
     * @param {Carrier} carrier It has ended.
     * @param {Error} [error] Without one, in order.
     */
    const lose = (carrier, error) => {
      const now = clock();
      const { kind, state } = carrier;
      const why = error?.message ?? "ended";
      if (kind == POLLING && state != TRYING) {
        const held = now - carrier.since;
        if (!error) {
          carrier.ended = true;
          if (carrier != current) carriers.delete(carrier);
          // Someone on the way may answer for the server, at once and with nothing: that must not become a busy loop.
          idle = held < IDLE_MS ? idle + 1 : 0;
          give(carrier, seat.isOurs ? (idle > 2 ? Math.min(PAUSE_MS * idle, IDLE_MS / 2) : 0) : BRIEF_MS);
          return;
        }
        if (held > IDLE_MS && held < Infinity) hold = Math.floor(held / 2);
      }
      carriers.delete(carrier);
      session.end(carrier.number);
      carrier.io.close();
      carrier.judge(why, now);
      if (error) inbox.untold();
      const isTried = state == TRYING;
      const code = error instanceof RefusedError ? error.code : -1;
      if (code == 0 && phase == "opening") connector.refuse(kind);
      if (isRefused(error, isTried)) return;
      if (carrier == current) {
        if (asking()) {
          // The server ends what it replaces, and that can be heard before the answer of what replaces it.
          hurryAll();
          carrier.ended = true;
          carrier.error = error;
          return;
        }
        current = undefined;
        lostAt = now;
        lostFor = why;
        if (session.plain) end(error && kind != WEBSOCKET ? "transport error" : "transport close", error);
        else connector.lost(kind, now, !error);
      } else if (isTried || state == UPGRADING) {
        failure = error;
        connector.failed(kind, now);
        if (code == 6) hurryAll();
        if (phase == "opening" && !carriers.size && (connector.rounds || connector.deadline(now) == Infinity)) {
          end("transport error", error);
        }
      }
    };

    /** @param {Carrier} carrier It does not answer. */
    const giveUp = (carrier) => {
      // What is on its way beside it meets the same.
      if (carrier == current) poster.giveUp();
      lose(carrier, new HoldfastError("timeout"));
    };

    /**
     * @param {Error | undefined} error
     * @param {boolean} [isTried] What has ended with it did not carry yet.
     * @returns {boolean} It was a refusal, and nothing else follows from it.
     */
    const isRefused = (error, isTried) => {
      const reason = endOf(error, isOpen(), isTried);
      if (reason) end(reason, error);
      return !!reason;
    };

    /**
     * @param {string} reason
     * @param {Error} [error]
     * @param {Promise<unknown>} [said] Until when the carriers are left alone.
     */
    const end = (reason, error, said) => {
      if (phase == "closed") return;
      this.readyState = phase = "closed";
      options.clearTimeout(timer);
      unwatch();
      seat.want(false);
      const all = [...carriers];
      const close = () => all.forEach(({ io }) => io.close());
      if (said) said.then(close);
      else close();
      for (const carrier of all) carrier.judge(reason, clock());
      carriers.clear();
      current = undefined;
      tellStatus();
      this.fire("close", reason, detailsOf(outbox, error));
    };

    /**
     * Ask what carries to prove itself, unless it is asked already.
     * @param {Carrier} carrier
     * @param {boolean} [isUrgent] Not to wait for a POST in flight.
     */
    const ping = (carrier, isUrgent) => {
      if (carrier.probed || session.plain || carrier.kind == POLLING) return;
      carrier.probed = carrier.asking = clock();
      const packet = "2" + carrier.number;
      if (isUrgent && carrier.kind == STREAM) bring(packet);
      else control.push(packet);
    };

    /** @param {Carrier} carrier Something is about to be said to it. */
    const ride = (carrier) => {
      if (clock() >= carrier.asking + ASK_MS) ping(carrier);
    };

    /** There is reason to doubt what carries. */
    const doubt = () => {
      const carrier = current;
      if (!carrier || carrier.doubted || session.plain) return;
      if (carrier.kind == POLLING) {
        session.calm(clock());
        // Numbered higher, it would take over from what is about to carry.
        if (asking()) return;
        carrier.io.close();
        // A poll proves itself by being answered: another one, that is not held, takes its place.
        start(POLLING, carrier, 0);
        give(/** @type {Carrier} */ (current), probeMs + slack);
        return;
      }
      carrier.doubted = true;
      ping(carrier, true);
    };

    /** One step for all that happens at once: messages sent in a row, a poll's answer and its end. */
    const stepSoon = () => {
      if (!isDue) queueMicrotask(step);
      isDue = true;
    };

    /** Do what is due, and set the timer for what is due next. */
    const step = () => {
      isDue = false;
      const now = clock();
      wakeUp(now);
      for (const carrier of carriers) {
        if (carrier.deadline <= now && !carrier.ended) {
          if (carrier.state == REPLACED) drop(carrier, "");
          else giveUp(carrier);
        }
      }
      if (current?.ended && current.kind != POLLING && !asking()) lose(current, current.error);
      const limit = lostAt + (isOpen() ? session.grace : options.timeout);
      if (current) look(current, now);
      else if (now >= limit) end(isOpen() ? "transport close" : "transport error", new HoldfastError("timeout", { cause: failure }));
      if (current) write(current, now);
      this._stepped?.();
      tellStatus();
      if (phase == "closed") return;
      // Plain polls are the standard's, and held.
      seat.want(isOpen() && !session.plain && current?.kind != WEBSOCKET);
      // After the next poll: its number is lower than that of what is to take over from it.
      for (const kind of connector.next(now, seat.isOurs)) start(kind);
      options.clearTimeout(timer);
      const deadlines = [...carriers].map(({ deadline }) => deadline).filter((at) => at > now);
      // Not what was due before: seen from the next step, the machine would have slept since.
      timerAt = Math.max(now, Math.min(current ? nextAt(current, now) : limit, connector.deadline(now), now + LOOK_MS, ...deadlines));
      timer = options.setTimeout(step, timerAt > now ? Math.ceil(timerAt - clock()) : PAUSE_MS);
    };

    /**
     * Time in which nothing here could run is nobody's fault.
     * @param {number} now
     */
    const wakeUp = (now) => {
      const wall = options.wall() - now;
      const slept = Math.max(now - timerAt, wall - ahead);
      ahead = wall;
      timerAt = Infinity;
      if (!(slept > SLEPT_MS)) return;
      for (const carrier of carriers) {
        carrier.deadline = Math.max(carrier.deadline, now + answerMs);
        if (carrier.probed) carrier.probed = now;
      }
      doubt();
    };

    const tellStatus = () => {
      const status = statusOf(phase, current && (isStalled(current) ? "stalled" : "connected"));
      if (status == this.status) return;
      this.status = status;
      this.fire("status", status);
    };

    /**
     * @param {Carrier} carrier
     * @param {number} part Of the patience with it.
     * @returns {number} When that is over, if it owes an answer: what comes meanwhile is as good.
     */
    const dueAt = ({ io, probed, heard }, part) =>
      probed
        ? // Behind what has not left yet, the question has not been asked.
          Math.max(probed, heard) + slack + part * (io.bufferedAmount ? session.pingInterval + session.pingTimeout : probeMs + session.burden())
        : Infinity;

    /** @param {Carrier} carrier */
    const isStalled = (carrier) => clock() >= dueAt(carrier, 0.5);

    /**
     * @param {Carrier} carrier
     * @returns {number} When there is reason to doubt it, or silence has lasted too long.
     */
    const doubtAt = ({ kind, heard }) => {
      const { plain, pingInterval, pingTimeout } = session;
      // Who can be asked need not be waited for.
      const beat = plain ? pingTimeout : kind == POLLING ? Infinity : LATE_MS + slack;
      return Math.min(heard + pingInterval + beat, session.doubtful(options.doubtMs + slack));
    };

    /**
     * @param {Carrier} carrier
     * @param {number} now
     * @returns {number} When it wants attention.
     */
    const nextAt = (carrier, now) => {
      const { kind, io } = carrier;
      // What cannot be written now must not set the timer to now.
      const blocked = io.send ? roomAt : poster.blocked();
      const lookAt = io.bufferedAmount ? now + probeMs / 2 : carrier.probed ? dueAt(carrier, isStalled(carrier) ? 1 : 0.5) : doubtAt(carrier);
      return Math.min(lookAt, blocked > now ? blocked : kind == POLLING ? Infinity : inbox.due);
    };

    /**
     * @param {Carrier} carrier
     * @param {number} now
     */
    const look = (carrier, now) => {
      if (carrier.probed) {
        // Whichever answers first: what is attached beside it is the newer one and takes over.
        if (isStalled(carrier) && !carrier.rivalled && !carrier.io.bufferedAmount) {
          carrier.rivalled = true;
          lostFor = "stalled";
          start(carrier.kind);
        }
        if (now < dueAt(carrier, 1)) return;
        giveUp(carrier);
      } else if (now >= doubtAt(carrier)) {
        if (session.plain) end("ping timeout");
        // It answers probes, and yet nothing moves: the server has another in mind.
        else if (carrier.progress == progress()) giveUp(carrier);
        else doubt();
      }
    };

    /**
     * @param {Carrier} carrier What carries, by HTTP.
     * @param {number} now
     * @returns {void}
     */
    const request = (carrier, now) => {
      const upgrading = [...carriers].find(({ state }) => state == UPGRADING);
      if (upgrading) {
        if (!carrier.ended || poster.blocked() == Infinity) return;
        upgrading.io.send?.("5");
        // By the standard's rules.
        session.writer = { carrier: 0, next: outbox.acked + 1, stated: true };
        carriers.delete(carrier);
        carries(upgrading, "better");
        return write(upgrading, now);
      }
      if (carrier.kind == STREAM && carrier.length > options.rotateLength) {
        carrier.length = -Infinity;
        start(STREAM);
      }
      if (carrier.ended && carrier.deadline <= now && !asking()) start(POLLING, carrier);
      const isOwed = carrier.kind == STREAM && inbox.due <= now;
      if ((control.length || outbox.last > outbox.acked || isOwed) && now >= poster.blocked()) {
        ride(carrier);
        follow(poster.pump(), (error) => {
          if (session.plain) end("transport error", error);
          else doubt();
        });
      }
    };

    /**
     * @param {Carrier} carrier What carries.
     * @param {number} now
     * @returns {void}
     */
    const write = (carrier, now) => {
      const { io } = carrier;
      if (!io.send) return request(carrier, now);
      roomAt = isFull(io) ? now + PAUSE_MS : 0;
      if (roomAt) return;
      if (control.length || outbox.last > outbox.written || inbox.due <= now) ride(carrier);
      flush(io);
    };

  }

  /** Whether something carries. Applications read it, as they do with Socket.IO's own engine. */
  get writable() {
    return this._carried();
  }
}
