/**
 * A session that goes by WebSocket alone: one carrier at a time, and after it the next.
 *
 * It is live.js without the choice, and behaves as that does with this one transport: test/drivers.js runs the same tests
 * with both. Of docs/choosing-a-transport.md the pauses remain (rows 5, 7, 8, 15 and 17), and how a dead carrier is found
 * out. Nothing is lost with a carrier, so that one which owes an answer for too long is not waited for beside another: it
 * is closed, and that was a handshake too many at worst.
 *
 * Each input changes something and then calls `step`, which does whatever is due and sets the one timer for what is due
 * next.
 */
import { ASK_MS, BUFFER_BYTES, LATE_MS, LOOK_MS, PAUSE_MS, SLACK_MS, SLEPT_MS, detailsOf, endOf, refusalOf, report, statusOf } from "./alike.js";
import { Emitter } from "./emitter.js";
import { HoldfastError, LocalProtocolError, RemoteProtocolError, check } from "./errors.js";
import { pause } from "./options.js";
import { watchPage } from "./page.js";
import { Session } from "./session/session.js";
import { openWebSocket } from "./transports/websocket.js";
import { WEBSOCKET } from "./wire/kinds.js";
import { SEPARATOR, decodeTextPacket, packet } from "./wire/packet.js";

/** @typedef {import("./wire/packet.js").Data} Data */

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
    const { now: clock } = options;
    const base = (origin + options.path).replace(/\/?$/, options.addTrailingSlash === false ? "?" : "/?");
    const session = new Session();
    const { inbox, outbox } = session;
    /** @internal */
    this._session = session;
    /** Encoded packets that do not wait behind messages. @type {string[]} */
    const control = [];
    /** The carrier: the WebSocket that there is, whether it carries already or is tried. @type {any} */
    let io;
    /** Its number, 0 before it is attached; and what becomes of it. */
    let number = 0;
    /** @type {import("./attempts.js").Judge} */
    let judge;
    let isCarrying = false;
    let carriedSince = 0;
    /** When it last brought something. */
    let heard = 0;
    /** When it was last asked: to open, to attach, to prove itself; and whether it owes the answer. */
    let asked = 0;
    let isOwing = false;
    /** How long it took to be attached, or to answer: patience on a slow network. */
    let slack = 0;
    /** What the last one that carried has ended with, and until when another has to. */
    let lostFor = "open";
    let limit = Infinity;
    /** No other one before that; how many tries in a row have failed, and how many that carried have lived too short. */
    let until = 0;
    let failures = 0;
    let short = 0;
    let isDue = false;
    /** The time of day at which the timer should run. */
    let timerAt = Infinity;
    /** @type {any} */
    let timer;
    let unwatch = () => {};

    this.open = () => {
      unwatch = watchPage(options, this._wake, () => this.close("transport close"));
      step();
    };

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

    /** Look at once whether the network is there. @internal */
    this._wake = () => {
      until = 0;
      ask();
      step();
    };

    /**
     * @param {string} [reason]
     * @param {Error} [error] What it ends with.
     */
    this.close = (reason = "forced close", error) => {
      if (isClosed()) return;
      if (isCarrying) {
        flush();
        io.send("1");
      }
      this.readyState = "closed";
      options.clearTimeout(timer);
      unwatch();
      drop(reason);
      tellStatus();
      this.fire("close", reason, detailsOf(outbox, error));
    };

    /**
     * @param {boolean} [atOnce] Whether it could also be written now.
     * @internal
     */
    this._carried = (atOnce) => isCarrying && !(atOnce && io.bufferedAmount > BUFFER_BYTES);

    this.inspect = () => report(this.readyState, session);

    const isOpen = () => this.readyState == "open";
    const isClosed = () => this.readyState == "closed";
    const flush = () => session.frames(control, clock()).forEach((frame) => io.send(frame));

    const connect = () => {
      asked = clock();
      isOwing = true;
      judge = known.note(WEBSOCKET);
      /** @type {(handle: (value: any) => void) => (value?: any) => void} */
      const on = (handle) => (value) => {
        // What was dropped may not have heard of it.
        if (io != mine) return;
        handle(value);
        stepSoon();
      };
      const { sid } = session;
      const query = new URLSearchParams({ ...options.query, EIO: "4", transport: WEBSOCKET, holdfast: "1", ...(sid && { sid }) });
      const mine = (io = openWebSocket(options, base + query, undefined, on(opened), on(hear), on(lose)));
    };

    const opened = () => {
      if (!isOpen()) return;
      asked = clock();
      number = session.attach();
      io.send("7" + session.attachment(number));
    };

    /** @param {Data} data */
    const hear = (data) => {
      heard = clock();
      try {
        if (typeof data != "string") return take(packet("4", data));
        for (const part of session.plain && isOpen() ? [data] : data.split(SEPARATOR)) {
          if (isClosed()) return;
          take(decodeTextPacket(part, session.plain));
        }
      } catch (error) {
        if (!(error instanceof HoldfastError)) throw error;
        // On what has not proved itself yet, anyone may be speaking.
        if (!isCarrying || !(error instanceof RemoteProtocolError)) lose(error);
        else this.close("parse error", error);
      }
    };

    /** @param {import("./wire/packet.js").Packet} packet */
    const take = (packet) => {
      const { type } = packet;
      const text = /** @type {string} */ (packet.data);
      check(isOpen() == (type != "0"));
      if (type == "0") {
        session.open(text, true);
        number = 1;
        this.id = session.sid;
        this.readyState = "open";
        carries();
        // Who hears of the transport may have closed it.
        if (isOpen()) this.fire("open");
      } else if (type == "1") throw refusalOf(text);
      else if (type == "2") {
        control.push("3" + text);
        this.fire("ping");
      } else if (type == "7") {
        session.answer(text, number, true, heard);
        if (!isCarrying) carries();
      } else if (!isCarrying) return;
      else if (type == "3") {
        if (isOwing) known.rtt = answered();
      } else {
        const message = session.receive(number, packet, heard);
        if (message !== undefined) this.fire("message", message);
      }
    };

    /** @returns {number} How long it took, in ms. */
    const answered = () => {
      const ms = heard - asked;
      isOwing = false;
      slack = Math.min(Math.max(slack / 2, ms), SLACK_MS);
      session.calm(heard);
      return ms;
    };

    /** It has been answered, and carries from here on. */
    const carries = () => {
      const from = this.transport.name || null;
      answered();
      isCarrying = true;
      asked = 0;
      carriedSince = heard;
      limit = Infinity;
      judge("carries");
      this.transport.name = WEBSOCKET;
      this.fire("transport", { from, to: WEBSOCKET, reason: lostFor });
    };

    /** @param {Error} error It has ended with that, or is given up. */
    const lose = (error) => {
      const { message } = error;
      const now = clock();
      const reason = endOf(error, isOpen(), !isCarrying) || (session.plain && (isOpen() ? "transport close" : "transport error"));
      if (isCarrying) {
        lostFor = message;
        limit = now + session.grace;
        if (now - carriedSince >= options.usefulMs / 5) short = 0;
        // What is good for a moment each time must not be had again and again without a pause.
        failures = Math.min(short++, 4);
      }
      drop(message);
      if (reason) this.close(reason, error);
      until = failures++ && now + pause(failures - 2, options.random);
    };

    /** @param {string} why What carries, or is tried, is over. */
    const drop = (why) => {
      if (!io) return;
      judge(why);
      io.close();
      session.end(number);
      io = undefined;
      number = slack = 0;
      isCarrying = isOwing = false;
    };

    /** Have it prove itself, unless it owes an answer anyway. */
    const ask = () => {
      if (!isCarrying || isOwing || session.plain) return;
      asked = clock();
      isOwing = true;
      control.push("2" + number);
    };

    const stepSoon = () => {
      if (!isDue) queueMicrotask(step);
      isDue = true;
    };

    const step = () => {
      isDue = false;
      const now = clock();
      // Time in which nothing here could run is nobody's fault.
      if (options.wall() - timerAt > SLEPT_MS) {
        asked = now;
        ask();
      }
      if (io && now >= dueAt(1)) {
        if (isOwing) lose(new HoldfastError("timeout"));
        else if (session.plain) this.close("ping timeout");
        else ask();
      }
      if (now >= limit) this.close("transport close", new HoldfastError("timeout"));
      if (this._carried(true)) {
        // Something is said anyway: the question rides on it.
        if (now >= asked + ASK_MS && (control.length || outbox.last > outbox.written || inbox.due <= now)) ask();
        flush();
      }
      tellStatus();
      if (isClosed()) return;
      if (!io && until <= now) connect();
      options.clearTimeout(timer);
      const next = Math.min(
        // What has left the WebSocket, it does not say.
        now + (io?.bufferedAmount > BUFFER_BYTES ? PAUSE_MS : io?.bufferedAmount ? options.probeMs / 2 : LOOK_MS),
        io ? dueAt(this.status == "stalled" ? 1 : 0.5) : until,
        isCarrying ? inbox.due : limit,
      );
      const ms = Math.max(PAUSE_MS, Math.ceil(next - now));
      timerAt = options.wall() + ms;
      timer = options.setTimeout(step, ms);
    };

    const tellStatus = () => {
      const status = statusOf(this.readyState, isCarrying && (isOwing && clock() >= dueAt(0.5) ? "stalled" : "connected"));
      if (status == this.status) return;
      this.status = status;
      this.fire("status", status);
    };

    /**
     * @param {number} part Of the patience with what carries.
     * @returns {number} When that is over, if it owes an answer: what comes meanwhile is as good. If not, when there is reason
     *   to ask, or silence has lasted too long.
     */
    const dueAt = (part) => {
      const { plain, pingInterval, pingTimeout } = session;
      if (!isOwing) {
        // Who can be asked need not be waited for.
        const late = plain ? pingTimeout : LATE_MS + slack;
        return Math.min(heard + pingInterval + late, session.doubtful(options.doubtMs + slack));
      }
      // The opening one has the time that the application gives it.
      if (!isCarrying) return asked + (isOpen() ? options.answerMs : options.timeout);
      // Behind what has not left yet, the question has not been asked.
      return Math.max(asked, heard) + slack + part * (io.bufferedAmount ? pingInterval + pingTimeout : options.probeMs + session.burden());
    };
  }

  /** Whether something carries. */
  get writable() {
    return this._carried();
  }
}
