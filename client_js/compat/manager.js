/**
 * The Manager with socket.io-client's settings, options and events.
 */
import { Connector } from "../connector.js";
import { resolve } from "../lookup.js";
import { Manager as Base } from "../manager.js";
import { withDefaults } from "../options.js";
import { addAliases } from "./emitter.js";
import { Engine } from "./engine.js";
import { codecOf, toOwn } from "./options.js";
import { Socket } from "./socket.js";

export class Manager extends Base {
  /**
   * @param {any} [url] Or the options.
   * @param {any} [opts]
   */
  constructor(url, opts) {
    if (url && typeof url == "object") [url, opts] = ["", url];
    const { origin, searchParams } = resolve(url || "/");
    const own = toOwn(opts ?? {}, searchParams);
    own.codec = codecOf(own.parser, (packet) => this.fire(/** @type {any} */ ("packet"), packet));
    own._sent = (/** @type {{nsp: string, args?: any[]}} */ { nsp, args }) => args && /** @type {any} */ (this.nsps.get(nsp))?._told(args);
    super(origin, withDefaults(own), Engine, Connector, /** @type {any} */ (Socket));
    addAliases(this);
    const all = /** @type {any} */ (this.opts);
    const any = /** @type {any} */ (this);
    for (const name of ["reconnection", "reconnectionAttempts", "reconnectionDelay", "reconnectionDelayMax", "randomizationFactor", "timeout"]) {
      any[name] = (/** @type {any} */ value) => {
        // Of `timeout`, no limit.
        const isUnlimited = all[name] == Infinity && name == "timeout";
        if (value === undefined) return !isUnlimited && all[name];
        all[name] = name == "timeout" && value === false ? Infinity : value;
        // The attempt that waits is given up too.
        if (!all.reconnection && this._reconnecting && this.engine?.readyState == "closed") this.close();
        return this;
      };
    }
  }
}
