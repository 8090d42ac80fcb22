/**
 * What can be seen of a session, and how soon a carrier that has died is noticed.
 */
import assert from "node:assert/strict";
import test from "node:test";
import { SINGLE, createDriver, testEach } from "./drivers.js";
import { World } from "./world.js";

const start = async ({ weather, options, world = new World(), ms = 100 } = {}) => {
  Object.assign(world.weather, weather);
  const live = createDriver("http://server.test", { ...world.options, ...options });
  const log = [];
  live.on("status", (status) => log.push(status));
  live.on("transport", ({ to, reason }) => log.push([to, reason]));
  live.on("close", (reason) => log.push(reason));
  live.open();
  await world.advance(ms);
  return { world, live, log, session: () => [...world.sessions.values()].at(-1) };
};

testEach("from connecting to closed", async () => {
  const { world, live, log } = await start({ ms: 0 });
  assert.equal(live.status, "connecting");
  await world.advance(100);
  world.weather.down = true;
  world.cut();
  await world.advance(1000);
  world.weather.down = false;
  await world.advance(3000);
  live.close();
  const statuses = log.filter((entry) => typeof entry == "string");
  assert.deepEqual(statuses, ["connected", "recovering", "connected", "closed", "forced close"]);
});

testEach("what does not answer is stalled, before it is given up; what answers late is connected again", async () => {
  const { world, live, log } = await start();
  log.length = 0;
  world.weather.latencyMs = 700;
  live.send("x");
  await world.advance(5000);
  assert.deepEqual([log.slice(0, 2), log.at(-1), log.filter(Array.isArray)], [["stalled", "connected"], "connected", []]);
  log.length = 0;
  await world.advance(1000);
  live.send("y");
  await world.advance(5000);
  assert.deepEqual(log, [], "the network is known to be slow by now");
  world.weather.black = true;
  live.send("z");
  await world.advance(8000);
  assert.deepEqual(log.slice(0, 2), ["stalled", "recovering"]);
});

for (const [who, speak] of [
  ["we", (live) => live.send("x")],
  ["the server", (_, world, session) => world.say(session, "x")],
]) {
  for (const transports of [["websocket", "polling"], ["stream", "polling"], SINGLE]) {
    test(`when ${who} alone ${who == "we" ? "speak" : "speaks"}, what is dead is replaced within 5 s (${transports})`, async () => {
      const { world, live, log, session } = await start({ options: { transports } });
      for (let i = 0; i < 40; i++) {
        speak(live, world, session());
        await world.advance(50);
      }
      log.length = 0;
      // What is open dies; what is new works.
      const dead = [...world.sockets, ...world.responses];
      world.weather.black = true;
      const from = world.time;
      speak(live, world, session());
      await world.advance(100);
      world.weather.black = false;
      for (let i = 0; i < 100 && !log.some((entry) => Array.isArray(entry)); i++) await world.advance(50);
      assert.ok(world.time - from <= 5000, `${world.time - from} ms`);
      assert.ok(dead.length);
    });
  }
}

test("by WebSocket alone, nothing is started beside a carrier that does not answer", async () => {
  const { world, live, log } = await start({ options: { transports: SINGLE }, ms: 1000 });
  world.weather.black = true;
  live.send("x");
  await world.advance(1900);
  assert.deepEqual([live.status, world.requests], ["stalled", ["WS"]]);
  world.weather.black = false;
  await world.advance(300);
  assert.deepEqual([live.status, world.requests, log.at(-2)], ["connected", ["WS", "WS"], ["websocket", "timeout"]]);
});

testEach("the round trip is measured on what flows anyway, without a request or a frame more", async () => {
  const { world, live, session } = await start({ weather: { latencyMs: 40 } });
  world.say(session(), "x");
  await world.advance(1200);
  const { rtt } = live.inspect();
  assert.equal(rtt, undefined, "a session's own part does not have it");
  assert.equal(live._session.plain, false);
  assert.deepEqual(world.requests, ["WS"]);
});

testEach("time in which the machine slept is nobody's fault: a carrier that lives is left alone", async () => {
  for (const isClockHalted of [false, true]) {
    let shift = 0;
    const world = new World();
    const { live, log } = await start({ world, options: { wall: () => 1.8e12 + world.time + shift } });
    await world.advance(1000);
    log.length = 0;
    if (isClockHalted) shift += 60_000;
    else {
      // Nothing runs, and then everything at once.
      world.sleep(60_000);
    }
    live.send("x");
    await world.advance(3000);
    assert.deepEqual(log, [], `clock halted: ${isClockHalted}`);
    assert.equal(live.writable, true);
  }
});

testEach("after sleep a carrier that has died is found out within two seconds", async () => {
  let shift = 0;
  const world = new World();
  const { log } = await start({ world, options: { wall: () => 1.8e12 + world.time + shift } });
  await world.advance(1000);
  log.length = 0;
  world.weather.black = true;
  shift += 60_000;
  await world.advance(5100);
  world.weather.black = false;
  await world.advance(2500);
  assert.deepEqual(
    log.filter((entry) => Array.isArray(entry)),
    [["websocket", "timeout"]],
  );
});

testEach("bytes that leave a moment later, as in browsers, do not put off the question", async () => {
  const world = new World();
  const { live, log } = await start({
    world,
    options: {
      WebSocket: class extends world.WebSocket {
        send(data) {
          super.send(data);
          this.bufferedAmount = 10;
          world.after(20, () => (this.bufferedAmount = 0));
        }
      },
    },
  });
  await world.advance(1000);
  world.weather.black = true;
  live.send("x");
  log.length = 0;
  await world.advance(2100);
  assert.deepEqual(log, ["stalled", "recovering"]);
});

testEach("a slow upload is not taken for a dead network", async () => {
  const world = new World();
  const sockets = [];
  const { live, log } = await start({
    world,
    options: {
      WebSocket: class extends world.WebSocket {
        constructor(url) {
          super(url);
          sockets.push(this);
        }
      },
    },
  });
  log.length = 0;
  // Half of it has left; the question waits behind the rest.
  const [socket] = sockets;
  socket.send = () => {};
  socket.bufferedAmount = 500_000;
  live.send("x".repeat(50_000));
  await world.advance(9000);
  assert.deepEqual(log.filter((entry) => Array.isArray(entry)), []);
  socket.bufferedAmount = 0;
  await world.advance(20_000);
  assert.equal(log.filter((entry) => Array.isArray(entry)).length > 0, true, "but one that never leaves is");
});
