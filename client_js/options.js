/**
 * Every number and every part that can be exchanged, with its default. Times in ms.
 */

import { KINDS } from "./wire/kinds.js";

/**
 * @typedef {object} Environment What a browser has, and a test or an old Node brings.
 * @property {any} [WebSocket] The constructor; `any`, for each library types its own.
 * @property {typeof globalThis.fetch} [fetch]
 * @property {ReadStream} [readStream] Reads a streaming response, where the body of a `fetch` cannot be read as it comes.
 * @property {() => number} now
 * @property {() => number} wall The time of day, in ms.
 * @property {(run: () => void, ms: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 * @property {() => number} random
 * @property {Pick<Storage, "getItem" | "setItem" | "removeItem"> | null} [storage] Where is kept what does not work in this network; null for nowhere.
 * @property {() => string} network Something that differs where the network does, as far as the browser tells.
 * @property {any} [locks] The locks of the browser's tabs, where these share six connections to a server.
 */

/**
 * @callback ReadStream
 * @param {Options} options
 * @param {string} url
 * @param {import("./transports/http.js").Init} init
 * @param {() => void} start The head of the response is here.
 * @param {(text: string) => void} feed
 * @returns {Promise<void>} Until its end.
 */

/**
 * @typedef {object} SessionOptions
 * @property {string} path Where the server is.
 * @property {boolean} [addTrailingSlash] Only `false` leaves it out.
 * @property {import("./wire/kinds.js").Kind[]} transports Those allowed; their order says nothing.
 * @property {Record<string, string>} [query] Added to every URL. Nothing secret: URLs are logged.
 * @property {Record<string, string>} [extraHeaders] On fetch requests, and on a WebSocket where the constructor takes them.
 * @property {boolean} [withCredentials]
 * @property {number} bufferSize Characters and bytes of messages that may wait to be sent and acknowledged; what would go beyond is refused.
 * @property {number} timeout To open a session.
 * @property {number} answerMs For the answer to an attach or a POST; a poll gets it beyond the time it is held.
 * @property {number} doubtMs For the oldest message to be acknowledged, and for what the server says it has written to arrive.
 * @property {number} probeMs For the answer to a probe: of what carries, or of what is better and might.
 * @property {number[]} laterMs Pauses between tries of a transport that failed, while another carries.
 * @property {number} usefulMs A carrier that dies younger has been of no use; of the last resort, within a fifth of it.
 * @property {number} demoteMs How long a transport rests after two such deaths.
 * @property {number} rotateLength A stream is replaced after so many characters.
 * @property {boolean} page Whether to watch the page's life.
 */

/** @typedef {SessionOptions & Environment} Options */

/** Only a page's: elsewhere it is missing, or asked about on the console. */
const storage = () => {
  try {
    return globalThis.document && globalThis.localStorage;
  } catch {
    return undefined;
  }
};

/**
 * @param {any} defaults
 * @param {any} [options] What is undefined in them is not given.
 */
const complete = (defaults, options = {}) => {
  for (const name in options) if (options[name] !== undefined) defaults[name] = options[name];
  return defaults;
};

/**
 * What a session by WebSocket alone asks for.
 * @param {Partial<Options>} [options]
 * @returns {any} Options.
 */
export const withSomeDefaults = (options) =>
  complete(
    {
      path: "/socket.io",
      bufferSize: 1e7,
      timeout: 20000,
      answerMs: 5000,
      usefulMs: 5000,
      probeMs: 2000,
      doubtMs: 2000,
      page: true,
      WebSocket: globalThis.WebSocket,
      now: () => (globalThis.performance ?? Date).now(),
      setTimeout: (/** @type {() => void} */ run, /** @type {number} */ ms) => setTimeout(run, ms),
      clearTimeout: (/** @type {any} */ timer) => clearTimeout(timer),
      random: Math.random,
      wall: Date.now,
      network: () => /** @type {any} */ (globalThis.navigator)?.connection?.type ?? "",
    },
    options,
  );

/**
 * @param {Partial<Options>} [options]
 * @returns {Options}
 */
export const withDefaults = (options) =>
  complete(
    withSomeDefaults({
      transports: KINDS,
      laterMs: [5000, 15000, 30000, 60000],
      demoteMs: 30000,
      rotateLength: 8e6,
      fetch: globalThis.fetch,
      storage: storage(),
      locks: globalThis.location && globalThis.AbortController && globalThis.navigator?.locks,
    }),
    options,
  );

/**
 * @param {number} tries That came to nothing.
 * @param {() => number} random
 * @returns {number} How long to pause, in ms.
 */
export const pause = (tries, random) => Math.min(50 * 2 ** tries, tries < 14 ? 700 : 2000) * (0.5 + random());
