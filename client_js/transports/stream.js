/**
 * One streaming response, `text/event-stream`, read as it comes.
 */
import { HoldfastError } from "../errors.js";
import { EventStreamDecoder } from "../wire/eventstream.js";
import { request, toError, toHeaders } from "./http.js";

/**
 * @param {import("../options.js").Options} options
 * @param {string} url
 * @param {string | undefined} attach
 * @param {import("./http.js").Handlers} on
 * @returns {import("./http.js").Carrier}
 */
export const openStream = (options, url, attach, on) => {
  const decoder = new EventStreamDecoder();
  const abort = new AbortController();
  const feed = (/** @type {string} */ text) => {
    for (const { data } of decoder.decode(text)) if (!abort.signal.aborted) on.data(data);
  };
  const read = options.fetch && "body" in Response.prototype ? readFetch : readXhr;
  const start = () => abort.signal.aborted || on.open();
  read(options, url, toHeaders(options, attach), abort.signal, start, feed).then(
    () => abort.signal.aborted || on.end(),
    (error) => abort.signal.aborted || on.end(error),
  );
  return { close: () => abort.abort() };
};

/**
 * @param {import("../options.js").Options} options
 * @param {string} url
 * @param {Record<string, string>} headers
 * @param {AbortSignal} signal
 * @param {() => void} start The head of the response is here.
 * @param {(text: string) => void} feed
 */
const readFetch = async (options, url, headers, signal, start, feed) => {
  const response = await request(options, url, { headers, signal });
  if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) throw new HoldfastError("not an event stream");
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
 * @param {Record<string, string>} headers
 * @param {AbortSignal} signal
 * @param {() => void} start The head of the response is here.
 * @param {(text: string) => void} feed
 * @returns {Promise<void>}
 */
const readXhr = ({ XMLHttpRequest, withCredentials }, url, headers, signal, start, feed) =>
  new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    let seen = 0;
    xhr.open("GET", url);
    xhr.withCredentials = withCredentials;
    for (const name in headers) xhr.setRequestHeader(name, headers[name]);
    xhr.onreadystatechange = () => xhr.readyState == 2 && xhr.status == 200 && start();
    xhr.onprogress = () => {
      const text = xhr.responseText;
      if (xhr.status == 200) feed(text.slice(seen));
      seen = text.length;
    };
    xhr.onload = () => {
      if (xhr.status != 200) return reject(toError(xhr.status, xhr.responseText));
      xhr.onprogress();
      resolve();
    };
    xhr.onerror = () => reject(new HoldfastError("stream failed"));
    signal.addEventListener("abort", () => xhr.abort());
    xhr.send();
  });
