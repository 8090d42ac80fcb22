/**
 * A session with its clock and its carriers: what the connector decides is done here, and what arrives is handed on.
 *
 * Every input - a packet, an end, a timer, a message to send - changes something and then calls `#step`, which does
 * whatever is due and sets the one timer for what is due next. There are no other timers and no other loops.
 *
 * A carrier is TRYING until it has completed a round trip, then ATTACHED, then REPLACED; a WebSocket that takes over from
 * standard polling is UPGRADING while the last poll comes home.
 */
import { Connector } from "./connector.js";
import { Emitter } from "./emitter.js";
import { GapError, HoldfastError, LocalProtocolError, RefusedError, RemoteProtocolError } from "./errors.js";
import { withDefaults } from "./options.js";
import { watchPage } from "./page.js";
import { Session } from "./session/session.js";
import { openPoll } from "./transports/polling.js";
import { post } from "./transports/post.js";
import { openStream } from "./transports/stream.js";
import { openWebSocket } from "./transports/websocket.js";
import { SEPARATOR, decodeObject, decodePacket, packet } from "./wire/packet.js";

/** @typedef {import("./wire/packet.js").Data} Data */
/**
 * @typedef {object} Attached
 * @property {string} kind
 * @property {number} number
 * @property {0 | 1 | 2 | 3} state
 * @property {number} deadline When it is given up.
 * @property {number} heard
 * @property {number} probed When it was probed; 0 when there is no doubt.
 * @property {number} progress Where both streams were when the last doubt was answered.
 * @property {number} length Characters it has brought.
 * @property {boolean} ended A poll that was answered.
 * @property {import("./transports/http.js").Carrier} io
 */

const TRYING = 0;
const ATTACHED = 1;
const REPLACED = 2;
const UPGRADING = 3;
const WEBSOCKET = "websocket";
const STREAM = "stream";
const POLLING = "polling";
/** More than this waiting in a WebSocket is written later. */
const BUFFER_BYTES = 1e6;

/** @type {Record<string, typeof openPoll>} */
const OPENERS = { [WEBSOCKET]: openWebSocket, [STREAM]: openStream, [POLLING]: openPoll };

export class Live extends Emitter {
  #options;
  #url;
  #connector;
  #session = new Session();
  /** @type {"new" | "opening" | "open" | "closed"} */
  #state = "new";
  /** @type {Set<Attached>} */
  #carriers = new Set();
  /** What carries the session. @type {Attached | undefined} */
  #current;
  /** The kind that carried last, and why it does not any more. */
  #from = "";
  #reason = "";
  #lostAt = 0;
  /** The number kept for polling while a WebSocket with the next one races it. */
  #reserved = 0;
  /** Encoded packets that do not wait behind messages. @type {string[]} */
  #control = [];
  #posting = false;
  #postAt = 0;
  #postFailures = 0;
  /** @type {any} */
  #timer;
  #unwatch = () => {};

  /**
   * @param {string} url With its path, without a query.
   * @param {Partial<import("./options.js").Options>} [options]
   * @param {Connector} [connector] What is known of the network already.
   */
  constructor(url, options, connector) {
    super();
    this.#options = withDefaults(options);
    this.#url = url;
    this.#connector = connector ?? new Connector(this.#options);
  }

  /** @returns {{name: string}} The transport that carries the session, or did last. */
  get transport() {
    return { name: this.#current?.kind ?? this.#from };
  }

  /** The engine's own id: a secret, unlike a socket's. */
  get id() {
    return this.#session.sid;
  }

  get readyState() {
    return this.#state;
  }

  /** Whether a message would leave at once. */
  get writable() {
    return !!this.#current;
  }

  open() {
    const now = this.#options.now();
    this.#state = "opening";
    this.#lostAt = now;
    this.#connector.race(now);
    if (this.#options.page) {
      this.#unwatch = watchPage(
        (isNewNetwork) => this.wake(isNewNetwork),
        () => this.close("transport close", true),
      );
    }
    this.#step();
    return this;
  }

