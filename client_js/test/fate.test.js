/**
 * What becomes of each event: told exactly, and never kept without a bound.
 */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import test, { after, before } from "node:test";
import { Server } from "socket.io";
import { WebSocket } from "ws";
import { AbortError, DisconnectedError, LocalProtocolError, TimeoutError, io } from "../index.js";
import { openSession } from "../opensession.js";
import { eventsOf } from "../events.js";
import { Outbox } from "../session/outbox.js";
import { World } from "./world.js";

/** A socket, connected to the World's server, that answers by hand. */
const inWorld = async (opts) => {
  const world = new World();
  const socket = io("http://server.test", { ...world.options, forceNew: true, reconnection: false, ...opts });
  await world.advance(100);
  const [session] = world.sessions.values();
  world.say(session, '0{"sid":"a"}');
  await world.advance(100);
  assert.equal(socket.connected, true);
  return { world, socket, session };
};

const fateOf = async (promise) => {
  const error = await promise.then(assert.fail, (error) => error);
  return [error.name, error.delivery];
};
const heard = ({ server }) => server.heard.slice(1).map((data) => (typeof data == "string" ? data : data.length));

for (const transport of ["websocket", "stream", "polling"]) {
  test(`what was never written is surely not delivered, and not sent any more (${transport})`, async () => {
    const { world, socket, session } = await inWorld({ transports: [transport] });
    world.weather.down = true;
    world.cut();
    await world.advance(10);
    const aborted = new AbortController();
    const fates = [
      socket.timeout(100).emitWithAck("first", new Uint8Array(9)),
      socket.timeout(100).emitWithAck("second"),
      socket.signal(aborted.signal).emitWithAck("third"),
      socket.signal(AbortSignal.abort()).emitWithAck("fourth"),
    ].map(fateOf);
    socket.emit("kept", new Uint8Array(1));
    await world.advance(200);
    aborted.abort();
    assert.deepEqual(await Promise.all(fates), [
      ["TimeoutError", "not delivered"],
      ["TimeoutError", "not delivered"],
      ["AbortError", "not delivered"],
      ["AbortError", "not delivered"],
    ]);
    world.weather.down = false;
    await world.advance(8000);
    assert.deepEqual(heard(session), ['51-["kept",{"_placeholder":true,"num":0}]', 1]);
  });
}

test("what was written may have arrived, and an answer that comes too late changes nothing", async () => {
  const { world, socket, session } = await inWorld({ transports: ["websocket"] });
  const controller = new AbortController();
  const reason = new Error("enough");
  const late = fateOf(socket.timeout(100).emitWithAck("late"));
  const aborted = socket.signal(controller.signal).emitWithAck("aborted");
  const seen = [];
  socket.signal(controller.signal).emit("callback", (...args) => seen.push(args));
  await world.advance(50);
  controller.abort(reason);
  await assert.rejects(aborted, (error) => error instanceof AbortError && error.delivery == "unknown" && error.cause === reason);
  assert.ok(seen[0][0] instanceof AbortError);
  await world.advance(100);
  assert.deepEqual(await late, ["TimeoutError", "unknown"]);
  for (const id of [0, 1, 2]) world.say(session, `3${id}["answer"]`);
  await world.advance(100);
  assert.equal(seen.length, 1);
});

test("an answer in time frees the signal", async () => {
  const { world, socket, session } = await inWorld({ transports: ["websocket"] });
  let count = 0;
  const signal = { addEventListener: () => count++, removeEventListener: () => void count-- };
  const reply = socket.signal(signal).emitWithAck("ask");
  socket.on("e", () => {}, { signal }).once("e", () => {}, { signal });
  const off = () => {};
  socket.on("e", off, { signal }).off("e", off);
  assert.equal(count, 3);
  world.say(session, '30["yes"]');
  world.say(session, '2["e"]');
  await world.advance(100);
  assert.equal(await reply, "yes");
  assert.equal(count, 1);
  socket.off();
  assert.equal(count, 0);
  socket.on("e", () => {}, { signal: { aborted: true, addEventListener: () => count++ } });
  assert.deepEqual([count, socket.listeners("e")], [0, []]);
});

