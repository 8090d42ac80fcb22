/**
 * The transports, as URLs and the handshake name them (protocol.md section 1).
 */
export const WEBSOCKET = "websocket";
export const STREAM = "stream";
export const POLL = "polling";

/** @typedef {"websocket" | "stream" | "polling"} Kind */

/** Best first. @type {Kind[]} */
export const KINDS = [WEBSOCKET, STREAM, POLL];
