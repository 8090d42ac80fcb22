/**
 * A WebSocket as a carrier.
 */
import { HoldfastError, RefusedError } from "../errors.js";

/** @type {import("./http.js").Opener} */
export const openWebSocket = ({ WebSocket, extraHeaders }, url, _attach, opened, hear, ended) => {
  /** @type {any} */
  let socket;
  try {
    // Browsers ignore the third argument; they cannot send headers here.
    socket = new WebSocket(url.replace(/^http/, "ws"), [], { headers: extraHeaders });
  } catch (error) {
    queueMicrotask(() => ended(new HoldfastError("no WebSocket", { cause: error })));
    return { close() {} };
  }
  socket.binaryType = "arraybuffer";
  socket.onopen = opened;
  socket.onmessage = (/** @type {MessageEvent} */ { data }) =>
    hear(typeof data == "string" ? data : new Uint8Array(data));
  socket.onerror = () => {};
  socket.onclose = (/** @type {CloseEvent} */ { code, reason }) =>
    ended(code > 3999 && code < 4008 ? new RefusedError(code - 4000, reason) : new HoldfastError("WebSocket " + code));
  return socket;
};
