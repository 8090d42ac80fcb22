import assert from "node:assert/strict";
import test from "node:test";
import { BY_EACH, SINGLE, createDriver, testEach } from "./drivers.js";
import { World, settle } from "./world.js";

const URL = "http://server.test";

/** A client in a world of its own. */
const start = async ({ seed, weather, options, ms = 0, world = new World(seed) } = {}) => {
  Object.assign(world.weather, weather);
  const live = createDriver(URL, { ...world.options, ...options });
  const log = { transports: [], messages: [], closed: undefined };
  live.on("transport", ({ to }) => log.transports.push(to));
  live.on("message", (message) => log.messages.push(message));
  live.on("close", (reason, details) => (log.closed = { reason, ...details }));
  live.open();
  await world.advance(ms);
  return { world, live, log, session: () => [...world.sessions.values()][0] };
};

/** Both sides talk for a while; numbers in order. */
const talk = async ({ world, live, session }, ms, everyMs = 50) => {
  for (const end = world.time + ms; world.time < end; ) {
    const { server } = session();
    live.send("c" + (world.said = (world.said ?? 0) + 1));
    world.say(session(), "s" + (server.sent.length + 1));
    await world.advance(everyMs);
  }
};

const assertLevel = ({ world, log, session }) => {
  const { server } = session();
  assert.deepEqual(server.heard, Array.from({ length: world.said }, (_, i) => "c" + (i + 1)), "client to server");
  assert.deepEqual(log.messages, server.sent, "server to client");
  assert.equal(log.closed, undefined);
  assert.equal(world.sessions.size, 1, "one session");
};

testEach("a quick open network sees one WebSocket and not one request more", async () => {
  const all = await start({ ms: 100 });
  await talk(all, 3000);
  assert.deepEqual(all.world.requests, ["WS"]);
  assert.deepEqual(all.log.transports, ["websocket"]);
  assertLevel(all);
});

test("a WebSocket that is refused gives way at once, to polling and then to a stream", async () => {
  const all = await start({ weather: { noSockets: true }, ms: 25 });
  assert.deepEqual(all.log.transports, ["polling"]);
  await all.world.advance(200);
  assert.deepEqual(all.log.transports, ["polling", "stream"]);
  await talk(all, 2000);
  assertLevel(all);
});

test("a WebSocket that hangs costs a quarter of a second", async () => {
  const all = await start({ weather: { hangSockets: true }, ms: 275 });
  assert.deepEqual(all.log.transports, ["polling"]);
  await talk(all, 2000);
  assertLevel(all);
});

test("a WebSocket that opens and says nothing is not taken for one that works, and costs a twentieth of a second", async () => {
  const all = await start({ weather: { muteSockets: true }, ms: 100 });
  assert.deepEqual(all.log.transports, ["polling"]);
  await talk(all, 10_000);
  assert.deepEqual(all.log.transports, ["polling", "stream"]);
  assertLevel(all);
});

test("a WebSocket whose first word is late once does not rest for a minute", async () => {
  const world = new World();
  world.random = () => 1;
  const all = await start({ world, weather: { stallMs: 150 }, ms: 100 });
  world.weather.stallMs = 0;
  assert.deepEqual(all.log.transports, ["polling"]);
  await world.advance(1000);
  assert.deepEqual(all.log.transports, ["polling", "websocket"]);
  // The session that nobody has use of is ended.
  assert.equal([...world.sessions.values()].filter(({ server }) => !server.over).length, 1);
});

test("a WebSocket that is probed, and closed by the server because nothing came, costs a try and not the session", async () => {
  const all = await start({ weather: { noSockets: true }, ms: 1000 });
  all.world.weather.noSockets = false;
  all.world.weather.muteSockets = true;
  await all.world.advance(4500);
  const [socket] = all.world.sockets;
  assert.ok(socket);
  socket.cut(4003);
  all.world.weather.muteSockets = false;
  await talk(all, 30_000);
  assert.deepEqual(all.log.transports, ["polling", "stream", "websocket"]);
  assertLevel(all);
});

test("a WebSocket is tried again later and takes over", async () => {
  const all = await start({ weather: { noSockets: true }, ms: 1000 });
  all.world.weather.noSockets = false;
  await talk(all, 5000);
  assert.deepEqual(all.log.transports, ["polling", "stream", "websocket"]);
  assertLevel(all);
});

