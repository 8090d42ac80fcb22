/**
 * The event layer against the official server: a plain peer in everything.
 */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import test, { after, before } from "node:test";
import { Server } from "socket.io";
import { WebSocket } from "ws";
import { DisconnectedError, EventError, LocalProtocolError, Manager, TimeoutError, io } from "../index.js";

let server;
let http;
let url;

before(async () => {
  http = createServer();
  server = new Server(http, { pingInterval: 2000, pingTimeout: 2000 });
  const onConnection = (socket) => {
    socket.on("echo", (...args) => args.pop()(...args));
    socket.on("bounce", (...args) => socket.emit("bounce", ...args));
    socket.on("auth", (answer) => answer(socket.handshake.auth));
    socket.on("fail", (answer) => answer({ error: { message: "no", code: "E_NO", data: [1] } }));
    socket.on("never", () => {});
    socket.on("leave", () => socket.disconnect());
    socket.on("burst", (answer) => [1, 2, 3].forEach((n) => (n == 1 ? answer() : socket.emit("bounce", n))));
    socket.on("drop", () => socket.conn.close());
    socket.on("size", (bytes, answer) => answer(bytes.length));
    socket.on("ask", (value, answer) => socket.emit("question", value, answer));
  };
  server.on("connection", onConnection);
  server.of("/chat").on("connection", onConnection);
  server.of("/closed").use((_, next) => next(Object.assign(new Error("not you"), { data: { code: 7 } })));
  await new Promise((resolve) => http.listen(0, resolve));
  url = `http://localhost:${http.address().port}`;
});

after(() => {
  server.close();
  http.closeAllConnections();
});

const connect = (path = "", opts = {}) => io(url + path, { WebSocket, forceNew: true, reconnectionDelay: 10, randomizationFactor: 0, ...opts });
const next = (emitter, name) => new Promise((resolve) => emitter.once(name, (...args) => resolve(args)));

for (const transports of [["websocket"], ["polling"], ["polling", "websocket"], ["websocket", "stream", "polling"]]) {
  test(`events, acknowledgements and bytes (${transports})`, async () => {
    const socket = connect("", { transports });
    const bytes = new Uint8Array([1, 2, 3]);
    assert.deepEqual(await socket.emitWithAck("echo", { text: "é😀\x1e\n", list: [1, null] }), { text: "é😀\x1e\n", list: [1, null] });
    socket.emit("bounce", bytes, { deep: bytes }, "x".repeat(100_000));
    const [first, second, third] = await next(socket, "bounce");
    assert.deepEqual([first, second, third.length], [bytes, { deep: bytes }, 100_000]);
    const got = [];
    socket.on("bounce", (n) => got.push(n));
    for (let i = 0; i < 500; i++) socket.emit("bounce", i);
    await socket.emitWithAck("echo");
    assert.deepEqual(got, Array.from({ length: 500 }, (_, i) => i));
    assert.equal(socket.connected, true);
    socket.disconnect();
    assert.deepEqual([socket.connected, socket.active, socket.id], [false, false, undefined]);
  });
}

test("a session that began by polling goes over to the WebSocket by the standard's upgrade", async () => {
  class Slow extends WebSocket {
    constructor(address, ...rest) {
      if (!address.includes("sid=")) throw new Error("not at first");
      super(address, ...rest);
    }
  }
  const changes = [];
  const socket = connect("", { WebSocket: Slow, laterMs: [50] });
  socket.io.on("transport", ({ from, to }) => changes.push([from, to]));
  const got = [];
  socket.on("bounce", (n) => got.push(n));
  await next(socket, "connect");
  for (let i = 0; socket.io.engine.transport.name == "polling"; i++) {
    socket.emit("bounce", got.length && i);
    await socket.emitWithAck("echo");
  }
  await socket.emitWithAck("echo");
  assert.deepEqual(changes, [[null, "polling"], ["polling", "websocket"]]);
  socket.disconnect();
});

