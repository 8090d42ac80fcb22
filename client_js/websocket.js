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

/** @typedef {import("./manager.js").ManagerOptions} ManagerOptions */
/**
 * @template {import("./socket.js").EventsMap} Listen
 * @template {import("./socket.js").EventsMap} Emit
 * @typedef {import("./socket.js").Socket<Listen, Emit>} Typed
 */
/** @typedef {import("./socket.js").DefaultEvents} DefaultEvents */
/** @typedef {import("./socket.js").EventsMap} EventsMap */

/** One session shared by the sockets of all namespaces, opened again when it is lost. */
export class Manager extends Base {
  /**
   * @param {string} url An origin.
   * @param {ManagerOptions} [opts]
   */
  constructor(url, opts) {
    super(url, withSomeDefaults(opts), /** @type {any} */ (Single), /** @type {any} */ (Attempts));
  }
}

/**
 * A socket, connected to the namespace that the URL's path names.
 * @type {<Listen extends EventsMap = DefaultEvents, Emit extends EventsMap = Listen>(url?: string | ManagerOptions, opts?: ManagerOptions) => Typed<Listen, Emit>}
 */
export const io = /* @__PURE__ */ /** @type {any} */ (createIo(Manager));

export { io as connect };
