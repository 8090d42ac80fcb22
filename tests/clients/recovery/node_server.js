// The published Node server with connection state recovery. tests/apps/recovery_app.py is the same for ours.
//
// PORT, SKIP_MIDDLEWARES (0 or 1). POST /control does what its JSON body asks.

import { createServer } from "node:http";

// Time as its adapter sees it: a clock that can be put forward, and what it sweeps once a minute.
const realNow = Date.now;
const realInterval = globalThis.setInterval;
const everyMinute = [];
let ahead = 0;
let sinceSweep = 0;
Date.now = () => realNow() + ahead;
globalThis.setInterval = (call, delay, ...args) => {
  if (delay === 60_000) everyMinute.push(call);
  return realInterval(call, delay, ...args);
};

function advance(seconds) {
  for (let second = 0; second < seconds; second++) {
    ahead += 1000;
    sinceSweep = (sinceSweep + 1) % 60;
    if (sinceSweep === 0) for (const sweep of everyMinute) sweep();
  }
}

const { Server } = await import("socket.io");

const log = [];
const live = new Set();

const decode = (value) => (value?.$bytes === undefined ? value : Buffer.from(value.$bytes, "base64"));
/** Also those that are gone: what a task of the application may still hold. */
const everSeen = new Map();
const found = (id) => [...live].find((socket) => socket.id === id);

const http = createServer(async (request, response) => {
  if (request.url !== "/control") return response.writeHead(404).end();
  let body = "";
  for await (const chunk of request) body += chunk;
  const command = JSON.parse(body);
  const value = commands[command.do](command);
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value ?? null));
});

const io = new Server(http, {
  connectionStateRecovery: {
    maxDisconnectionDuration: 120_000,
    skipMiddlewares: process.env.SKIP_MIDDLEWARES !== "0",
  },
});

const commands = {
  emit({ namespace, rooms = [], except = [], volatile = false, args }) {
    let target = io.of(namespace).to(rooms).except(except);
    if (volatile) target = target.volatile;
    target.emit("event", ...args.map(decode));
  },
  emitBySocket: ({ id, args }) => void everSeen.get(id).emit("event", ...args.map(decode)),
  count({ namespace, first, last }) {
    for (let number = first; number <= last; number++) io.of(namespace).emit("event", number);
  },
  question: ({ id }) => void found(id).emit("question", "a string", (answer) => log.push(["answer", id, answer])),
  keep({ id, rooms, data }) {
    found(id).join(rooms);
    Object.assign(found(id).data, data);
  },
  disconnect: ({ id, close }) => void found(id).disconnect(close),
  live: () =>
    [...live].map(({ id, rooms, data, recovered, conn }) => ({
      id,
      attached: conn.transport.writable,
      rooms: [...rooms].filter((room) => room !== id).sort(),
      data,
      recovered,
    })),
  log: () => log,
  advance: ({ seconds }) => advance(seconds),
};

for (const namespace of [io, io.of("/other")]) {
  namespace.use((socket, next) => {
    log.push(["middleware", socket.handshake.auth.name ?? ""]);
    next();
  });
  namespace.on("connection", (socket) => {
    live.add(socket);
    everSeen.set(socket.id, socket);
    log.push(["connect", socket.id, socket.recovered]);
    socket.on("say", (...args) => log.push(["say", socket.id, args]));
    socket.on("ask", (...args) => args.pop()(args));
    socket.on("disconnect", (reason) => {
      live.delete(socket);
      log.push(["disconnect", socket.id, reason]);
    });
    if (!socket.handshake.auth.quiet) socket.emit("event", "hello");
  });
}

http.listen(Number(process.env.PORT), "127.0.0.1");