test("auth may be an object, or a function with a callback, with a value or with a promise", async () => {
  for (const auth of [{ a: 1 }, (done) => done({ a: 1 }), (done) => setTimeout(done, 1, { a: 1 }), async () => ({ a: 1 }), () => ({ a: 1 })]) {
    const socket = connect("", { auth });
    assert.deepEqual(await socket.emitWithAck("auth"), { a: 1 });
    socket.disconnect();
  }
});

test("auth that fails is a connect_error, and nothing is tried again", async () => {
  const fail = () => {
    throw new Error("no token");
  };
  for (const auth of [fail, async () => fail(), (done) => fail(done)]) {
    const socket = connect("", { auth });
    const [error] = await next(socket, "connect_error");
    assert.equal(error.message, "no token");
    assert.equal(socket.active, false);
  }
});

test("namespaces share one session, and a second socket of the same name does not", async () => {
  const one = io(url, { WebSocket });
  const chat = io(url + "/chat", { auth: { a: 2 } });
  const again = io(url + "/chat", { WebSocket });
  assert.equal(one.io, chat.io);
  assert.notEqual(chat.io, again.io);
  assert.deepEqual(await chat.emitWithAck("auth"), { a: 2 });
  await one.emitWithAck("echo");
  assert.notEqual(one.id, chat.id);
  chat.disconnect();
  assert.equal(one.connected, true);
  await one.emitWithAck("echo");
  one.disconnect();
  again.disconnect();
});

test("a refused namespace says why, and is not tried again", async () => {
  const socket = connect("/closed");
  const [error] = await next(socket, "connect_error");
  assert.deepEqual([error.message, error.data, socket.active], ["not you", { code: 7 }, false]);
});

test("an error of the handler rejects, and a callback gets it as it is", async () => {
  const socket = connect();
  await assert.rejects(socket.emitWithAck("fail"), (error) => {
    assert.ok(error instanceof EventError);
    assert.deepEqual([error.message, error.code, error.data], ["no", "E_NO", [1]]);
    return true;
  });
  const reply = await new Promise((resolve) => socket.emit("fail", resolve));
  assert.equal(reply.error.message, "no");
  const [error, value] = await new Promise((resolve) => socket.timeout(1000).emit("echo", 1, (...args) => resolve(args)));
  assert.deepEqual([error, value], [null, 1]);
  socket.disconnect();
});

test("what waits for an answer hears of the timeout and of the end", async () => {
  const socket = connect();
  await next(socket, "connect");
  await assert.rejects(socket.timeout(20).emitWithAck("never"), TimeoutError);
  const [error] = await new Promise((resolve) => socket.timeout(20).emit("never", (...args) => resolve(args)));
  assert.ok(error instanceof TimeoutError);
  const pending = socket.emitWithAck("never");
  socket.disconnect();
  await assert.rejects(pending, DisconnectedError);
});

test("reasons are Socket.IO's, and details tell what stayed unconfirmed", async () => {
  const socket = connect();
  await next(socket, "connect");
  socket.emit("leave");
  assert.deepEqual((await next(socket, "disconnect"))[0], "io server disconnect");
  assert.equal(socket.active, false);
  socket.connect();
  await next(socket, "connect");
  socket.emit("drop");
  const [reason, details] = await next(socket, "disconnect");
  assert.deepEqual([reason, details.unconfirmed, socket.active], ["transport close", [], true]);
  const [attempts] = await next(socket.io, "reconnect");
  assert.equal(attempts, 1);
  const left = next(socket, "disconnect");
  await next(socket, "connect");
  socket.disconnect();
  assert.equal((await left)[0], "io client disconnect");
});

test("an event with an attachment that is too long leaves nothing behind", async () => {
  for (const transports of [["websocket"], ["polling"]]) {
    const socket = connect("", { transports });
    await next(socket, "connect");
    assert.throws(() => socket.emit("size", new Uint8Array(1_000_001)), LocalProtocolError);
    assert.equal(await socket.emitWithAck("echo", "innocent"), "innocent");
    assert.equal(await socket.emitWithAck("size", new Uint8Array(10)), 10);
    socket.disconnect();
  }
});

