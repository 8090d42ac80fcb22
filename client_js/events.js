/**
 * Events by iteration: `for await (const [text, answer] of eventsOf(socket, "chat", { signal }))`.
 *
 * It is over with the signal, with the application's `disconnect` or `close`, and when nothing will be tried any more:
 * the socket was put out or refused, or the Manager has given up. What brought that about is said before the Manager is
 * closed in some cases, and after it in others, but always in one go: therefore it is judged a moment later.
 */
import { DisconnectedError, LocalProtocolError } from "./errors.js";

/** @typedef {{done: true, value: undefined}} Over */
/**
 * Unlike a generator, it can be left before it has begun, and while somebody waits in it.
 * @template Args
 * @typedef {AsyncIterable<Args> & {next: () => Promise<{done: false, value: Args} | Over>, return: () => Promise<Over>}} Events
 */

/** Who has brought it about is not told by an error. */
const OWN = ["io client disconnect", "forced close"];

/**
 * The events of a name, from now on, over all reconnections. They end when the signal comes, or when the application
 * disconnects the socket or closes its Manager; who leaves the loop stops listening. A socket that nobody has connected
 * yet is waited for.
 * @template {import("./socket.js").EventsMap} Listen
 * @template {import("./socket.js").HeardNames<Listen>} Name
 * @param {import("./socket.js").Socket<Listen, any>} socket
 * @param {Name} name
 * @param {{signal?: AbortSignal, limit?: number}} [options] `limit`: how many may wait for the loop.
 * @returns {Events<import("./emitter.js").Args<import("./socket.js").Heard<Listen>, Name>>} Their arguments.
 * @throws {DisconnectedError} In the loop: the server has disconnected the socket, or the session is lost and `reconnection`
 *   is off.
 * @throws {Error} In the loop: the server or `auth` has refused to connect it, or the last attempt has failed
 *   (`reconnect_failed`), as `connect_error` has it.
 * @throws {LocalProtocolError} In the loop: more waited than the limit.
 */
export const eventsOf = (socket, name, { signal, limit = 1000 } = {}) => {
  /** @type {any[][]} */
  const waiting = [];
  /** Who waits in `next`. @type {{resolve: (result: any) => void, reject: (error: unknown) => void}[]} */
  const asking = [];
  const left = new AbortController();
  const { io } = socket;
  /** @type {unknown} */
  let failure;
  /** What has just gone wrong, if another attempt does not follow. @type {unknown} */
  let latest;
  let wasActive = socket.active;

  const serve = () => {
    while (asking.length && (waiting.length || left.signal.aborted)) {
      const { resolve, reject } = /** @type {(typeof asking)[0]} */ (asking.shift());
      if (waiting.length) resolve({ done: false, value: waiting.shift() });
      else if (failure) {
        reject(failure);
        failure = undefined;
      } else resolve({ done: true, value: undefined });
    }
  };
  /** @param {unknown} [error] */
  const end = (error) => {
    if (!left.signal.aborted) failure = error;
    left.abort();
    serve();
  };
  /** @param {any[]} args */
  const take = (...args) => {
    if (waiting.push(args) > limit) end(new LocalProtocolError(`${limit + 1} events wait, limit ${limit}`));
    serve();
  };
  const abort = () => {
    waiting.length = 0;
    failure = undefined;
    end();
  };
  /** @param {unknown} [error] */
  const judge = (error) => {
    latest ??= error;
    queueMicrotask(() => {
      if (io.status == "closed" && wasActive) end(latest);
      latest = undefined;
    });
  };

  /** @type {import("./socket.js").Socket} */ (/** @type {unknown} */ (socket))
    .on(name, take, left)
    .on("connect", () => (wasActive = true), left)
    .on("connect_error", (error) => (socket.active ? judge(error) : end(error)), left)
    .on(
      "disconnect",
      (reason, details) => {
        const error = OWN.includes(reason) ? undefined : new DisconnectedError(reason, "unknown", details?.description);
        if (socket.active) judge(error);
        else end(error);
      },
      left,
    );
  io.on("status", () => {
    wasActive ||= socket.active;
    judge();
  }, left);
  signal?.addEventListener("abort", abort, left);
  if (signal?.aborted) abort();

  /** @type {any} */
  const events = {
    next: () =>
      new Promise((resolve, reject) => {
        asking.push({ resolve, reject });
        serve();
      }),
    return: async () => {
      abort();
      return { done: true, value: undefined };
    },
    [Symbol.asyncIterator]: () => events,
  };
  return events;
};
