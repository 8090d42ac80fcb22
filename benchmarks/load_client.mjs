// Many clients of one kind: node load_client.mjs holdfast|socketio URL COUNT '{"transports":[…],"upMs":1000}'
// Each counts what comes ("down") and sends numbers ("up"). Lines on its standard input: `back` prints, when all have had
// an answer, how long each of them took; `stop` ends the sending; `report` prints what they have seen; `leave`.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { Checker } from "./chaos_checker.mjs";

const [kind, url, count, given] = process.argv.slice(2);
const { transports, upMs = 1000, first = 0, spreadMs = 0 } = JSON.parse(given ?? "{}");
const require = createRequire(import.meta.url);
globalThis.WebSocket = require("ws");
const { io } = kind == "holdfast" ? await import("../client_js/index.js") : await import("socket.io-client");

const clients = [];
let sending = true;
let failures = {};
const reasons = {};

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

for (let index = 0; index < Number(count); index++) {
  const id = String(first + index);
  // Default options, but for a manager of its own; `transports` where a row asks for it.
  const socket = io(url, { forceNew: true, auth: { id }, ...(transports && { transports }) });
  const client = { id, socket, seen: new Checker(), sent: 0, connects: 0, disconnects: 0, carriers: {} };
  clients.push(client);
  socket.on("connect", () => client.connects++);
  socket.on("disconnect", (reason) => (client.disconnects++, (reasons[reason] = (reasons[reason] ?? 0) + 1)));
  socket.on("connect_error", (error) => (failures[error.message] = (failures[error.message] ?? 0) + 1));
  socket.on("down", (number) => client.seen.take(number));
  if (spreadMs) await pause(spreadMs);
}

const began = Date.now();
const timer = setInterval(() => {
  if (sending) for (const client of clients) if (client.connects) client.socket.emit("up", client.id, ++client.sent);
}, upMs);
timer.unref();

/** Until an event is answered, asked again where the answer does not come. */
const answered = async ({ socket }) => {
  for (;;) {
    try {
      return await socket.timeout(2000).emitWithAck("echo", 1);
    } catch {
      // It went where nobody was any more.
    }
  }
};

const times = async (since) => {
  const found = await Promise.all(clients.map(async (client) => (await answered(client), Date.now() - since)));
  return found.sort((one, other) => one - other);
};

const say = (value) => console.log(JSON.stringify(value));
const quantile = (sorted, part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
const figures = (sorted) => ({ p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99), worst: sorted.at(-1) });

say({ connected: figures(await times(began)), failures });

for await (const line of createInterface(process.stdin)) {
  if (line == "back") say(figures(await times(Date.now())));
  else if (line == "stop") say({ stopped: !(sending = false) });
  else if (line == "leave") break;
  else if (line == "report") {
    say({
      failures,
      reasons,
      clients: clients.map(({ id, seen, sent, connects, disconnects, socket }) => ({
        id,
        sent,
        connects,
        disconnects,
        transport: socket.io.transport ?? socket.io.engine?.transport?.name,
        down: seen.verdict(),
      })),
    });
    failures = {};
  }
}
for (const { socket } of clients) socket.disconnect();
await pause(500);
process.exit();
