/**
 * The msgpack codec: what it writes, what it reads, and that nothing that comes can do more than end a session.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import test from "node:test";
import fc from "fast-check";
import parser from "socket.io-msgpack-parser";
import { LocalProtocolError, RemoteProtocolError } from "../errors.js";
import { io } from "../index.js";
import { msgpack } from "../msgpack.js";
import { json } from "../wire/socketio.js";
import { World } from "./world.js";

const TYPES = { CONNECT: 0, DISCONNECT: 1, EVENT: 2, ACK: 3, CONNECT_ERROR: 4 };
const url = new URL("../../tests/vectors/msgpack.json", import.meta.url);
// The client is tested outside the repository too, where the vectors are not.
const options = { skip: !existsSync(url) && "no vectors here" };

const fromHex = (hex) => new Uint8Array(Buffer.from(hex, "hex"));
const toHex = (bytes) => Buffer.from(bytes).toString("hex");
const revive = (_, value) =>
  value && "$bytes" in Object(value) ? fromHex(value.$bytes) : value && "$date" in Object(value) ? new Date(value.$date) : value;
const read = () => JSON.parse(readFileSync(url, "utf8"), revive);

const encode = (packet) => toHex(msgpack.encode(packet)[0]);
const decode = (bytes) => new msgpack.Decoder().decode(bytes);
/** A packet without the keys that are not there; a missing value in a list is null in the vectors. */
const tidy = (packet) => JSON.parse(JSON.stringify(packet, (key, value) => (value instanceof Uint8Array ? { $bytes: toHex(value) } : value)));
const toPacket = ({ type, ...rest }) => ({ type: TYPES[type], ...rest });
const event = (...data) => ({ type: 2, nsp: "/", data: ["e", ...data] });

test("packets are written and read as in the vectors", options, () => {
  for (const { name, packet, bytes } of read().packets) {
    assert.equal(encode(toPacket(packet)), bytes, name);
    assert.deepEqual(tidy(decode(fromHex(bytes))), tidy(toPacket(packet)), name);
  }
});

test("what others write is read as in the vectors", options, () => {
  for (const { name, packet, bytes } of read().accepted) assert.deepEqual(tidy(decode(fromHex(bytes))), tidy(toPacket(packet)), name);
});

test("what the vectors refuse is refused", options, () => {
  for (const { name, bytes } of read().refused) assert.throws(() => decode(fromHex(bytes)), RemoteProtocolError, name);
});

test("text comes where bytes should", () => assert.throws(() => decode("0"), RemoteProtocolError));

const integer = fc.oneof(fc.maxSafeInteger(), fc.integer({ min: -40, max: 300 }), fc.constantFrom(...[7, 8, 15, 16, 31, 32, 53].flatMap((n) => [2 ** n - 1, -(2 ** n) + 1, 1 - 2 ** n])));
const scalar = fc.oneof(integer, fc.double({ noDefaultInfinity: true }), fc.boolean(), fc.constant(null), fc.string({ unit: "binary", maxLength: 40 }), fc.date({ noInvalidDate: true }));
const bytes = fc.uint8Array({ maxLength: 300 });
/** The numbers that a parser keeps as they are: of one that is whole and beyond 2^53 it writes the low 64 bits. */
const isKept = (value) => JSON.stringify([value], (_, item) => (Number.isInteger(item) && !Number.isSafeInteger(item) ? "no" : item)).indexOf('"no"') < 0;
const tree = (leaf) =>
  fc.letrec((tie) => ({
    value: fc.oneof({ maxDepth: 4 }, leaf, fc.array(tie("value"), { maxLength: 20 }), fc.dictionary(fc.string(), tie("value"), { maxKeys: 20, noNullPrototype: true })),
  })).value;
const normal = (value) =>
  Object.is(value, -0) ? 0 : Array.isArray(value) ? value.map(normal) : value?.constructor == Object ? Object.fromEntries(Object.entries(value).map(([key, item]) => [key, normal(item)])) : value;
/** Their decoder gives a Buffer, and an object its prototype back. */
const ours = (value) =>
  value instanceof Uint8Array ? new Uint8Array(value) : Array.isArray(value) ? value.map(ours) : value && typeof value == "object" && !(value instanceof Date) ? Object.fromEntries(Object.entries(value).map(([key, item]) => [key, ours(item)])) : value;

