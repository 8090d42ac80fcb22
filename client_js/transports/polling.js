/**
 * One poll: a carrier that writes one payload and detaches.
 */
import { HoldfastError } from "../errors.js";
import { request, run } from "./http.js";

/** @type {import("./http.js").Opener} */
export const openPoll = (options, url, attach, _opened, hear, ended) =>
  run(options, attach, ended, async (init) => {
    const text = await (await request(options, url, init)).text();
    // A page of somebody on the way is the end of this poll, not of the session.
    if (!/^[\dbj]/.test(text)) throw new HoldfastError("not an answer");
    hear(text);
    // At once: between the two, another carrier would get the next number.
    ended();
  });
