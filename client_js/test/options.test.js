/**
 * The options, against the official server, for both entries.
 */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import test, { after, before } from "node:test";
import { Server } from "socket.io";
import * as msgpackParser from "socket.io-msgpack-parser";
import { WebSocket } from "ws";
import * as compat from "../compat.js";
import * as source from "../index.js";
import { optionChecks } from "./option_checks.js";
import { World } from "./world.js";

const http = createServer();
const servers = ["/socket.io", "/elsewhere", "/bare"].map((path) => new Server(http, { path, addTrailingSlash: path != "/bare" }));
servers.push(new Server(http, { path: "/msgpack", parser: msgpackParser }));
let url;

before(async () => {
  for (const server of servers) {
    for (const name of ["/", "/chat", "/other"]) {
      server.of(name).on("connection", (socket) => {
        socket.on("echo", (...args) => args.pop()(...args));
        socket.on("never", () => {});
        socket.on("handshake", (answer) => answer(socket.handshake));
      });
    }
  }
  await new Promise((resolve) => http.listen(0, resolve));
  url = `http://localhost:${http.address().port}`;
});

after(() => {
  for (const server of servers) server.close();
  http.closeAllConnections();
});

const transports = ["websocket", "polling"];
for (const [from, library] of [["main", source], ["compat", compat]]) {
  const isCompat = from == "compat";
  for (const name of Object.keys(optionChecks({ ...library, isCompat }))) {
    test(`${from}: ${name}`, () => optionChecks({ ...library, url, isCompat, transports, msgpackPath: "/msgpack" })[name]());
  }
}

test("protocols are asked for, and the server's choice is heard", async () => {
  const headers = [];
  for (const protocols of ["chat", ["chat", "other"]]) {
    const socket = compat.io(url, { WebSocket, protocols, transports: ["websocket"], forceNew: true });
    headers.push((await socket.emitWithAck("handshake")).headers["sec-websocket-protocol"]);
    socket.disconnect();
  }
  assert.deepEqual(headers, ["chat", "chat,other"]);
});

for (const [from, library] of [["main", source], ["compat", compat]]) {
  test(`${from}: the pauses and their limit are those of reconnectionDelay, …Max, randomizationFactor and …Attempts`, async () => {
    const world = new World();
    world.weather.down = true;
    const pauses = [];
    const at = [];
    const socket = library.io("http://server.test", { ...world.options, forceNew: true, reconnectionDelay: 100, reconnectionDelayMax: 350, randomizationFactor: 0, reconnectionAttempts: 4 });
    socket.io.on("error", () => at.push(world.time)).on("reconnect_attempt", () => pauses.push(world.time - at.at(-1)));
    let isOver = false;
    socket.io.on("reconnect_failed", () => (isOver = true));
    await world.advance(5000);
    assert.deepEqual([pauses, isOver], [[100, 200, 350, 350], true]);
    socket.disconnect();
  });

  test(`${from}: randomizationFactor spreads the pauses by that share`, async () => {
    const world = new World();
    world.weather.down = true;
    const socket = library.io("http://server.test", { ...world.options, forceNew: true, reconnectionDelay: 100, reconnectionDelayMax: 1e6, randomizationFactor: 0.5 });
    const pauses = [];
    let last = 0;
    socket.io.on("error", () => (last = world.time)).on("reconnect_attempt", () => pauses.push(world.time - last));
    await world.advance(200_000);
    const shares = pauses.map((ms, index) => ms / (100 * 2 ** index));
    assert.ok(shares.length > 8 && shares.every((share) => share >= 0.5 && share <= 1.5), `${shares}`);
    assert.ok(Math.max(...shares) - Math.min(...shares) > 0.4, `${shares}`);
    socket.disconnect();
  });

  test(`${from}: timeout is how long an opening may take`, async () => {
    const world = new World();
    world.weather.black = true;
    const socket = library.io("http://server.test", { ...world.options, forceNew: true, reconnection: false, timeout: 700 });
    let at;
    socket.on("connect_error", () => (at = world.time));
    await world.advance(699);
    assert.equal(at, undefined);
    await world.advance(1);
    assert.equal(at, 700);
    socket.disconnect();
  });
}

test("what is given as undefined is not given", async () => {
  const world = new World();
  const nothing = Object.fromEntries(["path", "transports", "timeout", "bufferSize", "reconnection", "codec", "extraHeaders"].map((name) => [name, undefined]));
  const socket = source.io("http://server.test", { ...world.options, ...nothing, forceNew: true });
  await world.advance(100);
  assert.deepEqual([socket.io.transport, socket.io.opts.path, socket.io.opts.reconnection], ["websocket", "/socket.io", true]);
  socket.disconnect();
});
