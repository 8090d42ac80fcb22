import assert from "node:assert/strict";
import test from "node:test";
import { watchPage } from "../page.js";
import { SINGLE, createDriver, testEach } from "./drivers.js";
import { World } from "./world.js";

/** A page with nothing but events. */
const withPage = async (run) => {
  const target = new EventTarget();
  Object.assign(globalThis, {
    addEventListener: target.addEventListener.bind(target),
    removeEventListener: target.removeEventListener.bind(target),
    document: { visibilityState: "visible" },
  });
  let network = "wifi";
  const connection = new EventTarget();
  Object.defineProperty(globalThis, "navigator", { value: { connection, onLine: true }, configurable: true, writable: true });
  const fire = (type, more) => {
    if (type == "change") network += "!";
    (type == "change" ? connection : target).dispatchEvent(Object.assign(new Event(type), more));
  };
  const world = new World();
  const live = createDriver("http://server.test", { ...world.options, network: () => network, page: true });
  live.open();
  const log = [];
  live.on("transport", ({ to, reason }) => log.push([to, reason]));
  live.on("close", (reason) => log.push(reason));
  await world.advance(100);
  try {
    await run({ world, live, fire, log, connection, session: [...world.sessions.values()][0] });
  } finally {
    live.close();
    for (const name of ["addEventListener", "removeEventListener", "document", "navigator"]) delete globalThis[name];
  }
};

for (const type of ["online", "offline", "pageshow", "visibilitychange", "resume", "change"]) {
  testEach(`on ${type} a carrier that has died meanwhile is found out within two seconds`, (transports) =>
    withPage(async ({ world, fire, log }) => {
      world.weather.black = true;
      await world.advance(100);
      fire(type);
      await world.advance(100);
      world.weather.black = false;
      await world.advance(2100);
      // With nothing to choose, there is nothing beside it that could answer first: it is given up.
      assert.deepEqual(log.slice(1), [["websocket", transports == SINGLE ? "timeout" : "stalled"]]);
    }));

  testEach(`on ${type} a carrier that lives is left alone`, () =>
    withPage(async ({ world, fire, log }) => {
      fire(type);
      await world.advance(5000);
      assert.equal(log.length, 1);
    }));
}

testEach("a page that goes for good says so, where it can in a request that outlives it", (transports) =>
  withPage(async ({ world, live, fire, log, session }) => {
    live.send("last");
    fire("pagehide", { persisted: false });
    await world.advance(100);
    assert.deepEqual([session.server.heard, session.server.over, log.at(-1)], [["last"], true, "transport close"]);
    assert.equal(world.requests.at(-1), transports == SINGLE ? "WS" : "POST polling");
  }));

test("a good-bye that the browser has stopped half-way is said again", () =>
  withPage(async ({ fire }) => {
    let started = 0;
    watchPage({ page: true, network: () => "" }, assert.fail, () => started++);
    fire("pagehide", { persisted: false });
    fire("visibilitychange");
    assert.equal(started, 2);
  }));

testEach("a page that may come back says nothing", () =>
  withPage(async ({ world, fire, session }) => {
    fire("pagehide", { persisted: true });
    await world.advance(100);
    assert.equal(session.server.over, false);
  }));

testEach("when the network is back, nobody waits for a pause to end", () =>
  withPage(async ({ world, live, fire, log }) => {
    world.weather.down = true;
    world.cut();
    await world.advance(20_000);
    world.weather.down = false;
    fire("online");
    await world.advance(60);
    assert.equal(live.writable, true);
    assert.equal(log.length, 2);
  }));

testEach("what the browser guesses of the network's speed changes nothing", () =>
  withPage(async ({ world, connection }) => {
    const before = world.requests.length;
    connection.dispatchEvent(new Event("change"));
    await world.advance(100);
    assert.equal(world.requests.length, before);
  }));

testEach("without a network it says so, and goes on by itself when there is one", () =>
  withPage(async ({ world, live, fire }) => {
    const statuses = [];
    live.on("status", (status) => statuses.push(status));
    world.weather.down = true;
    navigator.onLine = false;
    fire("offline");
    world.cut();
    await world.advance(20_000);
    assert.deepEqual(statuses, ["offline"]);
    world.weather.down = false;
    navigator.onLine = true;
    fire("online");
    await world.advance(60);
    assert.deepEqual(statuses, ["offline", "recovering", "connected"].filter((status) => statuses.includes(status)));
    assert.equal(live.status, "connected");
  }));