test("bytes up to the server's limit go over a WebSocket, on which nothing makes them longer", async () => {
  const socket = connect("", { transports: ["websocket"] });
  await next(socket, "connect");
  assert.equal(await socket.emitWithAck("size", new Uint8Array(1_000_000)), 1_000_000);
  socket.disconnect();
  const polling = connect("", { transports: ["polling"] });
  await next(polling, "connect");
  assert.throws(() => polling.emit("size", new Uint8Array(760_000)), LocalProtocolError);
  polling.disconnect();
});

test("polls of a plain server that bring something follow each other without a pause", async () => {
  const pauses = [];
  const socket = connect("", {
    transports: ["polling"],
    setTimeout: (run, ms) => setTimeout(() => run(pauses.push(ms)), ms),
  });
  await next(socket, "connect");
  pauses.length = 0;
  for (let i = 0; i < 20; i++) await socket.emitWithAck("echo", i);
  socket.disconnect();
  // On a busy machine the heartbeat's timer may run; pauses are shorter than that.
  assert.deepEqual(pauses.filter((ms) => ms < 1000), []);
});

test("a namespace that cannot be written down is refused, and costs the others nothing", async () => {
  const socket = connect();
  await next(socket, "connect");
  for (const name of ["/a,b", "/a\nb", "/" + "x".repeat(257)]) {
    const wrong = socket.io.socket(name);
    if (wrong.active) await next(wrong, "connect_error");
    assert.equal(wrong.active, false);
    assert.throws(() => wrong.emit("e"), LocalProtocolError);
  }
  assert.equal(await socket.emitWithAck("echo", 1), 1);
  socket.disconnect();
});

test("a socket that is disconnected before it was connected does not come back", async () => {
  const socket = connect();
  await next(socket, "connect");
  const chat = socket.io.socket("/chat");
  const seen = [];
  for (const name of ["connect", "disconnect", "connect_error"]) chat.on(name, () => seen.push(name));
  chat.disconnect().connect().disconnect();
  await socket.emitWithAck("echo");
  await socket.emitWithAck("echo");
  assert.deepEqual([seen, chat.connected, chat.active], [[], false, false]);
  assert.deepEqual((await server.of("/chat").fetchSockets()).length, 0);
  chat.connect();
  chat.disconnect().connect();
  await next(chat, "connect");
  assert.equal(await chat.emitWithAck("echo", 1), 1);
  assert.deepEqual(seen, ["connect"]);
  socket.io.close();
});

test("what the server said before it heard of the disconnect is not heard after the next connect", async () => {
  const one = connect();
  const chat = one.io.socket("/chat");
  const heard = [];
  chat.on("bounce", (n) => heard.push(n));
  await chat.emitWithAck("echo");
  await new Promise((resolve) => chat.emit("burst", () => resolve(chat.disconnect())));
  await one.emitWithAck("echo");
  await one.emitWithAck("echo");
  chat.connect();
  await chat.emitWithAck("echo");
  assert.deepEqual(heard, []);
  one.io.close();
});

test("a handler of one namespace's disconnect may disconnect or use another one", async () => {
  const socket = connect();
  const chat = socket.io.socket("/chat");
  await Promise.all([next(socket, "connect"), next(chat, "connect")]);
  const seen = [];
  chat.on("disconnect", (reason) => seen.push(reason));
  chat.on("connect", () => seen.push("connect"));
  socket.once("disconnect", () => chat.disconnect());
  socket.io.engine.close();
  await next(socket, "connect");
  await socket.emitWithAck("echo");
  assert.deepEqual([seen, chat.connected, chat.active], [["forced close"], false, false]);
  chat.connect();
  await next(chat, "connect");
  const answer = new Promise((resolve) => socket.once("disconnect", () => resolve(chat.emitWithAck("echo", "kept"))));
  socket.io.engine.close();
  assert.equal(await answer, "kept");
  socket.io.close();
});

test("connect brings back what nothing else would", async () => {
  const alone = connect("", { reconnection: false });
  await next(alone, "connect");
  alone.emit("drop");
  await next(alone, "disconnect");
  alone.connect();
  await next(alone, "connect");
  alone.io.close();
  assert.equal(alone.connected, false);
  alone.connect();
  await next(alone, "connect");
  alone.disconnect();
});

