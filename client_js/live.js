/**
 * A session with its clock and its carriers: what the connector decides is done here, and what arrives is handed on.
 *
 * Every input - a packet, an end, a timer, a message to send - changes something and then calls `step`, which does
 * whatever is due and sets the one timer for what is due next. There are no other timers and no other loops.
 */
import { ASK_MS, BUFFER_BYTES, LATE_MS, LOOK_MS, PAUSE_MS, SLACK_MS, SLEPT_MS, detailsOf, endOf, refusalOf, report, statusOf } from "./alike.js";
import { createCarrier } from "./carrier.js";
import { Emitter } from "./emitter.js";
import { HoldfastError, LocalProtocolError, RefusedError, RemoteProtocolError, check } from "./errors.js";
import { watchPage } from "./page.js";
import { TOO_LARGE, createPoster } from "./poster.js";
import { createSeat } from "./seat.js";
import { Session } from "./session/session.js";
import { openPoll } from "./transports/polling.js";
import { openStream } from "./transports/stream.js";
import { openWebSocket } from "./transports/websocket.js";
import { POLL, STREAM, WEBSOCKET } from "./wire/kinds.js";
import { SEPARATOR, decodePacket, packet } from "./wire/packet.js";

/** @typedef {import("./wire/packet.js").Data} Data */
/** @typedef {import("./carrier.js").Carrier} Carrier */
/** @type {Record<string, import("./transports/http.js").Opener>} */
const OPENERS = { [WEBSOCKET]: openWebSocket, [STREAM]: openStream, [POLL]: openPoll };
/** A poll that is answered sooner, with nothing, was not held. */
const IDLE_MS = 1000;
/** The pause between polls that are not held: others answer for the server, or other tabs need the connections. */
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
  /** @type {import("./alike.js").Phase} */
  readyState = "opening";
  /** @type {Status} */
  status = "connecting";
  /** The engine's own id: a secret, unlike a socket's. */
  id = "";
  /** Called when all that was due is done. @type {(() => void) | undefined} @internal */
  _stepped;

  /**
   * @param {string} origin
   * @param {import("./options.js").Options} options With their defaults.
   * @param {import("./connector.js").Connector} connector What is known of the network already.
   */
  constructor(origin, options, connector) {
    super();
    const base = (origin + options.path).replace(/\/?$/, options.addTrailingSlash === false ? "?" : "/?");
    const { now: clock, answerMs, probeMs } = options;
    const session = new Session();
    const { inbox, outbox } = session;
    /** @internal */
    this._session = session;
    /** @type {Set<Carrier>} */
    const carriers = new Set();
    /** Encoded packets that do not wait behind messages. @type {string[]} */
    const control = [];
    /** What carries the session. @type {Carrier | undefined} */
    let current;
    /** The WebSocket that takes over from standard polling when the last poll has come home. @type {any} */
    let upgrading;
    /** How long it took to be attached, or to answer: patience on a slow network. */
    let slack = 0;
    /** The highest number whose attach was sent. */
    let highest = 1;
    /** How many polls in a row were not held. */
    let idle = 0;
    /** How long polls may be held, where somebody on the way ends those that are held longer; undefined where nobody does. @type {any} */
    let hold;
    /** Why another one will carry: what carried last has ended with that. And until when that has to be. */
    let reason = "open";
    let limit = Infinity;
    /** What was tried last and failed. @type {Error | undefined} */
    let failure;
    let isDue = false;
    /** The time of day at which the timer should run. */
    let timerAt = Infinity;
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
      const now = clock();
      limit = now + options.timeout;
      connector.race(now);
      unwatch = watchPage(options, this._wake, () => this.close("transport close", undefined, true));
      step();
    };

    /**
     * @param {(Data | ArrayBuffer)[]} messages All of them, or none. Sent as soon as something carries, and again until the server
     *   has them.
     * @param {unknown} [meta]
     * @param {number} [bufferSize]
     * @throws {LocalProtocolError} They cannot be carried, too much waits already (`bufferSize`), or the session is closed; nothing
     *   was sent.
     * @internal
     */
    this._send = (messages, meta, bufferSize) => {
      if (isClosed()) throw new LocalProtocolError("closed");
      session.send(messages, meta, bufferSize);
      stepSoon();
    };

    /**
     * Look at once whether the network is there.
     * @param {boolean} [isNewNetwork] What was known of it is worth nothing.
     * @internal
     */
    this._wake = (isNewNetwork) => {
      if (isNewNetwork) hold = undefined;
      if (isNewNetwork || !current) connector.refresh(clock(), isNewNetwork);
      doubt();
      step();
    };

    /**
     * End the session, here and at the server.
     * @param {string} [reason]
     * @param {Error} [error] What it ends with.
     * @param {boolean} [isLeaving] The page goes away: the last word must outlive it.
     * @param {string} [word] The packet that tells the server.
     */
    this.close = (reason = "forced close", error, isLeaving, word = "1") => {
      /** @type {Promise<unknown> | undefined} */
      let said;
      if (isOpen()) {
        const io = current?.ended ? undefined : current?.io;
        if (io?.send) {
          flush(io);
          io.send(word);
        }
        // What a WebSocket is given while the page goes away, may not leave it any more; nor may a request get through.
        if (!io?.send || isLeaving) said = poster.bye(isLeaving, word);
      }
      end(reason, error, said);
    };

    /**
     * @param {boolean} [atOnce] Whether it could also be written now.
     * @internal
     */
    this._carried = (atOnce) => !!current && !(atOnce && freeAt(current) > clock());

    this.inspect = () => report(this.readyState, session);

    const isOpen = () => this.readyState == "open";
    const isClosed = () => this.readyState == "closed";

    /**
     * @param {Carrier} carrier
     * @returns {number} When it can be written to. Of a WebSocket that is full it is not known.
     */
    const freeAt = ({ io }) => (!io.send ? poster.blocked() : /** @type {number} */ (io.bufferedAmount) > BUFFER_BYTES ? Infinity : 0);

    /** @param {import("./transports/http.js").Carrier} io A WebSocket. */
    const flush = (io) => session.frames(control, clock()).forEach((frame) => io.send?.(frame));

    /**
     * @param {string} kind
     * @param {string} [sid]
     */
    const url = (kind, sid = session.sid) =>
      base + new URLSearchParams({ ...options.query, EIO: "4", transport: kind, holdfast: "1", ...(sid && { sid }) });

    const poster = createPoster(options, session, connector, control, (sid) => url(POLL, sid));

    /**
     * Try a transport.
     * @param {string} kind
     */
    const start = (kind) => {
      const now = clock();
      const carrier = createCarrier(kind, now, connector.note(kind));
      carriers.add(carrier);
      // The opening race has the time that the application gives it.
      if (isOpen()) give(carrier, answerMs);
      // Only the first poll, that proves polling, is not held.
      connect(carrier, 0);
    };

    /**
     * The next request of what polls, unless a WebSocket has waited for the end of the last one.
     * @param {Carrier} carrier
     * @param {number} [wait] How long the server may hold it.
     */
    const poll = (carrier, wait = seat.isOurs ? hold : 0) => {
      if (carriers.has(upgrading)) {
        if (poster.blocked() == Infinity) return;
        upgrading.io.send("5");
        // By the standard's rules.
        session.writer = upgrading.number = session.attach();
        return carries(upgrading);
      }
      carrier.ended = undefined;
      carrier.asked = clock();
      // One of a standard server's is held until the next ping; its silence is seen by the heartbeat.
      carrier.deadline = Infinity;
      connect(carrier, wait);
    };

    /**
     * @param {Carrier} carrier
     * @param {number} [wait]
     */
    const connect = (carrier, wait) => {
      const { kind, number } = carrier;
      let attach;
      if (!session.plain && kind != WEBSOCKET) {
        const probe = (kind == STREAM && current?.kind == POLL) || undefined;
        // Polls go on under one number, so that a better carrier that is being probed meanwhile keeps a higher one.
        if (number < 2 || number < highest) {
          const [racing] = current ? [] : asking();
          // A WebSocket that has sent its attach must not be overtaken by the poll that races it.
          carrier.number = racing?.kind == WEBSOCKET ? racing.number - 1 : session.attach();
        }
        carrier.isHeld = wait !== 0;
        if (!probe) attaching(carrier, wait ?? session.pingInterval);
        // What JSON leaves out is not said.
        attach = session.attachment(carrier.number, { probe, wait });
      }
      /** @type {(handle: (carrier: Carrier, value: any) => void) => (value?: any) => void} */
      const on = (handle) => (value) => {
        // What was given up, or has made room for the next request, may not have heard of it.
        if (!carriers.has(carrier) || carrier.io != io) return;
        handle(carrier, value);
        stepSoon();
      };
      const io = (carrier.io = OPENERS[kind](options, url(kind), attach, on(opened), on(hear), on(lose)));
    };

    /**
     * @param {Carrier} carrier
     * @param {number} ms From now on, to come to something.
     */
    const give = (carrier, ms) => {
      carrier.deadline = clock() + ms;
    };

    /** What has sent its attach and waits for the answer. */
    const asking = () => [...carriers].filter(({ isTried, isOwing }) => isTried && isOwing);

    /** What has been asked for is attached by now, if it gets through at all: its answer should be here soon. */
    const hurryAll = () => asking().forEach((carrier) => give(carrier, HURRY_MS));

    /** @param {Carrier} carrier */
    const opened = (carrier) => {
      carrier.isMute = carrier.kind == WEBSOCKET;
      carrier.heard = clock();
      if (!isOpen()) return connector.opened(carrier.heard);
      if (carrier.isOwing) return;
      give(carrier, probeMs + slack);
      if (carrier.kind == STREAM) bring(carrier, true);
      else if (current) carrier.io.send?.("2probe");
      else attachSocket(carrier);
    };

    /**
     * @param {Carrier} carrier Its attach is sent.
     * @param {number} held How long the server may take.
     */
    const attaching = (carrier, held) => {
      carrier.isOwing = carrier.isTried;
      carrier.asked = clock();
      give(carrier, held + answerMs);
      highest = Math.max(highest, carrier.number);
    };

    /** @param {Carrier} carrier A WebSocket. */
    const attachSocket = (carrier) => {
      // The one below is for the poll that races it, which must not overtake it.
      session.attach();
      carrier.number = session.attach();
      attaching(carrier, 0);
      carrier.io.send?.("7" + session.attachment(carrier.number));
    };

    /**
     * @param {Carrier} carrier
     * @param {Data} data
     */
    const hear = (carrier, data) => {
      carrier.heard = clock();
      carrier.length += data.length;
      carrier.isMute = false;
      try {
        if (typeof data != "string") return take(carrier, packet("4", data));
        const single = session.plain && isOpen() && carrier.kind == WEBSOCKET;
        for (const part of single ? [data] : data.split(SEPARATOR)) {
          if (isClosed()) return;
          take(carrier, decodePacket(part, session.plain));
        }
      } catch (error) {
        if (!(error instanceof HoldfastError)) throw error;
        // On what has not proved itself yet, anyone may be speaking; and of what has ended nobody counts what it still brings:
        // not every WebSocket falls silent when it is closed.
        if (carrier != current || carrier.ended || !(error instanceof RemoteProtocolError)) lose(carrier, error);
        else this.close("parse error", error);
      }
    };

    /**
     * @param {Promise<void>} posted
     * @param {Carrier} carrier For what.
     */
    const follow = (posted, carrier) =>
      posted
        .catch((error) => {
          inbox.untold();
          if (error instanceof RemoteProtocolError) end("parse error", error);
          else if (isRefused(error)) return;
          else if (carrier.isTried) lose(carrier, error);
          else if (session.plain || error.message == TOO_LARGE) end("transport error", error);
          else doubt();
        })
        .finally(stepSoon);

    /**
     * A POST that does not wait for the one in flight.
     * @param {Carrier} carrier To be attached with it.
     * @param {boolean} [isAsking] Or to prove itself.
     */
    const bring = (carrier, isAsking) => {
      const { number } = carrier;
      const attach = "7" + session.attachment(isAsking ? undefined : number);
      follow(poster.bring(isAsking ? attach + SEPARATOR + "2" + number : attach), carrier);
    };

    /**
     * @param {Carrier} carrier
     * @param {import("./wire/packet.js").Packet} packet
     */
    const take = (carrier, packet) => {
      const { type } = packet;
      const { isTried, kind, number, heard } = carrier;
      const text = /** @type {string} */ (packet.data);
      check(type == "0" ? isTried : isOpen());
      if (type == "0") {
        if (isOpen()) {
          drop(carrier, "later");
          poster.dismiss(text);
        } else {
          session.open(text, kind == WEBSOCKET);
          connector.offer([kind, ...session.transports]);
          carrier.number = 1;
          this.id = session.sid;
          this.readyState = "open";
          carries(carrier);
          // Who hears of the transport may have closed it.
          if (isOpen()) this.fire("open");
        }
      } else if (type == "1") throw refusalOf(text);
      else if (type == "2") {
        control.push("3" + text);
        this.fire("ping");
      } else if (type == "7") {
        session.answer(text, number, kind == WEBSOCKET, heard);
        if (number < session.current) throw new RefusedError(6, "replaced");
        if (isTried) carries(carrier);
      } else if (type == "3") {
        if (isTried) proven(carrier, text);
        else if (carrier.isOwing) connector.rtt = answered(carrier);
      } else if (!isTried) {
        const message = session.receive(number, packet, heard);
        if (message !== undefined) {
          // What has brought something was not idle, however short it was held.
          idle = 0;
          this.fire("message", message);
        }
      }
    };

    /**
     * @param {Carrier} carrier Its probe was answered.
     * @param {string} text
     */
    const proven = (carrier, text) => {
      if (carrier.kind == STREAM) {
        if (+text != carrier.number) return;
        attaching(carrier, 0);
        bring(carrier);
      } else if (text == "probe") {
        if (session.plain) upgrading = carrier;
        else attachSocket(carrier);
      }
    };

    /**
     * @param {Carrier} carrier
     * @returns {number} How long it took, in ms.
     */
    const answered = (carrier) => {
      const ms = clock() - carrier.asked;
      carrier.isOwing = false;
      reason = "better";
      slack = Math.min(Math.max(slack / 2, ms), SLACK_MS);
      return ms;
    };

    /** @param {Carrier} carrier It has completed a round trip, and carries the session from here on. */
    const carries = (carrier) => {
      const now = clock();
      const from = this.transport.name;
      const to = carrier.kind;
      const change = { from: from || null, to, reason };
      for (const other of carriers) {
        if (other == carrier) continue;
        // It had less time to answer.
        if (other.heard > carrier.asked) other.isMute = false;
        if (!other.isTried) {
          other.judge("replaced");
          // What it answers now, it answers too late.
          other.ended = other.isOwing = undefined;
          give(other, LINGER_MS);
          // In the opening race a request cannot be taken back: its answer is, when it comes.
          // What was opened may only be late.
        } else if (from ? other.number && other.number < carrier.number : other.kind == WEBSOCKET && !other.isMute) drop(other, "overtaken");
        else give(other, from ? answerMs : HURRY_MS);
      }
      answered(carrier);
      carrier.isTried = false;
      carrier.deadline = limit = Infinity;
      current = carrier;
      carrier.judge("carries");
      connector.carries(to, now);
      this.transport.name = to;
      if (from != to || change.reason != "better") this.fire("transport", change);
    };

    /**
     * Give up a try that says nothing about its transport.
     * @param {Carrier} carrier
     * @param {string} why
     */
    const drop = (carrier, why) => {
      carriers.delete(carrier);
      carrier.io.close();
      connector.dropped(carrier.kind, clock(), carrier.isMute);
      carrier.judge(why);
    };

    /**
     * @param {Carrier} carrier It has ended.
     * @param {Error} [error] Without one, in order.
     */
    const lose = (carrier, error) => {
      // Of what has ended already, this is only the end.
      if (!carriers.has(carrier) || carrier.ended) return;
      const now = clock();
      const { kind, number, asked, isTried } = carrier;
      const isCurrent = carrier == current;
      const { code, message = "ended" } = /** @type {any} */ (error ?? {});
      if (kind == POLL && isCurrent) {
        const held = now - asked;
        if (!error) {
          carrier.ended = poll;
          // It was held as long as it might be: the next one a little longer, up to what the server would.
          if (held >= hold) hold = Math.ceil(hold * 1.05);
          // Someone on the way may answer for the server, at once and with nothing: that must not become a busy loop.
          idle = held < IDLE_MS ? idle + 1 : 0;
          give(carrier, seat.isOurs && idle < 3 ? 0 : BRIEF_MS);
          return;
        }
        if (carrier.isHeld && held > IDLE_MS) hold = Math.floor(held / 2);
      }
      session.end(number);
      carrier.io.close();
      if (!isCurrent && !isTried) {
        carriers.delete(carrier);
        return;
      }
      inbox.untold();
      if (isRefused(error, isTried)) return;
      if (isCurrent && asking().length) {
        // The server ends what it replaces, and that can be heard before the answer of what replaces it.
        hurryAll();
        give(carrier, 0);
        carrier.isOwing = false;
        carrier.ended = () => {
          carrier.ended = undefined;
          lose(carrier, error);
        };
        return;
      }
      carriers.delete(carrier);
      carrier.judge(message);
      if (isCurrent) {
        current = undefined;
        slack = 0;
        limit = now + session.grace;
        reason = message;
        if (session.plain) end(error && kind != WEBSOCKET ? "transport error" : "transport close", error);
        else connector.lost(kind, now, message);
      } else {
        if (code == 0 && !isOpen()) connector.refuse(kind);
        failure = error;
        // What a server of ours closes, it has got through to.
        connector.failed(kind, now, carrier.isMute && code === undefined);
        if (code == 6) hurryAll();
        if (!isOpen() && !carriers.size && (connector.rounds || connector.deadline(now) == Infinity)) {
          fail(error);
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
     * @param {Promise<unknown>} [said] Until when the carriers are left alone: a standard server takes the end of its poll for the
     *   session's.
     */
    const end = (reason, error, said) => {
      if (isClosed()) return;
      this.readyState = "closed";
      options.clearTimeout(timer);
      unwatch();
      seat.want(false);
      for (const { io, judge } of carriers) {
        judge(reason);
        // Where a page goes away, what was to be opened may not have been.
        if (said) said.then(() => io?.close());
        else io?.close();
      }
      carriers.clear();
      current = undefined;
      tellStatus();
      this.fire("close", reason, detailsOf(outbox, error));
    };

    /** @param {Error | undefined} error Nothing gets through. */
    const fail = (error) => end(isOpen() ? "transport close" : "transport error", error);

    /** @param {Carrier} carrier What carries, not by polls: it is to prove itself, unless it owes an answer anyway. */
    const ask = (carrier) => {
      if (carrier.isOwing || carrier.ended || session.plain) return;
      carrier.asked = clock();
      carrier.isOwing = true;
      // Not to wait for a POST in flight.
      if (carrier.kind == STREAM && poster.blocked() > carrier.asked) bring(carrier, true);
      else control.push("2" + carrier.number);
    };

    /** There is reason to doubt what carries. */
    const doubt = () => {
      if (!current) return;
      if (current.kind != POLL) ask(current);
      // Numbered higher, it would take over from what is about to carry.
      else if (!session.plain && !asking().length) {
        current.io.close();
        // A poll proves itself by being answered: another one, that is not held, takes its place.
        poll(current, 0);
        // By then, whatever was heard when.
        current.heard = clock();
        give(current, probeMs + slack);
      }
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
      // Time in which nothing here could run is nobody's fault.
      if (options.wall() - timerAt > SLEPT_MS) {
        for (const carrier of carriers) {
          carrier.asked = now;
          carrier.deadline = Math.max(carrier.deadline, now + answerMs);
        }
        doubt();
      }
      for (const carrier of carriers) {
        if (carrier.deadline > now) continue;
        if (!carrier.ended) giveUp(carrier);
        else if (!asking().length) carrier.ended(carrier);
      }
      if (current && now >= dueAt(1)) look(current, now);
      if (now >= limit) fail(new HoldfastError("timeout", { cause: failure }));
      const wantsAt = current ? write(current, now) : limit;
      this._stepped?.();
      tellStatus();
      if (isClosed()) return;
      // Plain polls are the standard's, and held.
      seat.want(!session.plain && current?.kind != WEBSOCKET);
      // After the next poll: its number is lower than that of what is to take over from it.
      for (const kind of connector.next(now, seat.isOurs)) start(kind);
      options.clearTimeout(timer);
      const buffered = current?.io.bufferedAmount ?? 0;
      const next = Math.min(
        // What has left the WebSocket, it does not say.
        now + (buffered > BUFFER_BYTES ? PAUSE_MS : buffered ? probeMs / 2 : LOOK_MS),
        limit,
        connector.deadline(now),
        wantsAt,
        dueAt(this.status == "stalled" ? 1 : 0.5),
        ...[...carriers].map(({ deadline }) => deadline),
      );
      const ms = Math.max(PAUSE_MS, Math.ceil(next - now));
      timerAt = options.wall() + ms;
      timer = options.setTimeout(step, ms);
    };

    const tellStatus = () => {
      const carrier = current;
      const isStalled = carrier?.isOwing && clock() >= dueAt(0.5);
      const status = statusOf(this.readyState, carrier && (isStalled ? "stalled" : "connected"));
      if (status == this.status) return;
      this.status = status;
      // Whichever answers first: what is attached beside it is the newer one and takes over.
      if (isStalled && !carrier.io.bufferedAmount && ![...carriers].some(({ isTried, kind }) => isTried && kind == carrier.kind)) {
        reason = status;
        start(carrier.kind);
      }
      this.fire("status", status);
    };

    /**
     * @param {number} part Of the patience with what carries.
     * @returns {number} When that is over, if it owes an answer: what comes meanwhile is as good. If not, when there is reason
     *   to ask, or silence has lasted too long.
     */
    const dueAt = (part) => {
      if (!current || current.ended) return Infinity;
      const { io, heard, asked, isOwing } = current;
      const { plain, pingInterval, pingTimeout } = session;
      return isOwing
        ? // Behind what has not left yet, the question has not been asked.
          Math.max(asked, heard) + slack + part * (io.bufferedAmount ? pingInterval + pingTimeout : probeMs + session.burden())
        : // Who can be asked need not be waited for.
          Math.min(heard + pingInterval + (plain ? pingTimeout : LATE_MS + slack), session.doubtful(options.doubtMs + slack));
    };

    /**
     * @param {Carrier} carrier What carries. It has not answered in time, or there is reason to ask it.
     * @param {number} now
     */
    const look = (carrier, now) => {
      const progress = session.doubtful(0) < Infinity ? outbox.acked + inbox.received : NaN;
      if (session.plain) end("ping timeout");
      // It answers, and yet nothing moves: the server has another in mind.
      else if (carrier.isOwing || carrier.progress == progress) giveUp(carrier);
      else {
        carrier.progress = progress;
        session.calm(now);
        doubt();
      }
    };

    /**
     * Say what there is to say.
     * @param {Carrier} carrier What carries.
     * @param {number} now
     * @returns {number} When there will be more.
     */
    const write = (carrier, now) => {
      const { kind, io } = carrier;
      if (kind == STREAM && carrier.length > options.rotateLength) {
        carrier.length = -Infinity;
        start(STREAM);
      }
      // Each poll says by itself how much has arrived.
      const owedAt = () => (kind == POLL ? Infinity : inbox.due);
      if (this._carried(true)) {
        const isSaying = control.length || outbox.last > (io.send ? outbox.written : outbox.acked) || owedAt() <= now;
        if (isSaying && kind != POLL && now >= carrier.asked + ASK_MS) ask(carrier);
        if (io.send) flush(io);
        else if (isSaying) follow(poster.pump(), carrier);
      }
      // What cannot be written now must not set the timer to now.
      const at = freeAt(carrier);
      return at > now ? at : owedAt();
    };
  }

  /** Whether something carries. */
  get writable() {
    return this._carried();
  }
}
