/**
 * One poll: a carrier that writes one payload and detaches.
 */
import { HoldfastError } from "../errors.js";
import { request, run } from "./http.js";

/**
 * @param {import("../options.js").Options} options
 * @param {string} url
 * @param {string | undefined} attach
 * @param {import("./http.js").Handlers} on
 * @returns {import("./http.js").Carrier}
 */
export const openPoll = (options, url, attach, on) =>
  run(options, attach, on, async (init) => {
    const text = await (await request(options, url, init)).text();
    // A page of somebody on the way is the end of this poll, not of the session.
    if (!/^[\dbj]/.test(text)) throw new HoldfastError("not an answer");
    on.data(text);
    // At once: between the two, another carrier would get the next number.
    on.end();
  });