test("a session that was refused says how far it had got", async () => {
  const { world, socket, session } = await inWorld({ transports: ["websocket"] });
  const arrived = fateOf(socket.emitWithAck("arrived"));
  await world.advance(100);
  world.weather.black = true;
  const swallowed = fateOf(socket.emitWithAck("swallowed", new Uint8Array(2)));
  await world.advance(100);
  world.weather = { latencyMs: 5 };
  world.cut();
  const unwritten = fateOf(socket.emitWithAck("unwritten"));
  session.server.over = true;
  const details = new Promise((resolve) => socket.on("disconnect", (_, details) => resolve(details)));
  await world.advance(5000);
  assert.deepEqual(await Promise.all([arrived, swallowed, unwritten]), [
    ["DisconnectedError", "unknown"],
    ["DisconnectedError", "not delivered"],
    ["DisconnectedError", "not delivered"],
  ]);
  assert.deepEqual((await details).unconfirmed, [["swallowed", new Uint8Array(2)], ["unwritten"]]);
});

test("a session that was given up does not know of what was written", async () => {
  const { world, socket } = await inWorld({ transports: ["websocket"] });
  world.weather.black = true;
  const written = fateOf(socket.emitWithAck("written"));
  await world.advance(100);
  world.cut();
  await world.advance(10);
  const unwritten = fateOf(socket.emitWithAck("unwritten"));
  await world.advance(200_000);
  assert.deepEqual(await Promise.all([written, unwritten]), [
    ["DisconnectedError", "unknown"],
    ["DisconnectedError", "not delivered"],
  ]);
});

test("what was emitted before leaving is sent, and may arrive", async () => {
  const { world, socket, session } = await inWorld({ transports: ["websocket"] });
  const fate = fateOf(socket.emitWithAck("last"));
  socket.disconnect();
  assert.deepEqual(await fate, ["DisconnectedError", "unknown"]);
  await world.advance(100);
  assert.deepEqual(heard(session), ['20["last"]', "1"]);
});

test("what waits for a connection is bounded, and nothing of what is too much is kept", async () => {
  const socket = io("http://server.test", { autoConnect: false, forceNew: true, bufferSize: 100 });
  socket.emit("a", "x".repeat(40)).emit("b", new Uint8Array(5));
  assert.throws(() => socket.emit("c", "x".repeat(40)), { name: "LocalProtocolError", message: "buffer: 141, limit 100" });
  await assert.rejects(socket.timeout(5).emitWithAck("c", "x".repeat(40)), LocalProtocolError);
  assert.deepEqual(socket.sendBuffer.map(({ args }) => args[0]), ["a", "b"]);
  const fate = fateOf(socket.timeout(1).emitWithAck("d"));
  assert.throws(() => socket.emit("e"), LocalProtocolError);
  assert.deepEqual(await fate, ["TimeoutError", "not delivered"]);
  socket.emit("e");
  socket.sendBuffer = [];
  socket.emit("f", "x".repeat(80));
});

test("what the server has not taken over is bounded, and the rest goes on", async () => {
  const { world, socket, session } = await inWorld({ transports: ["polling"], bufferSize: 100 });
  for (let i = 0; i < 20; i++) {
    socket.emit("e", "x".repeat(80));
    await world.advance(2000);
  }
  world.cut();
  world.weather.down = true;
  socket.emit("a", "x".repeat(50));
  assert.throws(() => socket.emit("b", "x".repeat(50)), /^LocalProtocolError: buffer: \d+, limit 100$/);
  await assert.rejects(socket.emitWithAck("b", "x".repeat(50)), LocalProtocolError);
  socket.emit("c");
  world.weather.down = false;
  await world.advance(5000);
  assert.deepEqual(heard(session).slice(20).map((data) => data.slice(0, 6)), ['2["a",', '2["c"]']);
  socket.emit("d", "x".repeat(80));
  const bare = openSession("http://server.test", { ...world.options, bufferSize: 100 });
  bare.send("x".repeat(60));
  assert.throws(() => bare.send("x".repeat(60)), LocalProtocolError);
  bare.close();
});

test("nobody is refused because of what others wait for", async () => {
  const world = new World();
  const one = io("http://server.test", { ...world.options, bufferSize: 100, forceNew: true });
  const two = one.io.socket("/two");
  for (const socket of [one, two]) socket.emit("e", "x".repeat(80));
  await world.advance(100);
  const [session] = world.sessions.values();
  for (const nsp of ["", "/two,"]) world.say(session, `0${nsp}{"sid":"a"}`);
  await world.advance(3000);
  assert.deepEqual(heard(session).slice(1).map((data) => data.length), [89, 94]);
  one.io.close();
  await world.advance(100);
});

