/**
 * What a manager shows of its session, and when it opens another.
 */
import assert from "node:assert/strict";
import test from "node:test";
import { Manager } from "../index.js";
import { World } from "./world.js";

const URL = "http://server.test";

const start = async ({ world = new World(), ...options } = {}) => {
  const manager = new Manager(URL, { ...world.options, ...options });
  const log = [];
  for (const name of ["status", "reconnect_attempt", "reconnect", "transport"]) manager.on(name, (value) => log.push([world.time, name, value.to ?? value]));
  world.onMessage = (session, data) => data == "0" && world.say(session, `0{"sid":"${session.sid}"}`);
  const socket = manager.socket("/");
  await world.advance(100);
  return { world, manager, socket, log };
};

test("from connecting to closed", async () => {
  const { world, manager, log } = await start();
  assert.deepEqual([manager.status, manager.transport], ["connected", "websocket"]);
  world.weather.down = true;
  world.cut();
  await world.advance(1000);
  assert.deepEqual([manager.status, manager.transport], ["recovering", ""]);
  await world.advance(130_000);
  assert.deepEqual([manager.status, manager.transport], ["connecting", ""], "the session is over, and another is wanted");
  manager.close();
  assert.equal(manager.status, "closed");
  const statuses = log.filter(([, name]) => name == "status").map(([, , status]) => status);
  assert.deepEqual(statuses, ["connected", "recovering", "connecting", "closed"]);
});

test("who does not want to be connected again is closed", async () => {
  const { world, manager } = await start({ reconnection: false });
  world.weather.down = true;
  world.cut();
  await world.advance(130_000);
  assert.equal(manager.status, "closed");
});

test("without a network it is offline, and tries again at once when there is one", async () => {
  const target = new EventTarget();
  Object.defineProperty(globalThis, "navigator", { value: { onLine: true }, configurable: true, writable: true });
  Object.assign(globalThis, {
    addEventListener: target.addEventListener.bind(target),
    removeEventListener: target.removeEventListener.bind(target),
  });
  try {
    const world = new World();
    world.weather.down = true;
    const { manager, log } = await start({ world, page: true, reconnectionDelay: 60_000, reconnectionDelayMax: 60_000 });
    assert.equal(manager.status, "connecting");
    navigator.onLine = false;
    target.dispatchEvent(new Event("offline"));
    assert.equal(manager.status, "offline");
    world.weather.down = false;
    navigator.onLine = true;
    target.dispatchEvent(new Event("online"));
    await world.advance(100);
    assert.equal(manager.status, "connected");
    assert.equal(log.filter(([, name]) => name == "reconnect_attempt").length, 1);
  } finally {
    for (const name of ["addEventListener", "removeEventListener", "navigator"]) delete globalThis[name];
  }
});

test("a server that has forgotten the session is there: another one is had in a tenth of the usual time", async () => {
  const { world, manager, socket } = await start();
  const disconnects = [];
  socket.on("disconnect", (reason) => disconnects.push([world.time, reason]));
  world.sessions.clear();
  const from = world.time;
  world.cut();
  await world.advance(250);
  assert.equal(manager.status, "connected");
  assert.deepEqual(disconnects.map(([, reason]) => reason), ["transport close"]);
  assert.ok(disconnects[0][0] - from < 100);
});

/** The server goes away, and says so. */
const leave = (world, closing) => {
  for (const socket of world.sockets) socket.send(["1" + JSON.stringify({ message: "server shutting down", ...closing })]);
  world.sessions.clear();
};

for (const [retry, least, most] of /** @type {[any, number, number][]} */ ([
  [undefined, 40, 250],
  [0, 40, 250],
  [3000, 3000, 3200],
])) {
  test(`a server that goes away says when to come back: ${retry}`, async () => {
    const { world, manager, socket, log } = await start();
    const lost = [];
    socket.on("disconnect", (reason, { description }) => lost.push([reason, description.message, description.retry]));
    const from = world.time;
    leave(world, { retry });
    await world.advance(least);
    assert.deepEqual(lost, [["transport close", "server shutting down", retry ?? 0]]);
    assert.ok(!log.some(([, name]) => name == "reconnect"));
    await world.advance(most - least + 100);
    assert.equal(manager.status, "connected");
    const [at] = log.find(([, name]) => name == "reconnect_attempt");
    assert.ok(at - from >= least && at - from <= most, `${at - from}`);
  });
}

