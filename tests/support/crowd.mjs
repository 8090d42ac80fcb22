// Many clients of one kind, each of which says and hears numbered events. Prints what went wrong, and how long it took.
//
//     node crowd.mjs URL KIND NUMBER        KIND: official, official-polling, ours, ours-polling

import { createRequire } from "node:module";

import { io as ours } from "../../client_js/index.js";

const require = createRequire(new URL("../clients/", import.meta.url));
const { io: official } = require("socket.io-client");
globalThis.WebSocket ??= require("ws");

const EVENTS = 40;
const [url, kind, number] = process.argv.slice(2);
const problems = [];
const workers = new Set();

function expect(what, found, wanted) {
  if (JSON.stringify(found) !== JSON.stringify(wanted)) {
    problems.push(`${what}: ${JSON.stringify(found).slice(0, 200)}`);
  }
}

function connect() {
  const polling = kind.endsWith("-polling");
  const io = kind.startsWith("official") ? official : ours;
  const options = { forceNew: true, reconnection: false };
  const socket = io(url, polling ? { ...options, transports: ["polling"] } : options);
  socket.on("connect_error", (error) => problems.push(`connect_error: ${error.message}`));
  socket.on("disconnect", (reason) => reason !== "io client disconnect" && problems.push(`disconnect: ${reason}`));
  return socket;
}

async function live(room) {
  const socket = connect();
  await new Promise((resolve) => socket.once("connect", resolve));
  const numbers = [...Array(EVENTS).keys()];
  const drops = [];
  socket.on("drop", (value) => drops.push(value));
  workers.add(await socket.emitWithAck("where"));
  await socket.emitWithAck("join", room);
  const echoes = numbers.map((value) => socket.emitWithAck("echo", value));
  for (const value of numbers) socket.emit("number", value);
  expect("echoes", await Promise.all(echoes), numbers);
  expect("numbers", await socket.emitWithAck("numbers"), numbers);
  await socket.emitWithAck("flood", EVENTS, 200);
  expect("drops", drops, numbers);
  return socket;
}

async function main() {
  const room = `room of ${process.pid}`;
  const sockets = await Promise.all([...Array(Number(number)).keys()].map(() => live(room)));
  const heard = sockets.map((socket) => {
    const said = [];
    socket.on("said", (value) => said.push(value));
    return said;
  });
  const values = [...Array(10).keys()];
  for (const value of values) sockets[0].emit("say", room, value);
  await sockets[0].emitWithAck("echo", "after");
  for (let wait = 0; wait < 300 && heard.some((said) => said.length < 10); wait++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  for (const said of heard) expect("said", said, values);
  for (const socket of sockets) socket.disconnect();
}

const limit = setTimeout(() => {
  problems.push("not done in time");
  report();
}, 100_000);

function report() {
  console.log(JSON.stringify({ clients: Number(number), workers: workers.size, problems: problems.slice(0, 20) }));
  process.exit();
}

await main().catch((error) => problems.push(String(error)));
clearTimeout(limit);
// What they say last is on its way.
setTimeout(report, 200);
