/**
 * One streaming response, `text/event-stream`, read as it comes.
 */
import { HoldfastError } from "../errors.js";
import { EventStreamDecoder } from "../wire/eventstream.js";
import { request, run, toError } from "./http.js";

/**
 * @param {import("../options.js").Options} options
 * @param {string} url
 * @param {string | undefined} attach
 * @param {import("./http.js").Handlers} on
 * @returns {import("./http.js").Carrier}
 */
export const openStream = (options, url, attach, on) => {
  const decoder = new EventStreamDecoder();
  const read = globalThis.Response && "body" in Response.prototype && globalThis.TextDecoder ? readFetch : readXhr;
  return run(options, attach, on, (init) =>
    read(options, url, init, on.open, (text) => decoder.decode(text).forEach(on.data)).then(() => on.end()),
  );
};

/**
 * @param {import("../options.js").Options} options
 * @param {string} url
 * @param {import("./http.js").Init} init
 * @param {() => void} start The head of the response is here.
 * @param {(text: string) => void} feed
 */
const readFetch = async (options, url, init, start, feed) => {
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

/**
 * For where fetch bodies cannot be streamed.
 * @param {import("../options.js").Options} options
 * @param {string} url
 * @param {import("./http.js").Init} init
 * @param {() => void} start
 * @param {(text: string) => void} feed
 * @returns {Promise<void>}
 */
const readXhr = ({ XMLHttpRequest, withCredentials }, url, { headers, signal }, start, feed) =>
  new Promise((resolve, reject) => {
    if (!XMLHttpRequest) throw new HoldfastError("no streams");
    const xhr = new XMLHttpRequest();
    let seen = 0;
    xhr.open("GET", url);
    xhr.withCredentials = withCredentials;
    for (const name in headers) xhr.setRequestHeader(name, headers[name]);
    xhr.onreadystatechange = () => {
      const { readyState, status, responseText } = xhr;
      const isGood = status == 200;
      if (isGood && responseText) {
        // The server's first 2 KiB come with the head.
        if (!seen) start();
        feed(responseText.slice(seen));
        seen = responseText.length;
      }
      if (readyState < 4) return;
      // Whatever the end was: a failure has the status 0.
      if (isGood) resolve();
      else reject(toError(status, responseText));
    };
    signal?.addEventListener("abort", () => xhr.abort());
    xhr.send();
  });