test("a server that says nonsense of when to come back has broken the protocol, and is not asked again at once", async () => {
  for (const retry of [-1, 0.5, "soon", null, [], { valueOf: 1, toString: 1 }, 1e300]) {
    const { world, manager, socket, log } = await start();
    const lost = [];
    socket.on("disconnect", (reason) => lost.push(reason));
    const from = world.time;
    leave(world, { retry });
    await world.advance(4000);
    assert.deepEqual(lost, ["parse error"]);
    assert.ok(log.find(([, name]) => name == "reconnect_attempt")[0] - from >= 500);
    manager.close();
  }
});

test("inspect is plain values without secrets, with every try, its outcome and its time", async () => {
  const world = new World();
  world.weather.noSockets = true;
  const { manager, socket } = await start({ world });
  socket.emit("x");
  await world.advance(3000);
  const seen = manager.inspect();
  assert.deepEqual(JSON.parse(JSON.stringify(seen)), Object.fromEntries(Object.entries(seen).filter(([, value]) => value !== undefined)));
  assert.doesNotMatch(JSON.stringify(seen), /key|sid/i);
  assert.deepEqual([seen.status, seen.transport, seen.url, seen.isHoldfast, seen.state], ["connected", "stream", URL, true, "open"]);
  assert.deepEqual(
    seen.attempts.map(({ transport, verdict }) => [transport, verdict]),
    [
      ["websocket", "WebSocket 1006"],
      ["polling", "replaced"],
      ["stream", "carries"],
    ],
  );
  assert.ok(seen.attempts.every(({ ms, at }) => ms >= 10 && ms < 100 && !Number.isNaN(Date.parse(at))), JSON.stringify(seen.attempts));
  assert.ok(seen.rtt >= 9 && seen.rtt < 50, `${seen.rtt}`);
  assert.equal(manager.rtt, seen.rtt);
  manager.close();
});

test("what is still being tried says how long already", async () => {
  const world = new World();
  world.weather.black = true;
  const { manager } = await start({ world });
  const [attempt] = manager.inspect().attempts;
  assert.deepEqual([attempt.transport, attempt.verdict, attempt.ms], ["websocket", "trying", 100]);
});

test("after the last attempt it is closed", async () => {
  const world = new World();
  world.weather.down = true;
  const { manager, log } = await start({ world, reconnectionAttempts: 2, timeout: 1000 });
  const failed = [];
  manager.on("reconnect_failed", () => failed.push(manager.status));
  await world.advance(30_000);
  assert.deepEqual([failed.length, manager.status], [1, "closed"]);
  assert.equal(log.filter(([, name]) => name == "reconnect_attempt").length, 2);
  const opened = [];
  manager.open((error) => opened.push(error.message, manager.status));
  await world.advance(5000);
  assert.deepEqual([opened.length, manager.status], [2, "closed"]);
});

test("a server that ends each session at once is not asked for another one again and again", async () => {
  const world = new World();
  const { manager } = await start({ world });
  world.onMessage = (session) => world.say(session, "nonsense");
  for (const session of world.sessions.values()) world.say(session, "nonsense");
  await world.advance(30_000);
  assert.ok(world.sessions.size < 12, `${world.sessions.size} sessions`);
  manager.close();
});

test("attempts that succeed are not counted, however soon the session is over", async () => {
  const { world, manager } = await start({ reconnectionAttempts: 3 });
  const failed = [];
  manager.on("reconnect_failed", () => failed.push(world.time));
  for (let n = 0; n < 6; n++) {
    await world.advance(4500);
    world.sessions.clear();
    world.cut();
    await world.advance(15_000);
    assert.equal(manager.status, "connected");
  }
  assert.deepEqual(failed, []);
  manager.close();
});
