/**
 * One namespace as the application sees it: events, acknowledgements, and whether it is connected.
 */
import { Emitter, guard } from "./emitter.js";
import { DisconnectedError, EventError, HoldfastError, LocalProtocolError, TimeoutError } from "./errors.js";
import { ACK, CONNECT, CONNECT_ERROR, DISCONNECT, EVENT, RESERVED, encodeSocketPacket } from "./wire/socketio.js";

/** @typedef {import("./emitter.js").Listener} Listener */
/** @typedef {import("./wire/socketio.js").SocketPacket} SocketPacket */
/** @typedef {object | ((done: (auth: object) => void) => void) | (() => Promise<object>)} Auth */
/** @typedef {{volatile?: boolean, timeout?: number}} Flags */
/**
 * @typedef {object} Ack
 * @property {Listener} run
 * @property {boolean} [takesError] Whether its first argument is an error, or null.
 * @property {any} [timer]
 */
/** @typedef {{nsp: string, args: any[]}} Sent What is handed back if it stays unconfirmed. */

/** Fires `connect`, `connect_error`, `disconnect`, and what the server emits. */
export class Socket extends Emitter {
  connected = false;
  /** Whether the server has restored what was there before (a standard server's connection state recovery). */
  recovered = false;
  /** Public, and another one after each connect. @type {string | undefined} */
  id;
  /** Whether it is connected, or will be without being asked. */
  active = false;
  /** @type {Auth | undefined} */
  auth;
  #pid = "";
  #offset = "";
  /** @type {Flags} */
  #flags = {};
  /** @type {Map<number, Ack>} */
  #acks = new Map();
  #nextId = 0;
  /** @type {{frames: import("./wire/packet.js").Data[], args: any[], id?: number}[]} */
  #unsent = [];
  /** What came before the answer to CONNECT. @type {SocketPacket[]} */
  #early = [];
  #any = new Emitter();

  /**
   * @param {import("./manager.js").Manager} io
   * @param {string} nsp
   * @param {{auth?: Auth}} [opts]
   */
  constructor(io, nsp, opts) {
    super();
    this.io = io;
    this.nsp = nsp;
    this.auth = opts?.auth;
  }

  get disconnected() {
    return !this.connected;
  }

  /**
   * @param {string} name
   * @param {Listener} listener
   * @param {{signal?: AbortSignal}} [options] `signal` removes the listener.
   * @returns {this}
   */
  on(name, listener, options) {
    super.on(name, listener, options);
    return this;
  }

  /** @returns {this} */
  connect() {
    if (this.active) return this;
    this.active = true;
    if (!this.io._reconnecting) this.io.open();
    if (this.io._readyState == "open") this._opened();
    return this;
  }

  /** @returns {this} */
  open() {
    return this.connect();
  }

  /** @returns {this} */
  disconnect() {
    if (this.connected) this.#write(encodeSocketPacket({ type: DISCONNECT, nsp: this.nsp }));
    this.#end("io client disconnect");
    return this;
  }

  /** @returns {this} */
  close() {
    return this.disconnect();
  }

  /** The next event is dropped if it cannot leave at once. */
  get volatile() {
    this.#flags.volatile = true;
    return this;
  }

  /**
   * The next event's acknowledgement has a time limit, and its callback an error first.
   * @param {number} timeout In ms.
   * @returns {this}
   */
  timeout(timeout) {
    this.#flags.timeout = timeout;
    return this;
  }

  /**
   * @param {any[]} args
   * @returns {this}
   */
  send(...args) {
    return this.emit("message", ...args);
  }

  /**
   * Send an event, or keep it until connected.
   * @param {string} name
   * @param {any[]} args A function at the end is called with the acknowledgement.
   * @returns {this}
   * @throws {LocalProtocolError} It cannot be sent.
   */
  emit(name, ...args) {
    const run = typeof args.at(-1) == "function" ? args.pop() : undefined;
    this.#emit([name, ...args], run);
    return this;
  }

  /**
   * Send an event and wait for its acknowledgement.
   * @param {string} name
   * @param {any[]} args
   * @returns {Promise<any>} What the handler answered.
   * @throws {EventError} The handler failed.
   * @throws {TimeoutError} Only after `timeout(ms)`.
   * @throws {DisconnectedError} The socket was disconnected meanwhile.
   */
  emitWithAck(name, ...args) {
    return new Promise((resolve, reject) => {
      const run = (/** @type {Error | null} */ error, /** @type {any} */ reply) => {
        const failure = reply?.error;
        if (error) reject(error);
        else if (typeof failure?.message == "string" && Object.keys(reply).length == 1) reject(new EventError(failure));
        else resolve(reply);
      };
      this.#emit([name, ...args], run, true);
    });
  }