test("any value comes back", () => {
  fc.assert(
    fc.property(tree(fc.oneof(scalar, bytes)), (value) => {
      const { data } = decode(msgpack.encode(event(value))[0]);
      assert.deepEqual(normal(data[1]), normal(value));
    }),
    { numRuns: 500 },
  );
});

test("what we write is read by socket.io-msgpack-parser, and is what it would write", () => {
  fc.assert(
    fc.property(tree(fc.oneof(scalar, bytes.map(Buffer.from))).filter(isKept), (value) => {
      const packet = event(value);
      const [written] = msgpack.encode(packet);
      const decoder = new parser.Decoder();
      let heard;
      decoder.on("decoded", (packet) => (heard = packet));
      decoder.add(Buffer.from(written));
      // It makes a prototype of a key with that name, which is its own affair.
      if (!JSON.stringify(value)?.includes("__proto__")) assert.deepEqual(ours(heard.data), ours(normal(packet.data)));
      const [theirs] = new parser.Encoder().encode({ type: packet.type, data: normal(packet.data), nsp: packet.nsp });
      assert.equal(toHex(written), toHex(theirs));
    }),
    { numRuns: 500 },
  );
});

test("what socket.io-msgpack-parser writes is read", () => {
  fc.assert(
    fc.property(tree(fc.oneof(scalar, bytes.map(Buffer.from), fc.constant(undefined))).filter(isKept), (value) => {
      const [theirs] = new parser.Encoder().encode({ ...event(value), options: { compress: true } });
      assert.deepEqual(normal(decode(new Uint8Array(theirs)).data[1]), normal(ours(value)));
    }),
    { numRuns: 500 },
  );
});

test("every kind of bytes travels as bytes, and only its own part of a buffer", () => {
  const buffer = new Uint8Array([9, 1, 2, 9]).buffer;
  for (const value of [new Uint8Array(buffer, 1, 2), new DataView(buffer, 1, 2), Buffer.from([1, 2]), new Uint8Array([1, 2]).buffer]) {
    assert.deepEqual(decode(msgpack.encode(event(value))[0]).data[1], new Uint8Array([1, 2]));
  }
  const long = new Uint8Array(70_000).fill(7);
  assert.deepEqual(decode(msgpack.encode(event(long, "x".repeat(300)))[0]).data.slice(1), [long, "x".repeat(300)]);
});

test("what JSON leaves out or writes in its own way, msgpack does too", () => {
  const value = { a: undefined, b() {}, c: { toJSON: () => ({ d: 1 }) }, e: [undefined, () => {}], f: new Date(NaN), g: "\ufeffx" };
  assert.deepEqual(decode(msgpack.encode(event(value))[0]).data[1], { c: { d: 1 }, e: [undefined, undefined], f: null, g: "\ufeffx" });
});

test("what cannot be carried is refused where it is sent", () => {
  const circular = [];
  circular.push(circular);
  for (const value of [1n, Symbol("s"), "\ud800", { "\udc00": 1 }, circular, new Array(65_537).fill(0)]) {
    assert.throws(() => msgpack.encode(event(value)), LocalProtocolError, String(typeof value));
  }
  assert.throws(() => msgpack.encode({ type: 0, nsp: "/a,b" }), LocalProtocolError);
});

test("a key that is called __proto__ is a key", () => {
  const value = JSON.parse('{"__proto__":{"polluted":1}}');
  const { data } = decode(msgpack.encode(event(value))[0]);
  assert.deepEqual(Object.keys(data[1]), ["__proto__"]);
  assert.equal(data[1].polluted, undefined);
  assert.equal({}.polluted, undefined);
});