test("a volatile event is dropped while nothing can be written, though something carries", async () => {
  const { world, socket, session } = await inWorld({ transports: ["polling"] });
  socket.emit("first");
  await world.advance(0);
  const fate = fateOf(socket.volatile.timeout(2000).emitWithAck("dropped"));
  await world.advance(2000);
  socket.volatile.emit("second");
  await world.advance(100);
  assert.deepEqual(await fate, ["DisconnectedError", "not delivered"]);
  assert.deepEqual(heard(session), ['2["first"]', '2["second"]']);
});

test("a Blob is refused, for it would arrive empty", async () => {
  const { socket } = await inWorld({ transports: ["polling"] });
  assert.throws(() => socket.emit("e", { deep: [new Blob(["x"])] }), LocalProtocolError);
});

test("an answer to what came before another connect is not sent", async () => {
  const { world, socket, session } = await inWorld({ transports: ["websocket"] });
  const answers = [];
  socket.on("question", (answer) => answers.push(answer));
  world.say(session, '27["question"]');
  await world.advance(100);
  const other = socket.io.socket("/other");
  socket.disconnect().connect();
  await world.advance(100);
  world.say(session, '0{"sid":"b"}');
  await world.advance(100);
  answers[0]("late");
  await world.advance(100);
  assert.deepEqual(heard(session), ["1", "0/other,", "0"]);
  other.io.close();
});

// -- events by iteration

test("events come by iteration, over reconnections, until the loop is left", async () => {
  const { world, socket, session } = await inWorld({ transports: ["websocket"], reconnection: true });
  const events = eventsOf(socket, "chat");
  for (const n of [1, 2]) world.say(session, `2["chat",${n},"x"]`);
  world.say(session, '29["chat",3]');
  await world.advance(100);
  const got = [];
  for await (const [n, more] of events) {
    got.push(n);
    if (n == 2) socket.io.engine.close();
    if (n == 3) {
      more("answer");
      await world.advance(5000);
      const again = [...world.sessions.values()].at(-1);
      world.say(again, '0{"sid":"b"}');
      world.say(again, '2["chat",4]');
      await world.advance(100);
    }
    if (n == 4) break;
  }
  assert.deepEqual([got, socket.listeners("chat"), socket.listeners("disconnect")], [[1, 2, 3, 4], [], []]);
});

test("a signal ends the loop at once, and one that has come lets none in", async () => {
  const { world, socket, session } = await inWorld({ transports: ["websocket"] });
  const controller = new AbortController();
  const events = eventsOf(socket, "chat", controller);
  const waiting = events.next();
  for (const n of [1, 2]) world.say(session, `2["chat",${n}]`);
  await world.advance(100);
  assert.deepEqual(await waiting, { done: false, value: [1] });
  controller.abort();
  assert.deepEqual(await events.next(), { done: true, value: undefined });
  assert.deepEqual(await eventsOf(socket, "chat", controller).next(), { done: true, value: undefined });
  assert.deepEqual(socket.listeners("chat"), []);
});

test("the loop ends with the application's disconnect, and fails with the server's, after what came before", async () => {
  const { world, socket, session } = await inWorld({ transports: ["websocket"] });
  const events = eventsOf(socket, "chat");
  world.say(session, '2["chat",1]');
  await world.advance(100);
  const other = socket.io.socket("/other");
  socket.disconnect();
  assert.deepEqual([await events.next(), await events.next()], [{ done: false, value: [1] }, { done: true, value: undefined }]);
  world.say(session, '0/other,{"sid":"b"}');
  const put = eventsOf(other, "chat").next();
  const fate = fateOf(put);
  world.say(session, "1/other,");
  await world.advance(100);
  assert.deepEqual(await fate, ["DisconnectedError", "unknown"]);
});

