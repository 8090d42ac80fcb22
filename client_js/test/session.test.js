import assert from "node:assert/strict";
import test from "node:test";
import { GapError, LocalProtocolError, RemoteProtocolError } from "../errors.js";
import { Inbox } from "../session/inbox.js";
import { Outbox } from "../session/outbox.js";
import { encodePost, takeAnswer } from "../session/posts.js";
import { Session } from "../session/session.js";
import { packet } from "../wire/packet.js";
import { randomFrom } from "./random.js";

const NOW = 1000;

/** A session that was opened; `writes` by a WebSocket. */
const opened = ({ writes = true, plain = false, maxPayload = 1e6 } = {}) => {
  const session = new Session();
  const holdfast = { version: 1, key: "secret", codec: "json", transports: ["websocket", "stream", "polling"], grace: 120000 };
  session.open(JSON.stringify({ sid: "s", upgrades: [], pingInterval: 10000, pingTimeout: 5000, maxPayload, ...(plain ? {} : { holdfast }) }), writes);
  return session;
};

test("the opening WebSocket starts at 1 in both directions without being told", () => {
  const session = opened();
  session.send(["a"]);
  assert.deepEqual(session.frames([], NOW), ["4a"]);
  assert.equal(session.receive(1, packet("4", "b"), NOW), "b");
  assert.equal(session.inbox.received, 1);
});

test("a later WebSocket states the number that comes next, after the server's answer", () => {
  const session = opened();
  ["a", "b", "c"].map((text) => session.send([text]));
  session.frames([], NOW);
  session.end(1);
  assert.deepEqual(session.frames([], NOW), []);
  const number = session.attach();
  assert.deepEqual(JSON.parse(session.attachment(number)), { key: "secret", received: 0, carrier: 2 });
  session.answer('{"carrier":2,"received":1}', number, true, NOW);
  assert.deepEqual(session.frames([], NOW), ["92\x1e4b\x1e4c"]);
});

test("an acknowledgement that overtakes the writer makes it state its number again", () => {
  const session = opened({ writes: false });
  ["a", "b"].map((text) => session.send([text]));
  encodePost(session, [], NOW, Infinity);
  session.answer('{"carrier":2,"received":0}', session.attach(), true, NOW);
  takeAnswer(session, '{"received":2,"sent":0}', NOW);
  session.send(["c"]);
  assert.deepEqual(session.frames([], NOW), ["93\x1e4c"]);
});

test("an older acknowledgement is ignored, and one of the future ends the session", () => {
  const outbox = new Outbox();
  for (const text of ["a", "b", "c"]) outbox.append(text, undefined);
  assert.throws(() => outbox.acknowledge(1), RemoteProtocolError);
  for (const number of [1, 2, 3]) outbox.write(number, NOW);
  for (const ack of [0, 2, 1, 0, 3]) outbox.acknowledge(ack);
  assert.equal(outbox.acked, 3);
  assert.throws(() => outbox.acknowledge(4), RemoteProtocolError);
});

test("a gap ends the carrier, a repeat is dropped, and what was not announced is refused", () => {
  const inbox = new Inbox();
  assert.throws(() => inbox.take(1, 1, NOW), RemoteProtocolError);
  inbox.start(1, 2);
  assert.throws(() => inbox.take(1, 1, NOW), GapError);
  inbox.start(2, 1);
  assert.deepEqual([inbox.take(2, 1, NOW), inbox.take(2, 1, NOW)], [true, true]);
  inbox.start(3, 1);
  assert.deepEqual([1, 2, 3].map(() => inbox.take(3, 1, NOW)), [false, false, true]);
  assert.equal(inbox.received, 3);
});

test("numbers go on beyond 2^32", () => {
  const inbox = new Inbox();
  inbox.received = 2 ** 32 - 2;
  inbox.start(1, 2 ** 32 - 1);
  for (let i = 0; i < 3; i++) assert.ok(inbox.take(1, 1, NOW));
  assert.equal(inbox.acknowledge(), 2 ** 32 + 1);
});

test("an acknowledgement is due after a second, 64 messages or 64 KiB, and rides on messages", () => {
  const one = opened();
  assert.equal(one.inbox.due, Infinity);
  one.receive(1, packet("4", "a"), NOW);
  assert.equal(one.inbox.due, NOW + 1000);
  assert.deepEqual(one.frames([], NOW + 999), []);
  assert.deepEqual(one.frames([], NOW + 1000), ["81"]);
  one.receive(1, packet("4", "a"), NOW);
  one.send(["b"]);
  assert.deepEqual(one.frames([], NOW), ["82\x1e4b"]);
  const many = opened();
  for (let i = 0; i < 64; i++) many.receive(1, packet("4", "a"), NOW);
  assert.deepEqual(many.frames([], NOW), ["864"]);
  const big = opened();
  big.receive(1, packet("4", "a".repeat(65536)), NOW);
  assert.deepEqual(big.frames([], NOW), ["81"]);
});

