/**
 * Listeners by name. What one of them throws reaches the page, and neither the others nor the session.
 */

/** @typedef {(...args: any[]) => void} Listener An event's arguments are the application's own. */

/**
 * Call the application, out of reach of the session.
 * @param {Listener} run
 * @param {any[]} args
 */
export const guard = (run, args) => {
  try {
    run(...args);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
};

export class Emitter {
  /** @type {Map<string, {run: Listener, listener: Listener}[]>} */
  #listeners = new Map();

  /**
   * @param {string} name
   * @param {Listener} listener
   * @param {{signal?: AbortSignal, run?: Listener, first?: boolean}} [options] `signal` removes the listener.
   * @returns {any} The undo; in `Socket` and `Manager` themselves, as Socket.IO has it.
   */
  on(name, listener, { signal, run = listener, first } = {}) {
    if (signal?.aborted) return () => {};
    const entry = { run, listener };
    const others = this.#listeners.get(name) ?? [];
    this.#listeners.set(name, first ? [entry, ...others] : [...others, entry]);
    const undo = () => this.#keep(name, (other) => other != entry);
    signal?.addEventListener("abort", undo, { once: true });
    return undo;
  }

  /**
   * @param {string} name
   * @param {Listener} listener
   * @param {{signal?: AbortSignal}} [options]
   * @returns {any} As `on`.
   */
  once(name, listener, options) {
    const run = (/** @type {any[]} */ ...args) => {
      this.#keep(name, (other) => other.run != run);
      listener(...args);
    };
    return this.on(name, listener, { ...options, run });
  }

  /**
   * Remove one listener, all of a name, or all.
   * @param {string} [name]
   * @param {Listener} [listener]
   * @returns {this}
   */
  off(name, listener) {
    if (name === undefined) this.#listeners.clear();
    else this.#keep(name, (other) => !!listener && other.listener != listener);
    return this;
  }

  /**
   * @param {string} name
   * @returns {Listener[]}
   */
  listeners(name) {
    return (this.#listeners.get(name) ?? []).map(({ listener }) => listener);
  }

  /**
   * @param {string} name
   * @param {any[]} args
   */
  fire(name, ...args) {
    for (const { run } of this.#listeners.get(name) ?? []) guard(run, args);
  }

  /**
   * @param {string} name
   * @param {(entry: {run: Listener, listener: Listener}) => boolean} keep
   */
  #keep(name, keep) {
    this.#listeners.set(name, (this.#listeners.get(name) ?? []).filter(keep));
  }
}
