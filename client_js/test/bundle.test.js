/**
 * The bundles: how large they are, and that shortening names has broken nothing.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { SourceMap } from "node:module";
import { tmpdir } from "node:os";
import { dirname } from "node:path";
import test, { before } from "node:test";
import vm from "node:vm";
import { brotliCompressSync } from "node:zlib";
import { Server } from "socket.io";
import msgpackParser from "socket.io-msgpack-parser";
import { WebSocket } from "ws";
import { buildBundles, replaceTypes } from "../build.js";
import { HoldfastSocket } from "../holdfastsocket.js";
import * as source from "../index.js";
import { classicSize, gzipSize, nodeSize } from "../naming/size.js";
import { World } from "./world.js";

/**
 * Bytes of the whole client in one script tag, and with the names of socket.io-client: as gzip leaves them at level 9, by classic
 * zlib (nginx, Python) or by Node's, whichever leaves more.
 */
const BUDGETS = {
  "holdfast.min.js": 11_000,
  "holdfast.esm.min.js": 11_000,
  "holdfast.session.esm.min.js": 8_460,
  "holdfast.socket.esm.min.js": 9_580,
  "holdfast.websocket.esm.min.js": 7_380,
  "holdfast.compat.min.js": 12_600,
  "holdfast.compat.esm.min.js": 12_710,
};
/** What the msgpack codec adds. */
const MSGPACK_BUDGET = 1_120;

const file = (name) => new URL(`../dist/${name}`, import.meta.url);
let bundle;
let openSession;

before(async () => {
  await buildBundles();
  bundle = await import(file("holdfast.esm.min.js").href);
  ({ openSession } = await import(file("holdfast.session.esm.min.js").href));
});

for (const [name, budget] of Object.entries(BUDGETS)) {
  test(`${name} is within its budget`, (t) => {
    const raw = readFileSync(file(name));
    const gzip = gzipSize(raw);
    t.diagnostic(`raw ${raw.length}, gzip ${classicSize(raw)} (by Node's zlib ${nodeSize(raw)}), brotli ${brotliCompressSync(raw).length}`);
    assert.ok(gzip <= budget, `${gzip} bytes`);
  });
}

test("the msgpack codec is within its budget", (t) => {
  for (const size of [classicSize, nodeSize]) {
    const sizeOf = (name) => size(readFileSync(file(name)));
    for (const format of ["", ".esm"]) {
      const more = sizeOf(`holdfast.msgpack${format}.min.js`) - sizeOf(`holdfast${format}.min.js`);
      t.diagnostic(`gzip ${more}`);
      assert.ok(more <= MSGPACK_BUDGET, `${more} bytes more`);
    }
  }
});

test("the source maps lead from a bundle to the line in its source", () => {
  const sources = { "no WebSocket": "transports/websocket.js", "surrogate or U+001E": "wire/packet.js" };
  for (const name of Object.keys(BUDGETS)) {
    const code = readFileSync(file(name), "utf8");
    const map = new SourceMap(JSON.parse(readFileSync(file(`${name}.map`), "utf8")));
    assert.ok(code.endsWith(`\n//# sourceMappingURL=${name}.map`));
    for (const [text, source] of Object.entries(sources)) {
      const before = code.slice(0, code.indexOf(`"${text}"`)).split("\n");
      const { originalSource, originalLine } = map.findEntry(before.length - 1, before.at(-1).length);
      assert.equal(originalSource, `../${source}`);
      assert.ok(readFileSync(new URL(`../${source}`, import.meta.url), "utf8").split("\n")[originalLine].includes(text), `${name}: ${text}`);
    }
  }
});

test("the bundles have the public names", async () => {
  const context = vm.createContext({ URL, Error, performance, setTimeout, clearTimeout });
  vm.runInContext(readFileSync(file("holdfast.min.js"), "utf8"), context);
  const names = Object.keys(source).filter((name) => name != "connect");
  assert.deepEqual(Object.keys(context.holdfast).toSorted(), names.toSorted());
  assert.deepEqual(Object.keys(bundle).toSorted(), Object.keys(source).toSorted());
  vm.runInContext(readFileSync(file("holdfast.msgpack.min.js"), "utf8"), context);
  assert.deepEqual(Object.keys(context.holdfast).toSorted(), [...names, "msgpack"].toSorted());
  const withCodec = await import(file("holdfast.msgpack.esm.min.js").href);
  assert.deepEqual(Object.keys(withCodec).toSorted(), [...Object.keys(source), "msgpack"].toSorted());
});

