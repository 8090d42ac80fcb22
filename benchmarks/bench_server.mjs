// Node in `make bench`, with the events of bench_app.py: node bench_server.mjs socket.io|cws|ws PORT
import { createServer } from "node:http";
import { Server } from "socket.io";
import { WebSocketServer } from "ws";

const [kind, port] = [process.argv[2], Number(process.argv[3])];

/** The events, in Socket.IO on its own WebSocket engine or another. */
function events(http, options) {
  const io = new Server(http, { serveClient: false, httpCompression: false, ...options });
  io.on("connection", (socket) => {
    let seen = 0;
    socket.on("echo", (text, answer) => answer(text));
    socket.on("cast", (text) => io.emit("news", text));
    socket.on("up", (text) => {
      if (Number(text.slice(0, 8)) == seen) seen++;
    });
    socket.on("count", (answer) => answer(seen));
  });
}

/** Raw texts; what to do says the path. */
function bare(http) {
  const sockets = new WebSocketServer({ server: http, perMessageDeflate: false, clientTracking: false });
  const members = new Set();
  const work = {
    "/echo": (socket) => socket.on("message", (text) => socket.send(text, { binary: false })),
    "/cast": (socket) => {
      members.add(socket);
      socket.on("close", () => members.delete(socket));
      socket.on("message", (text) => {
        for (const member of members) member.send(text, { binary: false });
      });
    },
    "/up": (socket) => {
      let seen = 0;
      socket.on("message", (data) => {
        const text = data.toString();
        if (text == "count") socket.send(String(seen));
        else if (Number(text.slice(0, 8)) == seen) seen++;
      });
    },
  };
  sockets.on("connection", (socket, request) => work[request.url](socket));
}

/** cws as the engine: under the names that Socket.IO calls. */
async function cwsEngine() {
  const { WebSocket, WebSocketServer } = await import("@encharm/cws");
  const { send } = WebSocket.prototype;
  Object.assign(WebSocket.prototype, {
    on(event, listener) {
      const isMessage = event == "message";
      this.registeredEvents[event] = isMessage ? (data) => listener(data, typeof data != "string") : listener;
    },
    once(event, listener) {
      this.on(event, listener);
    },
    removeListener(event) {
      this.registeredEvents[event] = () => {};
    },
    send(data, done) {
      send.call(this, data, undefined, done);
    },
  });
  // Without a method for events it is not asked for one that it has not.
  WebSocketServer.prototype.on = undefined;
  return WebSocketServer;
}

/** What joins it to others, of `cluster.py` alone. */
async function adapter() {
  const { CLUSTER, REDIS_URL } = process.env;
  if (!CLUSTER) return {};
  const { createClient } = await import("redis");
  const client = async () => createClient({ url: REDIS_URL }).connect();
  if (CLUSTER == "pubsub") {
    const { createAdapter } = await import("@socket.io/redis-adapter");
    return { adapter: createAdapter(await client(), await client()) };
  }
  const { createAdapter } = await import("@socket.io/redis-streams-adapter");
  return { adapter: createAdapter(await client()) };
}

const http = createServer();
if (kind == "ws") bare(http);
else events(http, { ...(kind == "cws" ? { wsEngine: await cwsEngine() } : {}), ...(await adapter()) });
http.listen({ port, host: "127.0.0.1", backlog: 8192 });
