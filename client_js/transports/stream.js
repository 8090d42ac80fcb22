/**
 * One streaming response, `text/event-stream`, read as it comes.
 */
import { HoldfastError } from "../errors.js";
import { EventStreamDecoder } from "../wire/eventstream.js";
import { request, run } from "./http.js";

/**
 * @param {import("../options.js").Options} options
 * @param {string} url
 * @param {string | undefined} attach
 * @param {import("./http.js").Handlers} on
 * @returns {import("./http.js").Carrier}
 */
export const openStream = (options, url, attach, on) => {
  const decoder = new EventStreamDecoder();
  return run(options, attach, on, (init) =>
    (options.readStream ?? readFetch)(options, url, init, on.open, (text) => decoder.decode(text).forEach(on.data)).then(() => on.end()),
  );
};

/** @typedef {import("../options.js").ReadStream} ReadStream */

/** @type {ReadStream} */
const readFetch = async (options, url, init, start, feed) => {
  // Nothing would come before the end.
  if (!globalThis.TextDecoder || !globalThis.Response || !("body" in Response.prototype)) throw new HoldfastError("no streams");
  const response = await request(options, url, init);
  if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) throw new HoldfastError("not an answer");
  start();
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  // With `stream`, a character that is cut in two by the network stays one.
  const text = new TextDecoder();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    feed(text.decode(value, { stream: true }));
  }
};
