// A node of a cluster that runs Node.js, with the published adapters, and clients of all nodes, told by JSON lines what
// to do: the format stands in tests/support/client_driver.py. The counterpart in Python is tests/apps/cluster_app.py.
//
// node cluster.mjs <address of the Redis>

import { createServer, request as ask } from "node:http";
import { createInterface } from "node:readline";
import { createAdapter as createPubSubAdapter } from "@socket.io/redis-adapter";
import { Emitter } from "@socket.io/redis-emitter";
import { createAdapter as createStreamsAdapter } from "@socket.io/redis-streams-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";
import { io as connect } from "socket.io-client";

const NAME = "node";

const mapped = (value, change) =>
  Array.isArray(value)
    ? value.map(change)
    : value && typeof value == "object"
      ? Object.fromEntries(Object.entries(value).map(([key, item]) => [key, change(item)]))
      : value;
const encode = (value) =>
  value instanceof Uint8Array
    ? { $bytes: Buffer.from(value).toString("base64") }
    : value instanceof Date
      ? { $date: value.toISOString() }
      : mapped(value, encode);
const decode = (value) =>
  value?.$bytes !== undefined
    ? Buffer.from(value.$bytes, "base64")
    : value?.$date !== undefined
      ? new Date(value.$date)
      : mapped(value, decode);
const say = (value) => process.stdout.write(`${JSON.stringify(encode(value))}\n`);

const client = async () => {
  const redis = createClient({ url: process.argv[2] });
  redis.on("error", () => {});
  await redis.connect();
  return redis;
};

const audience = (target, who) => {
  let found = target;
  for (const room of who.rooms ?? []) found = found.to(room);
  if (who.except) found = found.except(who.except);
  if (who.volatile) found = found.volatile;
  if (who.local) found = found.local;
  return found;
};

const OPERATIONS = {
  emit: (many, args) => void many.emit(...args),
  ask: (many, args, who) =>
    new Promise((resolve) =>
      many.timeout(who.timeout ?? 5000).emit(...args, (error, answers) => resolve({ answers, error: error?.message })),
    ),
  fetch: async (many) =>
    (await many.fetchSockets()).map(({ id, rooms, data, handshake }) => ({
      id,
      rooms: [...rooms].sort(),
      data,
      auth: handshake.auth,
    })),
  join: (many, args) => many.socketsJoin(args),
  leave: (many, args) => many.socketsLeave(args),
  disconnect: (many, args) => many.disconnectSockets(...args),
};

const SERVER_OPERATIONS = {
  "tell servers": (io, args) => io.serverSideEmit(...args),
  "ask servers": (io, args) => io.serverSideEmitWithAck(...args),
  "all rooms": async (io) => [...(await io.of("/").adapter.allRooms())].sort(),
};

const perform = (io, name, who, args) =>
  SERVER_OPERATIONS[name]
    ? SERVER_OPERATIONS[name](io, args)
    : OPERATIONS[name](audience(io, who), args, who);

const serve = async (kind) => {
  const redis = await client();
  const adapter = kind == "streams" ? createStreamsAdapter(redis, { channelPrefix: "streams" }) : createPubSubAdapter(redis, await client());
  const http = createServer();
  const io = new Server(http, { path: `/${kind}`, adapter });
  io.on("connection", (socket) => {
    socket.data.node = NAME;
    socket.on("do", async (name, who, args, ack) => ack((await perform(io, name, who, args)) ?? null));
    socket.on("join", (room, ack) => {
      socket.join(room);
      ack();
    });
  });
  io.on("told", (...args) => io.local.emit("server told", NAME, ...args));
  io.on("asked", (...args) => args.pop()([NAME, ...args]));
  await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve));
  return http.address().port;
};

/** What hands every request to the next of some servers, as a load balancer does that knows no sessions. */
const balance = async (urls) => {
  let turn = 0;
  const onward = (request) => {
    const url = new URL(request.url, urls[turn++ % urls.length]);
    return ask(url, { method: request.method, headers: request.headers, agent: false });
  };
  const http = createServer((request, response) => {
    const away = onward(request);
    away.on("response", (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    away.on("error", () => response.destroy());
    response.on("close", () => away.destroy());
    request.pipe(away);
  });
  http.on("upgrade", (request, socket, first) => {
    const away = onward(request);
    away.on("upgrade", (answer, other, begun) => {
      const head = Object.entries(answer.headers).map(([name, value]) => `${name}: ${value}\r\n`);
      socket.write(`HTTP/1.1 101 Switching Protocols\r\n${head.join("")}\r\n`);
      socket.write(begun);
      other.write(first);
      other.pipe(socket).pipe(other);
      for (const end of [socket, other]) end.on("error", () => [socket, other].map((each) => each.destroy()));
    });
    away.on("error", () => socket.destroy());
    away.end();
  });
  await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve));
  return http.address().port;
};

const peers = new Map();
const emitters = new Map();

const COMMANDS = {
  serve: ({ kind }) => serve(kind),
  balance: ({ urls }) => balance(urls),
  connect: ({ peer, url, path, auth, transports }) =>
    new Promise((resolve, reject) => {
      const socket = connect(url, { path, auth, transports, forceNew: true });
      peers.set(peer, socket);
      socket.onAny((event, ...args) => {
        if (typeof args.at(-1) == "function") args.pop()(`${auth.name} heard ${event}`);
        say({ peer, namespace: "/", event, args });
      });
      socket.on("disconnect", (reason) => say({ peer, namespace: "/", event: "disconnect", args: [reason] }));
      socket.on("connect_error", reject);
      const isThere = () => resolve(socket.id);
      const isBest = () => socket.io.engine.transport.name == transports.at(-1);
      socket.once("connect", () => (isBest() ? isThere() : socket.io.engine.once("upgrade", isThere)));
    }),
  leave: ({ peer }) => void peers.get(peer)?.disconnect(),
  ask: ({ peer, args }) => peers.get(peer).timeout(30000).emitWithAck(...args),
  emitter: async ({ name, who, args }) => {
    if (!emitters.has("/")) emitters.set("/", new Emitter(await client()));
    const emitter = emitters.get("/");
    if (name == "tell servers") return emitter.serverSideEmit(...args);
    await OPERATIONS[name](audience(emitter, who), args, who);
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { id, do: name, ...values } = decode(JSON.parse(line));
  Promise.resolve()
    .then(() => COMMANDS[name](values))
    .then(
      (result) => say({ id, result: result ?? null }),
      (error) => say({ id, error: `${error.stack}` }),
    );
}
process.exit();
