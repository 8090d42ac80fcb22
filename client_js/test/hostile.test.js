/**
 * Servers that break the rules: the client closes, connects again, and throws nothing at anybody.
 */
import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { io } from "../index.js";
import { io as ioByWebSocket } from "../websocket.js";
import { World } from "./world.js";

const TEXTS = ['2["e",1]', '2["__proto__",{}]', '2["constructor"]', '2["hasOwnProperty",1]', "3", "3999[]", '39["x"]', '30["early"]', '4{"message":{}}', "4{}", '4"no"', "1", '0{"sid":1}', "0", '51-["e",{"_placeholder":true,"num":0}]', '2["connect"]', '2["disconnect"]', "2[{}]", "2/other,[\"e\"]", '61-0[{"_placeholder":true,"num":0}]', '2["e",{"__proto__":{"x":1}}]', '20["e"]'];
const message = fc.oneof(fc.constantFrom(...TEXTS), fc.string(), fc.uint8Array({ maxLength: 3 }));

test("whatever a server says, nothing is thrown and a well-behaved one is found again", async () => {
  const uncaught = [];
  const note = (error) => uncaught.push(error);
  process.on("uncaughtException", note).on("unhandledRejection", note);
  await fc.assert(
    fc.asyncProperty(fc.array(message, { minLength: 1, maxLength: 12 }), fc.constantFrom("websocket", "stream", "polling"), async (messages, transport) => {
      const world = new World();
      const server = (session, data) => {
        if (typeof data == "string" && data[0] == "0") world.say(session, `0{"sid":"socket-${session.sid}"}`);
      };
      world.onMessage = server;
      const socket = io("http://server.test", { ...world.options, transports: [transport], forceNew: true });
      socket.emit("early", () => {});
      socket.emitWithAck("early").catch(() => {});
      await world.advance(300);
      const [first] = [...world.sessions.values()];
      for (const one of messages) world.say(first, one);
      await world.advance(300);
      if (!socket.active) socket.connect();
      await world.advance(10_000);
      assert.equal(socket.connected, true);
      assert.equal({}.x, undefined);
      socket.disconnect();
      await world.advance(100);
    }),
    { numRuns: 300, seed: 1 },
  );
  process.off("uncaughtException", note).off("unhandledRejection", note);
  assert.deepEqual(uncaught, []);
});

test("what a listener throws reaches nobody else", async () => {
  const seen = [];
  const original = globalThis.queueMicrotask;
  globalThis.queueMicrotask = (run) =>
    original(() => {
      try {
        run();
      } catch (error) {
        seen.push(error.message);
      }
    });
  const world = new World();
  world.onMessage = (session, data) => data[0] == "0" && ['0{"sid":"x"}', '2["e",1]', '2["e",2]'].map((text) => world.say(session, text));
  const socket = io("http://server.test", { ...world.options, forceNew: true });
  const got = [];
  socket.on("e", () => {
    throw new Error("the application's");
  });
  socket.on("e", (n) => got.push(n));
  await world.advance(300);
  globalThis.queueMicrotask = original;
  assert.deepEqual([got, seen, socket.connected], [[1, 2], ["the application's", "the application's"], true]);
  socket.disconnect();
});

/** Below the events: packets of every type with JSON of every shape, and objects that cannot be made a number or a text of. */
const odd = fc.constantFrom({ toString: 1, valueOf: 1 }, null, [], -1, 1e400, "", "x", { __proto__: null }, true);
const fields = fc.dictionary(fc.constantFrom("code", "message", "received", "carrier", "sid", "sent", "key", "holdfast", "pingInterval", "pingTimeout", "maxPayload", "transports", "grace", "version"), fc.oneof(odd, fc.integer(), fc.json()));
const raw = fc.oneof(
  fc.tuple(fc.constantFrom(..."0123456789jb"), fc.oneof(fields, odd)).map(([type, value]) => type + JSON.stringify(value)),
  fc.tuple(fc.constantFrom(..."0123456789jb"), fc.oneof(fc.string(), fc.integer().map(String))).map((parts) => parts.join("")),
  fc.uint8Array({ maxLength: 3 }),
);

for (const [entry, open] of [["whole", io], ["WebSocket alone", ioByWebSocket]]) {
  test(`whatever comes below the events, nothing is thrown and a well-behaved server is found again (${entry})`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(raw, { minLength: 1, maxLength: 12 }), async (packets) => {
        const world = new World();
        world.onMessage = (session, data) => {
          if (typeof data == "string" && data[0] == "0") world.say(session, `0{"sid":"socket-${session.sid}"}`);
        };
        const socket = open("http://server.test", { ...world.options, transports: ["websocket"], forceNew: true });
        await world.advance(100);
        for (const data of packets) {
          const [line] = world.sockets;
          // A page would see it as an uncaught error.
          line?.onmessage({ data: typeof data == "string" ? data : data.buffer });
        }
        await world.advance(300);
        if (!socket.active) socket.connect();
        await world.advance(200_000);
        assert.equal(socket.connected, true);
        socket.disconnect();
        await world.advance(100);
      }),
      { numRuns: 400, seed: 1 },
    );
  });
}
