/**
 * A session that goes by WebSocket alone: one carrier, and after a loss, or beside one that does not answer, another.
 *
 * It is live.js without the choice, and behaves as that does with this one transport: test/drivers.js runs the same tests
 * with both. Of docs/choosing-a-transport.md the pauses remain (rows 5, 7, 8, 15 and 17), and how a dead carrier is found
 * out. Each input changes something and then calls `step`, which does whatever is due and sets the one timer for what is
 * due next.
 */
import { ASK_MS, BUFFER_BYTES, LATE_MS, LOOK_MS, PAUSE_MS, SLACK_MS, SLEPT_MS, detailsOf, endOf, refusalOf, report, statusOf } from "./alike.js";
import { Emitter } from "./emitter.js";
import { GapError, HoldfastError, LocalProtocolError, RefusedError, check } from "./errors.js";
import { pause } from "./options.js";
import { watchPage } from "./page.js";
import { Session } from "./session/session.js";
import { openWebSocket } from "./transports/websocket.js";
import { WEBSOCKET } from "./wire/kinds.js";
import { SEPARATOR, decodeTextPacket, packet } from "./wire/packet.js";

/** @typedef {import("./wire/packet.js").Data} Data */
/** @typedef {{io: any, number: number, judge: import("./attempts.js").Judge}} Carrier `number`: 0 before it is attached. */

/**
 * As Live, towards whoever uses it.
 * @extends {Emitter<import("./alike.js").LiveEvents, keyof import("./alike.js").LiveEvents>}
 */
export class Single extends Emitter {
  transport = { name: "" };
  /** @type {import("./alike.js").Phase} */
  readyState = "opening";
  /** @type {import("./alike.js").Status} */
  status = "connecting";
  id = "";