test("a stream that is held back never carries, and is tried again later", async () => {
  const all = await start({ weather: { noSockets: true, buffer: true }, ms: 100 });
  await talk(all, 4000);
  assert.deepEqual(all.log.transports, ["polling"]);
  all.world.weather.buffer = false;
  await talk(all, 8000);
  assert.deepEqual(all.log.transports, ["polling", "stream"]);
  assertLevel(all);
});

for (const transports of BY_EACH) {
  test(`after a cut the session goes on within 300 ms (${transports})`, async () => {
    const all = await start({ options: { transports }, ms: 100 });
    for (let i = 0; i < 10; i++) {
      await talk(all, 6000, 100);
      all.world.cut();
      const before = all.log.messages.length;
      await talk(all, 300, 20);
      assert.ok(all.log.messages.length > before + 5, `cut ${i}`);
    }
    await all.world.advance(3000);
    assertLevel(all);
  });
}

test("by WebSocket alone, what is cut again and again is had again after pauses that grow to 400 ms", async () => {
  const all = await start({ options: { transports: SINGLE }, ms: 100 });
  const { world } = all;
  for (const end = world.time + 20_000; world.time < end; ) {
    await talk(all, 50);
    if (all.live.writable) world.cut();
  }
  assert.ok(world.requests.length < 60, `${world.requests.length} tries in 20 s`);
  await world.advance(3000);
  assertLevel(all);
  // One that carried for a second is replaced at once, each time.
  for (let i = 0; i < 5; i++) {
    await talk(all, 1200);
    world.cut();
    await world.advance(50);
    assert.equal(all.live.writable, true);
  }
});

testEach("a network that is gone for ten seconds changes nothing but the time", async () => {
  const all = await start({ ms: 100 });
  await talk(all, 500);
  all.world.weather.down = true;
  all.world.cut();
  await talk(all, 10_000, 100);
  all.world.weather.down = false;
  await all.world.advance(4000);
  assertLevel(all);
});

for (const transports of [["websocket", "polling"], ["stream", "polling"], ["polling"], ["websocket"], SINGLE]) {
  test(`a black hole is noticed by the traffic within five seconds (${transports})`, async () => {
    const all = await start({ options: { transports }, weather: { noSockets: transports[0] == "stream" }, ms: 200 });
    await talk(all, 6000);
    // What is connected now is deaf from here on; what is connected later is not.
    all.world.weather.black = true;
    await all.world.advance(20);
    const lines = [...all.world.sockets, ...all.world.responses];
    all.world.weather.black = false;
    for (const line of lines) if (line.send) line.send = line.send_ = () => {};
    await talk(all, 5500);
    await all.world.advance(6000);
    assertLevel(all);
  });
}

testEach("a network on which all takes seconds changes nothing either", async () => {
  for (const latencyMs of [1000, 1500, 2000]) {
    const client = await start({ weather: { latencyMs }, ms: 40_000 });
    const before = client.log.transports.length;
    await talk(client, 60_000, 500);
    assert.deepEqual(client.log.transports.slice(before), [], `${latencyMs} ms each way`);
    await client.world.advance(10_000);
    const { server } = client.session();
    assert.deepEqual([server.heard.length, client.log.messages.length, client.log.closed], [120, 120, undefined]);
  }
});

test("whoever closes a session when it hears of its transport has closed it", async () => {
  for (const transports of [...BY_EACH, undefined]) {
    const { world, live, log } = await start({ options: { transports } });
    live.on("transport", () => live.close());
    live.on("open", () => assert.fail("it is closed"));
    await world.advance(10_000);
    assert.deepEqual([live.readyState, log.closed.reason, world.sockets.size], ["closed", "forced close", 0]);
  }
});

testEach("after an outage that took its time, a dead carrier is noticed as soon as ever", async () => {
  const all = await start({ ms: 1000 });
  all.world.weather.black = true;
  await talk(all, 4000);
  all.world.weather.black = false;
  all.world.cut();
  await talk(all, 6000);
  const before = all.log.transports.length;
  all.world.weather.black = true;
  await talk(all, 5500);
  assert.ok(all.log.transports.length > before || !all.live.writable, "noticed");
});

test("what the server refuses in every form says so at once", async () => {
  const fetch = async () => new Response('{"code":0,"message":"Transport unknown"}', { status: 400 });
  const { world, log } = await start({ options: { transports: ["polling"], fetch } });
  await world.advance(100);
  assert.equal(log.closed.reason, "transport error");
  assert.equal(log.closed.description.message, "Transport unknown");
});

