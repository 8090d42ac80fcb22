/**
 * One session shared by the sockets of all namespaces, opened again when it is lost.
 */
import { isOffline, statusOf } from "./alike.js";
import { Emitter } from "./emitter.js";
import { watchPage } from "./page.js";
import { Socket } from "./socket.js";
import { json } from "./wire/socketio.js";

/** A server that goes away is stayed away from so long at most. */
const LONGEST_MS = 600_000;

/**
 * @typedef {object} EventOptions
 * @property {import("./socket.js").Auth} auth
 * @property {boolean} autoConnect
 * @property {boolean} reconnection
 * @property {number} reconnectionAttempts
 * @property {number} reconnectionDelay In ms.
 * @property {number} reconnectionDelayMax
 * @property {number} randomizationFactor
 * @property {number} ackTimeout For every `emit` with a callback, unless `timeout` says another.
 * @property {import("./wire/socketio.js").Codec} codec How events are written, if the server agrees; JSON without one.
 * @property {boolean} forceNew
 * @property {boolean} multiplex
 */
/** @typedef {Partial<import("./options.js").Options & EventOptions>} ManagerOptions */
/** @typedef {import("./options.js").Options & Partial<EventOptions>} Complete With the defaults of the session. */

/**
 * @typedef {object} ManagerEvents
 * @property {[]} open
 * @property {[reason: string, details: import("./live.js").Details]} close
 * @property {[error: Error]} error It could not be opened.
 * @property {[]} ping
 * @property {[change: import("./live.js").Change]} transport
 * @property {[status: import("./live.js").Status]} status
 * @property {[attempt: number]} reconnect_attempt
 * @property {[attempts: number]} reconnect
 * @property {[error: Error]} reconnect_error
 * @property {[]} reconnect_failed
 */

/**
 * What it knows and does is the constructor's own.
 * @extends {Emitter<ManagerEvents, keyof ManagerEvents, Manager>}
 */
export class Manager extends Emitter {
  /** The session below the events. @type {import("./live.js").Live | undefined} */
  engine;
  /** @type {Map<string, Socket<any, any>>} */
  nsps = new Map();
  /** `closed`: there is no session, and none will be opened without being asked for. @type {import("./live.js").Status} */
  status = "closed";
  /** While a session is open. @type {InstanceType<import("./wire/socketio.js").Codec["Decoder"]> | undefined} @internal */
  _decoder;
  /** @internal */
  _reconnecting = false;