  /**
   * @param {Data} data Sent as soon as something carries, and again until the server has it.
   * @param {unknown} [meta]
   * @throws {LocalProtocolError} It cannot be carried, or the session is closed.
   */
  send(data, meta) {
    if (this.#state == "closed") throw new LocalProtocolError("session is closed");
    const { plain } = this.#session;
    if (plain && this.#current && this.#current.kind != WEBSOCKET && typeof data == "string" && data.includes(SEPARATOR)) {
      throw new LocalProtocolError("standard polling cannot carry U+001E");
    }
    this.#session.send(data, meta);
    this.#stepSoon();
  }

  /**
   * Look at once whether the network is there.
   * @param {boolean} [isNewNetwork] What was known of it is worth nothing.
   */
  wake(isNewNetwork) {
    if (this.#state == "closed") return;
    if (isNewNetwork || !this.#current) this.#connector.refresh();
    if (this.#current && !this.#current.probed) this.#probe(this.#current);
    this.#step();
  }

  /**
   * End the session, here and at the server.
   * @param {string} [reason]
   * @param {boolean} [isLeaving] The page goes away: the last word must outlive it.
   */
  close(reason = "forced close", isLeaving) {
    this.#bye(isLeaving);
    this.#end(reason);
  }

  /** @param {boolean} [isLeaving] */
  #bye(isLeaving) {
    if (this.#state != "open") return;
    const now = this.#options.now();
    const { send } = this.#current?.io ?? {};
    if (send && !isLeaving) {
      for (const frame of this.#session.frames(this.#control, now)) send(frame);
      send("1");
    } else {
      const body = this.#session.post(this.#control, now);
      post(this.#options, this.#to(POLLING), body ? body + SEPARATOR + "1" : "1", isLeaving).catch(() => {});
    }
  }

  /**
   * @param {string} kind
   * @param {string} [sid]
   */
  #to(kind, sid = this.#session.sid) {
    const query = new URLSearchParams({ ...this.#options.query, EIO: "4", transport: kind, holdfast: "1" });
    if (sid) query.set("sid", sid);
    return this.#url + "?" + query;
  }

  /**
   * @param {string} kind
   * @param {Attached} [previous] The poll before this one, or the stream to be replaced by another.
   * @param {number} [wait] How long the server may hold a poll.
   */
  #start(kind, previous, wait) {
    const now = this.#options.now();
    const session = this.#session;
    const { attemptMs, streamProbeMs, pollMs } = this.#options;
    /** @type {Attached} */
    const carrier = {
      kind,
      number: 1,
      state: TRYING,
      deadline: now + attemptMs,
      heard: previous?.heard ?? now,
      probed: 0,
      progress: -1,
      length: 0,
      ended: false,
      io: { close() {} },
    };
    let attach;
    if (kind == POLLING && previous) {
      carrier.state = ATTACHED;
      // A plain poll is held until the next ping; its silence is seen by the heartbeat.
      carrier.deadline = session.plain ? Infinity : now + (wait ?? session.pingInterval) + pollMs;
      this.#current = carrier;
      this.#carriers.delete(previous);
    }
    if (this.#state == "open" && !session.plain) {
      carrier.number = 0;
      if (kind != WEBSOCKET) {
        const probe = kind == STREAM && !!this.#current && !previous;
        if (probe) carrier.deadline = now + 2 * streamProbeMs;
        carrier.number = this.#number(kind, previous);
        attach = session.attachment(carrier.number, { probe: probe || undefined, wait: previous ? wait : kind == POLLING ? 0 : undefined });
      }
    }
    this.#carriers.add(carrier);
    const on = (/** @type {(value: any) => void} */ handle) => (/** @type {any} */ value = undefined) => {
      if (!this.#carriers.has(carrier)) return;
      handle(value);
      this.#step();
    };
    carrier.io = OPENERS[kind](this.#options, this.#to(kind), attach, {
      open: on(() => this.#opened(carrier)),
      data: on((data) => this.#heard(carrier, data)),
      end: on((error) => this.#ended(carrier, error)),
    });
  }

  /**
   * @param {string} kind
   * @param {Attached} [previous]
   */
  #number(kind, previous) {
    // Polls go on under one number, so that a better carrier that is being probed meanwhile keeps a higher one.
    if (kind == POLLING && previous && previous.number > 1) return previous.number;
    // A WebSocket that has sent its attach must not be overtaken by the poll that races it.
    const races = [...this.#carriers].some(({ kind, state, number }) => kind == WEBSOCKET && state == TRYING && number);
    return !this.#current && races && this.#reserved ? this.#reserved : this.#session.attach();
  }

  /** @param {Attached} carrier */
  #opened(carrier) {
    const { now, socketProbeMs, streamProbeMs } = this.#options;
    if (this.#state != "open") return;
    if (carrier.kind == STREAM) {
      if (this.#current && this.#current.kind != STREAM) {
        carrier.deadline = now() + streamProbeMs;
        this.#bring("2" + carrier.number);
      }
    } else if (this.#current) {
      carrier.deadline = now() + socketProbeMs;
      carrier.io.send?.("2probe");
    } else this.#attach(carrier);
  }

  /** @param {Attached} carrier A WebSocket, to be attached. */
  #attach(carrier) {
    if (!this.#current) this.#reserved = this.#session.attach();
    carrier.number = this.#session.attach();
    carrier.deadline = this.#options.now() + this.#options.attemptMs;
    carrier.io.send?.("7" + this.#session.attachment(carrier.number));
  }

  /**
   * @param {Attached} carrier
   * @param {Data} data
   */
  #heard(carrier, data) {
    carrier.heard = this.#options.now();
    carrier.length += data.length;
    try {
      if (typeof data != "string") return this.#packet(carrier, packet("4", data));
      const single = this.#session.plain && this.#state == "open" && carrier.kind == WEBSOCKET;
      for (const part of single ? [data] : data.split(SEPARATOR)) {
        if (this.#state == "closed") return;
        this.#packet(carrier, decodePacket(part, this.#session.plain));
      }
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      // On what has not proved itself yet, anyone may be speaking.
      if (carrier.state == TRYING || error instanceof GapError || error instanceof RefusedError) this.#ended(carrier, error);
      else {
        this.#bye();
        this.#end("parse error", error);
      }
    }
  }

  /**
   * @param {Attached} carrier
   * @param {import("./wire/packet.js").Packet} packet
   */
  #packet(carrier, { type, data }) {
    const session = this.#session;
    const now = this.#options.now();
    const text = /** @type {string} */ (data);
    if (type == "0") {
      if (this.#state == "open") this.#dismiss(carrier, text);
      else {
        session.open(text, carrier.kind == WEBSOCKET);
        this.#connector.offer([carrier.kind, ...(session.transports ?? [WEBSOCKET, POLLING])]);
        this.#carries(carrier, "open");
        this.#state = "open";
        this.fire("open");
      }
    } else if (this.#state != "open") throw new RemoteProtocolError("packet before the session is open");
    else if (type == "1") {
      const { code = 1, message = "closed by the server", received } = text ? decodeObject(text) : {};
      throw new RefusedError(code == 6 || code == 7 ? code : 1, message, received);
    } else if (type == "2") {
      this.#control.push("3" + text);
      this.fire("ping");
    } else if (type == "3") this.#pong(carrier, text);
    else if (type == "7") {
      session.answer(text, carrier.number, carrier.kind == WEBSOCKET, now);
      if (carrier.number < session.current) throw new RefusedError(6, "replaced");
      if (carrier.state == TRYING) this.#carries(carrier, this.#reason || "better");
    } else if (carrier.state != TRYING) {
      const message = session.receive(carrier.number, { type, data }, now);
      if (message !== undefined) this.fire("message", message);
    }
  }

  /**
   * @param {Attached} carrier
   * @param {string} text
   */
  #pong(carrier, text) {
    if (carrier.probed) {
      carrier.probed = 0;
      carrier.progress = this.#progress();
      this.#session.calm(this.#options.now());
    } else if (carrier.state == TRYING && carrier.kind == STREAM) {
      if (text == String(carrier.number)) {
        carrier.deadline = this.#options.now() + this.#options.attemptMs;
        this.#bring("", carrier.number);
      }
    } else if (carrier.state == TRYING && text == "probe") {
      if (!this.#session.plain) this.#attach(carrier);
      else if (this.#current) carrier.state = UPGRADING;
    }
  }

  /** How far both streams are, as one number that only grows. */
  #progress() {
    return this.#session.outbox.acked + this.#session.inbox.received;
  }

  /**
   * A carrier has completed a round trip, and carries the session from here on.
   * @param {Attached} carrier
   * @param {string} reason
   */
  #carries(carrier, reason) {
    const now = this.#options.now();
    const from = this.#from;
    for (const other of this.#carriers) {
      if (other == carrier) continue;
      if (other.state == TRYING) {
        // In the opening race a request cannot be taken back: its answer is, when it comes.
        if (this.#state == "opening" ? other.kind == WEBSOCKET : other.number && other.number < carrier.number) this.#drop(other);
      } else {
        other.state = REPLACED;
        other.deadline = now + this.#options.lingerMs;
      }
    }
    carrier.state = ATTACHED;
    carrier.deadline = Infinity;
    this.#current = carrier;
    this.#from = carrier.kind;
    this.#connector.carries(carrier.kind, now);
    if (from != carrier.kind || this.#reason) this.fire("transport", { from: from || null, to: carrier.kind, reason });
    this.#reason = "";
  }

  /**
   * Give up a try that says nothing about its transport.
   * @param {Attached} carrier
   */
  #drop(carrier) {
    this.#carriers.delete(carrier);
    this.#connector.dropped(carrier.kind);
    carrier.io.close();
  }

  /**
   * Close a session that was opened by the slower one in the race.
   * @param {Attached} carrier
   * @param {string} text Its open packet.
   */
  #dismiss(carrier, text) {
    const { sid, holdfast } = decodeObject(text);
    this.#drop(carrier);
    if (sid == this.#session.sid) return;
    const attach = holdfast ? "7" + JSON.stringify({ key: holdfast.key, received: 0 }) + SEPARATOR : "";
    post(this.#options, this.#to(POLLING, sid), attach + "1").catch(() => {});
  }

  /**
   * @param {Attached} carrier
   * @param {Error} [error] Without one, it ended in order.
   */
  #ended(carrier, error) {
    const now = this.#options.now();
    const { kind, state } = carrier;
    if (kind == POLLING && state != TRYING && !error) {
      carrier.ended = true;
      if (carrier != this.#current) this.#carriers.delete(carrier);
      return;
    }
    this.#carriers.delete(carrier);
    this.#session.end(carrier.number);
    carrier.io.close();
    if (error instanceof RefusedError && this.#refused(carrier, error)) return;
    if (carrier == this.#current) {
      this.#current = undefined;
      this.#lostAt = now;
      this.#reason = error?.message ?? "ended";
      if (this.#session.plain) return this.#end(error ? "transport error" : "transport close", error);
      this.#connector.lost(kind, now, !error);
    } else if (state == TRYING || state == UPGRADING) {
      this.#connector.failed(kind, now);
      if (this.#state == "opening" && !this.#carriers.size && (this.#connector.rounds || this.#connector.deadline(now) == Infinity)) {
        this.#end("transport error", error);
      }
    }
  }

  /**
   * @param {Attached | undefined} carrier
   * @param {RefusedError} error
   * @returns {boolean} The session is over.
   */
  #refused(carrier, error) {
    const { code } = error;
    if (code == 0 && carrier && this.#state == "opening") this.#connector.refuse(carrier.kind);
    if (code == 6) {
      // The server has attached what races this one, and its answer did not come.
      for (const other of this.#carriers) if (other.state == TRYING && other.number) this.#ended(other, new HoldfastError("replaced"));
    }
    if (code == 0 || code > 5 || (code == 1 && this.#state != "open")) return false;
    this.#end(code == 3 ? "parse error" : "transport close", error);
    return true;
  }

  /**
   * @param {string} reason
   * @param {Error} [error]
   */
  #end(reason, error) {
    if (this.#state == "closed") return;
    this.#state = "closed";
    this.#options.clearTimeout(this.#timer);
    this.#unwatch();
    for (const { io } of this.#carriers) io.close();
    this.#carriers.clear();
    this.#current = undefined;
    const { outbox } = this.#session;
    const received = error instanceof RefusedError && Number.isSafeInteger(error.received) ? Number(error.received) : outbox.acked;
    this.fire("close", reason, { description: error, unconfirmed: outbox.after(received).map(({ meta, data }) => meta ?? data) });
  }

  /** @param {Attached} carrier There is reason to doubt it. */
  #probe(carrier) {
    const { now, probeMs } = this.#options;
    if (this.#session.plain) return;
    if (carrier.kind == POLLING) {
      // A poll proves itself by being answered: another one, that is not held, takes its place.
      carrier.io.close();
      this.#start(POLLING, carrier, 0);
      if (this.#current) this.#current.deadline = now() + probeMs;
      return;
    }
    carrier.probed = now();
    if (carrier.kind == WEBSOCKET) this.#control.push("2" + carrier.number);
    else this.#bring("2" + carrier.number);
  }

  /**
   * A POST that does not wait for the one in flight.
   * @param {string} control
   * @param {number} [carrier]
   */
  #bring(control, carrier) {
    this.#deliver(this.#session.note(control, carrier)).catch(() => {});
  }

  /**
   * @param {string} body
   * @throws {Error} The POST failed; if it was refused, what follows has been done.
   */
  async #deliver(body) {
    try {
      const text = await post(this.#options, this.#to(POLLING), body);
      if (this.#state == "closed" || this.#session.plain) return;
      if (text[0] != "7") throw new HoldfastError("not an answer to a POST");
      this.#session.answer(text.slice(1), 0, false, this.#options.now());
    } catch (error) {
      if (this.#state != "closed") {
        if (error instanceof RemoteProtocolError) this.#end("parse error", error);
        else if (error instanceof RefusedError) this.#refused(undefined, error);
      }
      throw error;
    } finally {
      this.#stepSoon();
    }
  }

  async #post() {
    const { now, retryMs, retryMaxMs } = this.#options;
    const control = [...this.#control];
    const { acked, last } = this.#session.outbox;
    const body = this.#session.post(this.#control, now());
    this.#posting = true;
    try {
      await this.#deliver(body);
      // Nothing of it was taken: as good as a failure, for what comes next.
      this.#postFailures = this.#session.outbox.acked > acked || last == acked ? 0 : this.#postFailures + 1;
    } catch (error) {
      this.#postFailures++;
      this.#control.unshift(...control);
      if (this.#session.plain) this.#end("transport error", /** @type {Error} */ (error));
      else if (this.#current && !this.#current.probed) this.#probe(this.#current);
    }
    this.#posting = false;
    this.#postAt = this.#postFailures ? now() + Math.min(retryMs * 2 ** this.#postFailures, retryMaxMs) : 0;
    this.#stepSoon();
  }

  /** What several messages sent in a row need only once. */
  #stepSoon() {
    if (this.#state == "closed" || this.#state == "new") return;
    queueMicrotask(() => this.#step());
  }

  /** Do what is due, and set the timer for what is due next. */
  #step() {
    if (this.#state == "closed" || this.#state == "new") return;
    const { now: clock, timeout, setTimeout, clearTimeout } = this.#options;
    const now = clock();
    for (const carrier of [...this.#carriers]) {
      if (carrier.deadline <= now) {
        if (carrier.state == REPLACED) this.#drop(carrier);
        else this.#ended(carrier, new HoldfastError("timeout"));
      }
    }
    const limit = this.#lostAt + (this.#state == "open" ? this.#session.grace : timeout);
    if (!this.#current && now >= limit) this.#end(this.#state == "open" ? "transport close" : "transport error", new HoldfastError("timeout"));
    this.#checkCurrent(now);
    for (const kind of this.#running() ? this.#connector.next(now) : []) this.#start(kind);
    this.#write(now);
    if (!this.#running()) return;
    clearTimeout(this.#timer);
    const at = Math.min(this.#current ? this.#deadline() : limit, this.#connector.deadline(now), ...[...this.#carriers].map(({ deadline }) => deadline));
    if (at < Infinity) this.#timer = setTimeout(() => this.#step(), Math.max(0, at - clock()));
  }

  #running() {
    return this.#state == "open" || this.#state == "opening";
  }

  /** @returns {number} When there is reason to doubt the current carrier, or silence has lasted too long. */
  #doubtAt() {
    const { pingInterval, pingTimeout, plain } = this.#session;
    const { heard, kind } = /** @type {Attached} */ (this.#current);
    const { doubtMs, lackMs } = this.#options;
    const silent = kind == POLLING && !plain ? Infinity : heard + pingInterval + pingTimeout;
    return Math.min(silent, this.#session.doubtful(doubtMs, lackMs));
  }

  /** @returns {number} */
  #deadline() {
    const { kind, probed } = /** @type {Attached} */ (this.#current);
    return Math.min(
      probed ? probed + this.#options.probeMs : this.#doubtAt(),
      kind == POLLING ? Infinity : this.#session.inbox.deadline(),
      this.#postAt || Infinity,
    );
  }

  /** @param {number} now */
  #checkCurrent(now) {
    const carrier = this.#current;
    if (!carrier || this.#state != "open") return;
    const { plain } = this.#session;
    if (carrier.probed) {
      if (now >= carrier.probed + this.#options.probeMs) this.#ended(carrier, new HoldfastError("probe unanswered"));
    } else if (now >= this.#doubtAt()) {
      if (plain) this.#end("ping timeout");
      // It answers probes, and yet nothing moves: the server has another in mind.
      else if (carrier.progress == this.#progress()) this.#ended(carrier, new HoldfastError("no progress"));
      else this.#probe(carrier);
    } else if (carrier.kind == STREAM && carrier.length > this.#options.rotateLength) {
      carrier.length = -Infinity;
      this.#start(STREAM, carrier);
    }
  }

  /**
   * @param {number} now
   * @returns {void}
   */
  #write(now) {
    const carrier = this.#current;
    if (!carrier || this.#state != "open") return;
    const { inbox, outbox } = this.#session;
    const { send, buffered } = carrier.io;
    if (send) {
      if (buffered && buffered() > BUFFER_BYTES) this.#postAt = now + 20;
      else {
        this.#postAt = 0;
        for (const frame of this.#session.frames(this.#control, now)) send(frame);
      }
      return;
    }
    const upgrading = [...this.#carriers].find(({ state }) => state == UPGRADING);
    if (upgrading) {
      if (!carrier.ended || this.#posting) return;
      upgrading.io.send?.("5");
      this.#session.upgrade();
      this.#carriers.delete(carrier);
      this.#carries(upgrading, "better");
      return this.#write(now);
    }
    if (carrier.ended) this.#start(POLLING, carrier);
    const due = this.#control.length || outbox.last > outbox.acked || (carrier.kind == STREAM && inbox.deadline() <= now);
    if (due && !this.#posting && now >= this.#postAt) this.#post();
  }
}
