/**
 * A session with its clock and its carriers: what the connector decides is done here, and what arrives is handed on.
 *
 * Every input - a packet, an end, a timer, a message to send - changes something and then calls `#step`, which does
 * whatever is due and sets the one timer for what is due next. There are no other timers and no other loops.
 */
import { ATTACHED, Carrier, OPENERS, POLLING, REPLACED, STREAM, TRYING, UPGRADING, WEBSOCKET } from "./carrier.js";
import { Connector } from "./connector.js";
import { Emitter } from "./emitter.js";
import { GapError, HoldfastError, LocalProtocolError, RefusedError, RemoteProtocolError } from "./errors.js";
import { withDefaults } from "./options.js";
import { watchPage } from "./page.js";
import { Poster } from "./poster.js";
import { Session } from "./session/session.js";
import { post } from "./transports/post.js";
import { SEPARATOR, decodeObject, decodePacket, packet } from "./wire/packet.js";

/** @typedef {import("./wire/packet.js").Data} Data */
/** A poll that is answered sooner, with nothing, was not held. */
const IDLE_MS = 1000;
/** For the answer of what the server has attached already. */
const HURRY_MS = 1000;
/** More than this waiting in a WebSocket is written later. */
const BUFFER_BYTES = 1e6;

export class Live extends Emitter {
  #options;
  #url;
  #connector;
  #session = new Session();
  #poster;
  /** @type {"new" | "opening" | "open" | "closed"} */
  #state = "new";
  /** @type {Set<Carrier>} */
  #carriers = new Set();
  /** What carries the session. @type {Carrier | undefined} */
  #current;
  /** The kind that carried last, and why it does not any more. */
  #from = "";
  #reason = "";
  #lostAt = 0;
  /** The number kept for polling while a WebSocket with the next one races it. */
  #reserved = 0;
  /** The highest number whose attach was sent. */
  #highest = 1;
  /** Encoded packets that do not wait behind messages. @type {string[]} */
  #control = [];
  #isDue = false;
  /** How many polls in a row were not held. */
  #idle = 0;
  /** When there may be room in the WebSocket again. */
  #roomAt = 0;
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
    this.#poster = new Poster(this.#options, this.#session, () => this.#to(POLLING));
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
    if (isNewNetwork || !this.#current) this.#connector.refresh(this.#options.now());
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
   * @param {Carrier} [previous] The poll before this one, or the stream to be replaced by another.
   * @param {number} [wait] How long the server may hold a poll.
   */
  #start(kind, previous, wait) {
    const now = this.#options.now();
    const session = this.#session;
    const { attemptMs, streamProbeMs, pollMs } = this.#options;
    // The opening race has the time that the application gives it.
    const carrier = new Carrier(kind, now, this.#state == "open" ? now + attemptMs : Infinity, session.inbox.received);
    carrier.heard = previous?.heard ?? now;
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
        if (!probe) this.#ask(carrier);
        attach = session.attachment(carrier.number, { probe: probe || undefined, wait: previous ? wait : kind == POLLING ? 0 : undefined });
      }
    }
    this.#carriers.add(carrier);
    const on = (/** @type {(value: any) => void} */ handle) => (/** @type {any} */ value = undefined) => {
      if (!this.#carriers.has(carrier)) return;
      handle(value);
      this.#stepSoon();
    };
    carrier.io = OPENERS[kind](this.#options, this.#to(kind), attach, {
      open: on(() => this.#opened(carrier)),
      data: on((data) => this.#heard(carrier, data)),
      end: on((error) => this.#ended(carrier, error)),
    });
  }

  /**
   * @param {string} kind
   * @param {Carrier} [previous]
   */
  #number(kind, previous) {
    // Polls go on under one number, so that a better carrier that is being probed meanwhile keeps a higher one.
    if (kind == POLLING && previous && previous.number > 1 && previous.number >= this.#highest) return previous.number;
    // A WebSocket that has sent its attach must not be overtaken by the poll that races it.
    if (!this.#current && this.#reserved && this.#isAsking()) return this.#reserved;
    return this.#session.attach();
  }

  /** @param {Carrier} carrier */
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

  /** Whether something better has sent its attach and waits for the answer. */
  #isAsking() {
    return [...this.#carriers].some(({ state, asked }) => state == TRYING && asked);
  }

  /** @param {Carrier} carrier Its attach is sent. */
  #ask(carrier) {
    carrier.asked = true;
    this.#highest = Math.max(this.#highest, carrier.number);
  }

  /** @param {Carrier} carrier A WebSocket, to be attached. */
  #attach(carrier) {
    this.#reserved = this.#current ? 0 : this.#session.attach();
    carrier.number = this.#session.attach();
    this.#ask(carrier);
    carrier.deadline = this.#options.now() + this.#options.attemptMs;
    carrier.io.send?.("7" + this.#session.attachment(carrier.number));
  }

  /**
   * @param {Carrier} carrier
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
   * @param {Carrier} carrier
   * @param {import("./wire/packet.js").Packet} packet
   */
  #packet(carrier, { type, data }) {
    const session = this.#session;
    const now = this.#options.now();
    const text = /** @type {string} */ (data);
    if (type == "0") {
      if (carrier.state != TRYING) throw new RemoteProtocolError("opened twice");
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
   * @param {Carrier} carrier
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
        this.#ask(carrier);
        this.#bring("", carrier);
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
   * @param {Carrier} carrier
   * @param {string} reason
   */
  #carries(carrier, reason) {
    const now = this.#options.now();
    const from = this.#from;
    for (const other of this.#carriers) {
      if (other == carrier) continue;
      if (other.state == TRYING) {
        other.deadline = Math.min(other.deadline, now + this.#options.attemptMs);
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
   * @param {Carrier} carrier
   */
  #drop(carrier) {
    this.#carriers.delete(carrier);
    this.#connector.dropped(carrier.kind);
    carrier.io.close();
  }

  /**
   * Close a session that was opened by the slower one in the race.
   * @param {Carrier} carrier
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
   * @param {Carrier} carrier
   * @param {Error} [error] Without one, it ended in order.
   */
  #ended(carrier, error) {
    const now = this.#options.now();
    const { kind, state } = carrier;
    if (kind == POLLING && state != TRYING && !error) {
      carrier.ended = true;
      if (carrier != this.#current) this.#carriers.delete(carrier);
      // Someone on the way may answer for the server, at once and with nothing: that must not become a busy loop.
      const isIdle = now - carrier.since < IDLE_MS && this.#session.inbox.received == carrier.received;
      this.#idle = isIdle ? this.#idle + 1 : 0;
      carrier.deadline = this.#idle > 2 ? now + Math.min(this.#options.retryMs * this.#idle, IDLE_MS / 2) : now;
      return;
    }
    this.#carriers.delete(carrier);
    this.#session.end(carrier.number);
    carrier.io.close();
    if (error instanceof RefusedError && this.#refused(carrier, error)) return;
    if (carrier == this.#current) {
      if (this.#isAsking()) {
        // The server ends what it replaces, and that can be heard before the answer of what replaces it.
        this.#hurry(now);
        carrier.ended = true;
        carrier.deadline = 0;
        carrier.error = error;
        return;
      }
      this.#current = undefined;
      this.#lostAt = now;
      this.#reason = error?.message ?? "ended";
      if (this.#session.plain) return this.#end(error && kind != WEBSOCKET ? "transport error" : "transport close", error);
      this.#connector.lost(kind, now, !error);
    } else if (state == TRYING || state == UPGRADING) {
      this.#connector.failed(kind, now);
      if (error instanceof RefusedError && error.code == 6) this.#hurry(now);
      if (this.#state == "opening" && !this.#carriers.size && (this.#connector.rounds || this.#connector.deadline(now) == Infinity)) {
        this.#end("transport error", error);
      }
    }
  }

  /**
   * What has been asked for is attached by now, if it gets through at all: its answer should be here soon.
   * @param {number} now
   */
  #hurry(now) {
    for (const other of this.#carriers) if (other.asked) other.deadline = Math.min(other.deadline, now + HURRY_MS);
  }

  /**
   * @param {Carrier | undefined} carrier
   * @param {RefusedError} error
   * @returns {boolean} Nothing else follows from it.
   */
  #refused(carrier, error) {
    const { code } = error;
    if (code == 0 && carrier && this.#state == "opening") this.#connector.refuse(carrier.kind);
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

  /** @param {Carrier} carrier There is reason to doubt it. */
  #probe(carrier) {
    const { now, probeMs } = this.#options;
    if (this.#session.plain) return;
    if (carrier.kind == POLLING) {
      // A poll proves itself by being answered: another one, that is not held, takes its place.
      this.#session.calm(now());
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
   * @param {Carrier} [carrier] To be attached with it.
   */
  #bring(control, carrier) {
    this.#follow(this.#poster.bring(this.#session.note(control, carrier?.number)), (error) => {
      if (carrier?.state == TRYING) this.#ended(carrier, error);
    });
  }

  #post() {
    this.#follow(this.#poster.pump(this.#control), (error) => {
      if (this.#session.plain) this.#end("transport error", error);
      else if (this.#current && !this.#current.probed) this.#probe(this.#current);
    });
  }

  /**
   * @param {Promise<void>} posted
   * @param {(error: Error) => void} failed
   */
  #follow(posted, failed) {
    posted
      .catch((error) => {
        if (this.#state == "closed") return;
        if (error instanceof RemoteProtocolError) this.#end("parse error", error);
        else if (!(error instanceof RefusedError && this.#refused(undefined, error))) failed(error);
      })
      .finally(() => this.#stepSoon());
  }

  /** One step for all that happens at once: messages sent in a row, a poll's answer and its end. */
  #stepSoon() {
    if (this.#isDue) return;
    this.#isDue = true;
    queueMicrotask(() => this.#step());
  }

  /** Do what is due, and set the timer for what is due next. */
  #step() {
    this.#isDue = false;
    if (!this.#running()) return;
    const { now: clock, timeout, setTimeout, clearTimeout } = this.#options;
    const now = clock();
    for (const carrier of [...this.#carriers]) {
      if (carrier.deadline <= now && !carrier.ended) {
        if (carrier.state == REPLACED) this.#drop(carrier);
        else this.#ended(carrier, new HoldfastError("timeout"));
      }
    }
    const ended = this.#current;
    if (ended?.ended && ended.kind != POLLING && !this.#isAsking()) this.#ended(ended, ended.error);
    const limit = this.#lostAt + (this.#state == "open" ? this.#session.grace : timeout);
    if (!this.#current && now >= limit) this.#end(this.#state == "open" ? "transport close" : "transport error", new HoldfastError("timeout"));
    this.#checkCurrent(now);
    this.#write(now);
    if (!this.#running()) return;
    // After the next poll: its number is lower than that of what is to take over from it.
    for (const kind of this.#connector.next(now)) this.#start(kind);
    clearTimeout(this.#timer);
    const deadlines = [...this.#carriers].map(({ ended, deadline }) => (ended && deadline <= now ? Infinity : deadline));
    const at = Math.min(this.#current ? this.#deadline(now) : limit, this.#connector.deadline(now), ...deadlines);
    if (at < Infinity) this.#timer = setTimeout(() => this.#step(), Math.max(0, Math.ceil(at - clock())));
  }

  #running() {
    return this.#state == "open" || this.#state == "opening";
  }

  /** @returns {number} When there is reason to doubt the current carrier, or silence has lasted too long. */
  #doubtAt() {
    const { pingInterval, pingTimeout, plain } = this.#session;
    const { heard, kind } = /** @type {Carrier} */ (this.#current);
    const { doubtMs, lackMs } = this.#options;
    const silent = kind == POLLING && !plain ? Infinity : heard + pingInterval + pingTimeout;
    return Math.min(silent, this.#session.doubtful(doubtMs, lackMs));
  }

  /**
   * @param {number} now
   * @returns {number} When the current carrier wants attention.
   */
  #deadline(now) {
    const { probed, kind, io } = /** @type {Carrier} */ (this.#current);
    const { next, busy } = this.#poster;
    // What cannot be written now must not set the timer to now.
    const blocked = io.send ? this.#roomAt : busy ? Infinity : next;
    const owed = io.send || kind == STREAM ? this.#session.inbox.deadline() : Infinity;
    const writes = blocked > now ? blocked : owed;
    return Math.min(probed ? probed + this.#options.probeMs : this.#doubtAt(), writes);
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
      const isFull = buffered && buffered() > BUFFER_BYTES;
      this.#roomAt = isFull ? now + 20 : 0;
      if (!isFull) {
        for (const frame of this.#session.frames(this.#control, now)) send(frame);
      }
      return;
    }
    const upgrading = [...this.#carriers].find(({ state }) => state == UPGRADING);
    if (upgrading) {
      if (!carrier.ended || this.#poster.busy) return;
      upgrading.io.send?.("5");
      this.#session.upgrade();
      this.#carriers.delete(carrier);
      this.#carries(upgrading, "better");
      return this.#write(now);
    }
    if (carrier.ended && carrier.deadline <= now && !this.#isAsking()) this.#start(POLLING, carrier);
    const due = this.#control.length || outbox.last > outbox.acked || (carrier.kind == STREAM && inbox.deadline() <= now);
    if (due && !this.#poster.busy && now >= this.#poster.next) this.#post();
  }
}