  /**
   * @param {string} url An origin.
   * @param {import("./options.js").Options} given With their defaults.
   * @param {typeof import("./live.js").Live} Engine The driver of a session.
   * @param {typeof import("./connector.js").Connector} Known What one session learns of the network for the next.
   * @param {typeof Socket} [OneSocket]
   */
  constructor(url, given, Engine, Known, OneSocket = Socket) {
    super(true);
    const { nsps } = this;
    /** @type {Complete} */
    const opts = (this.opts = { reconnection: true, ...given });
    const { codec = json } = opts;
    const isOther = codec.name != "json";
    if (isOther) opts.query = { codec: codec.name + ",json", ...opts.query };
    /** Of the session, or of the next one as far as is known. @internal */
    this._codec = codec;
    /** Of the network. @internal */
    const known = (this._known = new Known(opts, url + opts.path));
    let attempts = 0;
    /** When the last session was opened; and how many in a row have not lived for long. */
    let openedAt = 0;
    let short = 0;
    /** Whether the application has closed it, or the server has for good. */
    let isEnding = false;
    /** @type {any} */
    let timer;
    let unwatch = () => {};

    /**
     * The socket of a namespace; always the same one.
     * @template {import("./socket.js").EventsMap} [Listen=import("./socket.js").DefaultEvents]
     * @template {import("./socket.js").EventsMap} [Emit=Listen]
     * @param {string} nsp
     * @param {{auth?: import("./socket.js").Auth}} [own]
     * @returns {Socket<Listen, Emit>}
     */
    this.socket = (nsp, own) => {
      const socket = nsps.get(nsp) ?? new OneSocket(this, nsp, own);
      nsps.set(nsp, socket);
      if (opts.autoConnect !== false) socket.connect();
      return /** @type {any} */ (socket);
    };

    /**
     * @param {(error?: Error) => void} [done] Without it, a failure leads to a reconnection, if those are wanted.
     * @returns {this}
     */
    this.open = this.connect = (done) => {
      if (below() == "closed") {
        stop();
        start(done);
      }
      return this;
    };

    /** @param {(error?: Error) => void} [done] */
    const start = (done) => {
      isEnding = false;
      const engine = (this.engine = new Engine(url, opts, known));
      engine.on("open", () => {
        // A standard server grants nothing: what it speaks is settled elsewhere.
        this._codec = isOther && engine._session.codec == "json" ? json : codec;
        this._decoder = new this._codec.Decoder();
        this.fire("open");
        nsps.forEach((socket) => socket._opened());
        openedAt = opts.now();
        done?.();
        attempts = 0;
      });
      engine.on("ping", () => this.fire("ping"));
      engine.on("transport", (change) => this.fire("transport", change));
      // The end of a session is not the end of it all before that is decided.
      engine.on("status", (status) => status == "closed" || tellStatus());
      engine.on("message", (message) => {
        try {
          const packet = this._decoder?.decode(message);
          if (packet) nsps.get(packet.nsp)?._packet(packet);
        } catch {
          engine.close("parse error");
        }
      });
      engine.on("close", (reason, details) => {
        const wasEnding = isEnding;
        const wasOpen = this._decoder;
        this._decoder = undefined;
        const error = details.description ?? new Error(reason);
        // What the server refuses for good is not asked for again.
        const isFinal = [2, 4, 5].includes(/** @type {any} */ (error).code);
        if (isFinal) this.close();
        // For good: a CONNECT that was not answered will not be sent again.
        if (wasOpen ? isFinal : !wasEnding) nsps.forEach((socket) => socket.active && !socket.connected && socket.fire("connect_error", error));
        if (wasOpen) {
          // All of them are disconnected before the first one says so.
          for (const tell of [...nsps.values()].map((socket) => socket._closed(reason, details))) tell();
          this.fire("close", reason, details);
        } else if (!wasEnding) {
          this.fire("error", error);
        }
        // What is closed at once each time must not be opened again and again without a pause.
        if (wasOpen) short = opts.now() - openedAt < opts.usefulMs ? short + 1 : 0;
        if (!wasOpen && !wasEnding && !isEnding && done) done(error);
        // A server that has forgotten the session is there.
        else reconnect(wasOpen && /** @type {any} */ (error).code == 1 && short < 2, /** @type {any} */ (error).retry);
        settle(reason);
      });
      tellStatus();
      engine.open();
    };

    /** @param {string} reason Why there is no session now. */
    const settle = (reason) => {
      // Nothing will be sent before somebody asks for it.
      if (below() == "closed" && !this._reconnecting) nsps.forEach((socket) => socket.active && socket._settle(reason));
      tellStatus();
    };

    /** What is below says `closed` before it ends. */
    const below = () => this.engine?.status ?? "closed";

    const tellStatus = () => {
      const status = below() == "closed" && this._reconnecting ? statusOf("opening") : below();
      if (status == this.status) return;
      this.status = status;
      this.fire("status", status);
    };

    /**
     * @param {boolean} [isThere] The server was heard a moment ago.
     * @param {number} [retry] When it wants to be asked again.
     */
    const reconnect = (isThere, retry = 0) => {
      const { reconnection, reconnectionAttempts = Infinity, reconnectionDelay = 1000, reconnectionDelayMax = 5000, randomizationFactor = 0.5, random } = opts;
      if (!reconnection || isEnding || below() != "closed" || this._reconnecting || !isUsed()) return;
      if (attempts >= reconnectionAttempts) {
        attempts = 0;
        this.fire("reconnect_failed");
        return;
      }
      const delay = Math.min(reconnectionDelay * 2 ** Math.max(attempts, short - 1) * (1 - randomizationFactor + 2 * randomizationFactor * random()), reconnectionDelayMax);
      this._reconnecting = true;
      const attempt = () => {
        stop();
        this._reconnecting = true;
        this.fire("reconnect_attempt", ++attempts);
        if (!this._reconnecting) return;
        start((error) => {
          this._reconnecting = false;
          if (error) {
            reconnect();
            this.fire("reconnect_error", error);
          } else this.fire("reconnect", attempts);
        });
      };
      timer = opts.setTimeout(attempt, Math.min(Math.max(retry, isThere ? delay / 10 : delay), LONGEST_MS));
      unwatch = watchPage(opts, () => (isOffline() ? tellStatus() : attempt()));
    };

    /** Do not open again by itself. */
    const stop = () => {
      this._reconnecting = false;
      opts.clearTimeout(timer);
      unwatch();
    };

    /** End the session, and do not open it again until `open`. */
    this.close = this.disconnect = () => {
      isEnding = true;
      attempts = 0;
      stop();
      this.engine?.close();
      settle("forced close");
    };

    /**
     * @returns What to ask a user for who cannot connect: which ways were tried, with what outcome, and how it stands. Plain
     *   values, without secrets.
     */
    this.inspect = () => ({
      status: this.status,
      transport: this.transport,
      url,
      userAgent: globalThis.navigator?.userAgent,
      ...known.inspect(),
      ...this.engine?.inspect(),
    });

    /** A socket is of no use any more; the session closes with the last one. @internal */
    this._release = () => isUsed() || this.close();

    const isUsed = () => [...nsps.values()].some(({ active }) => active);

    if (opts.autoConnect !== false) this.open();
  }

  /** What carries the session now, or "". */
  get transport() {
    return this.engine?.writable ? this.engine.transport.name : "";
  }

  /** How long the last round trip took that was measured, in ms. */
  get rtt() {
    return this._known.rtt;
  }
}