test("a POST says everything again from what was acknowledged on", () => {
  const session = opened({ writes: false });
  ["a", "b"].map((text) => session.send([text]));
  const body = '7{"key":"secret","received":0}\x1e91\x1e4a\x1e4b';
  assert.equal(encodePost(session, [], NOW, Infinity), body);
  assert.equal(encodePost(session, [], NOW, Infinity), body);
  takeAnswer(session, '{"received":1,"sent":0}', NOW);
  assert.equal(encodePost(session, ["3"], NOW, Infinity), '7{"key":"secret","received":0}\x1e3\x1e92\x1e4b');
});

test("a POST keeps to the server's limit, and one message goes alone", () => {
  const session = opened({ writes: false, maxPayload: 3000 });
  for (let i = 0; i < 10; i++) session.send(["x".repeat(400)]);
  assert.ok(encodePost(session, [], NOW, Infinity).length < 3000);
  takeAnswer(session, '{"received":1,"sent":0}', NOW);
  const long = opened({ writes: false, maxPayload: 3000 });
  long.send(["x".repeat(2700)]);
  assert.ok(encodePost(long, [], NOW, Infinity).length <= 3000);
});

test("a message that is too long is refused with both sizes", () => {
  const session = opened({ maxPayload: 1000 });
  assert.throws(() => session.send(["é".repeat(500)]), { name: "LocalProtocolError", message: "message: 1001, limit 800" });
  assert.throws(() => session.send([new Uint8Array(1000)]), LocalProtocolError);
  assert.throws(() => session.send(["\ud800"]), LocalProtocolError);
  assert.equal(session.outbox.last, 0);
  session.send(["é".repeat(399)]);
});

test("bytes are bound as base64, whatever carries them now; by a standard server's WebSocket, as they are", () => {
  const session = opened();
  session.send([new Uint8Array(749_847)]);
  assert.throws(() => session.send([new Uint8Array(749_848)]), { message: "message: 999801, limit 999800" });
  const plain = opened({ plain: true });
  plain.send([new Uint8Array(1_000_000)]);
  assert.throws(() => plain.send([new Uint8Array(1_000_001)]), { message: "message: 1000001, limit 1000000" });
});

test("a message goes with all its attachments or not at all", () => {
  const session = opened({ maxPayload: 1000 });
  assert.throws(() => session.send(["text", new Uint8Array(1000)]), LocalProtocolError);
  assert.throws(() => session.send(["text", new Uint8Array(500), new Uint8Array(501)]), { message: "message: 1005, limit 1000" });
  assert.equal(session.outbox.last, 0);
  session.send(["text", new Uint8Array(400), new Uint8Array(590)], "meta");
  assert.deepEqual(session.outbox.after(0).map(({ meta }) => meta), ["meta", "meta", "meta"]);
});

test("bytes can be changed by the caller once they are sent", () => {
  for (const make of [(n) => new Uint8Array([n]), (n) => Buffer.from([n]), (n) => new Uint8Array([n]).buffer]) {
    const session = opened();
    const bytes = make(1);
    session.send([bytes]);
    new Uint8Array(bytes.buffer ?? bytes, bytes.byteOffset ?? 0, 1)[0] = 2;
    assert.deepEqual(session.frames([], NOW), [new Uint8Array([1])]);
    assert.throws(() => session.send([/** @type {any} */ (5)]), TypeError);
  }
});

test("doubt: a message unacknowledged for two seconds, or what the server says it has written", () => {
  const session = opened();
  assert.equal(session.doubtful(2000), Infinity);
  session.send(["a"]);
  session.frames([], NOW);
  assert.equal(session.doubtful(2000), NOW + 2000);
  session.receive(1, packet("8", "1"), NOW);
  assert.equal(session.doubtful(2000), Infinity);
  takeAnswer(session, '{"received":1,"sent":2}', NOW);
  assert.equal(session.doubtful(2000), NOW + 2000);
  session.receive(1, packet("4", "x"), NOW + 100);
  assert.equal(session.doubtful(2000), NOW + 2100);
  session.receive(1, packet("4", "y"), NOW + 200);
  assert.equal(session.doubtful(2000), Infinity);
});

test("what is unconfirmed is known by what the server had got", () => {
  const session = opened();
  ["a", "b", "c"].map((text) => session.send([text], text.toUpperCase()));
  session.frames([], NOW);
  session.receive(1, packet("8", "1"), NOW);
  assert.deepEqual(session.outbox.after(2).map(({ meta }) => meta), ["C"]);
  assert.deepEqual(session.outbox.after(0).map(({ meta }) => meta), ["B", "C"]);
});

