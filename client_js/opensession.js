/**
 * The bare session, below the events: messages in order, each once, over whatever gets through.
 */
import { Emitter } from "./emitter.js";
import { HoldfastError } from "./errors.js";
import { Live } from "./live.js";

/** @typedef {import("./wire/packet.js").Data} Data */

/** Fires `open`, `message` (if nobody iterates), `transport` and `close`. */
export class OpenSession extends Emitter {
  #live;
  /** @type {Data[]} */
  #messages = [];
  /** @type {(() => void)[]} */
  #waiting = [];
  /** @type {{error?: Error} | undefined} */
  #closed;

  /**
   * @param {string} url
   * @param {Partial<import("./options.js").Options>} options
   */
  constructor(url, options) {
    super();
    this.#live = new Live(url, options);
    for (const name of ["open", "transport"]) this.#live.on(name, (...args) => this.fire(name, ...args));
    this.#live.on("message", (message) => {
      if (this.listeners("message").length) this.fire("message", message);
      else this.#messages.push(message);
      this.#wakeUp();
    });
    let wasOpen = false;
    this.#live.on("open", () => (wasOpen = true));
    this.#live.on("close", (reason, details) => {
      this.#closed = { error: wasOpen ? undefined : (details.description ?? new HoldfastError(reason)) };
      this.fire("close", reason, details);
      this.#wakeUp();
    });
    this.#live.open();
  }

  #wakeUp() {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** @returns {{name: string}} */
  get transport() {
    return this.#live.transport;
  }

  /**
   * @param {string | Uint8Array} message Text or bytes.
   * @throws {import("./errors.js").LocalProtocolError} It cannot be carried, or the session is closed.
   */
  send(message) {
    this.#live.send(message);
  }

  /** End the session, here and at the server. */
  close() {
    this.#live.close();
  }

  /** @returns {AsyncGenerator<Data, void, void>} The messages, until the session is closed. */
  async *[Symbol.asyncIterator]() {
    for (;;) {
      const message = this.#messages.shift();
      if (message !== undefined) yield message;
      else if (this.#closed?.error) throw this.#closed.error;
      else if (this.#closed) return;
      else await new Promise((resolve) => this.#waiting.push(() => resolve(undefined)));
    }
  }
}