test("an answer of auth to an earlier connect counts no more", async () => {
  const socket = connect();
  await next(socket, "connect");
  const answers = [];
  const chat = socket.io.socket("/chat", { auth: (done) => answers.push(done) });
  chat.disconnect().connect();
  answers[0]({ who: "first" });
  await socket.emitWithAck("echo");
  answers[1]({ who: "second" });
  assert.deepEqual(await chat.emitWithAck("auth"), { who: "second" });
  socket.io.close();
});

test("whoever disconnects while it is being connected is not told that it is", async () => {
  const socket = connect();
  await next(socket, "connect");
  const chat = socket.io.socket("/chat");
  const seen = [];
  for (const name of ["connect", "disconnect"]) chat.on(name, () => seen.push(name));
  chat.emit("bounce", "x".repeat(1_100_000));
  chat.emit("bounce", 1);
  socket.io.once("error", () => chat.disconnect());
  await next(socket.io, "error");
  await socket.emitWithAck("echo");
  await socket.emitWithAck("echo");
  assert.deepEqual([seen, chat.connected, chat.active], [["disconnect"], false, false]);
  const heard = next(chat, "bounce");
  chat.connect();
  assert.deepEqual(await heard, [1]);
  socket.io.close();
});

test("whoever opens it again by hand does not stand in the way of the next reconnection", async () => {
  const openings = [
    (socket) => socket.once("disconnect", () => socket.disconnect().connect()),
    (socket) => socket.io.once("close", () => socket.io.connect()),
    (socket) => socket.io.once("close", () => setTimeout(() => socket.io.connect(), 1)),
    (socket) => socket.io.once("reconnect_attempt", () => socket.io.open()),
    (socket) => socket.io.once("close", () => setTimeout(() => socket.io.open(() => {}), 1)),
  ];
  for (const open of openings) {
    const socket = connect();
    await next(socket, "connect");
    open(socket);
    for (let i = 0; i < 3; i++) {
      socket.emit("drop");
      await next(socket, "connect");
    }
    const attempts = [];
    socket.io.on("reconnect_attempt", (n) => attempts.push(n));
    await new Promise((resolve) => setTimeout(resolve, 30));
    assert.deepEqual(attempts, []);
    socket.disconnect();
  }
});

test("an engine that is closed under a socket is opened again", async () => {
  const socket = connect();
  await next(socket, "connect");
  const [reason] = await new Promise((resolve) => {
    socket.once("disconnect", (...args) => resolve(args));
    socket.io.engine.close();
  });
  assert.equal(reason, "forced close");
  await next(socket, "connect");
  socket.disconnect();
});

test("reconnection stops after the attempts it was given", async () => {
  const seen = [];
  const socket = io("http://localhost:1", { WebSocket, forceNew: true, reconnectionDelay: 1, reconnectionAttempts: 2 });
  for (const name of ["error", "reconnect_attempt", "reconnect_error"]) socket.io.on(name, () => seen.push(name));
  socket.on("connect_error", () => seen.push("connect_error"));
  await next(socket.io, "reconnect_failed");
  assert.deepEqual(seen.filter((name) => name == "reconnect_attempt").length, 2);
  assert.deepEqual(seen.filter((name) => name == "connect_error").length, 3);
  socket.disconnect();
});

test("volatile events are dropped while there is nothing to carry them, others are kept", async () => {
  const socket = connect();
  socket.volatile.emit("bounce", "dropped");
  socket.emit("bounce", "kept");
  assert.deepEqual(await next(socket, "bounce"), ["kept"]);
  socket.disconnect();
});

test("listeners: chaining, once, off, and all of them", async () => {
  const socket = connect();
  const seen = [];
  const note = (name) => () => seen.push(name);
  const off = note("off");
  assert.equal(socket.on("bounce", note("on")).once("bounce", note("once")) && socket.on("bounce", off), socket);
  socket.off("bounce", off);
  socket.onAny((name, n) => seen.push(["any", name, n]));
  await next(socket, "connect");
  socket.emit("bounce", 1);
  await socket.emitWithAck("echo");
  assert.deepEqual(seen, [["any", "bounce", 1], "on", "once"]);
  socket.offAny();
  seen.length = 0;
  socket.send("x").emit("bounce", 2);
  await socket.emitWithAck("echo");
  assert.deepEqual(seen, ["on"]);
  socket.disconnect();
});

