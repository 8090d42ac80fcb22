// The servers of the other clients in browser.py, each with its defaults: node browser_server.mjs socketio|sockjs PORT
// An event for everyone who connects, and with TICK_MS in the environment numbers for all.
import { createReadStream } from "node:fs";
import { createServer } from "node:http";

const [kind, port] = process.argv.slice(2);
const tickMs = Number(process.env.TICK_MS ?? 0);
const started = Date.now();

const scripts = {
  "/page.js": "browser_page.js",
  "/client.js": `node_modules/${kind == "sockjs" ? "sockjs-client/dist/sockjs" : "socket.io-client/dist/socket.io"}.min.js`,
};

const page = `<!doctype html><title>benchmark</title><link rel="icon" href="data:,">
<script src="/client.js"></script><script type="module" src="/page.js"></script>`;

const http = createServer((request, response) => {
  const script = scripts[request.url];
  response.setHeader("Content-Type", script ? "text/javascript" : "text/html");
  if (script) createReadStream(new URL(script, import.meta.url)).pipe(response);
  else if (request.url == "/") response.end(page);
  else response.writeHead(404).end();
});

/** What everyone gets: set by the kind of server. */
let toAll;

if (kind == "sockjs") {
  const { default: sockjs } = await import("sockjs");
  const open = new Set();
  const server = sockjs.createServer({ log: () => {} });
  server.on("connection", (socket) => {
    open.add(socket);
    socket.on("close", () => open.delete(socket));
    socket.write(JSON.stringify(["first", Date.now()]));
  });
  toAll = (...event) => open.forEach((socket) => socket.write(JSON.stringify(event)));
  server.installHandlers(http, { prefix: "/sockjs" });
} else {
  const { Server } = await import("socket.io");
  const io = new Server(http);
  io.on("connection", (socket) => {
    socket.emit("first", Date.now());
  });
  toAll = (...event) => io.emit(...event);
}

let number = 0;
if (tickMs) setInterval(() => toAll("tick", Date.now(), ++number, started), tickMs);

http.listen(Number(port), "127.0.0.1");
