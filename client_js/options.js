/**
 * Every number and every part that can be exchanged, with its default. Times in ms.
 */

/**
 * @typedef {object} Environment What a browser has, and a test or an old Node brings.
 * @property {any} [WebSocket] The constructor; `any`, for each library types its own.
 * @property {typeof globalThis.fetch} [fetch]
 * @property {any} [XMLHttpRequest]
 * @property {() => number} now
 * @property {(run: () => void, ms: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 * @property {() => number} random
 */

/**
 * @typedef {object} SessionOptions
 * @property {string} [path]
 * @property {string[]} transports Those allowed: of "websocket", "stream", "polling".
 * @property {Record<string, string>} [query] Added to every URL. Nothing secret: URLs are logged.
 * @property {Record<string, string>} [extraHeaders] On fetch requests, and on a WebSocket where the constructor takes them.
 * @property {boolean} [withCredentials]
 * @property {number} timeout To open a session.
 * @property {number} raceMs Head start of the WebSocket before polling starts too.
 * @property {number} attemptMs For one attach to be answered.
 * @property {number} streamProbeMs For the small event that proves a stream.
 * @property {number} socketProbeMs For a WebSocket's first answer, while another carrier delivers.
 * @property {number} doubtMs For the oldest message to be acknowledged.
 * @property {number} lackMs For what the server says it has written to arrive.
 * @property {number} probeMs For the answer to a probe of the current carrier.
 * @property {number} postMs For the answer to a POST.
 * @property {number} pollMs What a poll gets beyond the time it is held.
 * @property {number} retryMs First pause between attaches while nothing carries; doubles.
 * @property {number} retryMaxMs
 * @property {number[]} laterMs Pauses between tries of a transport that failed, while another carries.
 * @property {number} usefulMs A carrier that dies younger has been of no use.
 * @property {number} demoteMs How long a transport rests after two such deaths.
 * @property {number} lingerMs How long a replaced carrier is still read.
 * @property {number} rotateLength A stream is replaced after so many characters.
 * @property {boolean} page Whether to watch the page's life.
 */

/** @typedef {SessionOptions & Environment} Options */

/** The kinds of transport, best first. */
export const KINDS = ["websocket", "stream", "polling"];

/**
 * @param {Partial<Options>} [options]
 * @returns {Options}
 */
export const withDefaults = (options) => ({
  transports: KINDS,
  timeout: 20000,
  raceMs: 250,
  attemptMs: 5000,
  postMs: 5000,
  pollMs: 5000,
  usefulMs: 5000,
  laterMs: [5000, 15000, 30000, 60000],
  demoteMs: 30000,
  streamProbeMs: 1500,
  lackMs: 1500,
  socketProbeMs: 2000,
  probeMs: 2000,
  doubtMs: 2000,
  lingerMs: 2000,
  retryMaxMs: 2000,
  retryMs: 50,
  rotateLength: 8e6,
  page: true,
  WebSocket: globalThis.WebSocket,
  fetch: globalThis.fetch,
  XMLHttpRequest: globalThis.XMLHttpRequest,
  now: () => performance.now(),
  setTimeout: (run, ms) => setTimeout(run, ms),
  clearTimeout: (timer) => clearTimeout(timer),
  random: Math.random,
  ...options,
});
