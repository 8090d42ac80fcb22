/**
 * One poll: a carrier that writes one payload and detaches.
 */
import { HoldfastError } from "../errors.js";
import { request, toHeaders } from "./http.js";

/**
 * @param {import("../options.js").Options} options
 * @param {string} url
 * @param {string | undefined} attach
 * @param {import("./http.js").Handlers} on
 * @returns {import("./http.js").Carrier}
 */
export const openPoll = (options, url, attach, on) => {
  const abort = new AbortController();
  const run = async () => {
    const response = await request(options, url, { headers: toHeaders(options, attach), signal: abort.signal });
    const text = await response.text();
    // A page of somebody on the way is the end of this poll, not of the session.
    if (!/^[\dbj]/.test(text)) throw new HoldfastError("not an answer to a poll");
    if (abort.signal.aborted) return;
    on.data(text);
    if (!abort.signal.aborted) on.end();
  };
  run().catch((error) => abort.signal.aborted || on.end(error));
  return { close: () => abort.abort() };
};