test("a bundled session goes through every transport", async () => {
  for (const transport of ["websocket", "stream", "polling"]) {
    const world = new World();
    const session = openSession("http://server.test", { ...world.options, transports: [transport] });
    const heard = [];
    session.on("message", (message) => heard.push(message));
    await world.advance(100);
    const [one] = [...world.sessions.values()];
    const messages = ["a\x1e", "é", new Uint8Array([1])];
    for (const message of messages) {
      session.send(message);
      world.say(one, message);
    }
    await world.advance(500);
    world.cut();
    session.send("last");
    await world.advance(3000);
    assert.deepEqual([heard, one.server.heard], [messages, [...messages, "last"]], transport);
    session.close();
    await world.advance(100);
    assert.equal(one.server.over, true);
  }
});

test("a bundled HoldfastSocket outlives a cut, and sends what it was given before its end", async () => {
  const { HoldfastSocket } = await import(file("holdfast.socket.esm.min.js").href);
  const world = new World();
  const socket = new HoldfastSocket("https://server.test/stomp", "a", { ...world.options, transports: ["polling"] });
  const heard = [];
  socket.onmessage = ({ data }) => heard.push(data);
  socket.onclose = ({ code }) => heard.push(code);
  await world.advance(100);
  const [one] = [...world.sessions.values()];
  for (const text of ["a", "b", "c"]) {
    socket.send(text);
    world.say(one, text);
    world.cut();
    await world.advance(2000);
  }
  assert.equal(socket.bufferedAmount, 0);
  socket.send("d");
  socket.close(1000);
  await world.advance(500);
  assert.deepEqual([one.server.heard, heard, socket.readyState], [["a", "b", "c", "d"], ["a", "b", "c", 1000], 3]);
});