  /**
   * @param {string} origin
   * @param {import("./options.js").Options} options With their defaults.
   * @param {import("./attempts.js").Attempts} known
   */
  constructor(origin, options, known) {
    super();
    const { now: clock, answerMs, probeMs } = options;
    const base = (origin + options.path).replace(/\/?$/, options.addTrailingSlash === false ? "?" : "/?");
    const session = new Session();
    const { inbox, outbox } = session;
    /** @internal */
    this._session = session;
    /** Encoded packets that do not wait behind messages. @type {string[]} */
    const control = [];
    /** What carries the session. @type {Carrier | undefined} */
    let current;
    /** What is tried: when nothing carries, or what does not answer. @type {Carrier | undefined} */
    let next;
    /** When it was asked for, and when it is given up. */
    let since = 0;
    let deadline = 0;
    /** Of what carries: since when, and when it last brought something. */
    let carriedSince = 0;
    let heard = 0;
    /** When it was asked to prove itself, 0 when that was answered; when it was last asked; and whether for a reason. */
    let probed = 0;
    let asking = 0;
    let isDoubted = false;
    /** Whether another was started beside it, because it did not answer. */
    let isRivalled = false;
    /** Where both streams were when the last doubt was answered. */
    let settled = 0;
    /** How long it took to be attached, or to answer: patience on a slow network. */
    let slack = 0;
    let lostFor = "";
    let lostAt = 0;
    /** Not to be tried again before; how many tries have failed in a row, and how many have lived too short. */
    let until = 0;
    let failures = 0;
    let short = 0;
    let isDue = false;
    /** When there may be room in the WebSocket again. */
    let roomAt = 0;
    /** When the timer should run, and by how much the clock on the wall was ahead of ours then. */
    let timerAt = Infinity;
    let ahead = NaN;
    /** @type {any} */
    let timer;
    let unwatch = () => {};

    this.open = () => {
      lostAt = clock();
      if (options.page) unwatch = watchPage(options.network, this.wake, () => this.close("transport close"));
      step();
    };

    /**
     * @param {Data | ArrayBuffer} data
     * @throws {LocalProtocolError}
     */
    this.send = (data) => this._send([data], undefined, options.bufferSize);

    /**
     * @param {(Data | ArrayBuffer)[]} messages All of them, or none.
     * @param {unknown} [meta]
     * @param {number} [bufferSize]
     * @internal
     */
    this._send = (messages, meta, bufferSize) => {
      if (isClosed()) throw new LocalProtocolError("closed");
      session.send(messages, meta, bufferSize);
      stepSoon();
    };

    /** Look at once whether the network is there. */
    this.wake = () => {
      until = 0;
      doubt();
      step();
    };

    /** @param {string} [reason] */
    this.close = (reason = "forced close") => {
      bye();
      end(reason);
    };

    /**
     * @param {boolean} [atOnce] Whether it could also be written now.
     * @internal
     */
    this._carried = (atOnce) => !!current && !(atOnce && isFull(current));

    this.inspect = () => report(this.readyState, session);

    const isOpen = () => this.readyState == "open";
    const isClosed = () => this.readyState == "closed";
    /** @param {Carrier} carrier */
    const isFull = ({ io }) => io.bufferedAmount > BUFFER_BYTES;
    /** @param {Carrier} carrier */
    const flush = ({ io }) => session.frames(control, clock()).forEach((frame) => io.send(frame));

    const bye = () => {
      if (!current) return;
      flush(current);
      current.io.send("1");
    };

    /** @param {number} now */
    const connect = (now) => {
      since = now;
      // The opening one has the time that the application gives it.
      deadline = isOpen() ? now + answerMs : Infinity;
      /** @type {Carrier} */
      const carrier = (next = /** @type {any} */ ({ number: isOpen() ? 0 : 1, judge: known.note(WEBSOCKET, now) }));
      /** @type {(handle: (carrier: Carrier, value: any) => void) => (value?: any) => void} */
      const on = (handle) => (value) => {
        if (carrier != current && carrier != next) return;
        handle(carrier, value);
        stepSoon();
      };
      const { sid } = session;
      const query = new URLSearchParams({ ...options.query, EIO: "4", transport: WEBSOCKET, holdfast: "1", ...(sid && { sid }) });
      carrier.io = openWebSocket(options, base + query, undefined, { open: on(opened), data: on(hear), end: on(lose) });
    };

    /** @param {Carrier} carrier */
    const opened = (carrier) => {
      if (!isOpen()) return;
      carrier.number = session.attach();
      since = clock();
      deadline = since + answerMs;
      carrier.io.send("7" + session.attachment(carrier.number));
    };

    /**
     * @param {Carrier} carrier
     * @param {Data} data
     */
    const hear = (carrier, data) => {
      if (carrier == current) heard = clock();
      try {
        if (typeof data != "string") return take(carrier, packet("4", data));
        for (const part of session.plain && isOpen() ? [data] : data.split(SEPARATOR)) {
          if (isClosed()) return;
          take(carrier, decodeTextPacket(part, session.plain));
        }
      } catch (error) {
        if (!(error instanceof HoldfastError)) throw error;
        // On what has not proved itself yet, anyone may be speaking.
        if (carrier == next || error instanceof GapError || error instanceof RefusedError) lose(carrier, error);
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
      const { number } = carrier;
      const { type } = packet;
      const text = /** @type {string} */ (packet.data);
      if (type == "0") {
        check(!isOpen());
        session.open(text, true);
        this.id = session.sid;
        this.readyState = "open";
        carries(carrier, "open");
        // Who hears of the transport may have closed it.
        if (isOpen()) this.fire("open");
        return;
      }
      check(isOpen());
      if (type == "1") throw refusalOf(text);
      if (type == "2") {
        control.push("3" + text);
        this.fire("ping");
      } else if (type == "7") {
        session.answer(text, number, true, clock());
        if (carrier == next) carries(carrier, lostFor);
      } else if (carrier != current) return;
      else if (type == "3") pong();
      else {
        const message = session.receive(number, packet, clock());
        if (message !== undefined) this.fire("message", message);
      }
    };

    const pong = () => {
      if (!probed) return;
      const rtt = (known.rtt = clock() - probed);
      slack = Math.min(Math.max(slack / 2, rtt), SLACK_MS);
      probed = 0;
      lostFor = "";
      isRivalled = false;
      if (!isDoubted) return;
      isDoubted = false;
      settled = session.doubtful(0) < Infinity ? progress() : -1;
      session.calm(clock());
    };

    /** How far both streams are, as one number that only grows. */
    const progress = () => outbox.acked + inbox.received;

    /**
     * @param {Carrier} carrier It has been answered, and carries from here on.
     * @param {string} reason
     */
    const carries = (carrier, reason) => {
      const from = this.transport.name || null;
      const now = clock();
      drop(current, "replaced");
      current = carrier;
      next = undefined;
      slack = Math.min(now - since, SLACK_MS);
      carriedSince = heard = now;
      probed = failures = 0;
      asking = -Infinity;
      isDoubted = isRivalled = false;
      settled = -1;
      carrier.judge("carries", now);
      this.transport = { name: WEBSOCKET };
      lostFor = "";
      if (reason) this.fire("transport", { from, to: WEBSOCKET, reason });
    };

    /**
     * @param {Carrier} carrier It has ended.
     * @param {Error} error With what.
     */
    const lose = (carrier, error) => {
      const { message } = error;
      const now = clock();
      const hasCarried = carrier == current;
      drop(carrier, message);
      if (hasCarried) {
        current = undefined;
        // What was started beside it has not even opened: it may have met the same.
        if (next && !next.number) drop(next, message);
      }
      if (!hasCarried || !next?.number) next = undefined;
      inbox.untold();
      const reason = endOf(error, isOpen(), !hasCarried);
      if (reason) end(reason, error);
      else if (!isOpen()) end("transport error", error);
      else if (!hasCarried) until = now + pause(failures++, options.random);
      else if (session.plain) end("transport close", error);
      else {
        lostAt = now;
        lostFor = message;
        // What is good for a moment each time must not be had again and again without a pause.
        if (now - carriedSince >= options.usefulMs) short = 0;
        until = short++ && now + pause(short - 2, options.random);
      }
    };

    /**
     * @param {Carrier | undefined} carrier It is over, if there is one.
     * @param {string} why
     */
    const drop = (carrier, why) => {
      if (!carrier) return;
      carrier.judge(why, clock());
      carrier.io.close();
      session.end(carrier.number);
    };

    /**
     * @param {string} reason
     * @param {Error} [error]
     */
    const end = (reason, error) => {
      if (isClosed()) return;
      this.readyState = "closed";
      options.clearTimeout(timer);
      unwatch();
      drop(current, reason);
      drop(next, reason);
      current = next = undefined;
      tellStatus();
      this.fire("close", reason, detailsOf(outbox, error));
    };

    /** Ask it to prove itself, unless it is asked already. */
    const ping = () => {
      if (!current || probed || session.plain) return;
      probed = asking = clock();
      control.push("2" + current.number);
    };

    /** There is reason to doubt it. */
    const doubt = () => {
      if (!current || isDoubted || session.plain) return;
      isDoubted = true;
      ping();
    };

    const stepSoon = () => {
      if (!isDue) queueMicrotask(step);
      isDue = true;
    };

    const step = () => {
      isDue = false;
      const now = clock();
      // Time in which nothing here could run is nobody's fault.
      const wall = options.wall() - now;
      const slept = Math.max(now - timerAt, wall - ahead);
      ahead = wall;
      timerAt = Infinity;
      if (slept > SLEPT_MS) {
        deadline = Math.max(deadline, now + answerMs);
        if (probed) probed = now;
        doubt();
      }
      if (next && deadline <= now) giveUp(next);
      const limit = lostAt + (isOpen() ? session.grace : options.timeout);
      if (current) look(current, now);
      else if (now >= limit) end(isOpen() ? "transport close" : "transport error", new HoldfastError("timeout"));
      if (current) write(current, now);
      tellStatus();
      if (isClosed()) return;
      if (!current && !next && until <= now) connect(now);
      options.clearTimeout(timer);
      timerAt = Math.min(current ? nextAt(current, now) : limit, next ? deadline : current ? Infinity : until, now + LOOK_MS);
      timer = options.setTimeout(step, timerAt > now ? Math.ceil(timerAt - clock()) : PAUSE_MS);
    };

    /** @param {Carrier} carrier */
    const giveUp = (carrier) => lose(carrier, new HoldfastError("timeout"));

    const tellStatus = () => {
      const status = statusOf(this.readyState, current && (isStalled(current) ? "stalled" : "connected"));
      if (status == this.status) return;
      this.status = status;
      this.fire("status", status);
    };

    /**
     * @param {Carrier} carrier
     * @param {number} part Of the patience with it.
     * @returns {number} When that is over, if it owes an answer: what comes meanwhile is as good.
     */
    const dueAt = ({ io }, part) =>
      probed
        ? // Behind what has not left yet, the question has not been asked.
          Math.max(probed, heard) + slack + part * (io.bufferedAmount ? session.pingInterval + session.pingTimeout : probeMs + session.burden())
        : Infinity;

    /** @param {Carrier} carrier */
    const isStalled = (carrier) => clock() >= dueAt(carrier, 0.5);

    /** When there is reason to doubt it, or silence has lasted too long. */
    const doubtAt = () =>
      // Who can be asked need not be waited for.
      Math.min(heard + session.pingInterval + (session.plain ? session.pingTimeout : LATE_MS + slack), session.doubtful(options.doubtMs + slack));

    /**
     * @param {Carrier} carrier
     * @param {number} now
     */
    const nextAt = (carrier, now) =>
      Math.min(
        carrier.io.bufferedAmount ? now + probeMs / 2 : probed ? dueAt(carrier, isStalled(carrier) ? 1 : 0.5) : doubtAt(),
        roomAt > now ? roomAt : inbox.due,
      );

    /**
     * @param {Carrier} carrier
     * @param {number} now
     */
    const look = (carrier, now) => {
      if (probed) {
        // Whichever answers first: what is attached beside it is the newer one and takes over.
        if (isStalled(carrier) && !isRivalled && !carrier.io.bufferedAmount) {
          isRivalled = true;
          lostFor = "stalled";
          if (!next) connect(now);
        }
        if (now >= dueAt(carrier, 1)) giveUp(carrier);
      } else if (now >= doubtAt()) {
        if (session.plain) end("ping timeout");
        // It answers probes, and yet nothing moves: the server has another in mind.
        else if (settled == progress()) giveUp(carrier);
        else doubt();
      }
    };

    /**
     * @param {Carrier} carrier
     * @param {number} now
     */
    const write = (carrier, now) => {
      roomAt = isFull(carrier) ? now + PAUSE_MS : 0;
      if (roomAt) return;
      if (now >= asking + ASK_MS && (control.length || outbox.last > outbox.written || inbox.due <= now)) ping();
      flush(carrier);
    };
  }

  /** Whether something carries. */
  get writable() {
    return this._carried();
  }
}
