/**
 * S10: servers that break the rules, at every level and to every entry: nothing is thrown at anybody, no prototype is changed,
 * and a well-behaved server is found again.
 */
import assert from "node:assert/strict";
import test, { after } from "node:test";
import parser from "socket.io-msgpack-parser";
import { io as ioCompat } from "../compat.js";
import { io } from "../index.js";
import { msgpack } from "../msgpack.js";
import { openSession } from "../opensession.js";
import { json } from "../wire/socketio.js";
import { io as ioByWebSocket } from "../websocket.js";
import { randomFrom } from "./random.js";
import { World, settle } from "./world.js";

const URL = "http://server.test";
/** So many packets in all, and so many in one go. */
const PACKETS = 5000;
const MOST = 12;

const uncaught = [];
const note = (error) => uncaught.push(error);
process.on("uncaughtException", note).on("unhandledRejection", note);
let sent = 0;

/** What no packet may change. */
const prototypes = () =>
  [Object, Array, Function, String, Uint8Array, Map, Promise, Error].map(({ prototype }) => Reflect.ownKeys(prototype).map(String).join());
const before = prototypes();
const assertClean = (context) => {
  assert.deepEqual(uncaught.splice(0), [], context);
  assert.deepEqual(prototypes(), before, context);
  for (const key in {}) assert.fail(`${key}: ${context}`);
};

