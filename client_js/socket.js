/**
 * One namespace as the application sees it: events, acknowledgements, and whether it is connected.
 */
import { Emitter, guard } from "./emitter.js";
import { AbortError, DisconnectedError, EventError, HoldfastError, LocalProtocolError, TimeoutError, check, checkSize } from "./errors.js";
import { sizeOf } from "./session/session.js";
import { isObject } from "./wire/packet.js";
import { ACK, CONNECT, CONNECT_ERROR, DISCONNECT, EVENT, isEvent } from "./wire/socketio.js";

/** @typedef {import("./emitter.js").Listener} Listener */
/** @typedef {import("./wire/packet.js").Data} Data */
/** @typedef {import("./wire/socketio.js").SocketPacket} SocketPacket */
/** @typedef {object | ((done: (auth: object) => void) => void) | (() => object | Promise<object>)} Auth A function is called for each connection. */
/** @typedef {{volatile?: boolean, timeout?: number, signal?: AbortSignal}} Flags */
/** @typedef {{nsp: string, args: any[], id?: number, frames: Data[], codec: import("./wire/socketio.js").Codec, length: number, taker?: import("./live.js").Live, answered?: (error: Error | null, reply?: any[]) => void}} Emitted `codec`: what `frames` are written in; `taker`: the session that took it. */

/** The reason of who has left by itself. */
const LEFT = "io client disconnect";
/** So many packets may come before the answer to CONNECT. */
const EARLY = 1e5;
/** The event by which the server asks for `auth` again. */
const REAUTHENTICATE = "reauthenticate";

/**
 * @typedef {object} SocketEvents
 * @property {[]} connect
 * @property {[error: Error & {data?: any}]} connect_error `data` is what the server's refusal carried.
 * @property {[reason: string, details?: import("./live.js").Details]} disconnect `unconfirmed`: the arguments of each event, name first.
 */

// Typed events, as programs for socket.io-client have them: `Socket<ServerToClient, ClientToServer>`.
/** @typedef {Record<string, any>} EventsMap Name -> listener. */
/** @typedef {Record<string, Listener>} DefaultEvents */
/**
 * @template Map
 * @template {keyof Map} Name
 * @typedef {Map[Name] extends (...args: infer Args) => any ? Args : any[]} Arguments
 */
/**
 * @template Listen
 * @typedef {string extends keyof Listen ? SocketEvents : SocketEvents & {[Name in Exclude<keyof Listen, keyof SocketEvents>]: Arguments<Listen, Name>}} Heard
 */
/**
 * @template Listen
 * @typedef {string extends keyof Listen ? string : keyof Heard<Listen> & string} HeardNames
 */
/** @template {any[]} List @typedef {List extends [...any[], infer Last] ? Last : any} LastOf */
/** @template {any[]} List @typedef {List extends [...infer Rest, any] ? Rest : any[]} WithoutLast */
/**
 * What comes first, after the error if there is one.
 * @template Ack
 * @typedef {Ack extends (...args: infer Args) => any ? Args extends [Error | null, infer Answer, ...any[]] ? Answer : Args extends [infer Answer, ...any[]] ? Answer : any : any} AnswerOf
 */
/**
 * With a time limit or a signal, an acknowledgement's first argument is an error or null.
 * @template {any[]} List
 * @typedef {{[Index in keyof List]: List[Index] extends (...args: infer Args) => infer Result ? (...args: ErrorFirst<Args>) => Result : List[Index]}} WithError
 */
/**
 * Once, for whoever has both; what may be anything is not an error.
 * @template {any[]} Args
 * @typedef {Args extends [infer First, ...any[]] ? (0 extends 1 & First ? true : [First] extends [Error | null] ? false : true) extends true ? [error: Error | null, ...Args] : Args : [error: Error | null, ...Args]} ErrorFirst
 */
/**
 * @template Map
 * @typedef {{[Name in keyof Map]: Map[Name] extends (...args: infer Args) => infer Result ? (...args: WithError<Args>) => Result : Map[Name]}} Limited
 */

/**
 * Fires what the server emits too. What it knows and does is the constructor's own.
 * @template {EventsMap} [Listen=DefaultEvents] What the server emits.
 * @template {EventsMap} [Emit=Listen] What is emitted here.
 * @extends {Emitter<Heard<Listen>, HeardNames<Listen>, Socket<Listen, Emit>>}
 */
