/**
 * Events by iteration: `for await (const [text, answer] of eventsOf(socket, "chat", { signal }))`.
 */
import { DisconnectedError, LocalProtocolError } from "./errors.js";

/**
 * The events of a name, from now on, over all reconnections. They end when the signal comes or the application disconnects
 * the socket; who leaves the loop stops listening.
 * @template {import("./socket.js").EventsMap} Listen
 * @template {import("./socket.js").HeardNames<Listen>} Name
 * @param {import("./socket.js").Socket<Listen, any>} socket
 * @param {Name} name
 * @param {{signal?: AbortSignal, limit?: number}} [options] `limit`: how many may wait for the loop.
 * @returns {AsyncGenerator<import("./emitter.js").Args<import("./socket.js").Heard<Listen>, Name>, void, void>} Their arguments.
 * @throws {DisconnectedError} In the loop: the server has disconnected the socket.
 * @throws {Error} In the loop: the server or `auth` has refused to connect it, as `connect_error` has it.
 * @throws {LocalProtocolError} In the loop: more waited than the limit.
 */
export const eventsOf = (socket, name, { signal, limit = 1000 } = {}) => {
  /** @type {any[][]} */
  const waiting = [];
  const left = new AbortController();
  /** @type {unknown} */
  let failure;
  let wake = () => {};

  /** @param {unknown} [error] */
  const end = (error) => {
    failure = error;
    left.abort();
    wake();
  };
  /** @param {any[]} args */
  const take = (...args) => {
    if (waiting.push(args) > limit) end(new LocalProtocolError(`${limit + 1} events wait, limit ${limit}`));
    wake();
  };
  const abort = () => {
    waiting.length = 0;
    end();
  };
  /** @type {import("./socket.js").Socket} */ (/** @type {unknown} */ (socket))
    .on(name, take, left)
    .on("connect_error", (error) => socket.active || end(error), left)
    .on("disconnect", (reason) => socket.active || end(reason == "io client disconnect" ? undefined : new DisconnectedError(reason, "unknown")), left);
  signal?.addEventListener("abort", abort, left);
  if (signal?.aborted) abort();

  return /** @type {any} */ (async function* () {
    try {
      for (;;) {
        if (waiting.length) yield /** @type {any[]} */ (waiting.shift());
        else if (failure) throw failure;
        else if (left.signal.aborted) return;
        else await new Promise((resolve) => (wake = () => resolve(undefined)));
      }
    } finally {
      left.abort();
    }
  })();
};
