/**
 * One session shared by the sockets of all namespaces, opened again when it is lost.
 */
import { Connector } from "./connector.js";
import { Emitter } from "./emitter.js";
import { RefusedError } from "./errors.js";
import { Live } from "./live.js";
import { withDefaults } from "./options.js";
import { watchPage } from "./page.js";
import { Socket } from "./socket.js";
import { SocketDecoder } from "./wire/socketio.js";

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
 * @property {boolean} addTrailingSlash
 * @property {boolean} forceNew
 * @property {boolean} multiplex
 */
/** @typedef {Partial<import("./options.js").Options & EventOptions>} ManagerOptions */
/** @typedef {import("./options.js").Options & Partial<EventOptions>} Complete With the defaults of the session. */

/** Fires `open`, `close`, `error`, `ping`, `transport`, `reconnect_attempt`, `reconnect`, `reconnect_error`, `reconnect_failed`. */
export class Manager extends Emitter {
  /** @type {Complete} */
  opts;
  /** The session below the events. @type {Live | undefined} */
  engine;
  /** @type {Map<string, Socket>} */
  nsps = new Map();
  #url;
  #connector;
  #decoder = new SocketDecoder();
  #attempts = 0;
  /** @type {any} */
  #timer;
  #unwatch = () => {};
  /** @type {"closed" | "opening" | "open"} */
  _readyState = "closed";
  _reconnecting = false;

  /**
   * @param {string} url An origin.
   * @param {ManagerOptions} [opts]
   */
  constructor(url, opts = {}) {
    super();
    const slash = opts.addTrailingSlash === false ? "" : "/";
    const path = (opts.path ?? "/socket.io").replace(/\/$/, "") + slash;
    this.opts = { reconnection: true, ...withDefaults(opts), path };
    this.#url = url + path;
    this.#connector = new Connector(this.opts);
    if (opts.autoConnect !== false) this.open();
  }

  /**
   * @param {string} name
   * @param {import("./emitter.js").Listener} listener
   * @param {{signal?: AbortSignal}} [options]
   * @returns {this}
   */
  on(name, listener, options) {
    super.on(name, listener, options);
    return this;
  }

  /**
   * The socket of a namespace; always the same one.
   * @param {string} nsp
   * @param {{auth?: import("./socket.js").Auth}} [opts]
   * @returns {Socket}
   */
  socket(nsp, opts) {
    const socket = this.nsps.get(nsp) ?? new Socket(this, nsp, opts);
    this.nsps.set(nsp, socket);
    if (this.opts.autoConnect !== false) socket.connect();
    return socket;
  }

  /**
   * @param {(error?: Error) => void} [done] Without it, a failure leads to a reconnection, if those are wanted.
   * @returns {this}
   */
  open(done) {
    if (this._readyState != "closed") return this;
    this._readyState = "opening";
    const engine = (this.engine = new Live(this.#url, this.opts, this.#connector));
    this.#decoder = new SocketDecoder();
    engine.on("open", () => {
      this._readyState = "open";
      this.fire("open");
      this.nsps.forEach((socket) => socket._opened());
      done?.();
    });
    for (const name of ["ping", "transport"]) engine.on(name, (...args) => this.fire(name, ...args));
    engine.on("message", (message) => {
      try {
        const packet = this.#decoder.decode(message);
        if (packet) this.nsps.get(packet.nsp)?._packet(packet);
      } catch {
        engine.close("parse error");
      }
    });
    engine.on("close", (reason, details) => this.#closed(reason, details, done));
    engine.open();
    return this;
  }

  /**
   * @param {(error?: Error) => void} [done]
   * @returns {this}
   */
  connect(done) {
    return this.open(done);
  }

  /**
   * @param {string} reason
   * @param {{description?: Error, unconfirmed: any[]}} details
   * @param {(error?: Error) => void} [done]
   */
  #closed(reason, details, done) {
    const wasOpen = this._readyState == "open";
    const error = details.description ?? new Error(reason);
    this._readyState = "closed";
    // What the server refuses for good is not asked for again.
    const isFinal = error instanceof RefusedError && [2, 4, 5].includes(error.code);
    if (wasOpen) {
      for (const socket of this.nsps.values()) {
        const { connected } = socket;
        socket._closed(reason, details);
        // Its CONNECT was not answered and will not be sent again.
        if (isFinal && !connected) socket._failed(error);
      }
      this.fire("close", reason, details);
      if (reason != "forced close" && !isFinal) this.#reconnect();
    } else if (reason != "forced close") {
      if (isFinal) this.close();
      this.nsps.forEach((socket) => socket._failed(error));
      this.fire("error", error);
      if (isFinal) this._reconnecting = false;
      else if (done) done(error);
      else this.#reconnect();
    }
  }

  #reconnect() {
    const { opts } = this;
    const { reconnection, reconnectionAttempts = Infinity, reconnectionDelay = 1000, reconnectionDelayMax = 5000 } = opts;
    const { randomizationFactor = 0.5, random } = opts;
    if (!reconnection || this._reconnecting || !this.#isUsed()) return;
    if (this.#attempts >= reconnectionAttempts) {
      this.#attempts = 0;
      this.fire("reconnect_failed");
      return;
    }
    const delay = reconnectionDelay * 2 ** this.#attempts * (1 + randomizationFactor * (2 * random() - 1));
    this._reconnecting = true;
    const attempt = () => {
      this.#stop();
      if (!this._reconnecting) return;
      this.fire("reconnect_attempt", ++this.#attempts);
      if (!this._reconnecting) return;
      this.open((error) => {
        this._reconnecting = false;
        if (error) {
          this.#reconnect();
          this.fire("reconnect_error", error);
        } else {
          const attempts = this.#attempts;
          this.#attempts = 0;
          this.fire("reconnect", attempts);
        }
      });
    };
    this.#timer = opts.setTimeout(attempt, Math.min(delay, reconnectionDelayMax));
    if (opts.page) this.#unwatch = watchPage((isNewNetwork) => isNewNetwork && attempt(), () => {});
  }

  #stop() {
    this.opts.clearTimeout(this.#timer);
    this.#unwatch();
  }

  /** End the session, and do not open it again until `open`. */
  close() {
    this._reconnecting = false;
    this.#attempts = 0;
    this.#stop();
    this.engine?.close();
  }

  disconnect() {
    this.close();
  }

  /** A socket is of no use any more; the session closes with the last one. */
  _release() {
    if (!this.#isUsed()) this.close();
  }

  #isUsed() {
    return [...this.nsps.values()].some(({ active }) => active);
  }
}
