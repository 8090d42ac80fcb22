/**
 * A streaming response read by XMLHttpRequest, for where the body of a `fetch` cannot be streamed: React Native.
 */
import { toError } from "./http.js";

/**
 * The option `readStream`, for `io` and `openSession`.
 * @type {import("../options.js").ReadStream}
 */
export const readByXhr = ({ withCredentials }, url, { headers = {}, signal }, start, feed) =>
  new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    let seen = 0;
    xhr.open("GET", url);
    xhr.withCredentials = !!withCredentials;
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
