/**
 * What has befallen other clients, by its identifier; and that nothing a server sends grows here without a bound. With real
 * servers where the fault was below the client.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import test from "node:test";
import { WebSocket } from "ws";
import { RemoteProtocolError } from "../errors.js";
import { io } from "../index.js";
import { msgpack } from "../msgpack.js";
import { openSession } from "../opensession.js";
import { Server } from "socket.io";
import { EventStreamDecoder } from "../wire/eventstream.js";
import { SocketDecoder } from "../wire/socketio.js";
import { World } from "./world.js";

const listen = async (server) => {
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${server.address().port}`;
};

const OPEN = { sid: "s", pingInterval: 10000, pingTimeout: 5000, upgrades: [], maxPayload: 1e6 };

for (const from of ["the first request", "later ones"]) {
  test(`CVE-2022-1650: what the headers hold does not follow a redirect to another origin (${from})`, async () => {
    const seen = [];
    const other = createServer((request, response) => {
      seen.push(request.headers);
      response.end(`0${JSON.stringify(OPEN)}`);
    });
    const elsewhere = await listen(other);
    let redirects = 0;
    const server = createServer((request, response) => {
      if (from == "later ones" && !request.url.includes("sid=")) return response.end(`0${JSON.stringify({ ...OPEN, holdfast: { version: 1, key: "secret", codec: "json", transports: ["polling", "stream"], grace: 1000 } })}`);
      redirects++;
      response.writeHead(307, { Location: elsewhere + request.url, "Access-Control-Allow-Origin": "*" }).end();
    });
    const url = await listen(server);
    const socket = io(url, { forceNew: true, transports: ["polling", "stream"], extraHeaders: { Authorization: "Bearer secret", "X-Token": "secret" } });
    while (redirects < 4) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.deepEqual([seen, socket.connected], [[], false]);
    socket.disconnect();
    for (const one of [server, other]) one.close(), one.closeAllConnections();
  });
}

test("CVE-2021-31597: there is no dependency, and nothing that would trust any certificate or run what it reads", () => {
  const { dependencies, optionalDependencies, peerDependencies, bundleDependencies } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  assert.deepEqual([dependencies, optionalDependencies, bundleDependencies, Object.keys(peerDependencies)], [undefined, undefined, undefined, ["react"]]);
  for (const name of ["holdfast.compat.min.js", "holdfast.msgpack.min.js", "holdfast.session.esm.min.js"]) {
    const code = readFileSync(new URL(`../dist/${name}`, import.meta.url), "utf8");
    assert.doesNotMatch(code, /rejectUnauthorized|\beval\(|new Function|\brequire\(|document\.write|innerHTML/, name);
  }
});

test("CVE-2026-2229: a server that accepts a WebSocket with a window that cannot be costs a WebSocket, not the process", async () => {
  const uncaught = [];
  const note = (error) => uncaught.push(error);
  process.on("uncaughtException", note).on("unhandledRejection", note);
  const http = createServer();
  const server = new Server(http, { transports: ["polling"] });
  server.on("connection", (socket) => socket.on("echo", (value, answer) => answer(value)));
  let accepted = 0;
  const windows = ["99", "7", "x", "", "-1"];
  const [standard] = http.listeners("upgrade");
  if (standard) http.off("upgrade", standard);
  http.on("upgrade", (request, raw) => {
    const key = createHash("sha1").update(request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest("base64");
    const window = windows[accepted++ % windows.length];
    raw.on("error", () => {});
    raw.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${key}\r\nSec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=${window}\r\n\r\n`);
    // And something compressed.
    raw.write(Uint8Array.of(0xc1, 4, 0xff, 0xff, 0xff, 0xff));
  });
  const url = await listen(http);
  // Node's own, where there is one, and that of most.
  for (const Constructor of [WebSocket, globalThis.WebSocket].filter(Boolean)) {
    for (let n = 0; n < windows.length; n++) {
      const socket = io(url, { forceNew: true, WebSocket: Constructor });
      assert.equal(await socket.timeout(10_000).emitWithAck("echo", n), n);
      assert.equal(socket.io.transport, "polling");
      socket.disconnect();
    }
  }
  assert.ok(accepted >= windows.length, String(accepted));
  assert.deepEqual(uncaught, []);
  process.off("uncaughtException", note).off("unhandledRejection", note);
  server.close();
  http.closeAllConnections();
});

test("CVE-2022-2421, CVE-2023-32695: a placeholder or an event's name that is none ends the session, and nothing is called", () => {
  for (const num of ['"__proto__"', "0.5", "-1", "1", '{"toString":1}', "null", '"splice"']) {
    const decoder = new SocketDecoder();
    assert.throws(() => (decoder.decode(`51-["e",{"_placeholder":true,"num":${num}}]`), decoder.decode(new Uint8Array(1))), RemoteProtocolError, num);
  }
  for (const name of ['{"toString":"foo"}', "{}", "[]", "null", "0", "true", '"connect"', '"disconnecting"', '"newListener"']) {
    assert.throws(() => new SocketDecoder().decode(`2[${name}]`), RemoteProtocolError, name);
  }
});

test("CVE-2026-33151: attachments are ten at most, and nothing waits for more", () => {
  for (const count of [11, 99, 1e9]) {
    const data = Array.from({ length: Math.min(count, 20) }, (_, num) => `{"_placeholder":true,"num":${num}}`);
    assert.throws(() => new SocketDecoder().decode(`5${count}-["e",${data}]`), RemoteProtocolError);
  }
});

test("an event of a stream that never ends is given up, however it comes", () => {
  const piece = "x".repeat(1e6);
  for (const [begin, part] of [["data: ", piece], ["", `data: ${piece}\n`], ["", `event: ${piece}\r\n`], ["", `${piece}\r`]]) {
    const decoder = new EventStreamDecoder();
    decoder.decode(begin);
    assert.throws(() => {
      for (let n = 0; n < 101; n++) decoder.decode(part);
    }, RemoteProtocolError);
  }
  // Nor does one that is long take longer than its length.
  const decoder = new EventStreamDecoder();
  const begun = performance.now();
  decoder.decode("data: ");
  for (let n = 0; n < 50_000; n++) decoder.decode("x".repeat(1000));
  assert.equal(decoder.decode("\r").length + decoder.decode("\n\r").length, 0);
  const [data] = decoder.decode("\n");
  assert.equal(data.length, 5e7);
  assert.ok(performance.now() - begun < 20_000, `${performance.now() - begun} ms`);
  assert.deepEqual(decoder.decode("data: y\n\n"), ["y"]);
});

for (const codec of [undefined, msgpack]) {
  test(`what comes before a CONNECT is answered is bounded (${codec?.name ?? "json"})`, async () => {
    const world = new World();
    world.codec = codec?.name;
    const socket = io("http://server.test", { ...world.options, codec, forceNew: true, transports: ["websocket"] });
    const reasons = [];
    socket.io.on("close", (reason) => reasons.push(reason));
    await world.advance(100);
    const { engine } = socket.io;
    const [packet] = socket.io._codec.encode({ type: 2, nsp: "/", data: ["e"] });
    for (let n = 0; n < 100_001 && !reasons.length; n++) engine.fire("message", packet);
    assert.deepEqual(reasons, ["parse error"]);
    socket.disconnect();
    await world.advance(100);
  });
}

test("messages of a session that nobody takes are bounded, and the loop says so after the last of them", async () => {
  const world = new World();
  const session = openSession("http://server.test", { ...world.options, bufferSize: 1000 });
  await world.advance(100);
  const [one] = world.sessions.values();
  for (let n = 0; n < 9; n++) world.say(one, "x".repeat(99));
  await world.advance(100);
  const loop = session[Symbol.asyncIterator]();
  // What is taken makes room.
  for (let n = 0; n < 9; n++) assert.equal((await loop.next()).value.length, 99);
  for (let n = 0; n < 11; n++) world.say(one, "y".repeat(99));
  const closed = [];
  session.on("close", (reason) => closed.push(reason));
  await world.advance(100);
  assert.deepEqual(closed, ["buffer"]);
  for (let n = 0; n < 10; n++) assert.equal((await loop.next()).value, "y".repeat(99));
  await assert.rejects(loop.next(), { name: "LocalProtocolError", message: "buffer: 1100, limit 1000" });
  assert.equal((await loop.next()).done, true);
});