testEach("an idle WebSocket that has died is noticed after ping interval and timeout", async () => {
  const all = await start({ ms: 100 });
  all.world.weather.black = true;
  await all.world.advance(15_100);
  all.world.weather.black = false;
  await all.world.advance(2_500);
  await talk(all, 200);
  await all.world.advance(1000);
  assertLevel(all);
});

test("lost answers and doubled POSTs repeat nothing", async () => {
  const all = await start({ seed: 7, options: { transports: ["polling"] }, ms: 3000 });
  Object.assign(all.world.weather, { loss: 0.15, doubled: 0.2 });
  await talk(all, 20_000);
  all.world.weather.loss = 0;
  await all.world.advance(5000);
  assertLevel(all);
});

test("a page of somebody on the way is a failed carrier, not the end", async () => {
  const all = await start({ options: { transports: ["stream", "polling"] }, ms: 500 });
  await talk(all, 500);
  all.world.weather.page = true;
  all.world.cut();
  await talk(all, 3000);
  all.world.weather.page = false;
  await all.world.advance(4000);
  assertLevel(all);
});

test("polls that somebody answers at once do not become a busy loop", async () => {
  const all = await start({ options: { transports: ["polling"] }, weather: { impatient: true }, ms: 100 });
  const before = all.world.requests.length;
  await all.world.advance(10_000);
  assert.ok(all.world.requests.length - before < 30, String(all.world.requests.length - before));
  await talk(all, 2000);
  await all.world.advance(1000);
  assertLevel(all);
});

test("a long stream is replaced before it fills the memory", async () => {
  const all = await start({ options: { transports: ["stream"], rotateLength: 200 }, ms: 100 });
  await talk(all, 10_000);
  await all.world.advance(500);
  assert.ok(all.world.requests.filter((request) => request == "GET stream").length > 3, String(all.world.requests));
  assertLevel(all);
});

test("what a failed POST had acknowledged is acknowledged again, and nothing spins while a POST is in flight", async () => {
  const all = await start({ options: { transports: ["stream"] }, ms: 100 });
  const { world } = all;
  world.say(all.session(), "a");
  // Posts are lost from here on; the stream lives.
  const { fetch } = world;
  let posts = 0;
  world.fetch = function (url, init) {
    if (init.method != "POST") return fetch.call(this, url, init);
    posts++;
    return posts < 3 ? world.travel().then(() => Promise.reject(new TypeError("fetch failed"))) : fetch.call(this, url, init);
  };
  await world.advance(3000);
  assert.ok(posts >= 3, String(posts));
  assert.equal(all.session().server.acked, 1);
  // One that never comes back; `advance` throws at a busy loop.
  const before = (posts = 3);
  world.fetch = (url, init) => (init.method == "POST" ? (posts++, new Promise(() => {})) : fetch.call(world, url, init));
  let steps = 0;
  world.after = function (ms, run) {
    steps++;
    return World.prototype.after.call(this, ms, run);
  };
  all.live.send("x");
  world.say(all.session(), "b");
  await world.advance(4000);
  assert.ok(posts - before < 5 && steps < 40, `${posts - before} posts, ${steps} timers`);
});

testEach("when the server has forgotten the session, what it had not got is handed back", async () => {
  const all = await start({ ms: 100 });
  all.live.send("a");
  await all.world.advance(100);
  all.world.weather.down = true;
  all.world.cut();
  all.live.send("b");
  all.live.send("c");
  all.session().server.over = true;
  await all.world.advance(1000);
  all.world.weather.down = false;
  await all.world.advance(3000);
  assert.equal(all.log.closed.reason, "transport close");
  assert.deepEqual(all.log.closed.unconfirmed, ["b", "c"]);
  assert.throws(() => all.live.send("d"), { name: "LocalProtocolError" });
});

testEach("when the grace is over, the session is", async () => {
  const world = new World();
  world.grace = 5000;
  const all = await start({ world, ms: 100 });
  all.world.weather.down = true;
  all.world.cut();
  await all.world.advance(4900);
  assert.equal(all.log.closed, undefined);
  await all.world.advance(200);
  assert.equal(all.log.closed.reason, "transport close");
});

testEach("what cannot be opened says so after one round, or after its time", async () => {
  const refused = await start({ weather: { down: true }, ms: 200 });
  assert.equal(refused.log.closed.reason, "transport error");
  const silent = await start({ weather: { black: true }, ms: 19_000 });
  assert.equal(silent.log.closed, undefined);
  await silent.world.advance(1500);
  assert.equal(silent.log.closed.reason, "transport error");
});

