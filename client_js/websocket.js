/**
 * The client for where a WebSocket always gets through: the same names, and nothing that travels by HTTP.
 */
import { Attempts } from "./attempts.js";
import { createIo } from "./lookup.js";
import { Manager as Base } from "./manager.js";
import { withSomeDefaults } from "./options.js";
import { Single } from "./single.js";

export { Socket } from "./socket.js";
export {
  AbortError,
  DisconnectedError,
  EventError,
  HoldfastError,
  LocalProtocolError,
  RefusedError,
  RemoteProtocolError,
  TimeoutError,
} from "./errors.js";

/** One session shared by the sockets of all namespaces, opened again when it is lost. */
export class Manager extends Base {
  /**
   * @param {string} url An origin.
   * @param {import("./manager.js").ManagerOptions} [opts]
   */
  constructor(url, opts) {
    super(url, opts, /** @type {any} */ ({ Engine: Single, Known: Attempts, withDefaults: withSomeDefaults }));
  }
}

/** A socket, connected to the namespace that the URL's path names. */
export const io = /* @__PURE__ */ createIo(Manager);

export { io as connect };
