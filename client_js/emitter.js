/**
 * Listeners by name. What one of them throws reaches the page, and neither the others nor the session.
 */

/** @typedef {(...args: any[]) => void} Listener An event's arguments are the application's own. */
/** @typedef {{signal?: AbortSignal, once?: boolean}} Terms Until when the listener is wanted. */
/** @typedef {{name: string, listener: Listener, once?: boolean, undo: () => void}} Entry */
/**
 * @template Events Name -> arguments, for the names that are known.
 * @template Name
 * @typedef {Name extends keyof Events ? Extract<Events[Name], any[]> : any[]} Args
 */

/**
 * Call the application, out of reach of the session.
 * @param {Listener} run
 * @param {any[]} args
 * @param {unknown} [self] Its `this`.
 */
export const guard = (run, args, self) => {
  try {
    run.apply(self, args);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
};

/**
 * @template [Events={}] Name -> arguments, for the names that are known.
 * @template {string} [Names=string] The names that there are.
 * @template [Undo=() => void] What `on` and `once` give back.
 */
export class Emitter {
  /** @param {boolean} [isChained] `on` and `once` give back the emitter itself, as Socket.IO has it, and not the undo. */
  constructor(isChained) {
    /** @type {Set<Entry>} */
    const entries = new Set();

    /** @param {string} [name] Those of all names without one. */
    const of = (name) => [...entries].filter((entry) => name === undefined || entry.name == name);

    /**
     * @template {Names} Name
     * @param {Name} name
     * @param {(...args: Args<Events, Name>) => void} listener
     * @param {Terms} [terms]
     * @returns {Undo}
     */
    this.on = (name, listener, { signal, once } = {}) => {
      const undo = () => {
        entries.delete(entry);
        signal?.removeEventListener("abort", undo);
      };
      const entry = { name, listener: /** @type {Listener} */ (listener), once, undo };
      if (!signal?.aborted) {
        entries.add(entry);
        signal?.addEventListener("abort", undo);
      }
      return /** @type {any} */ (isChained ? this : undo);
    };

    /**
     * @template {Names} Name
     * @param {Name} name
     * @param {(...args: Args<Events, Name>) => void} listener
     * @param {Terms} [terms]
     * @returns {Undo}
     */
    this.once = (name, listener, terms) => this.on(name, listener, { ...terms, once: true });

    /**
     * Remove one listener, all of a name, or all.
     * @param {Names} [name]
     * @param {Listener} [listener]
     */
    this.off = (name, listener) => {
      for (const entry of of(name)) if (!listener || entry.listener == listener) entry.undo();
      return this;
    };

    /**
     * @param {Names} name
     * @returns {Listener[]}
     */
    this.listeners = (name) => of(name).map(({ listener }) => listener);

    /**
     * @param {Names} name
     * @param {any[]} args
     * @internal
     */
    this.fire = (name, ...args) => {
      for (const { listener, once, undo } of of(name)) {
        if (once) undo();
        guard(listener, args, this);
      }
    };
  }
}