test("an AbortSignal removes a listener, and one that has fired lets none in", async () => {
  const socket = connect("", { autoConnect: false });
  const { signal } = new AbortController();
  const seen = [];
  const first = new AbortController();
  const options = { signal: first.signal };
  socket.on("e", () => seen.push("on"), options).once("e", () => seen.push("once"), options).on("e", () => seen.push("kept"), { signal });
  socket.on("e", () => seen.push("late"), { signal: AbortSignal.abort() });
  socket.fire("e");
  socket.once("e", () => seen.push("never"), options);
  first.abort();
  socket.fire("e");
  assert.deepEqual([seen, socket.listeners("e").length], [["on", "once", "kept", "kept"], 1]);
});

test("a listener that is a function knows its socket", async () => {
  const socket = connect("", { autoConnect: false });
  const seen = [];
  const note = function () {
    seen.push(this);
  };
  socket.on("e", note).once("e", note).fire("e");
  socket.io.on("open", note).fire("open");
  assert.deepEqual(seen, [socket, socket, socket.io]);
});

test("what waits to be connected can be counted and emptied", async () => {
  const socket = connect("", { autoConnect: false });
  socket.emit("bounce", 1);
  const lost = socket.emitWithAck("echo", 2);
  assert.deepEqual(socket.sendBuffer.map(({ args }) => args), [["bounce", 1], ["echo", 2]]);
  socket.sendBuffer = [];
  socket.emit("bounce", 3).connect();
  assert.deepEqual(await next(socket, "bounce"), [3]);
  socket.disconnect();
  await assert.rejects(lost, DisconnectedError);
});

test("the client answers what the server asks, once", async () => {
  const socket = connect();
  socket.on("question", (value, answer) => {
    answer(value + 1);
    answer(value + 2);
  });
  assert.equal(await socket.emitWithAck("ask", 1), 2);
  socket.disconnect();
});

test("reserved names, and what cannot be sent, throw where they are sent", async () => {
  const socket = connect("", { autoConnect: false });
  assert.throws(() => socket.emit("connect"), LocalProtocolError);
  assert.throws(() => socket.emit("e", ...Array.from({ length: 11 }, () => new Uint8Array(1))), LocalProtocolError);
  const circle = {};
  circle.circle = circle;
  assert.throws(() => socket.emit("e", circle), TypeError);
  assert.deepEqual([socket.active, socket.disconnected], [false, true]);
  socket.connect();
  await next(socket, "connect");
  assert.throws(() => socket.emit("e", "x".repeat(1_100_000)), /message of \d+ bytes, limit 1000000/);
  await socket.emitWithAck("echo");
  socket.disconnect();
});

test("a Manager can be made and used alone", async () => {
  const manager = new Manager(url, { WebSocket, autoConnect: false });
  const opened = new Promise((resolve) => manager.open(resolve));
  assert.equal(await opened, undefined);
  const socket = manager.socket("/chat");
  socket.connect();
  await next(socket, "connect");
  manager.close();
  assert.equal(socket.connected, false);
});

for (const status of [403, 408, 429, 503]) {
  test(`a refusal with status ${status} is ${status == 403 ? "for good" : "asked about again"}`, async () => {
    const fetch = async () => new Response('{"code":4,"message":"no"}', { status });
    const socket = io("http://server.test", { fetch, WebSocket: undefined, forceNew: true, reconnectionDelay: 1, reconnectionAttempts: 2 });
    const seen = [];
    for (const name of ["reconnect_attempt", "reconnect_failed"]) socket.io.on(name, () => seen.push(name));
    if (status == 403) {
      await next(socket, "connect_error");
      await new Promise((resolve) => setTimeout(resolve, 50));
      assert.deepEqual(seen, []);
    } else {
      await next(socket.io, "reconnect_failed");
      assert.deepEqual(seen, ["reconnect_attempt", "reconnect_attempt", "reconnect_failed"]);
    }
    socket.disconnect();
  });
}
