/**
 * The other names of the same listeners, and lists of catch-all listeners.
 */
import { guard } from "../emitter.js";

/** @typedef {import("../emitter.js").Listener} Listener */

/**
 * @template {import("../emitter.js").Emitter<any, any, any>} One
 * @param {One} emitter
 */
export const addAliases = (emitter) => {
  const { on, once, off, listeners } = emitter;
  /** @type {(add: Listener) => (...args: any[]) => One} */
  const chained =
    (add) =>
    (...args) => (add(...args), emitter);
  const add = chained(on);
  Object.assign(emitter, {
    on: add,
    once: chained(once),
    addEventListener: add,
    removeEventListener: off,
    removeListener: off,
    removeAllListeners: off,
    hasListeners: (/** @type {string} */ name) => !!listeners(name).length,
  });
};

/**
 * Listeners to every event, one way.
 * @param {object} socket
 * @param {string} way What the names of the methods end with.
 * @returns {(args: any[]) => void} Tell them.
 */
export const addCatchAll = (socket, way) => {
  /** Applications may change it. @type {Listener[]} */
  const list = [];
  Object.assign(socket, {
    ["onAny" + way]: (/** @type {Listener} */ listener) => (list.push(listener), socket),
    ["prependAny" + way]: (/** @type {Listener} */ listener) => (list.unshift(listener), socket),
    ["offAny" + way]: (/** @type {Listener} */ listener) => {
      // What is not there is at the end of the list, and nothing is removed.
      if (listener) list.splice(list.indexOf(listener) >>> 0, 1);
      else list.length = 0;
      return socket;
    },
    ["listenersAny" + way]: () => list,
  });
  return (args) => {
    for (const listener of [...list]) guard(listener.bind(socket), args);
  };
};
