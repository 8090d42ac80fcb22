/**
 * What the entry for those who come from socket.io-client has besides, from the sources and from the bundle: names are
 * shortened in the one and not in the other.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import test, { after, before } from "node:test";
import vm from "node:vm";
import { Server } from "socket.io";
import * as msgpackParser from "socket.io-msgpack-parser";
import * as jsonParser from "socket.io-parser";
import { WebSocket } from "ws";
import { buildBundles } from "../build.js";
import { World } from "./world.js";

await buildBundles();
const dist = (name) => new URL(`../dist/${name}`, import.meta.url);
const source = await import("../compat.js");
const bundle = await import(dist("holdfast.compat.esm.min.js").href);

/** A standard server; and one with msgpack, at another path. */
const http = createServer();
const servers = [new Server(http), new Server(http, { path: "/msgpack", parser: msgpackParser })];
let url;

before(async () => {
  for (const server of servers) {
    for (const name of ["/", "/chat"]) {
      server.of(name).on("connection", (socket) => {
        socket.on("echo", (...args) => args.pop()(...args));
        socket.on("bounce", (...args) => socket.emit("bounce", ...args));
        socket.on("fail", (answer) => answer({ error: { message: "no" } }));
        socket.on("never", () => {});
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

const next = (emitter, name) => new Promise((resolve) => emitter.once(name, (...args) => resolve(args)));

/** A server in memory that answers CONNECT, and events with what `answer` returns for them. */
const serve = (world, answer = () => undefined) => {
  const heard = [];
  world.onMessage = (session, data) => {
    if (typeof data != "string") return;
    if (data[0] == "0") return world.say(session, '0{"sid":"s"}');
    const [, id, json] = /^2(\d*)(\[.*)$/.exec(data) ?? [];
    if (!json) return;
    heard.push([...JSON.parse(json), world.time]);
    const reply = answer(heard.length, JSON.parse(json));
    if (id && reply) world.say(session, `3${id}${JSON.stringify(reply)}`);
  };
  return heard;
};

/** The servers forget their sessions. */
const forget = (world) => {
  for (const { server } of world.sessions.values()) server.over = true;
  world.cut();
};

test("the classic bundle is `io`, with what belongs to it", () => {
  const context = vm.createContext({ URL, Error, performance, setTimeout, clearTimeout });
  vm.runInContext(readFileSync(dist("holdfast.compat.min.js"), "utf8"), context);
  const { io } = context;
  assert.deepEqual([typeof io, io.protocol, io.io, io.connect, typeof io.Manager, typeof io.Socket], ["function", 5, io, io, "function", "function"]);
});

test("the bundle has the names of the source", () => {
  assert.deepEqual(Object.keys(bundle).toSorted(), Object.keys(source).toSorted());
});

for (const [from, library] of [["source", source], ["bundle", bundle]]) {
  const { io, Manager, Socket } = library;
  const check = (name, run) => test(`${from}: ${name}`, run);
  const connect = (options) => io(url, { WebSocket, forceNew: true, ...options });
  const inWorld = (world, options) => io("http://server.test", { ...world.options, forceNew: true, randomizationFactor: 0, ...options });

  check("the exports are one function and its classes", () => {
    assert.deepEqual([library.default, library.connect, library.lookup, io.io, io.connect, library.protocol], [io, io, io, io, io, 5]);
    const socket = io(url, { autoConnect: false, forceNew: true });
    assert.ok(socket instanceof Socket && socket.io instanceof Manager);
    assert.equal(socket.io.engine?.constructor.protocol, undefined);
  });

  check("listeners have all their other names, on the socket, its manager and its engine", async () => {
    const socket = connect();
    for (const emitter of [socket, socket.io, socket.io.engine]) {
      const seen = [];
      const note = (n) => seen.push(n);
      assert.equal(emitter.addEventListener("e", note).on("e", note).once("e", note), emitter);
      assert.deepEqual([emitter.hasListeners("e"), emitter.listeners("e").length, emitter.hasListeners("f")], [true, 3, false]);
      assert.equal(emitter.removeListener("e", note), emitter);
      assert.equal(emitter.hasListeners("e"), false);
      emitter.on("e", note).on("f", note);
      emitter.removeEventListener("e", note).removeAllListeners("f");
      assert.deepEqual([emitter.hasListeners("e"), emitter.hasListeners("f")], [false, false]);
    }
    await next(socket, "connect");
    socket.on("bounce", () => {}).removeAllListeners();
    assert.equal(socket.hasListeners("bounce"), false);
    socket.disconnect();
  });

  check("an AbortSignal removes a listener", async () => {
    const socket = connect();
    const abort = new AbortController();
    socket.on("bounce", () => assert.fail(), { signal: abort.signal });
    abort.abort();
    socket.emit("bounce");
    await socket.emitWithAck("echo");
    socket.disconnect();
  });

  check("catch-all listeners, of what comes and of what leaves", async () => {
    const socket = connect();
    const seen = [];
    const note = (name) =>
      function (...args) {
        assert.equal(this, socket);
        seen.push([name, ...args]);
      };
    const second = note("in 2");
    socket.onAny(second).prependAny(note("in 1")).onAny(second);
    socket.onAnyOutgoing(note("out 2")).prependAnyOutgoing(note("out 1"));
    socket.emit("bounce", 1);
    assert.deepEqual(seen, []);
    await next(socket, "bounce");
    assert.deepEqual(seen.splice(0), [["out 1", "bounce", 1], ["out 2", "bounce", 1], ["in 1", "bounce", 1], ["in 2", "bounce", 1], ["in 2", "bounce", 1]]);
    socket.offAny(second).offAny(() => {}).offAnyOutgoing(socket.listenersAnyOutgoing()[0]);
    assert.deepEqual([socket.listenersAny().length, socket.listenersAnyOutgoing().length], [2, 1]);
    await socket.emitWithAck("echo", 2);
    assert.deepEqual(seen.splice(0), [["out 2", "echo", 2]]);
    socket.listenersAny().length = 0;
    socket.offAny().offAnyOutgoing().emit("bounce", 3);
    assert.deepEqual([await next(socket, "bounce"), seen], [[3], []]);
    socket.disconnect();
  });

  check("catch-all listeners hear only of their own namespace, and not of what is refused", async () => {
    const socket = connect();
    const chat = socket.io.socket("/chat");
    const seen = [];
    chat.onAnyOutgoing((...args) => seen.push(args));
    await socket.emitWithAck("echo", 1);
    assert.throws(() => chat.emit("connect"));
    await chat.emitWithAck("echo", 2);
    assert.deepEqual(seen, [["echo", 2]]);
    socket.io.close();
  });

  check("compress is taken, and changes nothing", async () => {
    const socket = connect();
    assert.deepEqual(await socket.compress(false).emitWithAck("echo", 1), 1);
    socket.disconnect();
  });

  check("volatile and timeout do not leak to the next event", async () => {
    const socket = connect();
    socket.volatile.emit("bounce", "dropped");
    socket.emit("bounce", "kept");
    assert.deepEqual(await next(socket, "bounce"), ["kept"]);
    await assert.rejects(socket.timeout(5).emitWithAck("never"), { name: "TimeoutError" });
    assert.deepEqual(await new Promise((resolve) => socket.emit("echo", 1, (...args) => resolve(args))), [1]);
    socket.disconnect();
  });

  for (const transport of ["websocket", "polling"]) {
    check(`bytes arrive as a Buffer, or as the ArrayBuffer that was asked for (${transport})`, async () => {
      const socket = connect({ transports: [transport] });
      const bytes = new Uint8Array([1, 2, 3]);
      const buffer = await socket.emitWithAck("echo", bytes);
      assert.ok(Buffer.isBuffer(buffer));
      assert.deepEqual([...buffer], [1, 2, 3]);
      socket.io.engine.binaryType = "arraybuffer";
      assert.deepEqual(await socket.emitWithAck("echo", { deep: [bytes.buffer] }), { deep: [bytes.buffer] });
      socket.disconnect();
    });
  }

  check("a Blob is sent as its bytes, and nothing overtakes it", async () => {
    const socket = connect();
    const got = [];
    socket.on("bounce", (...args) => got.push(args));
    const blob = new Blob(["ab"]);
    const date = new Date(0);
    socket.emit("bounce", 1, [blob, { deep: blob, date }]);
    socket.emit("bounce", 2);
    const answer = socket.timeout(5000).emitWithAck("echo", blob);
    socket.emit("bounce", 3);
    assert.deepEqual(await answer, Buffer.from("ab"));
    await socket.emitWithAck("echo");
    assert.deepEqual(got, [[1, [Buffer.from("ab"), { deep: Buffer.from("ab"), date: date.toJSON() }]], [2], [3]]);
    socket.emit("bounce", 4);
    assert.deepEqual(await next(socket, "bounce"), [4]);
    socket.disconnect();
  });

  check("flags stay with the event whose Blob is read", async () => {
    const socket = connect();
    await next(socket, "connect");
    const late = new Promise((resolve) => socket.timeout(5).emit("never", new Blob(["a"]), (...args) => resolve(args)));
    const plain = new Promise((resolve) => socket.emit("echo", 1, (...args) => resolve(args)));
    assert.equal((await late)[0].name, "TimeoutError");
    assert.deepEqual(await plain, [1]);
    socket.disconnect();
  });

  check("with retries, an event is sent again until it is answered, one after the other", async () => {
    const world = new World();
    const heard = serve(world, (count, args) => (count == 3 || args[0] == "b") && ["ok", args[0]]);
    const socket = inWorld(world, { retries: 3, ackTimeout: 1000 });
    const answers = [];
    socket.emit("a", (...args) => answers.push(args));
    socket.emitWithAck("b").then((reply) => answers.push(reply));
    await world.advance(5000);
    assert.deepEqual(heard.map(([name]) => name), ["a", "a", "a", "b"]);
    const [first, second, third] = heard.map(([, at]) => at);
    assert.deepEqual([second - first, third - second], [1000, 1000]);
    assert.deepEqual(answers, [[null, "ok", "a"], "ok"]);
    socket.disconnect();
  });

  check("after the retries an event is dropped with an error, and the next one goes", async () => {
    const world = new World();
    const heard = serve(world, (_, args) => args[0] == "b" && []);
    const socket = inWorld(world, { retries: 2, ackTimeout: 100 });
    const errors = [];
    socket.emit("a", (error) => errors.push(error.name));
    socket.emit("a");
    socket.emitWithAck("a").catch((error) => errors.push(error.name));
    socket.emit("b", (error) => errors.push(error));
    await world.advance(2000);
    assert.deepEqual([heard.map(([name]) => name).join(""), errors], ["aaaaaaaaab", ["TimeoutError", "TimeoutError", null]]);
    socket.disconnect();
  });

  check("with retries, what a lost session left unanswered is sent again in the next one", async () => {
    const world = new World();
    const heard = serve(world, (count) => count > 1 && ["late"]);
    const socket = inWorld(world, { retries: 3, ackTimeout: 60000, reconnectionDelay: 100 });
    const answer = socket.emitWithAck("a", 1);
    await world.advance(500);
    forget(world);
    await world.advance(10000);
    assert.equal(await answer, "late");
    assert.deepEqual(heard.map(([name, value]) => [name, value]), [["a", 1], ["a", 1]]);
    socket.disconnect();
  });

  check("with retries, a session that only changes its carrier repeats nothing", async () => {
    const world = new World();
    const heard = serve(world, () => ["ok"]);
    const socket = inWorld(world, { retries: 3, ackTimeout: 20000 });
    const answers = [];
    await world.advance(100);
    for (let i = 0; i < 20; i++) {
      socket.emit("a", i, (error, reply) => answers.push([error, reply]));
      if (i % 4 == 0) world.cut();
      await world.advance(50);
    }
    await world.advance(20000);
    assert.deepEqual(heard.map(([, value]) => value), Array.from({ length: 20 }, (_, i) => i));
    assert.deepEqual(answers, Array(20).fill([null, "ok"]));
    socket.disconnect();
  });

  check("with retries, volatile events are not retried, and an error of the handler is an answer", async () => {
    const socket = connect({ retries: 3, ackTimeout: 5000 });
    await assert.rejects(socket.emitWithAck("fail"), { name: "EventError" });
    assert.deepEqual(await new Promise((resolve) => socket.emit("fail", (...args) => resolve(args))), [null, { error: { message: "no" } }]);
    await assert.rejects(socket.emitWithAck("connect"), { name: "LocalProtocolError" });
    socket.volatile.emit("bounce", 1);
    assert.deepEqual(await next(socket, "bounce"), [1]);
    socket.disconnect();
  });

  check("with retries and no ackTimeout, an answer has ten seconds", async () => {
    const world = new World();
    const heard = serve(world);
    const socket = inWorld(world, { retries: 1 });
    socket.emit("a");
    await world.advance(25000);
    assert.deepEqual(heard.length, 2);
    assert.equal(heard[1][1] - heard[0][1], 10000);
    socket.disconnect();
  });

  check("the manager's settings can be read and changed", async () => {
    const world = new World();
    world.weather.down = true;
    const { io: manager } = inWorld(world);
    const names = ["reconnection", "reconnectionAttempts", "reconnectionDelay", "reconnectionDelayMax", "randomizationFactor", "timeout"];
    assert.deepEqual(names.map((name) => manager[name]()), [true, Infinity, 1000, 5000, 0, 20000]);
    manager.reconnectionDelay(10).reconnectionDelayMax(15).reconnectionAttempts(3).timeout(50).randomizationFactor(0);
    assert.deepEqual(names.map((name) => manager[name]()), [true, 3, 10, 15, 0, 50]);
    const at = [];
    manager.on("reconnect_attempt", () => at.push(world.time)).on("reconnect_failed", () => at.push("failed"));
    await world.advance(1000);
    assert.deepEqual([at.length, at.at(-1)], [4, "failed"]);
    assert.equal(manager.timeout(false).timeout(), false);
  });

  check("no reconnection gives up the attempt that waits, and connect brings it back", async () => {
    const world = new World();
    serve(world);
    const socket = inWorld(world, { reconnectionDelay: 10_000, reconnectionDelayMax: 10_000 });
    await world.advance(100);
    forget(world);
    await world.advance(300);
    assert.equal(socket.connected, false);
    assert.equal(socket.io.reconnection(false), socket.io);
    const requests = world.requests.length;
    await world.advance(20000);
    assert.equal(world.requests.length, requests);
    socket.connect();
    await world.advance(1000);
    assert.equal(socket.connected, true);
    socket.disconnect();
  });

  check("timeout(false): an opening may take as long as it wants", async () => {
    const world = new World();
    serve(world);
    world.weather.black = true;
    const socket = inWorld(world, { timeout: false, reconnection: false });
    const errors = [];
    socket.on("connect_error", (error) => errors.push(error));
    await world.advance(600_000);
    assert.deepEqual(errors, []);
    socket.disconnect();
  });

  check("a Manager takes options alone, and an address in every form", async () => {
    const { port } = new URL(url);
    for (const make of [() => new Manager(url, { WebSocket }), () => new Manager(`ws://localhost:${port}/`, { WebSocket }), () => new Manager(`${url}?a=b`, { WebSocket })]) {
      const manager = make();
      assert.equal(await manager.socket("/").emitWithAck("echo", 1), 1);
      manager._close?.();
      manager.close();
    }
    const alone = new Manager({ autoConnect: false, reconnectionDelay: 5 });
    assert.deepEqual([alone.reconnectionDelay(), alone.engine], [5, undefined]);
    assert.equal(new Manager(undefined, { autoConnect: false }).reconnectionDelay(), 1000);
  });

  check("the manager tells of each packet", async () => {
    const socket = connect();
    const packets = [];
    socket.io.on("packet", ({ type, nsp, data }) => packets.push([type, nsp, type == 0 ? typeof data.sid : data]));
    await socket.emitWithAck("echo", 1);
    socket.emit("bounce", new Uint8Array([1]));
    await next(socket, "bounce");
    assert.deepEqual(packets, [[0, "/", "string"], [3, "/", [1]], [2, "/", ["bounce", Buffer.from([1])]]]);
    socket.disconnect();
  });

  check("the engine tells of packets, writing and its end", async () => {
    const socket = connect({ transports: ["websocket"] });
    const { engine } = socket.io;
    const seen = [];
    for (const name of ["handshake", "open", "packet", "packetCreate", "data", "message", "heartbeat", "drain", "flush", "close", "upgrade"]) {
      engine.on(name, (value) => seen.push([name, value]));
    }
    await socket.emitWithAck("echo", 1);
    const of = (name) => seen.filter(([other]) => other == name).map(([, value]) => value);
    const { sid, ...figures } = of("handshake")[0];
    assert.deepEqual([sid, figures], [engine.id, { upgrades: ["websocket", "polling"], pingInterval: 25000, pingTimeout: 20000, maxPayload: 1000000 }]);
    assert.deepEqual(of("packet").map(({ type }) => type), ["open", "message", "message"]);
    assert.deepEqual(of("packet").at(-1), { type: "message", data: "30[1]" });
    assert.deepEqual(of("packetCreate"), [{ type: "message", data: "0" }, { type: "message", data: '20["echo",1]' }]);
    assert.deepEqual([of("data"), of("heartbeat").length, of("upgrade")], [of("message"), 3, []]);
    assert.ok(of("drain").length && of("flush").length && of("open").length);
    assert.deepEqual(engine.writeBuffer, []);
    assert.deepEqual([engine.constructor.protocol, engine.readyState, engine.transport.name], [4, "open", "websocket"]);
    socket.disconnect();
    assert.deepEqual([of("close"), engine.readyState], [["forced close"], "closed"]);
  });

  check("drain is when the server has all of it, and writeBuffer is what it has not", async () => {
    const world = new World();
    serve(world);
    const socket = inWorld(world);
    await world.advance(3000);
    const { engine } = socket.io;
    const drained = [];
    engine.on("drain", () => drained.push(engine.writeBuffer.length));
    world.cut();
    socket.emit("a", 1);
    socket.emit("a", 2);
    const waiting = engine.writeBuffer.slice(-2);
    assert.deepEqual(waiting, [{ type: "message", data: '2["a",1]' }, { type: "message", data: '2["a",2]' }]);
    await world.advance(1000);
    // This server acknowledges when something is attached.
    assert.deepEqual([engine.writeBuffer, drained], [waiting, []]);
    world.cut();
    await world.advance(1000);
    assert.deepEqual(drained, [0]);
    socket.disconnect();
  });

  check("upgrade is told of a better transport, not of a worse one", async () => {
    const world = new World();
    serve(world);
    world.weather.noSockets = true;
    const socket = inWorld(world);
    const seen = [];
    for (const name of ["upgrading", "upgrade"]) socket.io.engine.on(name, (transport) => seen.push([name, transport.name]));
    await world.advance(1000);
    world.weather.noSockets = false;
    await world.advance(10000);
    const ups = seen.splice(0);
    assert.deepEqual(ups, [["upgrading", "stream"], ["upgrade", "stream"], ["upgrading", "websocket"], ["upgrade", "websocket"]]);
    world.weather.noSockets = true;
    world.cut();
    await world.advance(2000);
    assert.notEqual(socket.io.engine.transport.name, "websocket");
    assert.deepEqual(seen.filter(([, name]) => name == "websocket"), []);
    socket.disconnect();
  });

  check("ping and pong are told, and an error before the end that follows from it", async () => {
    const world = new World();
    serve(world);
    const socket = inWorld(world, { transports: ["websocket"] });
    const seen = [];
    for (const name of ["ping", "pong", "packet", "packetCreate", "error", "close"]) socket.io.engine.on(name, (value) => seen.push(value?.type ?? name));
    await world.advance(100);
    seen.length = 0;
    const [session] = [...world.sessions.values()];
    session.server.writer.out.push("2");
    world.pump(session);
    await world.advance(50);
    assert.deepEqual(seen, ["ping", "pong", "pong", "ping"]);
    socket.disconnect();

    const down = new World();
    down.weather.down = true;
    const other = inWorld(down, { reconnection: false });
    const failed = [];
    for (const name of ["error", "close"]) other.io.engine.on(name, (value) => failed.push([name, value.message ?? value]));
    await down.advance(5000);
    assert.deepEqual(failed.map(([name]) => name), ["error", "close"]);
  });

  check("engine.send and write take options and a callback", async () => {
    const world = new World();
    const heard = [];
    const socket = inWorld(world);
    await world.advance(100);
    world.onMessage = (_, data) => heard.push(data);
    const { engine } = socket.io;
    let isWritten = false;
    assert.equal(engine.send("2[\"a\"]", { compress: false }, () => (isWritten = true)), engine);
    assert.equal(engine.write("2[\"b\"]"), engine);
    await world.advance(100);
    assert.deepEqual([heard, isWritten], [['2["a"]', '2["b"]'], true]);
    socket.disconnect();
  });

  for (const [name, parser, path] of [["msgpack", msgpackParser, "/msgpack"], ["JSON", jsonParser, "/socket.io"]]) {
    for (const transport of ["websocket", "polling"]) {
      check(`a parser of one's own: ${name} (${transport})`, async () => {
        const socket = connect({ parser, path, transports: [transport] });
        const chat = socket.io.socket("/chat");
        const { a, b } = await chat.emitWithAck("echo", { a: [1, "é"], b: new Uint8Array([1]) });
        assert.deepEqual([a, ...new Uint8Array(b)], [[1, "é"], 1]);
        socket.emit("bounce", 1, null);
        assert.deepEqual(await next(socket, "bounce"), [1, null]);
        assert.equal(socket.io.opts.query.codec, name == "msgpack" ? "msgpack,json" : undefined);
        socket.disconnect();
        chat.disconnect();
      });
    }
  }

  check("a parser of one's own, and the event `packet`, with a server that grants JSON", async () => {
    const world = new World();
    world.onMessage = (session, data) => world.say(session, data[0] == "0" ? '0{"sid":"s"}' : "3" + data.slice(1).replace('"echo",', ""));
    const reviver = (key, value) => (/^big:/.test(value) ? BigInt(value.slice(4)) : value);
    const replacer = (key, value) => (typeof value == "bigint" ? `big:${value}` : value);
    const parser = {
      ...jsonParser,
      Encoder: class extends jsonParser.Encoder {
        constructor() {
          super(replacer);
        }
      },
      Decoder: class extends jsonParser.Decoder {
        constructor() {
          super(reviver);
        }
      },
    };
    const socket = inWorld(world, { parser });
    const packets = [];
    socket.io.on("packet", ({ type }) => packets.push(type));
    await world.advance(100);
    const reply = socket.emitWithAck("echo", 5n);
    await world.advance(100);
    assert.equal(await reply, 5n);
    assert.deepEqual(packets, [0, 3]);
    socket.disconnect();
  });

  check("transports by the names of classes", async () => {
    const { Fetch, NodeWebSocket, NodeXHR, WebTransport, XHR } = library;
    for (const transports of [[Fetch], [XHR], [NodeXHR], [WebTransport, Fetch]]) {
      const socket = connect({ transports });
      await socket.emitWithAck("echo");
      assert.equal(socket.io.engine.transport.name, "polling");
      socket.disconnect();
    }
    const socket = connect({ transportImplementations: [library.WebSocket, NodeWebSocket] });
    await socket.emitWithAck("echo");
    assert.equal(socket.io.engine.transport.name, "websocket");
    socket.disconnect();
  });
}
