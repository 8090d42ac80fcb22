/**
 * What the HTTP transports share: a request, and what its answer says when it is not the one hoped for.
 */
import { HoldfastError, RefusedError } from "../errors.js";

/** @typedef {import("../options.js").Options} Options */

/**
 * @typedef {object} Handlers What a carrier tells; after `end`, or after we closed it, nothing more.
 * @property {() => void} open A WebSocket can be written to; the head of a stream is here.
 * @property {(data: import("../wire/packet.js").Data) => void} data
 * @property {(error?: Error) => void} end Without an error, it ended in order.
 */

/**
 * @typedef {object} Carrier
 * @property {(data: import("../wire/packet.js").Data) => void} [send]
 * @property {() => number} [buffered] Bytes that have not left yet.
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
    if (Number.isInteger(code)) return new RefusedError(code, String(message), received);
  } catch {
    // Not JSON: not from the server.
  }
  return new HoldfastError("HTTP " + status);
};

/**
 * @param {Options} options
 * @param {string} [attach]
 * @returns {Record<string, string>}
 */
export const toHeaders = (options, attach) =>
  attach ? { ...options.extraHeaders, "Holdfast-Attach": attach } : options.extraHeaders;

/**
 * @param {Options} options
 * @param {string} url
 * @param {RequestInit} init
 * @returns {Promise<Response>}
 * @throws {Error} It failed, or was refused.
 */
export const request = async ({ fetch, withCredentials }, url, init) => {
  if (!fetch) throw new HoldfastError("no fetch");
  const response = await fetch(url, {
    credentials: withCredentials ? "include" : "same-origin",
    cache: "no-store",
    ...init,
  });
  if (!response.ok) throw toError(response.status, await response.text());
  return response;
};
