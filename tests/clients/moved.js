// Runs driver.js, written for socket.io-client, with its import changed to ours and nothing else.

import { register } from "node:module";
import { WebSocket } from "ws";

const ours = new URL("../../client_js/compat.js", import.meta.url).href;
const hook = `export const resolve = (name, context, next) => next(name === "socket.io-client" ? ${JSON.stringify(ours)} : name, context);`;
register("data:text/javascript," + encodeURIComponent(hook));
// Node 20 has none.
globalThis.WebSocket = WebSocket;
await import("./driver.js");
