/**
 * What docs/reliability.md promises of the client, in virtual time: named by its rows.
 */
import assert from "node:assert/strict";
import test from "node:test";
import { io } from "../index.js";
import { io as ioByWebSocket } from "../websocket.js";
import { createDriver } from "./drivers.js";
import { World } from "./world.js";

const URL = "http://server.test";

/** What answers CONNECT, and everything else with itself. */
const serve = (world) => {
  let connects = 0;
  world.onMessage = (session, data) => world.say(session, data[0] == "0" ? `0{"sid":"${++connects}"}` : data);
};

const open = async ({ seed, weather, options, maxPayload = 1e5, ms = 1000 } = {}) => {
  const world = new World(seed);
  world.maxPayload = maxPayload;
  Object.assign(world.weather, weather);
  const live = createDriver(URL, { ...world.options, ...options });
  const log = { messages: [], changes: [], closed: [] };
  live.on("message", (message) => log.messages.push(message));
  live.on("transport", ({ to, reason }) => log.changes.push(`${to}: ${reason}`));
  live.on("close", (reason, details) => log.closed.push(reason, details));
  live.open();
  await world.advance(ms);
  return { world, live, log, session: [...world.sessions.values()][0] };
};

/** The messages' bytes of each POST of one session, as they leave. */
const postsOf = (world) => {
  const sizes = [];
  const { fetch } = world;
  world.fetch = function (url, init) {
    if (init.method == "POST") sizes.push(init.body.length);
    return fetch.call(this, url, init);
  };
  return sizes;
};

const count = (world, request) => world.requests.filter((one) => one == request).length;

for (const [what, weather] of [["silent", { muteSockets: true }], ["closed", { shutSockets: true }]]) {
  for (const buffer of [false, true]) {
    test(`R8: a WebSocket that is accepted and then ${what}${buffer ? ", and streams that are held back" : ""}`, async () => {
      const world = new World();
      Object.assign(world.weather, weather, { buffer, latencyMs: 20 });
      serve(world);
      const socket = io(URL, { ...world.options, forceNew: true });
      let first;
      const heard = [];
      socket.on("echo", (n) => ((first ??= world.time), heard.push(n)));
      socket.emit("echo", 0);
      await world.advance(10_000);
      assert.ok(first <= 500, `first event after ${first} ms`);
      assert.equal(count(world, "WS"), 1);
      // Streams that are held back are tried after 5, 15 and 30 s; what carries meanwhile is held.
      const before = world.requests.length;
      for (let n = 1; n <= 49; n++) {
        socket.emit("echo", n);
        await world.advance(1000);
      }
      const idle = world.requests.length;
      await world.advance(1000);
      assert.ok(world.requests.length - idle <= 2, `${world.requests.slice(idle)}`);
      const polls = world.requests.slice(before).filter((request) => request == "GET polling").length;
      assert.ok(polls <= 2 * 50, `${polls} polls in 50 s`);
      assert.equal(count(world, "WS"), 1, "not tried again for a minute");
      // Then it is, and takes over when it has become good.
      world.weather.muteSockets = world.weather.shutSockets = false;
      await world.advance(10_000);
      assert.equal(count(world, "WS"), 2);
      assert.equal(socket.io.transport, "websocket");
      assert.deepEqual([heard, world.sessions.size], [Array.from({ length: 50 }, (_, n) => n), 1]);
      socket.disconnect();
      await world.advance(100);
    });
  }
}

test("polls that were cut once are soon held as long as before, and what is cut again and again is not tempted often", async () => {
  const { world, live, log } = await open({ options: { transports: ["polling"] } });
  await world.advance(34_000);
  world.cut();
  await world.advance(180_000);
  const before = count(world, "GET polling");
  await world.advance(60_000);
  assert.ok(count(world, "GET polling") - before <= 7, `${count(world, "GET polling") - before} polls in a minute`);
  // Somebody on the way lets no answer be later than 3 s.
  world.weather.cutAfterMs = 3000;
  await world.advance(20_000);
  const changes = log.changes.length;
  await world.advance(120_000);
  assert.ok(log.changes.length - changes <= 5, log.changes.slice(changes).join());
  assert.equal(live.status, "connected");
  live.close();
});

