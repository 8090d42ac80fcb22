/**
 * One streaming response, `text/event-stream`, read as it comes.
 */
import { HoldfastError } from "../errors.js";
import { EventStreamDecoder } from "../wire/eventstream.js";
import { request, run } from "./http.js";

/** @type {import("./http.js").Opener} */
export const openStream = (options, url, attach, opened, hear, ended) => {
  const decoder = new EventStreamDecoder();
  return run(options, attach, ended, (init) =>
    (options.readStream ?? readFetch)(options, url, init, opened, (text) => decoder.decode(text).forEach(hear)).then(() => ended()),
  );
};

/** @typedef {import("../options.js").ReadStream} ReadStream */

/** @type {ReadStream} */
const readFetch = async (options, url, init, start, feed) => {
  // Nothing would come before the end.
  if (!globalThis.TextDecoder || !globalThis.Response || !("body" in Response.prototype)) throw new HoldfastError("no streams");
  // With `stream`, a character that is cut in two by the network stays one.
  const text = new TextDecoder();
  const response = await request(options, url, init);
  if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) throw new HoldfastError("not an answer");
  start();
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    feed(text.decode(value, { stream: true }));
  }
};
