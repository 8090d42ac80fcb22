// Runs JavaScript clients as JSON lines tell; the format stands in tests/support/client_driver.py.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { WebSocket } from "ws";

const require = createRequire(import.meta.url);

// Ours as it is shipped: installed in the application that is the first argument.
const installed = createRequire(`${process.argv[2]}/package.json`);
const load = (name) => import(pathToFileURL(installed.resolve(name)).href);
const { io: compat } = await load("holdfast-client/compat");
const { io: holdfast } = await load("holdfast-client");
const { io: byWebSocket } = await load("holdfast-client/websocket");
const { msgpack } = await load("holdfast-client/msgpack");

/** A WebSocket that is not to be had at first, so that our client begins by polling. */
class Later extends WebSocket {
  constructor(url, ...rest) {
    if (!url.includes("sid=")) throw new Error("not at first");
    super(url, ...rest);
  }
}

// Our own have no WebSocket in Node 20 but what they are given.
const ours = ({ transports }) => ({ WebSocket: transports[1] ? Later : WebSocket, laterMs: [20] });

const CLIENTS = {
  "socket.io-client-4.8": ["socket.io-client"],
  "socket.io-client-4.8-msgpack": ["socket.io-client", () => ({ parser: require("socket.io-msgpack-parser") })],
  "socket.io-client-4.0": ["socket.io-client-4"],
  "socket.io-client-3.0": ["socket.io-client-3"],
  "holdfast-client": [holdfast, ours],
  "holdfast-client-msgpack": [holdfast, (way) => ({ ...ours(way), codec: msgpack })],
  "holdfast-client-compat": [compat, ours],
  "holdfast-client-websocket": [byWebSocket, () => ({ WebSocket })],
};

const ENGINES = {
  "engine.io-client-6.6": "engine.io-client",
  "engine.io-client-5.0": "engine.io-client-5",
  "engine.io-client-4.0": "engine.io-client-4",
};

const isMap = (value) => value && typeof value == "object";
const mapped = (value, change) =>
  Array.isArray(value)
    ? value.map(change)
    : isMap(value)
      ? Object.fromEntries(Object.entries(value).map(([key, item]) => [key, change(item)]))
      : value;

const encode = (value) =>
  value === undefined
    ? { $undefined: true }
    : value instanceof Uint8Array || value instanceof ArrayBuffer
      ? { $bytes: Buffer.from(value).toString("base64") }
      : mapped(value, encode);

const decode = (value) =>
  value?.$undefined ? undefined : value?.$bytes !== undefined ? Buffer.from(value.$bytes, "base64") : mapped(value, decode);

const print = (value) => process.stdout.write(JSON.stringify(value) + "\n");
const note = (peer, namespace, event, args) => print({ peer, namespace, event, args: args.map(encode) });

class EventPeer {
  sockets = new Map();

  constructor(number) {
    this.number = number;
  }

  async connect({ client, url, transports, namespaces, auth }) {
    const [found, more = () => ({})] = CLIENTS[client];
    const module = typeof found == "string" ? require(found) : found;
    const io = module.io ?? module;
    this.options ??= {
      transports,
      forceNew: true,
      reconnectionDelay: 20,
      reconnectionDelayMax: 100,
      randomizationFactor: 0,
      ...more({ transports }),
    };
    const answers = namespaces.map((namespace) => {
      // Later sockets join the first one's session, as they do for an application that does not say `forceNew`.
      const first = this.sockets.values().next().value;
      const socket = first ? first.io.socket(namespace, { auth }) : io(url + namespace, { ...this.options, auth });
      this.sockets.set(namespace, socket);
      socket.on("connect", () => note(this.number, namespace, "connect", []));
      socket.on("disconnect", (reason) => note(this.number, namespace, "disconnect", [reason]));
      // What an application of the official client has, and ours need not have.
      if (typeof found == "string") socket.on("reauthenticate", (answer) => answer(auth));
      socket.onAny((event, ...args) => {
        if (event == "reauthenticate") return;
        if (event == "question") args.pop()(...args.reverse());
        else note(this.number, namespace, event, args);
      });
      return new Promise((resolve) => {
        socket.on("connect", () => resolve([namespace, "connected"]));
        socket.on("connect_error", ({ message, data }) => resolve([namespace, { message, ...(data && { data }) }]));
      });
    });
    const answered = Object.fromEntries(await Promise.all(answers));
    // It would go on in JSON without a word.
    if (this.options.codec && this.engine._session.codec != this.options.codec.name) throw new Error("not in msgpack");
    return answered;
  }

  get engine() {
    return this.sockets.values().next().value.io.engine;
  }

  transport = () => this.engine.transport.name;

  async upgraded() {
    while (this.transport() != "websocket")
      await new Promise((resolve) => {
        this.engine.on("upgrade", resolve);
        this.engine.on("transport", resolve);
      });
  }

  emit({ namespace, event, args, times }) {
    const socket = this.sockets.get(namespace);
    if (times == 1) socket.emit(event, ...args);
    else for (let number = 0; number < times; number++) socket.emit(event, number, ...args);
  }

  ask = ({ namespace, event, args }) =>
    new Promise((resolve) => this.sockets.get(namespace).emit(event, ...args, (...reply) => resolve(reply)));

  leave({ namespace }) {
    this.sockets.get(namespace).disconnect();
  }

  disconnect() {
    for (const socket of this.sockets.values()) socket.disconnect();
  }
}

/** The layer below: what it hears is the event "message". */
class EnginePeer {
  constructor(number) {
    this.number = number;
  }

  connect({ client, url, transports }) {
    const module = require(ENGINES[client]);
    const Socket = module.Socket ?? module;
    this.engine = new Socket(url, { transports });
    this.engine.binaryType = "arraybuffer";
    this.engine.on("message", (data) => note(this.number, "/", "message", [data]));
    this.engine.on("close", (reason) => note(this.number, "/", "disconnect", [reason]));
    return new Promise((resolve) => {
      this.engine.on("open", () => resolve({ "/": "connected" }));
      this.engine.on("error", (error) => resolve({ "/": { message: error.message } }));
    });
  }

  transport = () => this.engine.transport.name;

  async upgraded() {
    while (this.transport() != "websocket") await new Promise((resolve) => this.engine.on("upgrade", resolve));
  }

  emit({ args, times }) {
    if (times == 1) this.engine.send(args[0]);
    else for (let number = 0; number < times; number++) this.engine.send(`${number}`);
  }

  disconnect() {
    this.engine.close();
  }
}

const peers = new Map();

async function run({ id, peer: number, do: name, ...values }) {
  try {
    if (name == "connect" && !peers.has(number)) peers.set(number, new (values.client in ENGINES ? EnginePeer : EventPeer)(number));
    const result = await peers.get(number)?.[name](mapped(values, decode));
    if (name == "disconnect") peers.delete(number);
    print({ id, result: encode(result ?? null) });
  } catch (error) {
    print({ id, error: error.stack });
  }
}

createInterface({ input: process.stdin })
  .on("line", (line) => run(JSON.parse(line)))
  .on("close", () => process.exit());
