/**
 * The Socket with what socket.io-client has besides: catch-all listeners both ways, retries, and Blobs as arguments.
 */
import { guard } from "../emitter.js";
import { DisconnectedError, TimeoutError } from "../errors.js";
import { Socket as Base } from "../socket.js";
import { addAliases, addCatchAll } from "./emitter.js";

/** @typedef {{ask: () => Promise<any[]>, done?: (error: any, ...reply: any[]) => void, timeout: number, tries: number}} Tried */
/** For an answer, with `retries` and without an `ackTimeout`. */
const ANSWER_MS = 10000;

/** @type {(value: any) => boolean} */
const hasBlob = (value) =>
  value instanceof Blob || (!!value && typeof value == "object" && !ArrayBuffer.isView(value) && Object.values(value).some(hasBlob));

/**
 * @param {any} value
 * @returns {Promise<any>} The same, with the bytes in place of each Blob.
 */
const withBytes = async (value) => {
  if (value instanceof Blob) return value.arrayBuffer();
  // What has none stays as it is, with its toJSON.
  if (!hasBlob(value)) return value;
  /** @type {any} */
  const copy = Array.isArray(value) ? [] : {};
  for (const key in value) copy[key] = await withBytes(value[key]);
  return copy;
};

export class Socket extends Base {
  /**
   * @param {import("./manager.js").Manager} io
   * @param {string} nsp
   * @param {any} [opts]
   */
  constructor(io, nsp, opts) {
    super(io, nsp, opts);
    const { emit, emitWithAck, fire, onAny } = this;
    const { retries, ackTimeout } = opts ?? {};
    /** What is sent again until it is answered; one at a time. @type {Tried[]} */
    const queue = [];
    let isTrying = false;
    /** How many events wait for the bytes of a Blob: theirs, or that of one before them. */
    let reading = 0;
    let before = Promise.resolve();

    const heard = addCatchAll(this, "");
    // Of the base class: one listener there tells all of these.
    onAny((...args) => heard(args));
    /** An event has left. @internal */
    this._told = addCatchAll(this, "Outgoing");
    addAliases(this);

    /** Not used: what is compressed is settled once for all, by the server and the browser. */
    this.compress = () => this;

    /**
     * @param {any[]} args
     * @param {(args: any[]) => void} send Called at once, unless there are Blobs.
     */
    const inOrder = (args, send) => {
      if (ackTimeout !== undefined) this._flags.timeout ??= ackTimeout;
      if (!reading && !hasBlob(args)) return send(args);
      const flags = this._flags;
      this._flags = {};
      reading++;
      const read = async (/** @type {Promise<void>} */ previous) => {
        await previous;
        try {
          args = await withBytes(args);
          this._flags = flags;
          send(args);
        } catch (error) {
          report(error);
        }
        reading--;
      };
      before = read(before);
    };

    /** @param {unknown} error Nobody is there to catch it. */
    const report = (error) =>
      guard(() => {
        throw error;
      }, []);

    /**
     * @param {Tried["ask"]} ask
     * @param {Tried["done"]} done
     */
    const retry = (ask, done) => {
      queue.push({ ask, done, timeout: this._flags.timeout ?? ANSWER_MS, tries: 0 });
      this._flags = {};
      drain();
    };

    const drain = async () => {
      const [first] = queue;
      if (!first || isTrying || !this.connected) return;
      isTrying = true;
      this._flags = { timeout: first.timeout };
      const result = await first.ask().catch((error) => [error]);
      const [error] = result;
      isTrying = false;
      // What was refused here or failed there is answered; only what came to nothing is sent again.
      const isOpen = error instanceof TimeoutError || error instanceof DisconnectedError;
      if (!isOpen || ++first.tries > retries) {
        queue.shift();
        if (first.done) guard(first.done, result);
        else if (error && !isOpen) report(error);
      }
      drain();
    };

    this.fire = (/** @type {string} */ name, /** @type {any[]} */ ...args) => {
      if (name == "connect") drain();
      fire(name, ...args);
    };

    this.emit = (/** @type {string} */ name, /** @type {any[]} */ ...args) => {
      inOrder(args, (args) => {
        if (!retries || this._flags.volatile) return emit(name, ...args);
        const done = typeof args.at(-1) == "function" ? args.pop() : undefined;
        // An error comes first here, because there is a timeout.
        const ask = () => new Promise((resolve) => emit(name, ...args, (/** @type {any[]} */ ...answer) => resolve(answer)));
        retry(ask, done);
      });
      return this;
    };

    this.emitWithAck = (/** @type {string} */ name, /** @type {any[]} */ ...args) =>
      new Promise((resolve, reject) =>
        inOrder(args, (args) => {
          const ask = () => emitWithAck(name, ...args);
          if (!retries) return resolve(ask());
          retry(
            () => ask().then((reply) => [null, reply]),
            (error, reply) => (error ? reject(error) : resolve(reply)),
          );
        }),
      );
  }
}
