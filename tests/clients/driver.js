// Runs a scenario with the published socket.io-client and prints what happens as JSON lines.
//
// The scenario comes by standard input: { url, options, steps }. Bytes are written as { "$bytes": base64 }.

import { readFileSync } from "node:fs";
import { io } from "socket.io-client";

const { url, options, steps } = JSON.parse(readFileSync(0, "utf8"));

const print = (value) => process.stdout.write(JSON.stringify(encode(value)) + "\n");

function encode(value) {
  if (value instanceof Uint8Array || value instanceof ArrayBuffer)
    return { $bytes: Buffer.from(value).toString("base64") };
  if (Array.isArray(value)) return value.map(encode);
  if (value && typeof value === "object")
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, encode(item)]));
  return value;
}

function decode(value) {
  if (value && typeof value === "object" && "$bytes" in value) return Buffer.from(value.$bytes, "base64");
  if (Array.isArray(value)) return value.map(decode);
  if (value && typeof value === "object")
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, decode(item)]));
  return value;
}

const seen = [];
const waiting = [];

/** Something has happened: print it, and let the step go on that waits for it. */
function note(kind, value) {
  print({ [kind]: value });
  seen.push(kind);
  for (const look of waiting.splice(0)) look();
}

async function until(kind) {
  while (!seen.includes(kind)) await new Promise((resolve) => waiting.push(resolve));
  seen.splice(seen.indexOf(kind), 1);
}

function connect(namespace, auth) {
  const socket = io(url + namespace, { reconnection: false, auth, ...options });
  const engine = socket.io.engine;
  socket.on("connect", () => note("connect", { namespace, transport: socket.io.engine.transport.name }));
  socket.on("connect_error", (error) => note("connect_error", { message: error.message, data: error.data }));
  socket.on("disconnect", (reason) => note("disconnect", reason));
  socket.onAny((event, ...args) => {
    if (event === "question") args.pop()(...args.reverse());
    else note(event, args);
  });
  engine.on("upgrade", (transport) => note("upgrade", transport.name));
  return socket;
}

let socket;
const sockets = [];

const actions = {
  connect: ({ namespace = "/", auth }) => void sockets.push((socket = connect(namespace, auth))),
  wait: ({ kind }) => until(kind),
  emit: ({ event, args = [] }) => void socket.emit(event, ...args),
  ask: ({ event, args = [] }) =>
    new Promise((resolve) => socket.emit(event, ...args, (...reply) => resolve(print({ reply })))),
  disconnect: () => void socket.disconnect(),
};

for (const step of steps) await actions[step.do](decode(step));
// The process ends when everything that this sends has gone out.
for (const open of sockets) open.disconnect();
