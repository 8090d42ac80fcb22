import assert from "node:assert/strict";
import test from "node:test";
import { HoldfastSocket } from "../holdfastsocket.js";
import { World, settle } from "./world.js";

/** @param {World} world */
const opened = async (world, ...rest) => {
  const socket = new HoldfastSocket("wss://server.test/stomp?a=b", [], { ...world.options, ...rest[0] });
  const events = [];
  for (const type of ["open", "message", "error", "close"]) socket.addEventListener(type, (event) => events.push(event));
  await world.advance(100);
  const [one] = [...world.sessions.values()];
  return { socket, events, one };
};

const types = (events) => events.map(({ type }) => type);

for (const transports of [["websocket"], ["stream"], ["polling"]]) {
  test(`it opens, talks and closes as a WebSocket does, over ${transports}`, async () => {
    const world = new World();
    const { socket, events, one } = await opened(world, { transports });
    assert.deepEqual([socket.readyState, socket.url, socket.protocol, socket.extensions, types(events)], [1, "wss://server.test/stomp?a=b", "", "", ["open"]]);
    const sent = ["a\u001e\n", "", new Uint8Array([1, 2]), new Uint8Array([3, 4]).buffer, new DataView(new Uint8Array([9, 5, 6]).buffer, 1)];
    for (const data of sent) socket.send(data);
    socket.binaryType = "arraybuffer";
    world.say(one, "text");
    world.say(one, new Uint8Array([7, 8]));
    await world.advance(500);
    assert.deepEqual(one.server.heard.map((data) => (typeof data == "string" ? data : [...data])), ["a\u001e\n", "", [1, 2], [3, 4], [5, 6]]);
    assert.equal(events[1].data, "text");
    assert.ok(events[2].data instanceof ArrayBuffer);
    assert.deepEqual([...new Uint8Array(events[2].data)], [7, 8]);
    socket.send("last");
    socket.close(3001, "enough");
    assert.equal(socket.readyState, HoldfastSocket.CLOSING);
    await world.advance(500);
    assert.equal(socket.readyState, HoldfastSocket.CLOSED);
    assert.equal(one.server.heard.at(-1), "last");
    assert.deepEqual([one.server.over, one.server.closedWith], [true, '{"message":"closed 3001 enough"}']);
    const { type, code, reason, wasClean } = events.at(-1);
    assert.deepEqual({ type, code, reason, wasClean }, { type: "close", code: 3001, reason: "enough", wasClean: true });
    assert.deepEqual(types(events), ["open", "message", "message", "close"]);
  });
}

test("what is lost and found again is no close", async () => {
  const world = new World();
  const { socket, events, one } = await opened(world);
  for (let n = 0; n < 30; n++) {
    socket.send(`${n}`);
    world.say(one, `${n}`);
    if (n % 10 == 5) world.cut();
    await world.advance(300);
  }
  await world.advance(3000);
  const expected = Array.from({ length: 30 }, (_, n) => `${n}`);
  assert.deepEqual(one.server.heard, expected);
  assert.deepEqual(events.slice(1).map(({ data }) => data), expected);
  assert.deepEqual([socket.readyState, socket.bufferedAmount, world.sessions.size], [1, 0, 1]);
});

test("handlers by property come first, can be taken away, and harm nobody when they throw", async () => {
  const world = new World();
  const { socket, one } = await opened(world);
  const heard = [];
  const thrown = [];
  const { queueMicrotask } = globalThis;
  globalThis.queueMicrotask = (run) =>
    queueMicrotask(() => {
      try {
        run();
      } catch (error) {
        thrown.push(error.message);
      }
    });
  socket.onmessage = function ({ data, target }) {
    heard.push(["property", data, this == socket, target == socket]);
    throw new Error("theirs");
  };
  socket.addEventListener("message", ({ data }) => heard.push(["listener", data]), { once: true });
  world.say(one, "a");
  await world.advance(100);
  socket.onmessage = null;
  world.say(one, "b");
  await world.advance(100);
  assert.deepEqual(heard.map(([from, data]) => [from, data]), [["property", "a"], ["listener", "a"]]);
  globalThis.queueMicrotask = queueMicrotask;
  assert.deepEqual(thrown, ["theirs"]);
  socket.close();
});

test("blobs are sent in their turn, and bytes as they were when they were sent", async () => {
  const world = new World();
  const { socket, one, events } = await opened(world);
  const bytes = new Uint8Array([1]);
  socket.send(bytes);
  bytes[0] = 9;
  socket.send(new Blob(["blob"]));
  socket.send("after");
  socket.send(bytes);
  bytes[0] = 8;
  assert.ok(socket.bufferedAmount >= 10);
  socket.close();
  socket.send("too late");
  await world.advance(500);
  const text = (data) => (typeof data == "string" ? data : new TextDecoder().decode(data));
  assert.deepEqual(one.server.heard.map(text), ["\u0001", "blob", "after", "\t"]);
  // What the server had not confirmed, and what came too late.
  assert.deepEqual([socket.bufferedAmount, events.at(-1).code], [11 + 8, 1005]);
});