test("what is public is not renamed", () => {
  const made = mkdtempSync(`${tmpdir()}/types-`);
  execFileSync("npm", ["run", "--silent", "types", "--", "--outDir", made], { cwd: new URL("..", import.meta.url) });
  const inside = new Set(/const INTERNAL = `([^`]*)`/.exec(readFileSync(new URL("../build.js", import.meta.url), "utf8"))[1].trim().split(/\s+/));
  for (const name of ["holdfastsocket", "live", "manager", "opensession", "single", "socket", "errors"]) {
    const types = readFileSync(`${made}/${name}.d.ts`, "utf8");
    const classes = [...types.matchAll(/^export (?:declare )?class [^]*?^}/gm)].join("");
    const found = [...classes.matchAll(/^ {4}(?:readonly |get |set )?([a-zA-Z]\w*)\??[:(<]/gm)].map(([, member]) => member);
    assert.ok(found.length, name);
    // An emitter's own.
    assert.deepEqual(found.filter((member) => inside.has(member) && member != "fire"), [], name);
  }
  rmSync(made, { recursive: true });
});

test("a bundle has the session of a HoldfastSocket, and the arguments of what waits", async () => {
  const bundled = (await import(file("holdfast.socket.esm.min.js").href)).HoldfastSocket;
  const world = new World();
  const socket = new bundled("https://server.test/stomp", [], world.options);
  assert.equal(socket.session.readyState, "opening");
  socket.close();
  const events = bundle.io("http://server.test", { ...world.options, autoConnect: false });
  events.emit("a", 1);
  assert.deepEqual(events.sendBuffer.map(({ args }) => args), [["a", 1]]);
});

test("a bundled HoldfastSocket refuses close codes as its source does", async () => {
  const bundled = (await import(file("holdfast.socket.esm.min.js").href)).HoldfastSocket;
  for (const Socket of [bundled, HoldfastSocket]) {
    for (const code of [NaN, "x", null, Infinity, 0, 999, 1001, 2999, 5000, 30000]) {
      const world = new World();
      const socket = new Socket("https://server.test/stomp", [], world.options);
      assert.throws(() => socket.close(code), { name: "InvalidAccessError" }, `${code}`);
      assert.equal(socket.readyState, 0);
      socket.close();
    }
    for (const code of [undefined, 1000, 3000, 4999, "3000"]) {
      const socket = new Socket("https://server.test/stomp", [], new World().options);
      socket.close(code);
      assert.equal(socket.readyState, 2);
    }
  }
});

test("the bundle of the WebSocket entry has nothing of HTTP, and goes on after a cut as it is minified", async () => {
  const code = readFileSync(file("holdfast.websocket.esm.min.js"), "utf8");
  assert.doesNotMatch(code, /fetch|XMLHttpRequest|EventSource|event-stream|Holdfast-Attach|AbortController|localStorage|locks|atob|btoa|TextDecoder/);
  const { io } = await import(file("holdfast.websocket.esm.min.js").href);
  const world = new World();
  world.onMessage = (session, data) => {
    if (data[0] == "0") world.say(session, '0{"sid":"x"}');
    else world.say(session, data);
  };
  const socket = io("http://server.test", { ...world.options, forceNew: true });
  const heard = [];
  const reasons = [];
  socket.on("echo", (n) => heard.push(n));
  socket.io.on("transport", ({ reason }) => reasons.push(reason));
  for (let n = 1; n <= 60; n++) {
    socket.emit("echo", n);
    await world.advance(100);
    if (n % 20 == 10) world.cut();
  }
  // What is dead and does not say so; what comes after it is not.
  const [line] = world.sockets;
  line.send = line.send_ = () => {};
  socket.emit("echo", 61);
  await world.advance(6000);
  assert.deepEqual(heard, Array.from({ length: 61 }, (_, index) => index + 1));
  assert.deepEqual(reasons, ["open", "WebSocket 1006", "WebSocket 1006", "WebSocket 1006", "timeout"]);
  const { state, isHoldfast, attempts, transport } = socket.io.inspect();
  assert.deepEqual([state, isHoldfast, transport, new Set(world.requests)], ["open", true, "websocket", new Set(["WS"])]);
  assert.deepEqual(attempts.map(({ verdict }) => verdict), ["WebSocket 1006", "WebSocket 1006", "WebSocket 1006", "timeout", "carries"]);
  socket.disconnect();
  await world.advance(100);
  assert.equal([...world.sessions.values()][0].server.over, true);
});

test("a bundled session falls back, probes and comes back", async () => {
  const world = new World();
  Object.assign(world.weather, { noSockets: true });
  const session = openSession("http://server.test", world.options);
  const kinds = [];
  session.on("transport", ({ to }) => kinds.push(to));
  await world.advance(1000);
  world.weather.noSockets = false;
  await world.advance(6000);
  assert.deepEqual(kinds, ["polling", "stream", "websocket"]);
});

for (const [name, parser] of [["JSON"], ["msgpack", msgpackParser]]) {
  test(`bundled events work with the official server, in ${name}`, async () => {
    const http = createServer();
    const { io, msgpack } = await import(file("holdfast.msgpack.esm.min.js").href);
    const codec = parser && msgpack;
    const server = new Server(http, { parser });
    server.on("connection", (socket) => socket.on("echo", (value, answer) => answer(value)));
    await new Promise((resolve) => http.listen(0, resolve));
    for (const transports of [["websocket"], ["polling"]]) {
      const socket = io(`http://localhost:${http.address().port}`, { WebSocket, transports, codec, forceNew: true });
      assert.deepEqual(await socket.emitWithAck("echo", { a: new Uint8Array([1]) }), { a: new Uint8Array([1]) });
      assert.equal(socket.io.engine.writable, true);
      await assert.rejects(socket.timeout(10).emitWithAck("unknown"), { name: "TimeoutError" });
      socket.disconnect();
      assert.equal(socket.io.engine.writable, false);
    }
    server.close();
    http.closeAllConnections();
  });
}

test("of types, what is not made any more goes, and the rest is as it is made now", () => {
  const folder = mkdtempSync(`${tmpdir()}/types-`);
  const write = (files) =>
    Object.entries(files).forEach(([name, text]) => {
      mkdirSync(dirname(`${folder}/${name}`), { recursive: true });
      writeFileSync(`${folder}/${name}`, text);
    });
  write({ "old/index.d.ts": "old", "old/gone.d.ts": "", "old/wire/gone.d.ts": "", "old/wire/packet.d.ts": "old" });
  write({ "new/index.d.ts": "new", "new/wire/packet.d.ts": "new", "new/session/session.d.ts": "new" });
  try {
    for (const target of ["old", "none/yet"]) {
      replaceTypes(`${folder}/${target}`, `${folder}/new`);
      const found = readdirSync(`${folder}/${target}`, { recursive: true }).filter((name) => name.endsWith(".d.ts"));
      assert.deepEqual(found.toSorted(), ["index.d.ts", "session/session.d.ts", "wire/packet.d.ts"]);
      for (const name of found) assert.equal(readFileSync(`${folder}/${target}/${name}`, "utf8"), "new");
      write({ "new/index.d.ts": "new", "new/wire/packet.d.ts": "new", "new/session/session.d.ts": "new" });
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
