/**
 * One POST: a carrier that only brings.
 */
import { createAbort, request } from "./http.js";

/**
 * @param {import("../options.js").Options} options
 * @param {string} url
 * @param {string} body
 * @param {Set<AbortController>} inFlight It is in there as long as it is on its way.
 * @param {boolean} [keepalive] A last word, that outlives the page.
 * @returns {Promise<string>} The server's answer.
 * @throws {Error} It failed, was refused, or took longer than `answerMs`.
 */
export const post = async (options, url, body, inFlight, keepalive) => {
  const abort = createAbort();
  inFlight.add(abort);
  const timer = options.setTimeout(() => abort.abort(), options.answerMs);
  try {
    const response = await request(options, url, {
      method: "POST",
      headers: options.extraHeaders,
      // Of a string it makes text/plain, which is simple enough for CORS.
      body,
      keepalive,
      signal: abort.signal,
    });
    return await response.text();
  } finally {
    inFlight.delete(abort);
    options.clearTimeout(timer);
  }
};