  /**
   * @param {any[]} args
   * @param {Listener} [run]
   * @param {boolean} [takesError] Even without a timeout.
   */
  #emit(args, run, takesError) {
    const { volatile, timeout = this.io.opts.ackTimeout } = this.#flags;
    this.#flags = {};
    if (RESERVED.includes(args[0])) throw new LocalProtocolError(`"${args[0]}" is reserved`);
    const id = run && this.#nextId++;
    const frames = encodeSocketPacket({ type: EVENT, nsp: this.nsp, data: args, id });
    const isDropped = volatile && !(this.connected && this.io.engine?.writable());
    // First what can fail: a caller that meets an exception has sent nothing and waits for nothing.
    if (this.connected && !isDropped) this.#write(frames, args);
    if (run && id !== undefined) {
      /** @type {Ack} */
      const ack = { run, takesError: takesError || timeout !== undefined };
      this.#acks.set(id, ack);
      if (timeout !== undefined) {
        ack.timer = this.io.opts.setTimeout(() => {
          this.#unsent = this.#unsent.filter((unsent) => unsent.id != id);
          this.#settle(id, new TimeoutError("operation has timed out"));
        }, timeout);
      }
    }
    if (isDropped) return;
    if (!this.connected) this.#unsent.push({ frames, args, id });
    else this.#any.fire("out", ...args);
  }

  /**
   * @param {import("./wire/packet.js").Data[]} frames
   * @param {any[]} [args]
   */
  #write(frames, args) {
    const meta = args && { nsp: this.nsp, args };
    frames.forEach((frame, index) => this.io.engine?.send(frame, (index == frames.length - 1 && meta) || {}));
  }

  /**
   * @param {number} id
   * @param {Error | null} error
   * @param {any[]} [args]
   */
  #settle(id, error, args = []) {
    const ack = this.#acks.get(id);
    if (!ack) return;
    this.#acks.delete(id);
    this.io.opts.clearTimeout(ack.timer);
    if (ack.takesError) guard(ack.run, [error, ...args]);
    else if (!error) guard(ack.run, args);
  }

  /** The session is open: ask for the namespace. */
  _opened() {
    if (!this.active) return;
    const { engine } = this.io;
    const connect = (/** @type {any} */ auth) => {
      if (this.io.engine != engine || !this.active || this.connected) return;
      const data = this.#pid ? { pid: this.#pid, offset: this.#offset, ...auth } : auth;
      try {
        this.#write(encodeSocketPacket({ type: CONNECT, nsp: this.nsp, data: data ?? undefined }));
      } catch (error) {
        this._failed(/** @type {Error} */ (error));
      }
    };
    const { auth } = this;
    if (typeof auth != "function") return connect(auth);
    const result = auth(connect);
    if (result?.then) result.then(connect, (/** @type {Error} */ error) => this._failed(error));
  }

  /** @param {string} reason */
  #end(reason) {
    this.active = false;
    this._closed(reason);
    this.io._release();
  }

  /** @param {Error} error */
  _failed(error) {
    if (this.active && !this.connected) this.fire("connect_error", error);
  }

  /**
   * @param {string} reason
   * @param {{description?: Error, unconfirmed: any[]}} [details]
   */
  _closed(reason, details) {
    const unsent = this.#unsent.map(({ id }) => id);
    const { connected } = this;
    this.connected = false;
    this.id = undefined;
    if (connected) {
      const unconfirmed = details?.unconfirmed.filter(({ nsp }) => nsp == this.nsp).map(({ args }) => args);
      this.fire("disconnect", reason, details && { ...details, unconfirmed });
    }
    for (const id of this.#acks.keys()) {
      if (!unsent.includes(id)) this.#settle(id, new DisconnectedError("socket has been disconnected"));
    }
  }

  /** @param {SocketPacket} packet */
  _packet(packet) {
    const { type, data, id } = packet;
    if (type == CONNECT) this.#connected(data ?? {});
    else if (type == CONNECT_ERROR) {
      this.active = false;
      this.fire("connect_error", Object.assign(new HoldfastError(data.message ?? data), { data: data.data }));
      this.io._release();
    } else if (type == DISCONNECT) this.#end("io server disconnect");
    else if (!this.connected) this.#early.push(packet);
    else if (type == ACK) this.#settle(/** @type {number} */ (id), null, data);
    else this.#event(data, id);
  }

  /** @param {{sid?: unknown, pid?: unknown}} data */
  #connected({ sid, pid }) {
    if (this.connected) return;
    this.id = "" + sid;
    this.recovered = !!pid && this.#pid === pid;
    this.#pid = typeof pid == "string" ? pid : "";
    this.connected = true;
    for (const packet of this.#early.splice(0)) this._packet(packet);
    for (const { frames, args, id } of this.#unsent.splice(0)) {
      try {
        this.#write(frames, args);
        this.#any.fire("out", ...args);
      } catch (error) {
        // Too long for this server, which could not be known before. Whoever emitted it is gone.
        if (id !== undefined) this.#settle(id, /** @type {Error} */ (error));
        this.io.fire("error", error);
      }
    }
    this.fire("connect");
  }

  /**
   * @param {any[]} args
   * @param {number} [id]
   */
  #event(args, id) {
    if (this.#pid && typeof args.at(-1) == "string") this.#offset = args.at(-1);
    if (id !== undefined) {
      let isAnswered = false;
      args = [
        ...args,
        (/** @type {any[]} */ ...data) => {
          if (isAnswered) return;
          isAnswered = true;
          if (this.connected) this.#write(encodeSocketPacket({ type: ACK, nsp: this.nsp, id, data }));
        },
      ];
    }
    this.#any.fire("in", ...args);
    this.fire(args[0], ...args.slice(1));
  }

  /**
   * Every event that comes, name first.
   * @param {Listener} listener
   * @returns {this}
   */
  onAny(listener) {
    this.#any.on("in", listener);
    return this;
  }

  /**
   * @param {Listener} listener
   * @returns {this}
   */
  prependAny(listener) {
    this.#any.on("in", listener, { first: true });
    return this;
  }

  /**
   * @param {Listener} [listener]
   * @returns {this}
   */
  offAny(listener) {
    this.#any.off("in", listener);
    return this;
  }

  /**
   * Every event that leaves.
   * @param {Listener} listener
   * @returns {this}
   */
  onAnyOutgoing(listener) {
    this.#any.on("out", listener);
    return this;
  }

  /**
   * @param {Listener} listener
   * @returns {this}
   */
  prependAnyOutgoing(listener) {
    this.#any.on("out", listener, { first: true });
    return this;
  }

  /**
   * @param {Listener} [listener]
   * @returns {this}
   */
  offAnyOutgoing(listener) {
    this.#any.off("out", listener);
    return this;
  }
}
