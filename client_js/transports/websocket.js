/**
 * A WebSocket as a carrier.
 */
import { HoldfastError, RefusedError } from "../errors.js";

/**
 * @param {import("../options.js").Options} options
 * @param {string} url
 * @param {string | undefined} _attach It says its attach itself, when it is open.
 * @param {import("./http.js").Handlers} on
 * @returns {import("./http.js").Carrier}
 */
export const openWebSocket = ({ WebSocket, extraHeaders }, url, _attach, on) => {
  /** @type {any} */
  let socket;
  try {
    // Browsers ignore the third argument; they cannot send headers here.
    socket = new WebSocket(url.replace(/^http/, "ws"), [], { headers: extraHeaders });
  } catch (error) {
    queueMicrotask(() => on.end(new HoldfastError("no WebSocket", { cause: error })));
    return { close() {} };
  }
  socket.binaryType = "arraybuffer";
  socket.onopen = on.open;
  socket.onmessage = (/** @type {MessageEvent} */ { data }) =>
    on.data(typeof data == "string" ? data : new Uint8Array(data));
  socket.onerror = () => {};
  socket.onclose = (/** @type {CloseEvent} */ { code, reason }) =>
    on.end(code > 3999 && code < 4008 ? new RefusedError(code - 4000, reason) : new HoldfastError("WebSocket " + code));
  return socket;
};