/** @param {() => number} random */
const makeHostile = (random) => {
  const one = (list) => list[Math.floor(random() * list.length)];
  const many = (most, make) => Array.from({ length: Math.floor(random() * (most + 1)) }, make);
  const odd = () =>
    one([null, true, -1, 0, 1, 2 ** 53, 1e400, 0.5, "", "x", "__proto__", [], [[]], {}, { toString: 1, valueOf: 1 }, { length: -1 }, { then: 1 }, "x".repeat(300)]);
  const KEYS = ["code", "message", "received", "retry", "carrier", "sid", "sent", "key", "holdfast", "pingInterval", "pingTimeout", "maxPayload", "upgrades", "transports", "grace", "version", "codec", "__proto__", "constructor", "data", "nsp", "type", "id"];
  const object = (depth = 0) => {
    const entries = many(6, () => [one(KEYS), depth < 2 && random() < 0.4 ? object(depth + 1) : odd()]);
    // Written down, `__proto__` is a key like the others.
    return `{${entries.map(([key, value]) => `${JSON.stringify(key)}:${typeof value == "string" && value[0] == "{" ? value : (JSON.stringify(value) ?? "null")}`).join()}}`;
  };
  /** Of these keys each, more often than not; and the values not what they should be. */
  const shaped = (...keys) => JSON.stringify(Object.fromEntries(keys.filter(() => random() < 0.7).map((key) => [key, random() < 0.5 ? odd() : one([0, 1, 2, 3, 4, 5, 6, 7, 99])])));
  const open = () =>
    "0" + JSON.stringify({ sid: one(["s", "__proto__", "", 1]), pingInterval: one([1, 10000, 2 ** 52, -1, "9"]), pingTimeout: one([0, 5000, 2 ** 52]), maxPayload: one([undefined, 0, 1, 300, 1e6]), upgrades: one([[], ["constructor"], 1]), holdfast: one([undefined, {}, 1, { version: one([1, 2]), key: one(["k", {}]), codec: one(["json", "msgpack", "__proto__", 1]), transports: one([[], ["websocket", "polling"], ["__proto__", "constructor"], [null]]), grace: one([0, 1, 1e5, 2 ** 52]) }]) });
  const NAMES = ["e", "__proto__", "constructor", "hasOwnProperty", "connect", "disconnect", "reauthenticate", "toString"];
  const events = () =>
    one([
      () => `${one("0123456")}${object()}`,
      () => `2${one(["", "7", "99999999999999999999"])}[${JSON.stringify(one(NAMES))},${object()}]`,
      () => `3${one(["", "0", "1", "999"])}[${object()}]`,
      () => `4${one([object(), '"no"', "[]", "1", ""])}`,
      () => `5${one(["1", "2", "10", "11"])}-${one(["", "/x,", "/__proto__,"])}["e",{"_placeholder":true,"num":${one(["0", "1", "-1", '"__proto__"', "1e9", "null"])}}]`,
      () => `1${one(["", "/x", "/,"])}`,
      () => `0{"sid":${JSON.stringify(odd())}}`,
    ])();
  const mutate = (text) => {
    const at = Math.floor(random() * text.length);
    return one([text.slice(0, at), text.slice(at), text + text, text.slice(0, at) + String.fromCharCode(random() * 300) + text.slice(at + 1)]);
  };
  const bytes = () => Uint8Array.from(many(20, () => random() * 256));
  /** Socket.IO's packets, as JSON has them and as msgpack has them. */
  const event = () => one([events, events, () => mutate(events()), bytes])();
  const packed = () => {
    const value = one([() => ({ type: one([0, 1, 2, 3, 4, 5, "2", null]), nsp: one(["/", "/x", "__proto__", 1]), data: JSON.parse(`[${JSON.stringify(one(NAMES))},${object()}]`), id: one([undefined, 0, -1, "1"]) }), () => JSON.parse(object()), odd])();
    const data = new Uint8Array(new parser.Encoder().encode(value)[0]);
    for (let n = Math.floor(random() * 3); n; n--) data[Math.floor(random() * data.length)] = random() * 256;
    return one([data, data.slice(0, random() * data.length), bytes(), events()]);
  };
  /** Packets of the session, below the events. */
  const packet = () =>
    one([
      () => one("0123456789jb") + object(),
      () => one("0123456789jb") + one([JSON.stringify(odd()), "", String(Math.floor(random() * 9)), "9007199254740993", "AAA=", "\u{1f600}"]),
      open,
      () => `7${shaped("carrier", "received", "sent")}`,
      () => `1${shaped("code", "message", "received", "retry")}`,
      () => one("17") + object(),
      () => mutate(open()),
      () => `4${events()}`,
    ])();
  const payload = () => Array.from({ length: 1 + Math.floor(random() * 3) }, packet).join(one(["\x1e", "\x1e", "\x1e\x1e", "\n"]));
  const cut = (text) => {
    const at = Math.floor(random() * text.length);
    return [text.slice(0, at), text.slice(at)];
  };
  const stream = () =>
    one([
      () => `data: ${payload()}\n\n`,
      () => `id: ${one(["1", "x"])}\r\ndata:${packet()}\r\ndata:${packet()}\r\n\r\n`,
      () => `:${" ".repeat(random() * 3000)}\n\n`,
      () => `event: ${one(NAMES)}\rdata\r\r`,
      () => mutate(`data: ${packet()}\n\n`),
    ])();
  const answer = () => {
    const status = one([200, 200, 200, 200, 201, 204, 301, 302, 304, 400, 401, 403, 404, 408, 409, 413, 429, 500, 502, 503]);
    const isStream = random() < 0.5;
    const parts = (isStream ? many(4, stream) : [one([payload, payload, object, () => "<html>", () => "", () => shaped("code", "message", "received"), () => `7${shaped("received", "sent")}`])()]).flatMap(cut);
    const ends = random() < 0.7;
    const body = new ReadableStream({
      start(controller) {
        for (const part of parts) controller.enqueue(new TextEncoder().encode(part));
        if (random() < 0.1) controller.enqueue(Uint8Array.of(0xff, 0xc3, 0x28));
        if (ends) controller.close();
        else controller.error(new TypeError("terminated"));
      },
    });
    const headers = one([{ "Content-Type": isStream ? "text/event-stream" : "text/plain" }, {}, { "Content-Type": "text/html" }, { Location: "http://elsewhere.test/" }]);
    return new Response([204, 304].includes(status) ? null : body, { status, headers });
  };
  return { one, event, packed, packet: () => (random() < 0.2 ? bytes() : payload()), answer };
};

const ENTRIES = {
  whole: (options) => io(URL, options),
  "WebSocket alone": (options) => ioByWebSocket(URL, options),
  compat: (options) => ioCompat(URL, options),
  msgpack: (options) => io(URL, { ...options, codec: msgpack }),
};

/** What goes on is not the well-behaved server's any more. */
const forget = (world) => {
  for (const session of world.sessions.values()) session.server.over = true;
  for (const socket of world.sockets) socket.session = socket.carrier = undefined;
};

/** The hostile server is gone, and there is another one: what was opened is forgotten. */
const behave = (world) => {
  forget(world);
  delete world.fetch;
  world.cut();
};

const isConnected = async (world, isThere, again, ms = 1000) => {
  for (let tries = 0; tries < 300 && !isThere(); tries++) {
    again();
    await world.advance(ms);
  }
  return isThere();
};

