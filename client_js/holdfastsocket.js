/**
 * A session in the shape of a WebSocket, for code that takes one: it gains the fallbacks, and outlives its connections.
 */
import { HoldfastError, RefusedError } from "./errors.js";
import { resolve } from "./lookup.js";
import { OpenSession } from "./opensession.js";

/** @typedef {Partial<import("./options.js").Options>} Options */
/** @typedef {(event: any) => any} Handler */

const CONNECTING = 0;
const OPEN = 1;
const CLOSING = 2;
const CLOSED = 3;

const TYPES = /** @type {const} */ (["open", "message", "error", "close"]);
/** RFC 6455, section 4.1: what a subprotocol's name may be. */
const TOKEN = /^[!#$%&'*+.^_`|~\w-]+$/;

/**
 * @param {string} message
 * @param {string} name
 */
const wrong = (message, name) => new DOMException(message, name);

/**
 * What a WebSocket sends of bytes is what they are now.
 * @param {ArrayBuffer | ArrayBufferView} data
 */
const copyOf = (data) =>
  ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice() : new Uint8Array(data.slice(0));

/**
 * @param {any} data
 * @returns {data is ArrayBuffer | ArrayBufferView}
 */
const isBinary = (data) => ArrayBuffer.isView(data) || data instanceof ArrayBuffer;

/** @param {any} data */
const sizeOf = (data) => data.size ?? data.byteLength ?? `${data}`.length;

/** @param {any} text @returns {string} */
const wellFormed = (text) => text.toWellFormed?.() ?? text.replace(/\p{Cs}/gu, "\ufffd");

/**
 * A WebSocket that gets through: the interface is the browser's, what carries it is a session.
 *
 * `close` comes when the session is over: a connection that is lost and found again is none.
 */
export class HoldfastSocket extends EventTarget {
  /** @readonly */ static CONNECTING = CONNECTING;
  /** @readonly */ static OPEN = OPEN;
  /** @readonly */ static CLOSING = CLOSING;
  /** @readonly */ static CLOSED = CLOSED;
  /** @readonly */ CONNECTING = CONNECTING;
  /** @readonly */ OPEN = OPEN;
  /** @readonly */ CLOSING = CLOSING;
  /** @readonly */ CLOSED = CLOSED;

  /** What `data` of a binary message is. @type {BinaryType} */
  binaryType = "blob";
  /** Always empty: what a session does to its messages is its own. */
  extensions = "";
  /** The session below: its `transport`, its `status`, and the events of both. @readonly @type {OpenSession} */
  session;
  /** @readonly @type {string} */
  url;
  /** @type {Handler | null} */ onopen = null;
  /** @type {Handler | null} */ onmessage = null;
  /** @type {Handler | null} */ onerror = null;
  /** @type {Handler | null} */ onclose = null;

  #state = CONNECTING;
  #protocol;
  /** What was sent when it could not be any more: a WebSocket counts it for ever. */
  #unsent = 0;
  /** Of blobs that are being read, and what was sent after them. */
  #reading = 0;
  /** @type {Promise<unknown> | undefined} */
  #queue;
  /** With what it closes. @type {[code: number, reason: string] | undefined} */
  #closing;

  /**
   * @param {string | URL} url Where the server is, by whatever scheme; a query becomes that of the requests.
   * @param {string | string[]} [protocols] The first one is spoken; the server is told all of them (`protocols` in the query).
   * @param {Options} [options] As of `openSession`.
   * @throws {DOMException} `SyntaxError`: it is no address, or no subprotocol.
   */
  constructor(url, protocols = [], options) {
    super();
    const names = [protocols].flat();
    if (names.some((name) => !TOKEN.test(name)) || new Set(names).size < names.length) throw wrong("not a subprotocol", "SyntaxError");
    let found;
    try {
      found = resolve(`${url}`);
    } catch {
      throw wrong("not an address", "SyntaxError");
    }
    const { origin, pathname, searchParams } = found;
    this.url = found.href.replace(/^http/, "ws");
    this.#protocol = names[0] ?? "";
    const query = { ...Object.fromEntries(searchParams), ...(names[0] && { protocols: names.join() }), ...options?.query };
    this.session = new OpenSession(origin, { ...(pathname != "/" && { path: pathname }), ...options, query });
    this.session.on("open", () => {
      // Who has closed it meanwhile hears of its end alone.
      if (this.#state > CONNECTING) return;
      this.#state = OPEN;
      this.#fire("open");
    });
    this.session.on("message", (data) => {
      if (this.#state == OPEN) this.#fire("message", { data: typeof data == "string" ? data : this.#binary(data), origin });
    });
    this.session.on("close", (reason, { description }) => this.#end(reason, description));
  }

  get readyState() {
    return this.#state;
  }

  /** The first subprotocol that was asked for. */
  get protocol() {
    return this.#state == CONNECTING ? "" : this.#protocol;
  }

  /** Bytes and characters that the server has not confirmed: unlike a WebSocket's, what is on its way is among them. */
  get bufferedAmount() {
    return this.session._session.outbox.size + this.#reading + this.#unsent;
  }

  /**
   * Nothing of it is lost while the session lives. More than `bufferSize` (10 MB) unconfirmed ends the session.
   * @param {string | ArrayBuffer | ArrayBufferView | Blob} data
   * @throws {DOMException} `InvalidStateError`: it is not open yet.
   */
  send(data) {
    if (this.#state == CONNECTING) throw wrong("still connecting", "InvalidStateError");
    if (this.#state > OPEN) this.#unsent += sizeOf(data);
    else if (data instanceof Blob || this.#queue) this.#sendLater(data);
    else if (isBinary(data)) this.#send(copyOf(data));
    else this.#send(`${data}`);
  }

  /**
   * What was sent before still goes out.
   * @param {number} [code] 1000, or 3000 to 4999: for the `close` event, and for the server, if it is one of ours.
   * @param {string} [reason]
   * @throws {DOMException} `InvalidAccessError`: another code. `SyntaxError`: the reason has more than 123 bytes.
   */
  close(code, reason = "") {
    // From 3000 to 4999, without `<`: shortened, comparisons are turned round, and NaN is then within all bounds.
    if (code !== undefined && code != 1000 && (code / 1000 + 1) >> 1 != 2) throw wrong("not a close code", "InvalidAccessError");
    if (new TextEncoder().encode(reason).length > 123) throw wrong("reason too long", "SyntaxError");
    if (this.#state >= CLOSING) return;
    /** @type {[number, string]} */
    const closing = [code ?? 1005, reason];
    // Before it is open, there is nothing to be closed in order.
    if (this.#state == OPEN) this.#closing = closing;
    this.#state = CLOSING;
    const word = "1" + JSON.stringify({ message: "closed " + closing.join(" ") });
    (this.#queue ?? Promise.resolve()).then(() => this.session.close(undefined, undefined, false, word));
  }

  /** @param {Uint8Array} data */
  #binary(data) {
    const bytes = /** @type {Uint8Array<ArrayBuffer>} */ (data.slice());
    return this.binaryType == "blob" ? new Blob([bytes]) : bytes.buffer;
  }

  /** @param {string | Uint8Array} data */
  #send(data) {
    try {
      // As a WebSocket does, where a lone surrogate cannot be said.
      this.session.send(typeof data == "string" ? wellFormed(data) : data);
    } catch (error) {
      this.#unsent += data.length;
      this.session.close("buffer", /** @type {Error} */ (error));
    }
  }

  /** @param {any} data A blob, or what comes after one. */
  #sendLater(data) {
    const size = sizeOf(data);
    const read = data instanceof Blob ? data.arrayBuffer().then((buffer) => new Uint8Array(buffer)) : isBinary(data) ? copyOf(data) : `${data}`;
    this.#reading += size;
    const sent = (this.#queue = Promise.all([read, this.#queue]).then(([bytes]) => {
      this.#reading -= size;
      if (this.session.readyState == "open") this.#send(bytes);
      else this.#unsent += size;
      if (this.#queue == sent) this.#queue = undefined;
    }));
  }

  /**
   * @param {string} reason
   * @param {Error} [error]
   */
  #end(reason, error) {
    // An end that the server has said, and nothing went wrong.
    const said = error instanceof RefusedError && /^closed ?(\d*) ?(.*)/s.exec(error.message);
    const [code, text] = this.#closing ?? (said ? [+said[1] || 1000, said[2]] : [1006, (error ?? new HoldfastError(reason)).message]);
    this.#state = CLOSED;
    queueMicrotask(() => {
      const wasClean = code != 1006;
      if (!wasClean) this.#fire("error", { message: text, error });
      this.#fire("close", { code, reason: text.slice(0, 123), wasClean });
    });
  }

  /**
   * @param {typeof TYPES[number]} type
   * @param {object} [members]
   */
  #fire(type, members) {
    const event = new Event(type);
    // Not by constructors of their own, which are not the same everywhere.
    for (const [name, value] of Object.entries(members ?? {})) Object.defineProperty(event, name, { value, enumerable: true });
    try {
      this[`on${type}`]?.call(this, event);
    } catch (error) {
      reportLater(error);
    }
    this.dispatchEvent(event);
  }
}

/** @param {unknown} error Of a handler: it reaches the page, and not the session. */
const reportLater = (error) =>
  queueMicrotask(() => {
    throw error;
  });