test("an outage, in which polls that are not held are given up, shortens none", async () => {
  const { world, live } = await open({ options: { transports: ["polling"] } });
  world.weather.black = true;
  await world.advance(60_000);
  world.weather.black = false;
  await world.advance(20_000);
  const before = count(world, "GET polling");
  await world.advance(60_000);
  assert.ok(count(world, "GET polling") - before <= 7, `${count(world, "GET polling") - before} polls in a minute`);
  live.close();
});

/** What carries has ended, and is waited for: another one has sent its attach, which is not answered. */
const openAndWait = async () => {
  const all = await open();
  const { world, live } = all;
  const [line] = world.sockets;
  line.send = line.send_ = () => {};
  live.send("last");
  for (; world.sockets.size < 2; ) await world.advance(10);
  const [, other] = world.sockets;
  const send = other.send;
  let isAsking = false;
  other.send = (data) => (data[0] == "7" ? (isAsking = true) : send.call(other, data));
  for (; !isAsking; ) await world.advance(1);
  line.cut();
  await world.advance(1);
  assert.equal(live.writable, true);
  return all;
};

test("who closes while what has ended is waited for is gone at the server", async () => {
  const { world, live, session } = await openAndWait();
  live.close();
  await world.advance(1000);
  assert.deepEqual([session.server.heard, session.server.over], [["last"], true]);
});

test("beside what has ended and is waited for, only one other carrier is tried", async () => {
  const { world, live, session, log } = await open({ weather: { noSockets: true }, ms: 3000 });
  assert.equal(live.transport.name, "stream");
  world.weather.noSockets = false;
  for (; !world.sockets.size; ) await world.advance(10);
  const [socket] = world.sockets;
  const { send } = socket;
  let isAsking = false;
  socket.send = (data) => (data[0] == "7" ? (isAsking = true) : send.call(socket, data));
  for (; !isAsking; ) await world.advance(1);
  // The stream is asked too, and ends before it has answered.
  const { line } = session.server.writer;
  line.send = () => {};
  live.send("x");
  await world.advance(500);
  line.cut();
  await world.advance(800);
  assert.deepEqual([live.status, count(world, "GET stream")], ["connected", 1]);
  await world.advance(3000);
  assert.deepEqual([log.closed, live.status, session.server.heard], [[], "connected", ["x"]]);
  live.close();
});

test("the answer of what was replaced, when it comes, is not why the next one carries", async () => {
  const { world, live, log } = await open();
  const [line] = world.sockets;
  // It is slow: another one is attached beside it, and answers first. Then that is cut, and the late answer comes.
  const late = [];
  const { onmessage } = line;
  line.onmessage = (event) => late.push(event);
  live.send("x");
  for (; world.sockets.size < 2; ) await world.advance(10);
  await world.advance(100);
  assert.equal(log.changes.at(-1), "websocket: stalled");
  [...world.sockets][1].cut();
  await world.advance(1);
  late.forEach(onmessage);
  await world.advance(1000);
  assert.deepEqual(log.changes.slice(2), ["websocket: WebSocket 1006"]);
  live.close();
});

