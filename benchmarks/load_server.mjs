// Socket.IO on Node in the load benchmarks, with the events and the /state of load_app.py: node load_server.mjs PORT
// CSR=1 in the environment switches connection state recovery on.
import { createServer } from "node:http";
import { Server } from "socket.io";
import { Checker } from "./chaos_checker.mjs";

const port = Number(process.argv[2]);
const tickMs = Number(process.env.TICK_MS ?? 0);
const sent = {};
const ended = {};
const seen = {};
const ticks = {};
const counts = { connects: 0, disconnects: 0, tick: 1 };

const http = createServer((request, response) => {
  if (request.url == "/stop") counts.tick = 0;
  globalThis.gc?.();
  const up = Object.fromEntries(Object.entries(seen).map(([id, checker]) => [id, checker.verdict()]));
  const state = { sessions: io.engine.clientsCount, tasks: 0, sent, ended, up, down: ticks, ...counts };
  response.end(JSON.stringify(state));
});
const options = process.env.CSR ? { connectionStateRecovery: {} } : {};
if (process.env.PING_SECONDS) options.pingInterval = Number(process.env.PING_SECONDS) * 1000;
const io = new Server(http, options);
io.on("connection", (socket) => {
  counts.connects++;
  const { id } = socket.handshake.auth;
  if (id && tickMs) {
    socket.join(`id ${id}`);
    seen[id] ??= new Checker();
    ticks[id] ??= 0;
  }
  socket.on("disconnect", () => counts.disconnects++);
  socket.on("echo", (value, answer) => typeof answer == "function" && answer(value));
  socket.on("up", (id, number) => seen[id].take(number));
  socket.on("go", async (name, count, size) => {
    const text = "x".repeat(size);
    for (sent[name] = 0; sent[name] < count; sent[name]++) {
      socket.emit("big", String(sent[name]).padStart(8, "0") + text);
      await new Promise(setImmediate);
    }
    ended[name] = Date.now() / 1000;
  });
});
if (tickMs) setInterval(() => {
  for (const id in ticks) if (counts.tick) io.to(`id ${id}`).emit("down", ++ticks[id]);
}, tickMs);
http.listen({ port, host: "127.0.0.1", backlog: 8192 });