test("the loser of the opening race is closed before anything was sent on it", async () => {
  const world = new World();
  world.weather.latencyMs = 100;
  const all = await start({ world, ms: 3000 });
  await talk(all, 3000);
  for (const { server } of [...world.sessions.values()].slice(1)) assert.deepEqual([server.over, server.heard], [true, []]);
  assert.equal(all.log.closed, undefined);
});

test("to close is said to the server, and then there is silence", async () => {
  for (const transports of BY_EACH) {
    const all = await start({ options: { transports }, ms: 100 });
    all.live.send("last");
    all.live.close();
    await all.world.advance(100);
    assert.deepEqual([all.session().server.heard, all.session().server.over], [["last"], true], `${transports}`);
    const before = all.world.requests.length;
    await all.world.advance(60_000);
    assert.equal(all.world.requests.length, before);
  }
});

test("any text and any bytes arrive as they were sent, over every transport", async () => {
  const messages = ["", "a\x1eb", "\r\n", "\0", "\ufeffx", "é😀\u2028", "x".repeat(5000), new Uint8Array(), new Uint8Array([0, 30, 255])];
  for (const transports of BY_EACH) {
    const all = await start({ options: { transports }, ms: 100 });
    for (const message of messages) {
      all.live.send(message);
      all.world.say(all.session(), message);
    }
    await all.world.advance(1000);
    assert.deepEqual(all.log.messages, messages, `${transports}`);
    assert.deepEqual(all.session().server.heard, messages, `${transports}`);
  }
});

test("a hostile server ends the session and nothing else", async () => {
  const packets = ["", "x", "4", "7{}", "7null", '7{"carrier":99,"received":0}', "8x", "899", "90", "9-1", "j1", "b=", "0{}", "1{", "1", "1[]", '1{"code":99}', "2", "3", "5", "6", "4\ud800", 'j"\\ud800"', "4a\x1e", '9{"__proto__":1}', "3probe", "7[]"];
  for (const one of packets) {
    for (const transports of BY_EACH) {
      const all = await start({ options: { transports }, ms: 100 });
      all.session().server.acknowledge = () => {};
      all.session().server.writer?.out.push(one);
      all.world.pump(all.session());
      all.world.say(all.session(), "next");
      await all.world.advance(3000);
      assert.ok(all.log.closed || all.log.messages.length, `${transports}: ${one}`);
    }
  }
});

const storms = Array.from({ length: Number(process.env.STORMS ?? 40) }, (_, index) => index + 1);
for (const [seed, transports] of [...storms.map((seed) => [seed]), ...storms.map((seed) => [seed, seed % 4 ? SINGLE : ["websocket"]])]) {
  test(`weather that changes all the time loses, repeats and reorders nothing (seed ${seed}, ${transports ?? "all"})`, async () => {
    const all = await start({ seed, options: { transports }, ms: 500 });
    const { world } = all;
    const flags = ["noSockets", "hangSockets", "muteSockets", "buffer", "down", "page"];
    for (let i = 0; i < 40; i++) {
      const flag = flags[Math.floor(world.random() * flags.length)];
      world.weather[flag] = !world.weather[flag] && world.random() < 0.6;
      world.weather.loss = world.random() < 0.3 ? 0.2 : 0;
      world.weather.doubled = world.weather.loss;
      world.weather.latencyMs = 1 + world.random() * 80;
      if (world.random() < 0.4) world.cut();
      await talk(all, world.random() * 1500, 60);
    }
    for (const flag of flags) world.weather[flag] = false;
    world.weather.loss = world.weather.doubled = 0;
    await world.advance(12_000);
    const said = Array.from({ length: world.said }, (_, i) => "c" + (i + 1));
    const living = [...world.sessions.values()].find(({ server }) => server.heard.length);
    assert.equal(all.log.closed, undefined, JSON.stringify(all.log.closed?.reason) + all.log.closed?.description?.stack);
    assert.deepEqual(living.server.heard, said);
    assert.deepEqual(all.log.messages, living.server.sent);
    await settle();
  });
}