for (const transports of [["stream"], ["polling"]]) {
  test(`R2: POSTs bring more each time, as long as they are answered soon (${transports})`, async () => {
    const { world, live, log, session } = await open({ options: { transports }, maxPayload: 1e6 });
    const sizes = postsOf(world);
    const sent = Array.from({ length: 3000 }, (_, n) => n + "x".repeat(500));
    for (const message of sent) live.send(message);
    await world.advance(100);
    // Nearly what each may have: the last message that would not fit begins the next one.
    const near = (size, most) => assert.ok(size < most * 1.02 && size > most * 0.95, `${size} of ${most}`);
    [16384, 32768, 65536, 131072, 262144].forEach((most, at) => near(sizes[at], most));
    near(sizes[5], 1e6 / 3);
    await world.advance(1000);
    assert.deepEqual([session.server.heard, log.changes.length], [sent, 1]);
    // All was brought: the next one begins anew.
    sizes.length = 0;
    for (const message of sent) live.send(message);
    await world.advance(20);
    near(sizes[0], 16384);
  });

  test(`R2: a POST that fails, or that is slow, is followed by a small one (${transports})`, async () => {
    const { world, live, session } = await open({ options: { transports }, maxPayload: 1e6 });
    const sizes = postsOf(world);
    const sent = Array.from({ length: 3000 }, (_, n) => n + "x".repeat(500));
    for (const message of sent) live.send(message);
    await world.advance(45);
    assert.ok(sizes.at(-1) > 100_000, `${sizes}`);
    const before = sizes.length;
    world.cut();
    world.weather.latencyMs = 300;
    await world.advance(4000);
    assert.ok(sizes.length > before + 3 && Math.max(...sizes.slice(before)) < 17_000, `${sizes}`);
    world.weather.latencyMs = 5;
    await world.advance(5000);
    assert.deepEqual(session.server.heard, sent);
  });

  test(`R19: who takes no more than 1 kB at once is brought less at once (${transports})`, async () => {
    const { world, live, log, session } = await open({ options: { transports }, weather: { maxBody: 1000 } });
    const sent = Array.from({ length: 300 }, (_, n) => n + "x".repeat((n * 7) % 600));
    for (const message of sent) live.send(message);
    await world.advance(5000);
    assert.deepEqual(session.server.heard, sent);
    // Nor are many that are said one after the other more than it takes.
    const before = count(world, "POST polling");
    for (let n = 0; n < 10; n++) {
      live.send("a");
      await world.advance(50);
    }
    assert.ok(count(world, "POST polling") - before <= 20, `${count(world, "POST polling") - before} POSTs`);
    assert.deepEqual([log.closed, log.changes.length], [[], 1]);
    // What is longer than that alone cannot be brought, and that is told.
    live.send("b");
    live.send("y".repeat(1000));
    live.send("c");
    await world.advance(1000);
    const [reason, { description, unconfirmed }] = log.closed;
    assert.deepEqual([reason, description.message, unconfirmed], ["transport error", "HTTP 413", ["y".repeat(1000), "c"]]);
  });

  test(`R19: who leaves says all of it before, in pieces that are taken (${transports})`, async () => {
    const { world, live, session } = await open({ options: { transports }, weather: { maxBody: 1000 } });
    const sent = Array.from({ length: 100 }, (_, n) => `${n}`.repeat(20));
    for (const message of sent) live.send(message);
    live.close();
    await world.advance(3000);
    assert.deepEqual([session.server.heard, session.server.over], [sent, true]);
  });
}

for (const [retry, least, most] of [[3000, 3000, 3100], [1e15, 600_000, 600_100], [undefined, 50, 250], [0, 50, 250]]) {
  for (const [entry, open] of [["whole", io], ["WebSocket alone", ioByWebSocket]]) {
    test(`a server that goes away is asked again when it said: ${retry} (${entry})`, async () => {
      const world = new World();
      serve(world);
      const socket = open(URL, { ...world.options, forceNew: true });
      const connects = [];
      socket.on("connect", () => connects.push(world.time));
      await world.advance(30_000);
      const [line] = world.sockets;
      line.onmessage({ data: "1" + JSON.stringify({ message: "server shutting down", retry }) });
      await world.advance(most);
      const after = connects[1] - 30_000;
      assert.ok(after >= least && after <= most, `${after} ms`);
      socket.disconnect();
      await world.advance(100);
    });
  }
}

test("R19: a POST that has grown too large for somebody on the way is halved, and grows no more", async () => {
  const { world, live, session } = await open({ options: { transports: ["polling"] }, weather: { maxBody: 50_000 }, maxPayload: 1e6 });
  const sizes = postsOf(world);
  const sent = Array.from({ length: 1000 }, (_, n) => n + "x".repeat(500));
  for (const message of sent) live.send(message);
  await world.advance(3000);
  assert.deepEqual(session.server.heard, sent);
  assert.equal(sizes.filter((size) => size > 50_000).length, 1, `${sizes}`);
});