test("to wait for the connection ends with the refusal of the server, or of auth", async () => {
  const { world, socket, session } = await inWorld({ transports: ["websocket"] });
  const closed = socket.io.socket("/closed");
  const waiting = assert.rejects(eventsOf(closed, "connect").next(), { message: "no" });
  world.say(session, '4/closed,{"message":"no"}');
  await world.advance(100);
  await waiting;
  const nobody = socket.io.socket("/nobody", { auth: () => Promise.reject(new Error("no token")) });
  await assert.rejects(eventsOf(nobody, "connect").next(), { message: "no token" });
  const other = socket.io.socket("/other");
  world.say(session, '0/other,{"sid":"b"}');
  const connected = eventsOf(other, "connect").next();
  await world.advance(100);
  await connected;
  assert.equal(other.connected, true);
});

/** What becomes of a loop: "over", or the error's name and message; undefined as long as it waits. */
const watch = (events) => {
  const seen = { got: [], end: undefined };
  (async () => {
    for await (const args of events) seen.got.push(...args);
  })().then(
    () => (seen.end = "over"),
    ({ name, message }) => (seen.end = [name, message]),
  );
  return seen;
};

test("the loop fails when nothing more is tried: after the last attempt, or without reconnection", async () => {
  for (const reconnection of [true, false]) {
    const { world, socket, session } = await inWorld({ transports: ["websocket"], reconnection, reconnectionAttempts: 2, timeout: 500 });
    const seen = watch(eventsOf(socket, "chat"));
    world.say(session, '2["chat",1]');
    world.weather.down = true;
    await world.advance(100);
    world.cut();
    await world.advance(100);
    assert.deepEqual(seen, { got: [1], end: undefined }, "the session may come back");
    await world.advance(200_000);
    const end = reconnection ? ["HoldfastError", "WebSocket 1006"] : ["DisconnectedError", "transport close"];
    assert.deepEqual(seen, { got: [1], end });
    assert.deepEqual(socket.listeners("chat"), []);
  }
});

test("the loop of a socket that never gets through fails as connect_error has it", async () => {
  for (const opts of [{ reconnection: false }, { reconnectionAttempts: 1 }]) {
    const world = new World();
    world.weather.down = true;
    const socket = io("http://server.test", { ...world.options, transports: ["websocket"], forceNew: true, ...opts });
    const errors = [];
    socket.on("connect_error", ({ name, message }) => errors.push([name, message]));
    const seen = watch(eventsOf(socket, "chat"));
    await world.advance(60_000);
    assert.equal(errors.length, opts.reconnectionAttempts ? 2 : 1);
    assert.deepEqual(seen.end, errors.at(-1));
  }
});

test("the loop is over when the Manager is closed, connected or not, between two attempts too", async () => {
  const { socket, world } = await inWorld({ transports: ["websocket"], reconnection: true });
  const seen = watch(eventsOf(socket, "chat"));
  socket.io.close();
  await world.advance(10);
  assert.deepEqual(seen, { got: [], end: "over" });
  for (const [ms, leave] of [
    [0, ({ io }) => io.close()],
    [0, (socket) => socket.disconnect()],
    [1500, ({ io }) => io.close()],
  ]) {
    const world = new World();
    world.weather.down = true;
    const socket = io("http://server.test", { ...world.options, transports: ["websocket"], forceNew: true, randomizationFactor: 0 });
    const seen = watch(eventsOf(socket, "chat"));
    await world.advance(ms);
    assert.equal(seen.end, undefined);
    leave(socket);
    await world.advance(10);
    assert.equal(seen.end, "over");
  }
});

test("a loop goes on if the application connects again at once, and waits for who was never connected", async () => {
  const { world, socket, session } = await inWorld({ transports: ["websocket"] });
  const later = socket.io.nsps.get("/later") ?? new socket.constructor(socket.io, "/later");
  socket.io.nsps.set("/later", later);
  const waits = watch(eventsOf(later, "chat"));
  const seen = watch(eventsOf(socket, "chat"));
  socket.once("disconnect", () => socket.connect());
  socket.io.engine.close();
  await world.advance(100);
  const again = [...world.sessions.values()].at(-1);
  assert.notEqual(again, session);
  world.say(again, '0{"sid":"b"}');
  world.say(again, '2["chat",1]');
  await world.advance(100);
  assert.deepEqual(seen, { got: [1], end: undefined });
  socket.disconnect();
  await world.advance(10);
  assert.deepEqual([seen.end, socket.io.status, waits.end], ["over", "closed", undefined]);
  later.connect();
  await world.advance(100);
  later.disconnect();
  await world.advance(10);
  assert.equal(waits.end, "over");
});