test("a plain peer is told one packet a message, and forgets what is written", () => {
  const session = opened({ plain: true });
  // By polling it would be two packets.
  assert.throws(() => session.send(["a\x1e"]), LocalProtocolError);
  session.send(["a"]);
  session.send(["b"]);
  assert.deepEqual(session.frames(["3"], NOW), ["3", "4a", "4b"]);
  assert.equal(session.outbox.acked, 2);
  assert.equal(session.receive(1, packet("4", "x"), NOW), "x");
  assert.deepEqual(session.frames([], NOW + 5000), []);
});

test("open packets of another shape are refused", () => {
  const good = { sid: "s", pingInterval: 1, pingTimeout: 1, maxPayload: 1 };
  const bad = ["", "null", "[]", "{}", { ...good, sid: 1 }, { ...good, pingInterval: "x" }, { ...good, maxPayload: -1 }, { ...good, holdfast: {} }, { ...good, holdfast: 1 }];
  for (const value of bad) {
    assert.throws(() => new Session().open(typeof value == "string" ? value : JSON.stringify(value), true), RemoteProtocolError, JSON.stringify(value));
  }
});

test("answers of another shape are refused", () => {
  for (const text of ["", "1", "{}", '{"received":-1}', '{"received":1}', '{"carrier":3,"received":0}', '{"carrier":2}']) {
    const session = opened();
    assert.throws(() => session.answer(text, session.attach(), true, NOW), RemoteProtocolError, text);
  }
});

test("a repeat is acknowledged like a new message: its sender may not have heard", () => {
  const session = opened();
  session.receive(1, packet("4", "a"), NOW);
  session.inbox.acknowledge();
  session.inbox.start(2, 1);
  assert.equal(session.receive(2, packet("4", "a"), NOW + 500), undefined);
  assert.equal(session.inbox.due, NOW + 1500);
  assert.deepEqual(session.frames([], NOW + 1500), ["81"]);
  assert.equal(session.inbox.due, Infinity);
});

test("an acknowledgement that went with something that failed is told again", () => {
  const session = opened();
  session.inbox.untold();
  assert.equal(session.inbox.due, Infinity, "nothing was received");
  session.receive(1, packet("4", "a"), NOW);
  encodePost(session, [], NOW, Infinity);
  assert.equal(session.inbox.due, Infinity);
  session.inbox.untold();
  assert.deepEqual(session.frames([], NOW), ["81"]);
});

test("what was never written is taken back whole, and what was is not", () => {
  const outbox = new Outbox();
  const [one, two, three] = [{}, {}, {}];
  outbox.append("a", one);
  outbox.append("text", two);
  outbox.append(new Uint8Array(5), two);
  outbox.append("c", three);
  outbox.write(1, NOW);
  outbox.write(2, NOW);
  assert.deepEqual([outbox.withdraw(one), outbox.withdraw(two), outbox.withdraw({})], [false, false, false]);
  assert.deepEqual([outbox.withdraw(three), outbox.withdraw(three), outbox.last, outbox.size], [true, false, 3, 10]);
  outbox.write(3, NOW);
  outbox.acknowledge(2);
  assert.deepEqual([outbox.withdraw(two), outbox.size], [false, 5]);
  outbox.acknowledge(3);
  assert.deepEqual([outbox.withdraw(two), outbox.size], [false, 0]);
});

test("whatever is taken back, the peer hears the rest in order, and each once", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = randomFrom(seed);
    const client = opened();
    const wanted = [];
    const heard = [];
    const events = [];
    const write = () => heard.push(...client.frames([], NOW).flatMap((frame) => frame.split("\x1e")).filter((part) => part[0] == "4"));
    for (let i = 0; i < 60; i++) {
      const chance = random();
      if (chance < 0.5) {
        const event = { count: 1 + Math.floor(random() * 3) };
        client.send(Array.from({ length: event.count }, (_, n) => `${i}.${n}`), event);
        events.push({ event, texts: Array.from({ length: event.count }, (_, n) => `4${i}.${n}`) });
      } else if (chance < 0.8 && events.length) {
        const [{ event, texts }] = events.splice(Math.floor(random() * events.length), 1);
        const isWritten = heard.includes(texts[0]);
        assert.equal(client.outbox.withdraw(event), !isWritten, `seed ${seed}`);
        if (isWritten) wanted.push(...texts);
      } else if (chance < 0.9) write();
      else client.outbox.acknowledge(Math.floor(random() * (client.outbox.written + 1)));
    }
    write();
    wanted.push(...events.flatMap(({ texts }) => texts));
    const order = (a, b) => a.slice(1) - b.slice(1);
    assert.deepEqual(heard, wanted.toSorted(order), `seed ${seed}`);
    assert.equal(client.outbox.last, heard.length);
  }
});
