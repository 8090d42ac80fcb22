/**
 * The bare session, below the events: messages in order, each once, over whatever gets through.
 */
import { Connector } from "./connector.js";
import { HoldfastError, LocalProtocolError } from "./errors.js";
import { Live } from "./live.js";
import { resolve } from "./lookup.js";
import { withDefaults } from "./options.js";

export { HoldfastError, LocalProtocolError, RefusedError, RemoteProtocolError } from "./errors.js";

/** @typedef {import("./wire/packet.js").Data} Data */

/** Its messages come by `message`, or else by iteration. */
export class OpenSession extends Live {
  /**
   * @param {string} origin
   * @param {Partial<import("./options.js").Options>} [options]
   */
  constructor(origin, options) {
    const all = withDefaults(options);
    super(origin, all, new Connector(all, origin + all.path));
    const { fire } = this;
    /** @type {Data[]} */
    const messages = [];
    let size = 0;
    /** @type {((value?: any) => void)[]} */
    const waiting = [];
    /** @type {{error?: Error} | undefined} */
    let closed;

    // Not by listeners of its own, that `off` would remove.
    this.fire = (/** @type {string} */ name, /** @type {any[]} */ ...args) => {
      if (name == "message" && !this.listeners(name).length) {
        size += args[0].length + 1;
        if (size > all.bufferSize) this.close("buffer", new LocalProtocolError(`buffer: ${size}, limit ${all.bufferSize}`));
        else messages.push(args[0]);
      }
      // Without an id, it was never open.
      if (name == "close") closed = { error: this.id && args[0] != "buffer" ? undefined : (args[1].description ?? new HoldfastError(args[0])) };
      fire(name, ...args);
      for (const wake of waiting.splice(0)) wake();
    };

    /** @returns {AsyncGenerator<Data, void, void>} The messages, until the session is closed. */
    this[Symbol.asyncIterator] = async function* () {
      for (;;) {
        if (messages.length) {
          const message = /** @type {Data} */ (messages.shift());
          size -= message.length + 1;
          yield message;
        } else if (closed?.error) throw closed.error;
        else if (closed) return;
        else await new Promise((resolve) => waiting.push(resolve));
      }
    };

    /**
     * @param {Data | ArrayBuffer} data Sent as soon as something carries, and again until the server has it.
     * @throws {import("./errors.js").LocalProtocolError} It cannot be carried, too much waits already (`bufferSize`), or the session
     *   is closed; nothing was sent.
     */
    this.send = (data) => this._send([data], undefined, all.bufferSize);

    this.open();
  }
}

/**
 * A session without events: what is sent arrives in order and once, over whatever gets through.
 * @param {string} [url] With the server's path, if it is not the usual one.
 * @param {Partial<import("./options.js").Options>} [opts]
 * @returns {OpenSession}
 */
export const openSession = (url = "/", opts) => {
  const { origin, pathname } = resolve(url);
  return new OpenSession(origin, pathname == "/" ? opts : { path: pathname, ...opts });
};
