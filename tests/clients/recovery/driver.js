// The published socket.io-client, told what to do line by line; prints what happens as JSON lines.
//
// Its one argument: { url, transports, reconnection }. A command: { do, id, … }; what it returns is printed as
// { done: id, value }. Bytes are written as { "$bytes": base64 }.

import { createInterface } from "node:readline";
import { Manager } from "socket.io-client";

const { url, ...options } = JSON.parse(process.argv[2]);

const print = (value) => process.stdout.write(JSON.stringify(encode(value)) + "\n");

function encode(value) {
  if (value instanceof Uint8Array || value instanceof ArrayBuffer)
    return { $bytes: Buffer.from(value).toString("base64") };
  if (Array.isArray(value)) return value.map(encode);
  if (value && typeof value === "object")
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, encode(item)]));
  return value;
}

const manager = new Manager(url, {
  ...options,
  autoConnect: false,
  reconnectionDelay: 10,
  reconnectionDelayMax: 50,
  randomizationFactor: 0,
});
manager.on("open", () => manager.engine.on("upgrade", (transport) => print({ upgrade: { to: transport.name } })));

const sockets = {};

function make(namespace, auth) {
  const socket = (sockets[namespace] = manager.socket(namespace, { auth }));
  socket.on("connect", () => print({ connect: { namespace, id: socket.id, recovered: Boolean(socket.recovered) } }));
  socket.on("connect_error", (error) => print({ connect_error: { namespace, message: error.message } }));
  socket.on("disconnect", (reason) => print({ disconnect: { namespace, reason, active: socket.active } }));
  socket.onAny((event, ...args) => {
    if (event === "question") args.pop()("answer");
    print({ event: { namespace, name: event, args } });
  });
  return socket;
}

const commands = {
  /** Connect, or come back. With `state` it is a copy of another client: what that knew is what this knows. */
  connect({ namespace, auth, state }) {
    const socket = sockets[namespace] ?? make(namespace, auth);
    if (state) {
      socket._pid = state.pid;
      socket._lastOffset = state.offset;
    }
    // One that is active says so itself when its manager opens; said twice, a Node server ends the connection.
    if (!socket.active || manager._readyState === "closed") socket.connect();
  },
  state: ({ namespace }) => ({ pid: sockets[namespace]._pid, offset: sockets[namespace]._lastOffset }),
  emit: ({ namespace, args }) => void sockets[namespace].emit("say", ...args),
  ask: ({ namespace, args }) => sockets[namespace].emitWithAck("ask", ...args),
  disconnect: ({ namespace }) => void sockets[namespace].disconnect(),
  /** What a browser's "offline" event does: the connection is given up, whatever the other side believes. */
  giveUp: () => void manager.engine.close(),
  /** From now on it goes another way through the network. */
  moveTo: ({ url }) => void (manager.uri = url),
};

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  Promise.resolve(commands[command.do](command)).then((value) => print({ done: command.id, value: value ?? null }));
}
process.exit();