for (const transports of [undefined, ["stream"], ["polling"]]) {
  test(`R11: half of all clients are back 0.7 s after a server that was killed is there again, and 99 % within 1.4 (${transports ?? "auto"})`, async (t) => {
    const times = [];
    for (let seed = 1; seed <= 100; seed++) {
      const world = new World(seed);
      world.weather.latencyMs = 1 + (seed % 20);
      serve(world);
      const socket = io(URL, { ...world.options, forceNew: true, transports });
      const told = [];
      socket.on("disconnect", (reason, details) => told.push(details?.unconfirmed));
      socket.on("connect", () => told.push(world.time));
      await world.advance(3000 + 37 * seed);
      // Killed: it knows of no session any more, and nobody listens for two seconds.
      world.weather.down = true;
      for (const session of world.sessions.values()) session.server.over = true;
      world.cut();
      for (const session of world.sessions.values()) world.sessions.delete(session.sid);
      socket.emit("kept", seed);
      await world.advance(2000);
      assert.equal(told.length, 1);
      world.weather.down = false;
      const up = world.time;
      await world.advance(4000);
      const [, unconfirmed, back, ...more] = told;
      assert.deepEqual([unconfirmed, more], [[["kept", seed]], []]);
      times.push(back - up);
      socket.disconnect();
      await world.advance(100);
    }
    times.sort((a, b) => a - b);
    const [half, most] = [times[50], times[98]];
    t.diagnostic(`p50 ${Math.round(half)} ms, p99 ${Math.round(most)} ms`);
    assert.ok(half <= 700 && most <= 1400, `p50 ${half} ms, p99 ${most} ms`);
  });
}

/** A WebSocket that has worked for a while. */
const openAndWork = async () => {
  const all = await open({ ms: 10_000 });
  assert.equal(all.live.transport.name, "websocket");
  all.world.requests.length = 0;
  return all;
};

test("R17: of a server that takes 1.8 s, as all are cut off at once, nobody asks for more than a WebSocket", async () => {
  const { world, live, log, session } = await openAndWork();
  // Four ways: the handshake's and the attach's.
  world.weather.latencyMs = 450;
  world.cut();
  live.send("x");
  await world.advance(5000);
  assert.deepEqual([world.requests, session.server.heard, log.changes.length], [["WS"], ["x"], 2]);
  live.close();
});

for (const [what, weather] of [["never answered", { hangSockets: true }], ["silent", { muteSockets: true }]]) {
  test(`R17: where the next WebSocket is ${what}, polling is there after two seconds`, async () => {
    const { world, live, session } = await openAndWork();
    Object.assign(world.weather, weather);
    world.cut();
    live.send("x");
    const since = world.time;
    while (!session.server.heard.length && world.time < since + 5000) await world.advance(10);
    assert.ok(world.time - since >= 2000 && world.time - since <= 2100, `${world.time - since} ms`);
    live.close();
  });
}

test("a WebSocket that has fallen silent, in a network that lets no other through: polling beside the second at once", async () => {
  const { world, live, session } = await openAndWork();
  world.weather.muteSockets = true;
  live.send("x");
  const since = world.time;
  while (!session.server.heard.length && world.time < since + 9000) await world.advance(10);
  // A question that is not answered within 2 s, and 250 ms of head start.
  assert.ok(world.time - since <= 2400, `${world.time - since} ms`);
  live.close();
});

for (const transports of [["websocket"], ["stream"], ["polling"]]) {
  test(`who closes while the first request is being made, has closed (${transports})`, async () => {
    const world = new World();
    const { WebSocket, fetch } = world.options;
    const live = createDriver(URL, {
      ...world.options,
      transports,
      WebSocket: class extends WebSocket {
        constructor(url) {
          live.close();
          super(url);
        }
      },
      fetch: (...args) => {
        live.close();
        return fetch(...args);
      },
    });
    const closed = [];
    live.on("close", (reason) => closed.push(reason));
    live.open();
    await world.advance(1000);
    assert.deepEqual(closed, ["forced close"]);
    assert.equal(live.readyState, "closed");
  });
}