test("a loop can be left before it has begun, and while it waits", async () => {
  const { socket } = await inWorld({ transports: ["websocket"] });
  const names = ["chat", "connect", "connect_error", "disconnect"];
  const early = eventsOf(socket, "chat");
  assert.deepEqual(await early.return(), { done: true, value: undefined });
  assert.deepEqual(await early.next(), { done: true, value: undefined });
  const events = eventsOf(socket, "chat");
  const both = [events.next(), events.next()];
  assert.deepEqual(await events.return(), { done: true, value: undefined });
  assert.deepEqual(await Promise.all(both), [{ done: true, value: undefined }, { done: true, value: undefined }]);
  assert.deepEqual(names.flatMap((name) => socket.listeners(name)), []);
  assert.deepEqual(socket.io.listeners("status"), []);
});

test("what waits for the loop is bounded", async () => {
  const { world, socket, session } = await inWorld({ transports: ["websocket"] });
  const events = eventsOf(socket, "chat", { limit: 2 });
  for (const n of [1, 2, 3, 4]) world.say(session, `2["chat",${n}]`);
  await world.advance(100);
  assert.deepEqual(socket.listeners("chat"), []);
  const got = [];
  const loop = async () => {
    for await (const [n] of events) got.push(n);
  };
  await assert.rejects(loop(), { name: "LocalProtocolError", message: "3 events wait, limit 2" });
  assert.deepEqual(got, [1, 2, 3]);
});

// -- auth, asked again

test("auth is asked on each new session, and a slow answer to an earlier one counts no more", async () => {
  const world = new World();
  const answers = [];
  const auth = () => new Promise((resolve, reject) => answers.push({ resolve, reject }));
  const socket = io("http://server.test", { ...world.options, transports: ["websocket"], forceNew: true, auth });
  const errors = [];
  socket.on("connect_error", ({ message }) => errors.push(message));
  await world.advance(100);
  socket.io.engine.close();
  socket.connect();
  await world.advance(10_000);
  const [first, second] = world.sessions.values();
  answers[0].resolve({ token: 1 });
  answers[1].resolve({ token: 2 });
  await world.advance(100);
  assert.deepEqual([first.server.heard, second.server.heard], [[], ['0{"token":2}']]);
  socket.disconnect().connect();
  await world.advance(10_000);
  socket.disconnect();
  answers[2].reject(new Error("too late"));
  await world.advance(100);
  socket.connect();
  await world.advance(10_000);
  answers[3].reject(new Error("no token"));
  await world.advance(100);
  assert.deepEqual([errors, socket.active], [["no token"], false]);
});

test("the server asks for auth again, and gets it from auth or from the application", async () => {
  let token = 0;
  const { world, socket, session } = await inWorld({ transports: ["websocket"], auth: async () => ({ token: ++token }) });
  const ask = async (id) => {
    world.say(session, `2${id}["reauthenticate"]`);
    await world.advance(100);
    return heard(session).at(-1);
  };
  assert.equal(await ask(1), '31[{"token":2}]');
  const listener = (answer) => answer({ token: "mine" });
  socket.on("reauthenticate", listener);
  assert.equal(await ask(2), '32[{"token":"mine"}]');
  socket.off("reauthenticate", listener);
  socket.auth = { token: "plain" };
  assert.equal(await ask(3), '33[{"token":"plain"}]');
  socket.auth = () => Promise.reject(new Error("no token"));
  assert.equal(await ask(4), "34[null]");
  let answer;
  socket.auth = (done) => (answer = done);
  await ask(5);
  socket.disconnect();
  answer({ token: "late" });
  await world.advance(100);
  assert.ok(!heard(session).some((data) => data.startsWith("35")));
});

// -- with the official server

let server;
let http;
let url;

before(async () => {
  http = createServer();
  server = new Server(http, { maxHttpBufferSize: 200_000 });
  await new Promise((resolve) => http.listen(0, resolve));
  url = `http://localhost:${http.address().port}`;
});

after(() => {
  server.close();
  http.closeAllConnections();
});

