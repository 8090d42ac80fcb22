import assert from "node:assert/strict";
import test from "node:test";
import { Connector } from "../connector.js";
import { withDefaults } from "../options.js";

const make = (options = {}) => new Connector(withDefaults({ random: () => 0.5, ...options }));

test("on a quick network there is a WebSocket and nothing else", () => {
  const connector = make();
  connector.race(0);
  assert.deepEqual(connector.next(0), ["websocket"]);
  assert.deepEqual(connector.next(249), []);
  connector.carries("websocket", 249);
  assert.deepEqual(connector.next(1e6), []);
});

test("polling joins after 250 ms, without waiting for the WebSocket to fail", () => {
  const connector = make();
  connector.race(0);
  connector.next(0);
  assert.equal(connector.deadline(0), 250);
  assert.deepEqual(connector.next(250), ["polling"]);
  assert.deepEqual(connector.next(251), []);
});

test("polling starts at once when the WebSocket has failed", () => {
  const connector = make();
  connector.race(0);
  connector.next(0);
  connector.failed("websocket", 20);
  assert.deepEqual(connector.next(20), ["polling"]);
});

test("from polling the stream is probed first, then the WebSocket, each again later", () => {
  const connector = make();
  connector.race(0);
  connector.next(0);
  connector.failed("websocket", 20);
  connector.next(20);
  connector.carries("polling", 30);
  assert.deepEqual(connector.next(30), ["stream"]);
  assert.deepEqual(connector.next(31), [], "one at a time");
  connector.failed("stream", 1530);
  assert.deepEqual(connector.next(1530), []);
  assert.deepEqual(connector.next(5020), ["websocket"]);
  connector.failed("websocket", 5100);
  assert.deepEqual(connector.next(6529), []);
  assert.deepEqual(connector.next(6530), ["stream"]);
  connector.failed("stream", 8000);
  assert.deepEqual(connector.next(20099), []);
  assert.deepEqual(connector.next(20100), ["websocket"]);
  connector.carries("websocket", 20200);
  assert.deepEqual(connector.next(1e6), []);
});

test("from a stream only the WebSocket is better", () => {
  const connector = make();
  connector.race(0);
  connector.carries("stream", 0);
  assert.deepEqual(connector.next(0), ["websocket"]);
});

test("a WebSocket that had worked is tried at once when it is lost", () => {
  const connector = make();
  connector.race(0);
  connector.next(0);
  connector.carries("websocket", 0);
  connector.lost("websocket", 60_000, false);
  assert.deepEqual(connector.next(60_000), ["websocket"]);
  assert.equal(connector.deadline(60_000), 60_250);
});

test("a WebSocket that dies twice within five seconds rests", () => {
  const connector = make();
  let now = 0;
  for (let i = 0; i < 2; i++) {
    connector.race(now);
    assert.deepEqual(connector.next(now), ["websocket"]);
    connector.carries("websocket", now);
    connector.lost("websocket", (now += 1000), false);
  }
  assert.deepEqual(connector.next(now), ["stream"]);
  connector.failed("stream", now);
  assert.deepEqual(connector.next(now), ["polling"]);
  connector.carries("polling", now);
  assert.deepEqual(connector.next(now + 29_999).includes("websocket"), false);
  connector.dropped("stream");
  connector.failed("stream", now + 29_999);
  assert.deepEqual(connector.next(now + 30_000), ["websocket"]);
});

test("when nothing gets through, no verdict is kept, and pauses grow to two seconds", () => {
  const connector = make();
  connector.race(0);
  let now = 0;
  const pauses = [];
  for (let i = 0; i < 8; i++) {
    assert.deepEqual(connector.next(now), ["websocket"]);
    connector.failed("websocket", now);
    assert.deepEqual(connector.next(now), ["polling"]);
    connector.failed("polling", now);
    assert.deepEqual(connector.next(now), []);
    pauses.push(connector.deadline(now) - now);
    now = connector.deadline(now);
  }
  assert.deepEqual(pauses, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
});

test("pauses are jittered", () => {
  const pauses = [0, 0.999].map((value) => {
    const connector = make({ transports: ["polling"], random: () => value });
    connector.race(0);
    connector.next(0);
    connector.failed("polling", 0);
    return Math.round(connector.deadline(0));
  });
  assert.deepEqual(pauses, [25, 75]);
});

test("a stream that ended in order is had again, without a verdict", () => {
  const connector = make();
  connector.race(0);
  connector.carries("stream", 0);
  connector.lost("stream", 1000, true);
  assert.deepEqual(connector.next(1000), ["stream"]);
  assert.deepEqual(connector.next(1250), ["polling"]);
});

test("what the server does not offer is not tried", () => {
  const connector = make();
  connector.race(0);
  connector.next(0);
  connector.failed("websocket", 0);
  connector.next(0);
  connector.offer(["polling"]);
  connector.carries("polling", 10);
  assert.deepEqual(connector.next(1e6), []);
});

test("a transport that is allowed alone is tried again and again, but not without a pause", () => {
  const connector = make({ transports: ["websocket"] });
  let now = 0;
  connector.race(now);
  const times = [];
  for (let i = 0; i < 5; i++) {
    assert.deepEqual(connector.next(now), ["websocket"]);
    connector.carries("websocket", now);
    connector.lost("websocket", now + 1, false);
    times.push(Math.max(connector.deadline(now + 1), now + 1) - now - 1);
    now = connector.next(now + 1).length ? (connector.dropped("websocket"), now + 1) : connector.deadline(now + 1);
  }
  assert.ok(times.at(-1) >= 50, String(times));
});

test("a new network makes every verdict void", () => {
  const connector = make();
  connector.race(0);
  connector.next(0);
  connector.failed("websocket", 0);
  connector.next(0);
  connector.carries("polling", 10);
  connector.next(10);
  connector.failed("stream", 10);
  connector.refresh(20);
  assert.deepEqual(connector.next(20), ["stream"]);
  connector.failed("stream", 20);
  assert.deepEqual(connector.next(20), ["websocket"]);
});