/** Sessions in each of which the server is hostile for a moment. @param {string} level @param {string} entry @param {number} share */
const attack = async (level, entry, transports, share) => {
  const random = randomFrom(level.length * 100 + entry.length);
  const hostile = makeHostile(random);
  for (let told = 0, run = 0; told < share; run++) {
    const context = `${level}, ${entry}, ${transports}, run ${run}`;
    const world = new World(run + 1);
    world.grace = 3000;
    world.codec = entry == "msgpack" ? "msgpack" : "json";
    const codec = entry == "msgpack" ? msgpack : json;
    const decoders = new Map();
    world.onMessage = (session, data) => {
      if (!decoders.has(session)) decoders.set(session, new codec.Decoder());
      const packet = decoders.get(session).decode(data);
      if (packet?.type == 0) for (const message of codec.encode({ type: 0, nsp: packet.nsp, data: { sid: "x" } })) world.say(session, message);
    };
    const count = 1 + Math.floor(random() * MOST);
    let left = level == "HTTP" ? count : 0;
    const isFromTheStart = left && random() < 0.5;
    const fetch = (url, init) => (left-- > 0 ? settle().then(hostile.answer) : World.prototype.fetch.call(world, url, init));
    if (isFromTheStart) world.fetch = fetch;
    const options = { ...world.options, forceNew: true, transports };
    const session = entry == "session" ? openSession(URL, options) : undefined;
    const socket = session ?? ENTRIES[entry](options);
    let now = session;
    // What is refused for good, the application has to ask for.
    const again = () => {
      if (now?.readyState == "closed") now = openSession(URL, options);
      if (socket.io?.status == "closed" || socket.active === false) socket.connect();
    };
    for (const name of ["e", "__proto__", "constructor", "toString", "error"]) socket.on(name, () => {});
    socket.onAny?.(() => {});
    socket.emit?.("early", {}, () => {});
    socket.emitWithAck?.("early").catch(() => {});
    if (!isFromTheStart) await world.advance(200);
    if (level == "HTTP") {
      world.fetch = fetch;
      if (!isFromTheStart) world.cut();
      for (let seconds = 0; left > 0 && seconds < 60; seconds++) {
        again();
        await world.advance(1000);
      }
    } else {
      for (let n = 0; n < count; n++) {
        // What has been closed for the last packet is opened again for this one.
        const isThere = () => (session ? now.writable : socket.connected) && [...world.sockets, ...world.responses].some(({ onclose }) => onclose !== null);
        assert.ok(await isConnected(world, isThere, again, 250), context);
        if (level == "frames") {
          forget(world);
          const line = [...world.sockets].findLast(({ onclose }) => onclose);
          const data = hostile.packet();
          line.onmessage({ data: typeof data == "string" ? data : data.buffer });
          if (random() < 0.1) line.cut(hostile.one([1000, 1002, 1009, 3999, 4000, 4001, 4003, 4006, 4007, 4008, 4999]));
        } else world.say([...world.sessions.values()].at(-1), level == "msgpack" ? hostile.packed() : hostile.event());
        await world.advance(random() * 50);
      }
      await world.advance(300);
    }
    told += count;
    behave(world);
    if (session) {
      assert.ok(await isConnected(world, () => now.readyState == "open" && now.writable, again), context);
      now.close();
    } else {
      assert.ok(await isConnected(world, () => socket.connected, again), context);
      socket.disconnect();
    }
    await world.advance(100);
    assertClean(context);
    sent += level == "HTTP" ? count - Math.max(left, 0) : count;
  }
};

const PLAN = [
  ["frames", "whole", ["websocket"], 0.15],
  ["frames", "WebSocket alone", undefined, 0.15],
  ["frames", "compat", ["websocket"], 0.05],
  ["frames", "session", ["websocket"], 0.1],
  ["HTTP", "whole", ["stream", "polling"], 0.1],
  ["HTTP", "whole", ["polling"], 0.1],
  ["HTTP", "compat", ["polling"], 0.05],
  ["HTTP", "session", ["stream", "polling"], 0.1],
  ["events", "whole", ["websocket"], 0.05],
  ["events", "compat", ["stream"], 0.05],
  ["events", "WebSocket alone", undefined, 0.05],
  ["msgpack", "msgpack", ["websocket"], 0.05],
  ["msgpack", "msgpack", ["polling"], 0.05],
];

for (const [level, entry, transports, share] of PLAN) {
  test(`S10: hostile ${level} to ${entry} (${transports ?? "websocket"})`, () => attack(level, entry, transports, share * PACKETS));
}

test("S10: that was enough", (t) => {
  t.diagnostic(`${sent} packets`);
  assert.ok(sent >= 0.98 * PACKETS, String(sent));
});

after(() => process.off("uncaughtException", note).off("unhandledRejection", note));
