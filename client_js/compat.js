/**
 * The names of socket.io-client, for a move that is a change of the import (docs/moving-from-socket.io-client.md).
 *
 * It extends the client: what its sockets and managers can do, these can too.
 */
import { Manager } from "./compat/manager.js";
import { Socket } from "./compat/socket.js";
import { createIo } from "./lookup.js";

export { AbortError, DisconnectedError, EventError, HoldfastError, TimeoutError } from "./errors.js";
/** Names of transports, where socket.io-client has classes: `transports: [Fetch, WebSocket]` means the same. */
export { POLL as Fetch, POLL as NodeXHR, POLL as XHR, WEBSOCKET as NodeWebSocket, WEBSOCKET as WebSocket } from "./wire/kinds.js";
/** Known, so that a list with it can stay; nothing is carried by it. */
export const WebTransport = "webtransport";

/** The version of Socket.IO's protocol. */
export const protocol = 5;

const lookup = /* @__PURE__ */ createIo(Manager);
export const io = /* @__PURE__ */ Object.assign(lookup, { Manager, Socket, protocol, io: lookup, connect: lookup });

// `import io from` is how half of the applications have it.
export { Manager, Socket, io as connect, io as lookup, io as default };
