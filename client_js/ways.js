/**
 * All that a session can be carried by.
 */
import { createRequests } from "./requests.js";
import { openPoll } from "./transports/polling.js";
import { openStream } from "./transports/stream.js";
import { openWebSocket } from "./transports/websocket.js";
import { POLLING, STREAM, WEBSOCKET } from "./wire/kinds.js";

/** @typedef {{openers: Record<string, typeof openPoll>, createRequests?: typeof createRequests}} Ways */

/** @type {Ways} */
export const EVERY_WAY = { openers: { [WEBSOCKET]: openWebSocket, [STREAM]: openStream, [POLLING]: openPoll }, createRequests };
