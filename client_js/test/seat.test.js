/**
 * Many tabs, six connections: who may hold a request open.
 */
import assert from "node:assert/strict";
import test from "node:test";
import { createDriver } from "./drivers.js";
import { World } from "./world.js";

/** The locks of one browser, as the platform has them. */
class Locks {
  queues = new Map();

  async request(name, { signal }, run) {
    const queue = this.queues.get(name) ?? this.queues.set(name, []).get(name);
    await new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const entry = { resolve };
      queue.push(entry);
      signal.addEventListener("abort", () => {
        if (queue.indexOf(entry) > 0) {
          queue.splice(queue.indexOf(entry), 1);
          reject(signal.reason);
        }
      });
      if (queue[0] == entry) resolve();
    });
    try {
      return await run();
    } finally {
      queue.shift();
      queue[0]?.resolve();
    }
  }
}

const openTab = (world, locks, options) => {
  const live = createDriver("http://server.test", { ...world.options, locks, ...options });
  const heard = [];
  live.on("message", (message) => heard.push(message));
  live.open();
  return { live, heard };
};

const kinds = (tabs) => tabs.map(({ live }) => live.transport.name).toSorted();

test("of twelve tabs three hold a stream, the others poll briefly, and all hear within a second", async () => {
  const world = new World();
  world.weather.noSockets = true;
  const locks = new Locks();
  const tabs = Array.from({ length: 12 }, () => openTab(world, locks));
  await world.advance(3000);
  assert.deepEqual(kinds(tabs), [...Array(9).fill("polling"), ...Array(3).fill("stream")]);
  for (const session of world.sessions.values()) world.say(session, "hello");
  for (const { live } of tabs) live.send("hi");
  await world.advance(1000);
  assert.deepEqual(tabs.map(({ heard }) => heard), Array(12).fill(["hello"]));
  assert.deepEqual([...world.sessions.values()].map(({ server }) => server.heard).filter(({ length }) => length), Array(12).fill(["hi"]));
  assert.equal([...world.sessions.values()].filter(({ held }) => held).length, 0, "no poll is held");
});

test("a tab that goes gives up its seat to the next", async () => {
  const world = new World();
  world.weather.noSockets = true;
  const locks = new Locks();
  const tabs = Array.from({ length: 4 }, () => openTab(world, locks));
  await world.advance(3000);
  assert.deepEqual(kinds(tabs), ["polling", "stream", "stream", "stream"]);
  tabs.find(({ live }) => live.transport.name == "stream").live.close();
  const left = tabs.filter(({ live }) => live.readyState == "open");
  await world.advance(1000);
  assert.deepEqual(kinds(left), ["stream", "stream", "stream"]);
});

test("the first answer does not wait for a seat to be given", async () => {
  const world = new World();
  world.weather.noSockets = true;
  const locks = new Locks();
  const { request } = locks;
  locks.request = (...args) => new Promise((resolve) => world.after(30, resolve)).then(() => request.apply(locks, args));
  const { live, heard } = openTab(world, locks);
  await world.advance(40);
  live.send("hi");
  const [session] = [...world.sessions.values()];
  world.onMessage = () => world.say(session, "hello");
  await world.advance(100);
  assert.deepEqual(heard, ["hello"]);
});

test("over a WebSocket no seat is kept", async () => {
  const world = new World();
  const locks = new Locks();
  world.weather.noSockets = true;
  const { live } = openTab(world, locks);
  await world.advance(3000);
  assert.equal(live.transport.name, "stream");
  world.weather.noSockets = false;
  await world.advance(8000);
  assert.equal(live.transport.name, "websocket");
  assert.deepEqual([...locks.queues.values()].flat(), []);
});

test("without the browser's locks everyone may", async () => {
  const world = new World();
  world.weather.noSockets = true;
  const { live } = openTab(world, undefined);
  await world.advance(3000);
  assert.equal(live.transport.name, "stream");
});

test("where locks may not be used, as in a sandboxed frame, everyone may", async () => {
  const world = new World();
  world.weather.noSockets = true;
  const { live } = openTab(world, { request: async () => Promise.reject(new DOMException("denied", "SecurityError")) });
  await world.advance(3000);
  assert.equal(live.transport.name, "stream");
});