test("an event that waited and is too long for the server rejects and is told by the manager; then it is known", async () => {
  const socket = io(url, { WebSocket, forceNew: true });
  const chat = socket.io.socket("/");
  const errors = [];
  socket.io.on("error", (error) => errors.push(error));
  const text = "x".repeat(200_001);
  const rejection = assert.rejects(chat.emitWithAck("e", text), /message: 200\d\d\d, limit 200000/);
  await rejection;
  assert.ok(errors[0] instanceof LocalProtocolError);
  const late = socket.io.socket("/late");
  assert.throws(() => late.emit("e", text), /message: 200\d\d\d, limit 200000/);
  assert.deepEqual(late.sendBuffer, []);
  socket.io.close();
});

test("a disconnect sends what was emitted before, while a POST is in flight and more than one is needed", async () => {
  for (let round = 0; round < 5; round++) {
    const heard = [];
    const gone = new Promise((resolve) =>
      // Below the events: of those that come together with the disconnect, the official server drops the last.
      server.once("connection", (one) => one.conn.on("message", (data) => heard.push(data.slice(6, 7))).on("close", resolve)),
    );
    const socket = io(url, { transports: ["polling"], forceNew: true });
    for await (const _ of eventsOf(socket, "connect")) break;
    for (let n = 0; n < 5; n++) socket.emit("e", n, "x".repeat(9000));
    await new Promise((resolve) => setTimeout(resolve, round));
    for (let n = 5; n < 10; n++) socket.emit("e", n, "x".repeat(9000));
    socket.disconnect();
    await gone;
    assert.deepEqual(heard, [..."0123456789", ""]);
  }
});

test("what waits to be sent is surely not delivered as soon as nothing will be sent by itself", async () => {
  const pending = (socket) => fateOf(socket.emitWithAck("waits"));
  const gone = ["DisconnectedError", "not delivered"];
  for (const how of ["refused", "left", "no reconnection", "no attempt left", "closed"]) {
    const world = new World();
    const options = how == "no reconnection" ? { reconnection: false } : how == "no attempt left" ? { reconnectionAttempts: 2 } : {};
    const inTime = how == "refused" || how == "left";
    world.weather.down = !inTime;
    const socket = io("http://server.test", { ...world.options, forceNew: true, timeout: 1000, ...options });
    let settled = false;
    const fate = pending(socket).finally(() => (settled = true));
    await world.advance(100);
    assert.equal(settled, how == "no reconnection", how);
    const [session] = world.sessions.values();
    if (how == "refused") world.say(session, '4{"message":"no"}');
    else if (how == "left") socket.disconnect();
    else if (how == "closed") socket.io.close();
    await world.advance(inTime || how == "closed" ? 100 : 20_000);
    assert.ok(settled, how);
    assert.deepEqual(await fate, gone, how);
    assert.equal(socket.sendBuffer.length, 0, how);
    assert.equal(socket.io.status, "closed", how);
  }
});

test("what waits for a session that is being opened again waits on", async () => {
  const { world, socket } = await inWorld({ reconnection: true });
  world.sessions.clear();
  world.cut();
  await world.advance(1000);
  let settled = false;
  const fate = fateOf(socket.emitWithAck("waits")).finally(() => (settled = true));
  await world.advance(60_000);
  assert.deepEqual([settled, socket.sendBuffer.length], [false, 1]);
  socket.disconnect();
  assert.deepEqual(await fate, ["DisconnectedError", "not delivered"]);
});

test("an event without a name is refused, here", async () => {
  const { world, socket, session } = await inWorld();
  for (const args of [[], [undefined, 1], [null], [5], [["e"]]]) assert.throws(() => socket.emit(...args), LocalProtocolError);
  await world.advance(100);
  assert.deepEqual([heard(session), socket.connected], [[], true]);
});

test("a limit that no timer can count to is none", async () => {
  const { world, socket, session } = await inWorld();
  const answers = [];
  for (const ms of [Infinity, 2 ** 31]) socket.timeout(ms).emit("e", (error, answer) => answers.push([error, answer]));
  await world.advance(30_000);
  assert.deepEqual(answers, []);
  for (const id of [0, 1]) world.say(session, `3${id}[${id}]`);
  await world.advance(100);
  assert.deepEqual(answers, [[null, 0], [null, 1]]);
});