test("whatever bytes come, nothing but the protocol error is thrown", () => {
  const head = fromHex("83a47479706502a36e7370a12fa464617461");
  const wild = fc.oneof(fc.uint8Array({ maxLength: 60 }), fc.uint8Array({ maxLength: 40 }).map((tail) => new Uint8Array([...head, ...tail])));
  const changed = fc.tuple(tree(fc.oneof(scalar, bytes)), fc.nat(), fc.nat(255)).map(([value, at, byte]) => {
    const [message] = msgpack.encode(event(value));
    message[at % message.length] = byte;
    return message;
  });
  fc.assert(
    fc.property(fc.oneof(wild, changed), (message) => {
      try {
        const { nsp, data, type } = decode(message);
        assert.ok(nsp.startsWith("/") && type < 5);
        if (type == 2) assert.equal(typeof data[0], "string");
      } catch (error) {
        assert.ok(error instanceof RemoteProtocolError, error.stack);
      }
    }),
    { numRuns: 3000 },
  );
});

test("a message that is cut short anywhere is refused", () => {
  const [message] = msgpack.encode(event([1, -200, 1.5, "text", new Date(5), new Uint8Array(3), { a: [null, true] }]));
  for (let length = 0; length < message.length; length++) assert.throws(() => decode(message.slice(0, length)), RemoteProtocolError);
});

/** A server that grants what it is told to, and answers in it. */
const granting = (granted) => {
  const world = new World();
  const urls = [];
  const { fetch, WebSocket } = world.options;
  world.codec = granted?.name;
  const heard = [];
  world.onMessage = (session, data) => {
    const decoder = (session.decoder ??= new granted.Decoder());
    const packet = decoder.decode(data);
    if (!packet) return;
    heard.push(packet);
    const say = (packet) => granted.encode(packet).forEach((message) => world.say(session, message));
    if (packet.type == 0) say({ type: 0, nsp: "/", data: { sid: "s" + session.sid } });
    else if (packet.id !== undefined) say({ type: 3, nsp: "/", id: packet.id, data: packet.data.slice(1) });
  };
  const options = {
    ...world.options,
    fetch: (url, init) => (urls.push(url), fetch(url, init)),
    WebSocket: class {
      constructor(url) {
        urls.push(url);
        return new WebSocket(url);
      }
    },
  };
  return { world, urls, heard, options };
};

for (const transport of ["websocket", "stream", "polling"]) {
  test(`msgpack is asked for and spoken, by ${transport}`, async () => {
    const { world, urls, heard, options } = granting(msgpack);
    const socket = io("http://server.test", { ...options, codec: msgpack, transports: [transport], forceNew: true });
    const early = socket.emitWithAck("early", new Uint8Array([1]));
    await world.advance(500);
    const late = socket.emitWithAck("late", new Date(5), [undefined]);
    await world.advance(2000);
    assert.deepEqual([await early, await late], [new Uint8Array([1]), new Date(5)]);
    assert.deepEqual(heard.map(({ data }) => data?.[0]), [undefined, "early", "late"]);
    assert.ok(urls.every((url) => new URL(url).searchParams.get("codec") == "msgpack,json"));
    socket.disconnect();
  });
}

test("who connects as soon as something carries is asked for in what the server has", async () => {
  const { world, heard, options } = granting(json);
  const socket = io("http://server.test", { ...options, codec: msgpack, forceNew: true });
  socket.io.once("transport", () => socket.connect());
  await world.advance(500);
  assert.equal(socket.connected, true);
  assert.deepEqual(heard.map(({ type }) => type), [0]);
  socket.disconnect();
});

test("a server that does not have it goes on in JSON, with what waited too", async () => {
  const { world, heard, options } = granting(json);
  const socket = io("http://server.test", { ...options, codec: msgpack, forceNew: true });
  const early = socket.emitWithAck("early", new Uint8Array([1]), { a: 1 });
  await world.advance(500);
  const late = socket.emitWithAck("late", "x");
  await world.advance(500);
  assert.deepEqual([await early, await late], [new Uint8Array([1]), "x"]);
  assert.deepEqual(heard[1].data, ["early", new Uint8Array([1]), { a: 1 }]);
  socket.disconnect();
});

test("a server that sends what is not msgpack is left, and come back to", async () => {
  const { world, options } = granting(msgpack);
  const socket = io("http://server.test", { ...options, codec: msgpack, forceNew: true });
  const reasons = [];
  socket.on("disconnect", (reason) => reasons.push(reason));
  await world.advance(500);
  world.say([...world.sessions.values()][0], fromHex("dfffffffff"));
  await world.advance(5000);
  assert.deepEqual([reasons, socket.connected], [["parse error"], true]);
  socket.disconnect();
});