export class Socket extends Emitter {
  connected = false;
  /** Whether the server has restored what was there before (a standard server's connection state recovery). */
  recovered = false;
  /** Public, and another one after each connect. @type {string | undefined} */
  id;
  /** Whether it is connected, or will be without being asked. */
  active = false;
  /** What waits to be connected. @type {Emitted[]} */
  sendBuffer = [];
  /** Of the next event. @type {Flags} @internal */
  _flags = {};

  /**
   * @param {import("./manager.js").Manager} io
   * @param {string} nsp
   * @param {{auth?: Auth}} [own]
   */
  constructor(io, nsp, own) {
    super(true);
    this.io = io;
    this.nsp = nsp;
    this.auth = own?.auth;
    const { opts } = io;
    /** Of a standard server's recovery. @type {unknown} */
    let pid;
    let offset = "";
    let nextId = 0;
    /** What came before the answer to CONNECT, while that is owed. @type {SocketPacket[] | undefined} */
    let early;
    /** Whether this session has connected it before: what comes before the answer may be meant for that. @type {boolean | undefined} */
    let wasHere;
    /** How often it was to be connected; an answer of `auth` to an earlier time counts no more. */
    let round = 0;
    /** What waits for an answer; `answered` is told of it, or that there is none. @type {Map<number | undefined, Emitted>} */
    const acks = new Map();
    /** The size of `sendBuffer`; or more, because what leaves it is not taken off at once. */
    let waiting = 0;
    const any = new Emitter();

    /**
     * @param {number} type
     * @param {any} [data]
     * @param {number} [id]
     */
    const encode = (type, data, id) => io._codec.encode({ type, nsp, data, id });

    /**
     * @param {{frames: Data[], taker?: import("./live.js").Live}} event Comes back if it stays unconfirmed.
     * @param {number} [bufferSize]
     */
    const send = (event, bufferSize) => {
      event.taker = io.engine;
      event.taker?._send(event.frames, event, bufferSize);
    };

    /**
     * @param {number} type
     * @param {any} [data]
     * @param {number} [id]
     */
    const write = (type, data, id) => send({ frames: encode(type, data, id) });

    /** @param {Emitted} event To be sent when connected. */
    const keep = (event) => {
      // What is known of the server from before is better than nothing.
      event.frames = io.engine?._session.prepare(event.frames) ?? event.frames;
      waiting += event.length = sizeOf(event.frames);
      if (waiting > opts.bufferSize) waiting = sizeOf([...this.sendBuffer, event]);
      checkSize(waiting, opts.bufferSize, "buffer");
      this.sendBuffer.push(event);
    };

    /**
     * Nobody waits for an event any more: it is not sent, if it has not been yet.
     * @param {Emitted} event
     * @returns {import("./errors.js").Delivery}
     */
    const withdraw = (event) => {
      this.sendBuffer = this.sendBuffer.filter((other) => other != event);
      return !event.taker || event.taker._session.outbox.withdraw(event) ? "not delivered" : "unknown";
    };

    /** @returns {this} */
    this.connect = this.open = () => {
      if (!this.connected) {
        this.active = true;
        if (!io._reconnecting) io.open();
        this._opened();
      }
      return this;
    };

    /** @returns {this} */
    this.disconnect = this.close = () => {
      if (this.connected) write(DISCONNECT);
      end(LEFT);
      return this;
    };

    /**
     * The next event's acknowledgement has a time limit, and its callback an error first.
     * @param {number} timeout In ms.
     * @returns {Socket<Listen, Limited<Emit>>}
     */
    this.timeout = (timeout) => {
      this._flags.timeout = timeout;
      return /** @type {any} */ (this);
    };

    /**
     * The next event's acknowledgement is waited for until the signal comes; its callback has an error first.
     * @param {AbortSignal} signal
     * @returns {Socket<Listen, Limited<Emit>>}
     */
    this.signal = (signal) => {
      this._flags.signal = signal;
      return /** @type {any} */ (this);
    };

    /**
     * @param {any[]} args
     * @returns {this}
     */
    this.send = (...args) => /** @type {any} */ (this).emit("message", ...args);

    /**
     * Send an event, or keep it until connected.
     * @template {keyof Emit & string} Name
     * @param {Name} name
     * @param {Arguments<Emit, Name>} args A function at the end is called with the acknowledgement.
     * @returns {this}
     * @throws {LocalProtocolError} It cannot be sent, or too much waits already (`bufferSize`).
     */
    this.emit = (name, ...args) => emit(typeof args.at(-1) == "function" ? args.pop() : undefined, [name, ...args]);

    /**
     * Send an event and wait for its acknowledgement.
     * @template {keyof Emit & string} Name
     * @param {Name} name
     * @param {WithoutLast<Arguments<Emit, Name>>} args
     * @returns {Promise<AnswerOf<LastOf<Arguments<Emit, Name>>>>} What the handler answered.
     * @throws {EventError} The handler failed.
     * @throws {TimeoutError} Only after `timeout(ms)`.
     * @throws {AbortError} Only after `signal(signal)`.
     * @throws {DisconnectedError} The socket was disconnected meanwhile.
     */
    this.emitWithAck = (name, ...args) =>
      new Promise((resolve, reject) => {
        const run = (/** @type {Error | null} */ error, /** @type {any} */ reply) => {
          const failure = reply?.error;
          if (error) reject(error);
          else if (typeof failure?.message == "string" && Object.keys(reply).length == 1) reject(new EventError(failure));
          else resolve(reply);
        };
        emit(run, [name, ...args], true);
      });

    /**
     * @param {Listener | undefined} run
     * @param {any[]} args
     * @param {boolean} [takesError] Whether its first argument is an error, or null, even without a timeout.
     */
    const emit = (run, args, takesError) => {
      const { volatile, signal, timeout = opts.ackTimeout } = this._flags;
      this._flags = {};
      if (!isEvent(args[0])) throw new LocalProtocolError("bad name: " + args[0]);
      const id = run && nextId++;
      /** @type {Emitted} */
      const event = { nsp, args, id, frames: encode(EVENT, args, id), codec: io._codec, length: 0 };
      // First what can fail: a caller that meets an exception has sent nothing and waits for nothing.
      const isDropped = volatile && !(this.connected && io.engine?._carried(true));
      if (!isDropped) {
        if (this.connected) send(event, opts.bufferSize);
        else keep(event);
      }
      if (run) {
        const isTimed = timeout !== undefined;
        /** @type {(Kind: typeof TimeoutError, message: string) => () => void} */
        const giveUp = (Kind, message) => () => event.answered?.(new Kind(message, withdraw(event), signal?.reason));
        const abort = giveUp(AbortError, "aborted");
        // What a timer cannot count to is no limit.
        const timer = /** @type {number} */ (timeout) < 2 ** 31 && opts.setTimeout(giveUp(TimeoutError, "timeout"), /** @type {number} */ (timeout));
        event.answered = (error, reply = []) => {
          acks.delete(id);
          opts.clearTimeout(timer);
          signal?.removeEventListener("abort", abort);
          if (takesError || isTimed || signal) guard(run, [error, ...reply]);
          else if (!error) guard(run, reply);
        };
        acks.set(id, event);
        signal?.addEventListener("abort", abort);
        // Nothing of it has been written yet.
        if (signal?.aborted) abort();
        if (isDropped) queueMicrotask(giveUp(DisconnectedError, "dropped"));
      }
      return this;
    };

    /** @param {any} auth A function either calls back or gives it back. */
    const ask = async (auth) =>
      typeof auth != "function" ? auth : auth.length ? new Promise((resolve, reject) => auth(resolve)?.then?.((/** @type {any} */ value) => value && resolve(value), reject)) : auth();

    /** The session is open: ask for the namespace. @internal */
    this._opened = () => {
      const mine = ++round;
      const isOver = () => mine != round || !this.active || this.connected || early || !io._decoder;
      if (isOver()) return;
      ask(this.auth)
        .then((auth) => {
          if (isOver()) return;
          if (auth && !isObject(auth)) throw new LocalProtocolError("auth: no object");
          write(CONNECT, pid ? { pid, offset, ...auth } : (auth ?? undefined));
          early = [];
        })
        .catch((error) => isOver() || refuse(error));
    };

    /** @param {unknown} error It will not be connected, until it is asked to again. */
    const refuse = (error) => {
      if (!this.active || this.connected) return;
      this.active = false;
      this.fire("connect_error", error);
      if (!this.active) this._settle(/** @type {any} */ (error)?.message);
      io._release();
    };

    /** @param {string} reason */
    const end = (reason) => {
      this.active = false;
      this._closed(reason)();
      io._release();
    };

    /**
     * @param {string} reason
     * @param {import("./live.js").Details} [details]
     * @returns {() => void} Tell the application.
     * @internal
     */
    this._closed = (reason, details) => {
      const { connected } = this;
      // Without details the session goes on, and the answer will come.
      if (details) early = wasHere = undefined;
      this.connected = false;
      this.id = undefined;
      // What waits to be sent waits on, if it will be.
      const lost = [...acks.values()].filter(({ taker }) => taker || !details);
      return () => {
        if (connected) {
          const unconfirmed = details?.unconfirmed.filter((sent, index, all) => sent.nsp == nsp && sent != all[index + 1]).map(({ args }) => args);
          this.fire("disconnect", reason, details && { ...details, unconfirmed });
        }
        this._settle(reason, lost);
      };
    };

    /**
     * No answer will come.
     * @param {string} reason
     * @param {Emitted[]} [lost] Without it, to any event.
     * @internal
     */
    this._settle = (reason, lost = [...acks.values()]) => {
      // What was emitted before leaving goes out before that.
      for (const event of lost) event.answered?.(new DisconnectedError(reason, reason == LEFT && event.taker ? "unknown" : withdraw(event)));
    };

    /**
     * @param {SocketPacket} packet
     * @internal
     */
    this._packet = (packet) => {
      const { type, data, id } = packet;
      if (type == CONNECT) join(data ?? {});
      else if (type == CONNECT_ERROR) {
        early = undefined;
        refuse(Object.assign(new HoldfastError(data.message ?? data), { data: data.data }));
      } else if (early) {
        if (!wasHere) check(early.push(packet) <= EARLY);
      } else if (this.connected) {
        // What comes after a disconnect was sent before the server heard of it.
        if (type == DISCONNECT) end("io server disconnect");
        else if (type == ACK) acks.get(id)?.answered?.(null, data);
        else hear(data, id);
      }
    };

    /** @param {{sid?: unknown, pid?: unknown}} data */
    const join = (data) => {
      const packets = early;
      early = undefined;
      // It was disconnected meanwhile.
      if (!this.active) write(DISCONNECT);
      if (!this.active || this.connected) return;
      this.id = "" + data.sid;
      this.recovered = !!pid && pid === data.pid;
      pid = data.pid;
      this.connected = wasHere = true;
      packets?.forEach(this._packet);
      while (this.connected && this.sendBuffer[0]) {
        const event = /** @type {Emitted} */ (this.sendBuffer.shift());
        try {
          if (event.codec != io._codec) event.frames = encode(EVENT, event.args, event.id);
          send(event);
        } catch (error) {
          // Too long for this server, which could not be known before. Whoever emitted it is gone.
          event.answered?.(/** @type {Error} */ (error));
          io.fire("error", error);
        }
      }
      // One of all these may have been told to disconnect.
      if (this.connected) this.fire("connect");
    };

    /**
     * @param {any[]} args
     * @param {number} [id]
     */
    const hear = (args, id) => {
      if (pid && typeof args.at(-1) == "string") offset = args.at(-1);
      if (id !== undefined) {
        let { id: own } = this;
        const answer = (/** @type {any[]} */ ...data) => {
          // Nobody waits for it after another connect, nor for a second one.
          if (this.id === own) write(ACK, data, id);
          own = "";
        };
        args.push(answer);
        if (args[0] == REAUTHENTICATE && !this.listeners(/** @type {any} */ (REAUTHENTICATE)).length) {
          // That there is none is an answer too.
          ask(this.auth).catch(() => {}).then(answer);
        }
      }
      any.fire("in", ...args);
      this.fire(.../** @type {[any, ...any[]]} */ (args));
    };

    /**
     * Every event that comes, name first.
     * @param {Listener} listener
     */
    this.onAny = (listener) => {
      any.on("in", listener);
      return this;
    };

    /** @param {Listener} [listener] */
    this.offAny = (listener) => {
      any.off("in", listener);
      return this;
    };
  }

  get disconnected() {
    return !this.connected;
  }

  /** The next event is dropped if it cannot leave at once. */
  get volatile() {
    this._flags.volatile = true;
    return this;
  }
}