test("auth may be had with a parameter and a promise, and is an object", async () => {
  const world = new World();
  const connect = async (auth) => {
    const socket = io("http://server.test", { ...world.options, auth, forceNew: true });
    const errors = [];
    socket.on("connect_error", ({ message }) => errors.push(message));
    await world.advance(100);
    const { heard } = [...world.sessions.values()].at(-1).server;
    socket.io.close();
    return [...heard, ...errors];
  };
  assert.deepEqual(await connect(async (_force) => ({ token: 1 })), ['0{"token":1}']);
  assert.deepEqual(await connect(async (done) => done({ token: 2 })), ['0{"token":2}']);
  assert.deepEqual(await connect(async (_force) => Promise.reject(new Error("no token"))), ["no token"]);
  for (const auth of ["token", 5, ["token"]]) assert.deepEqual(await connect(auth), ["auth: no object"]);
  assert.equal(world.sessions.size, 6);
});

test("a disconnect that was meant for the connection before ends no other", async () => {
  let answer;
  const { world, socket, session } = await inWorld({ auth: (done) => (answer ? (answer = done) : (answer = done)({})) });
  const reasons = [];
  socket.on("disconnect", (reason) => reasons.push(reason));
  // The session stays for its sake.
  const other = socket.io.socket("/other");
  socket.disconnect().connect();
  world.say(session, "1");
  await world.advance(100);
  answer({});
  await world.advance(100);
  world.say(session, '0{"sid":"b"}');
  await world.advance(100);
  assert.deepEqual([socket.connected, socket.id, reasons], [true, "b", ["io client disconnect"]]);
  world.say(session, "1");
  await world.advance(100);
  assert.deepEqual([socket.connected, reasons.length], [false, 2]);
  other.disconnect();
});

/** A server that lets in who has the new token, and answers each event. */
const answering = (world, isLetIn = () => true) => {
  world.onMessage = (session, data) => {
    if (data[0] == "0") world.say(session, isLetIn(data) ? '0{"sid":"a"}' : '4{"message":"no"}');
    const event = /^2(\d+)\[/.exec(data);
    if (event) world.say(session, `3${event[1]}["yes"]`);
  };
};

test("who connects again when refused, with another token, loses nothing", async () => {
  const world = new World();
  answering(world, (data) => data.includes("new"));
  const socket = io("http://server.test", { ...world.options, forceNew: true, auth: { token: "old" } });
  const answers = [];
  socket.on("connect_error", () => {
    socket.auth = { token: "new" };
    socket.connect();
    socket.emit("second", (answer) => answers.push(answer));
  });
  socket.emit("first", (answer) => answers.push(answer));
  await world.advance(3000);
  assert.deepEqual([socket.connected, answers], [true, ["yes", "yes"]]);
  socket.disconnect();
});

test("who connects again when disconnected loses nothing of what is emitted then", async () => {
  for (const how of ["lost", "lost, no reconnection", "closed"]) {
    const world = new World();
    answering(world);
    const socket = io("http://server.test", { ...world.options, forceNew: true, reconnection: how != "lost, no reconnection" });
    await world.advance(100);
    const answers = [];
    socket.once("disconnect", () => {
      socket.connect();
      socket.emit("login", (answer) => answers.push(answer));
    });
    if (how == "closed") socket.io.close();
    else {
      world.sessions.clear();
      world.cut();
    }
    await world.advance(10_000);
    assert.deepEqual([socket.connected, answers], [true, ["yes"]], how);
    socket.disconnect();
  }
});

test("what waits in a socket that nobody has connected yet does not go with another one that leaves", async () => {
  const world = new World();
  answering(world);
  const a = io("http://server.test", { ...world.options, forceNew: true });
  const opts = a.io.opts;
  opts.autoConnect = false;
  const b = a.io.socket("/b");
  opts.autoConnect = true;
  await world.advance(100);
  let settled = false;
  b.emitWithAck("kept").finally(() => (settled = true)).catch(() => {});
  a.disconnect();
  await world.advance(1000);
  assert.deepEqual([settled, b.sendBuffer.length], [false, 1]);
});

test("of an event whose first part has arrived, the rest is not taken back", async () => {
  const outbox = new Outbox();
  const event = {};
  outbox.append("header", event);
  outbox.append(new Uint8Array(1), event);
  outbox.write(1, 0);
  outbox.acknowledge(1);
  assert.deepEqual([outbox.withdraw(event), outbox.last], [false, 2]);
});
