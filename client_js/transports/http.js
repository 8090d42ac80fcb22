/**
 * What the HTTP transports share: a request, and what its answer says when it is not the one hoped for.
 */
import { HoldfastError, RefusedError } from "../errors.js";

/** @typedef {import("../options.js").Options} Options */

/**
 * Opens a carrier.
 * @callback Opener
 * @param {Options} options
 * @param {string} url
 * @param {string | undefined} attach A WebSocket says its own, when it is open.
 * @param {() => void} opened A WebSocket can be written to; the head of a stream is here.
 * @param {(data: import("../wire/packet.js").Data) => void} hear
 * @param {(error?: Error) => void} ended Without an error, in order.
 * @returns {Carrier}
 */

/**
 * @typedef {object} Carrier
 * @property {(data: import("../wire/packet.js").Data) => void} [send]
 * @property {number} [bufferedAmount] Bytes that have not left yet.
 * @property {() => void} close
 */

/**
 * @param {number} status
 * @param {string} text
 * @returns {Error} A refusal of the server's, or the word of someone on the way.
 */
export const toError = (status, text) => {
  try {
    const { code, message, received } = JSON.parse(text);
    // 408, 429 and 503 are about now, not for good, whatever the text says.
    if (code >= 0 && status < 414 && status != 408) return new RefusedError(code, message, received);
  } catch {
    // Not JSON: not from the server.
  }
  return new HoldfastError("HTTP " + status);
};

/**
 * @param {Options} options
 * @param {string} url
 * @param {RequestInit} init
 * @returns {Promise<Response>}
 * @throws {Error} It failed, or was refused.
 */
export const request = async ({ fetch, withCredentials }, url, init) => {
  if (!fetch) throw new HoldfastError("no fetch");
  // Called without a `this`, as browsers want it.
  const response = await fetch(url, {
    credentials: withCredentials ? "include" : undefined,
    cache: "no-store",
    // What the headers hold is for this server alone.
    redirect: "error",
    ...init,
  });
  if (!response.ok) throw toError(response.status, await response.text());
  return response;
};

/** @typedef {{headers?: Record<string, string>, signal?: AbortSignal}} Init */

/** @returns {AbortController} Where there is none, what is given up goes on, and nobody listens. */
export const createAbort = () => (globalThis.AbortController ? new AbortController() : /** @type {any} */ ({ abort() {} }));

/**
 * A GET as a carrier. It may go on telling after it was closed: whoever closed it does not listen any more.
 * @param {Options} options
 * @param {string | undefined} attach
 * @param {(error: Error) => void} failed
 * @param {(init: Init) => Promise<void>} read Tells its end itself, unless it fails.
 * @returns {Carrier}
 */
export const run = ({ extraHeaders }, attach, failed, read) => {
  const abort = createAbort();
  const headers = attach ? { ...extraHeaders, "Holdfast-Attach": attach } : extraHeaders;
  read({ headers, signal: abort.signal }).catch(failed);
  return { close: () => abort.abort() };
};