test("binary messages are blobs unless it is said otherwise", async () => {
  const world = new World();
  const { socket, events, one } = await opened(world);
  world.say(one, new Uint8Array([1, 2]));
  await world.advance(100);
  assert.ok(events[1].data instanceof Blob);
  assert.deepEqual([...new Uint8Array(await events[1].data.arrayBuffer())], [1, 2]);
  socket.close();
});

test("a lone surrogate is sent as a WebSocket sends it", async () => {
  const world = new World();
  const { socket, one } = await opened(world);
  socket.send("a\ud800b");
  await world.advance(100);
  assert.deepEqual(one.server.heard, ["a\ufffdb"]);
  socket.close();
});

test("more than may wait ends it, as a WebSocket's full buffer does", async () => {
  const world = new World();
  const { socket, events } = await opened(world, { bufferSize: 100 });
  socket.send("x".repeat(99));
  socket.send("y".repeat(99));
  await world.advance(100);
  assert.deepEqual([types(events), events.at(-1).code, events.at(-1).wasClean], [["open", "error", "close"], 1006, false]);
});

test("what cannot be opened is an error and a close, and what is closed before it is open too", async () => {
  const world = new World();
  Object.assign(world.weather, { down: true, noSockets: true });
  const { socket, events } = await opened(world, { timeout: 500, fetch: () => Promise.reject(new TypeError("no network")) });
  await world.advance(3000);
  assert.deepEqual([socket.readyState, types(events), events.at(-1).code], [3, ["error", "close"], 1006]);
  const early = new HoldfastSocket("https://server.test", "a", new World().options);
  const heard = [];
  early.onopen = early.onerror = early.onclose = ({ type }) => heard.push(type);
  assert.throws(() => early.send("x"), { name: "InvalidStateError" });
  assert.equal(early.protocol, "");
  early.close();
  early.close();
  await settle();
  assert.deepEqual(heard, ["error", "close"]);
});

for (const [data, code, reason, wasClean] of [
  ['{"message":"closed 4403 not\\nfor you","received":0}', 4403, "not\nfor you", true],
  ['{"message":"closed 1000 "}', 1000, "", true],
  ["", 1000, "", true],
  ['{"message":"forced server close"}', 1006, "forced server close", false],
]) {
  test(`what the server says of the end is in the event: ${data}`, async () => {
    const world = new World();
    const { socket, events, one } = await opened(world, { transports: ["websocket"] });
    one.server.opening.out.push("1" + data);
    one.server.over = true;
    world.pump(one);
    await world.advance(200);
    assert.equal(socket.readyState, 3);
    const last = events.at(-1);
    assert.deepEqual([last.code, last.reason, last.wasClean], [code, reason, wasClean]);
  });
}

test("subprotocols are told to the server, and the first one is spoken", async () => {
  const world = new World();
  const urls = [];
  const WebSocket = class extends world.WebSocket {
    constructor(url) {
      super(url);
      urls.push(new URL(url));
    }
  };
  const socket = new HoldfastSocket("https://server.test/stomp?a=b", ["v12.stomp", "v11.stomp"], { ...world.options, WebSocket });
  await world.advance(100);
  assert.equal(socket.protocol, "v12.stomp");
  assert.deepEqual([urls[0].pathname, urls[0].searchParams.get("protocols"), urls[0].searchParams.get("a")], ["/stomp/", "v12.stomp,v11.stomp", "b"]);
  socket.close();
});

test("what a WebSocket refuses, it refuses", async () => {
  const { socket } = await opened(new World());
  for (const protocols of ["", "a b", ["a", "a"]]) assert.throws(() => new HoldfastSocket("https://server.test", protocols), { name: "SyntaxError" });
  assert.throws(() => new HoldfastSocket("https://"), { name: "SyntaxError" });
  for (const code of [0, 1001, 2999, 5000]) assert.throws(() => socket.close(code), { name: "InvalidAccessError" });
  assert.throws(() => socket.close(1000, "x".repeat(124)), { name: "SyntaxError" });
  assert.equal(socket.readyState, 1);
  for (const [name, value] of [["CONNECTING", 0], ["OPEN", 1], ["CLOSING", 2], ["CLOSED", 3]]) {
    assert.equal(HoldfastSocket[name], value);
    assert.equal(socket[name], value);
  }
  socket.close();
});
