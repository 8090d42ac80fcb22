/**
 * What each option does, against a real server: a standard one, and ours (tests/clients/test_client_options.py runs this).
 *
 * The server speaks msgpack at `msgpackPath`. It is at `/socket.io` and at `/elsewhere`, answers `handshake` with what it has seen and `echo` with what it got.
 */
import assert from "node:assert/strict";
import * as msgpackParser from "socket.io-msgpack-parser";
import { WebSocket } from "ws";

const next = (emitter, name) => new Promise((resolve) => emitter.once(name, (...args) => resolve(args)));

/** Until it answers, so that what was to happen has had its chance. */
const roundTrips = async (socket, count) => {
  for (let i = 0; i < count; i++) await socket.emitWithAck("echo", i);
};

/** A WebSocket that counts how often it is tried. */
const counting = () => {
  const Counted = class extends WebSocket {
    static tries = 0;

    constructor(...args) {
      super(...args);
      Counted.tries++;
    }
  };
  return Counted;
};

/**
 * @param {{io: Function, url: string, isCompat?: boolean, transports: string[], msgpackPath: string}} setup
 * @returns {Record<string, () => Promise<void>>} Name -> check.
 */
export const optionChecks = ({ io, url, isCompat = false, transports, msgpackPath }) => {
  const connect = (options = {}, path = "") => io(url + path, { WebSocket, forceNew: true, ...options });
  const seen = async (options, path) => {
    const socket = connect(options, path);
    const handshake = await socket.emitWithAck("handshake");
    socket.disconnect();
    return handshake;
  };
  const checks = {
    async "query, as an object"() {
      for (const kind of transports) assert.equal((await seen({ transports: [kind], query: { room: "ä b" } })).query.room, "ä b", kind);
    },
    async "query, in the URL"() {
      assert.equal((await seen({}, "?room=7")).query.room, "7");
    },
    async "extraHeaders, on every transport"() {
      for (const kind of transports) assert.equal((await seen({ transports: [kind], extraHeaders: { "X-Test": "a" } })).headers["x-test"], "a", kind);
    },
    async withCredentials() {
      for (const withCredentials of [true, false, undefined]) {
        const kinds = [];
        const get = (input, init) => {
          kinds.push(init.credentials);
          return fetch(input, init);
        };
        await seen({ transports: ["polling"], withCredentials, fetch: get });
        assert.deepEqual([...new Set(kinds)], [withCredentials ? "include" : undefined]);
      }
    },
    async "auth, as an object and as functions"() {
      for (const auth of [{ token: "t" }, (done) => done({ token: "t" }), async () => ({ token: "t" })]) {
        assert.deepEqual((await seen({ auth })).auth, { token: "t" });
      }
    },
    async "auth, changed for the next connection"() {
      const socket = connect({ auth: { token: 1 } });
      await next(socket, "connect");
      socket.disconnect();
      socket.auth = { token: 2 };
      socket.connect();
      assert.deepEqual((await socket.emitWithAck("handshake")).auth, { token: 2 });
      socket.disconnect();
    },
    async "path, with and without a slash at its end"() {
      for (const path of ["/elsewhere", "/elsewhere/"]) assert.match((await seen({ path })).url, /^\/elsewhere\/\?/);
    },
    async addTrailingSlash() {
      assert.match((await seen({ path: "/bare", addTrailingSlash: false })).url, /^\/bare\?/);
    },
    async "transports, one alone"() {
      for (const kind of transports) {
        const Counted = counting();
        const socket = connect({ transports: [kind], WebSocket: Counted });
        await roundTrips(socket, 5);
        assert.deepEqual([socket.io.engine.transport.name, Counted.tries], [kind, +(kind == "websocket")]);
        socket.disconnect();
      }
    },
    async "transports, several, whatever their order"() {
      for (const several of [["polling", "websocket"], ["websocket", "polling"]]) {
        const socket = connect({ transports: several });
        while (socket.io.engine.transport.name != "websocket") await roundTrips(socket, 1);
        socket.disconnect();
      }
    },
    async "tryAllTransports, that is always so"() {
      const Broken = class {
        constructor() {
          throw new Error("no WebSocket here");
        }
      };
      const socket = connect({ transports: ["websocket", "polling"], tryAllTransports: true, WebSocket: Broken });
      await roundTrips(socket, 2);
      assert.equal(socket.io.engine.transport.name, "polling");
      socket.disconnect();
    },
    async autoConnect() {
      const socket = connect({ autoConnect: false });
      assert.deepEqual([socket.active, socket.io.engine], [false, undefined]);
      socket.connect();
      await next(socket, "connect");
      socket.disconnect();
    },
    async "forceNew and multiplex"() {
      const one = io(url, { WebSocket });
      const chat = io(url + "/chat", { WebSocket });
      const others = [io(url + "/other", { WebSocket, forceNew: true }), io(url + "/other", { WebSocket, multiplex: false })];
      assert.equal(chat.io, one.io);
      for (const other of others) assert.notEqual(other.io, one.io);
      for (const socket of [one, chat, ...others]) socket.disconnect();
    },
    async ackTimeout() {
      const socket = connect({ ackTimeout: 20 });
      await next(socket, "connect");
      const [error] = await new Promise((resolve) => socket.emit("never", (...args) => resolve(args)));
      assert.ok(error instanceof Error);
      await assert.rejects(socket.emitWithAck("never"));
      const answer = await new Promise((resolve) => socket.timeout(10000).emit("echo", 5, (...args) => resolve(args)));
      assert.deepEqual(answer, [null, 5]);
      socket.disconnect();
    },
    async "reconnection, or not"() {
      for (const reconnection of [true, false]) {
        const socket = connect({ reconnection, reconnectionDelay: 1, randomizationFactor: 0 });
        await next(socket, "connect");
        const lost = next(socket, "disconnect");
        socket.io.engine.close();
        await lost;
        if (reconnection) await next(socket, "connect");
        else assert.equal(socket.io._reconnecting ?? false, false);
        socket.disconnect();
      }
    },
    async "what means nothing here harms nothing"() {
      const socket = connect({ closeOnBeforeunload: true, rememberUpgrade: true, forceBase64: true, timestampRequests: true, timestampParam: "x", useNativeTimers: true, autoUnref: false, perMessageDeflate: { threshold: 1 } });
      await roundTrips(socket, 1);
      socket.disconnect();
    },
  };
  if (!isCompat) return checks;
  return {
    ...checks,
    async "query, as a string"() {
      assert.equal((await seen({ query: "room=7&b=%20" })).query.room, "7");
    },
    async "upgrade: false"() {
      for (const several of [undefined, ["polling", "websocket"]]) {
        const Counted = counting();
        const socket = connect({ transports: several, upgrade: false, WebSocket: Counted });
        await roundTrips(socket, 5);
        assert.deepEqual([socket.io.engine.transport.name, Counted.tries], ["polling", 0]);
        socket.disconnect();
      }
    },
    async "options that are there and undefined, or 0"() {
      await seen({ path: undefined, transports: undefined, timeout: undefined, query: undefined, reconnectionAttempts: 0 });
    },
    async "timeout: false"() {
      const socket = connect({ timeout: false });
      await roundTrips(socket, 1);
      assert.equal(socket.io.timeout(), false);
      socket.disconnect();
    },
    async "transportOptions with headers"() {
      const handshake = await seen({ transportOptions: { polling: { extraHeaders: { "X-Test": "b" } } } });
      assert.equal(handshake.headers["x-test"], "b");
    },
    async "parser: msgpack, on every transport"() {
      for (const kind of transports) {
        const socket = connect({ parser: msgpackParser, path: msgpackPath, transports: [kind] });
        const text = "é\x1e\r\n";
        const reply = await socket.emitWithAck("echo", { text, list: [1, null], bytes: new Uint8Array([0, 30, 255]) });
        assert.deepEqual([reply.text, reply.list, ...new Uint8Array(reply.bytes)], [text, [1, null], 0, 30, 255], kind);
        await assert.rejects(socket.timeout(20).emitWithAck("never"));
        // A server of ours confirms the codec, and the session counts.
        assert.equal(socket.io.engine._session.plain, msgpackPath != "/socket.io");
        socket.disconnect();
      }
    },
    async "ackTimeout is one socket's own"() {
      const one = connect({ ackTimeout: 20 });
      const chat = one.io.socket("/chat");
      await assert.rejects(one.emitWithAck("never"));
      // Without a timeout there is no error first.
      assert.deepEqual(await new Promise((resolve) => chat.emit("echo", 5, (...args) => resolve(args))), [5]);
      one.disconnect();
      chat.disconnect();
    },
  };
};