test("where responses are cut off after three seconds, streams rest, and polls are held no longer than that", async () => {
  const all = await start({ weather: { noSockets: true, cutAfterMs: 3000 }, ms: 100 });
  for (let i = 0; i < 60; i++) await talk(all, 500, 250);
  assertLevel(all);
  all.log.transports.length = 0;
  const polls = () => all.world.requests.filter((request) => request == "GET polling").length;
  const before = polls();
  await all.world.advance(12_000);
  assert.ok(polls() - before <= 12, `${polls() - before} polls in 12 s`);
  assert.ok(all.log.transports.length <= 4, `${all.log.transports}`);
  assert.equal(all.log.closed, undefined);
});

test("what was on its way by POST when polling was given up does not keep the next one waiting", async () => {
  const { world, live, session } = await start({ options: { transports: ["polling"] }, ms: 1000 });
  world.weather.black = true;
  await world.advance(1000);
  live.send("x");
  const sent = world.time;
  // After 4 s the poll that was to prove itself is given up; the POST would have had 5.
  await world.advance(3980);
  world.weather.black = false;
  for (; !session().server.heard.length; ) await world.advance(20);
  assert.ok(world.time - sent < 4200, `${world.time - sent} ms`);
});

test("who leaves while nothing carries is gone at the server too, as soon as that can be told", async () => {
  for (const transports of [["websocket", "polling"], ["polling"]]) {
    const { world, live, session } = await start({ options: { transports }, ms: 1000 });
    world.weather.down = true;
    world.cut();
    await world.advance(100);
    live.send("last");
    live.close();
    await world.advance(2000);
    world.weather.down = false;
    await world.advance(2000);
    assert.deepEqual([session().server.heard, session().server.over], [["last"], true], transports);
  }
});

test("what cannot be opened says what the last try met", async () => {
  const { log } = await start({ weather: { hangSockets: true, page: true }, ms: 21_000 });
  assert.deepEqual([log.closed.description.message, log.closed.description.cause.message], ["timeout", "not an answer"]);
  assert.throws(() => createDriver(URL, { transports: ["websockets"] }), /^LocalProtocolError: transports: websockets$/);
});

test("a poll that is not answered is asked once more, given up, and had again", async () => {
  const { world, live, session } = await start({ options: { transports: ["polling"] }, ms: 1000 });
  world.weather.black = true;
  const before = world.requests.length;
  await world.advance(60_000);
  assert.ok(world.requests.length - before < 30, `${world.requests.length - before} requests`);
  assert.equal(live.status, "recovering");
  world.weather.black = false;
  await world.advance(6000);
  world.say(session(), "again");
  live.send("again");
  await world.advance(1000);
  assert.deepEqual([session().server.heard, live.status], [["again"], "connected"]);
});

for (const transports of [["websocket", "polling"], ["stream", "polling"], ["polling"], SINGLE]) {
  test(`a network that lets nothing through for a minute is noticed, and found again when it is back (${transports})`, async () => {
    const { world, live, session } = await start({ options: { transports }, ms: 3000 });
    world.weather.black = true;
    live.send("x");
    const statuses = [];
    live.on("status", (status) => statuses.push(status));
    await world.advance(60_000);
    assert.equal(live.status, "recovering");
    assert.ok(statuses.filter((status) => status == "stalled").length < 3, statuses.join());
    world.weather.black = false;
    await world.advance(8000);
    world.say(session(), "y");
    await world.advance(1000);
    assert.deepEqual([session().server.heard, live.status], [["x"], "connected"]);
  });
}

test("beside a carrier that says something now and then, and takes nothing, not one after another is started", async () => {
  const { world, session } = await start({ options: { transports: ["websocket"] }, ms: 1000 });
  const [line] = world.sockets;
  line.send = line.send_ = () => {};
  world.weather.hangSockets = true;
  for (let n = 0; n < 50; n++) {
    world.say(session(), `s${n}`);
    await world.advance(1200);
  }
  assert.ok(world.requests.length < 20, `${world.requests.length} WebSockets`);
});

for (let seed = 11; seed <= 20; seed++) {
  // The package ws tells what comes until the other end has closed too; browsers do not.
  testEach(`what a WebSocket brings after it was given up for a busy server ends nothing (seed ${seed})`, async () => {
    const all = await start({ seed, weather: { brings: true }, ms: 1000 });
    const { world } = all;
    for (let n = 0; n < 8; n++) {
      world.weather.stallMs = [0, 1500, 3000, 6000][n % 4];
      await talk(all, 3000, 700);
    }
    world.weather.stallMs = 0;
    await world.advance(8000);
    await talk(all, 2000, 100);
    await world.advance(3000);
    assertLevel(all);
  });
}
