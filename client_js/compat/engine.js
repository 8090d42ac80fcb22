/**
 * The session as `socket.io.engine` shows it: the events of engine.io-client, as far as they can be true.
 *
 * `drain` says more than there: the server has taken over all that was sent. (A standard server does not say that; then
 * it means that all was written.)
 */
import { Live } from "../live.js";
import { addAliases } from "./emitter.js";

export class Engine extends Live {
  /** The version of Engine.IO's protocol. */
  static protocol = 4;
  /** How bytes are handed on: as a Buffer in Node, and elsewhere as an ArrayBuffer. */
  binaryType = /** @type {any} */ (globalThis).process?.versions?.node ? "nodebuffer" : "arraybuffer";

  /**
   * @param {string} origin
   * @param {import("../options.js").Options & {_sent?: (meta: any) => void}} options `_sent` hears of each event that left.
   * @param {import("../connector.js").Connector} known
   */
  constructor(origin, options, known) {
    super(origin, options, known);
    const session = this._session;
    const { outbox } = session;
    const { _send } = this;
    const fire = /** @type {(name: string, ...args: any[]) => void} */ (this.fire);
    let flushed = 0;
    let drained = 0;

    /**
     * @param {string} type
     * @param {any} [data]
     */
    const note = (type, data) => {
      fire("packet", { type, data });
      fire("heartbeat");
    };

    /** @param {string} name What happened below, and is told before it. */
    const tell = (name, /** @type {any[]} */ args) => {
      const [value] = args;
      if (name == "open") {
        const { sid, transports: upgrades, pingInterval, pingTimeout, maxPayload } = session;
        const handshake = { sid, upgrades, pingInterval, pingTimeout, maxPayload };
        note("open", JSON.stringify(handshake));
        fire("handshake", handshake);
      } else if (name == "message") {
        if (typeof value != "string") {
          args[0] = this.binaryType == "nodebuffer" ? /** @type {any} */ (globalThis).Buffer.from(value.buffer) : value.buffer;
        }
        note(name, args[0]);
        fire("data", args[0]);
      } else if (name == "ping") {
        note(name);
        fire("packetCreate", { type: "pong" });
        fire("pong");
      } else if (name == "transport" && value.reason == "better") {
        fire("upgrading", this.transport);
        fire("upgrade", this.transport);
      } else if (value == "transport error") fire("error", args[1].description);
    };

    // Not by listeners of its own, that `off` would remove.
    this.fire = (/** @type {string} */ name, /** @type {any[]} */ ...args) => {
      tell(name, args);
      fire(name, ...args);
    };

    this._send = (/** @type {any[]} */ messages, /** @type {any} */ meta = {}, /** @type {number | undefined} */ bufferSize) => {
      _send(messages, meta, bufferSize);
      for (const data of messages) fire("packetCreate", { type: "message", data });
      options._sent?.(meta);
    };

    this._stepped = () => {
      const { last, acked, written } = outbox;
      if (written > flushed) {
        flushed = written;
        fire("flush");
      }
      if (acked > drained && acked == last) {
        drained = acked;
        fire("drain");
      }
    };

    addAliases(this);

    /**
     * @param {any} data
     * @param {unknown} [_options]
     * @param {() => void} [done] It has been written.
     */
    this.send = (data, _options, done) => {
      if (done) /** @type {any} */ (this).once("flush", done);
      this._send([data], undefined, options.bufferSize);
      return this;
    };
    // Quoted: `write` is also a name that the build shortens.
    this["write"] = this.send;
  }

  /** What the server has not taken over yet. */
  get writeBuffer() {
    return this._session.outbox.after(0).map(({ data }) => ({ type: "message", data }));
  }
}
