import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import test from "node:test";
import { HoldfastError, RemoteProtocolError } from "../errors.js";
import { takeAnswer } from "../session/posts.js";
import { Session } from "../session/session.js";
import { EventStreamDecoder } from "../wire/eventstream.js";
import { decodePacket, encodePacket } from "../wire/packet.js";
import { decodePayload, joinPayload } from "../wire/payload.js";
import { ACK, CONNECT, CONNECT_ERROR, DISCONNECT, EVENT, SocketDecoder, encodeSocketPacket } from "../wire/socketio.js";

const TYPES = { CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR };

const url = (name) => new URL(`../../tests/vectors/${name}.json`, import.meta.url);
const read = (name) => JSON.parse(readFileSync(url(name), "utf8"), (_, value) => (value && "$bytes" in Object(value) ? fromHex(value.$bytes) : value));
const fromHex = (hex) => new Uint8Array(Buffer.from(hex, "hex"));
// The client is tested outside the repository too, where the vectors are not.
const options = (name) => ({ skip: !existsSync(url(name)) && "no vectors here" });

/** A packet without the keys that are not there. */
const tidy = ({ type, ...rest }) => JSON.parse(JSON.stringify({ type, ...rest }, (_, value) => (value instanceof Uint8Array ? { $bytes: Buffer.from(value).toString("hex") } : value)));

test("Socket.IO packets are written as in the vectors", options("socketio"), () => {
  for (const { name, packet, text, attachments } of read("socketio").packets) {
    const [written, ...bytes] = encodeSocketPacket({ ...packet, type: TYPES[packet.type] });
    assert.equal(written, text, name);
    assert.deepEqual(bytes, attachments.map(fromHex), name);
  }
});

test("Socket.IO packets are read as in the vectors", options("socketio"), () => {
  const { packets, accepted } = read("socketio");
  for (const { name, packet, text, attachments = [] } of [...packets, ...accepted]) {
    const decoder = new SocketDecoder();
    const decoded = [text, ...attachments.map(fromHex)].map((part) => decoder.decode(part)).at(-1);
    assert.deepEqual(tidy(decoded), tidy({ ...packet, type: TYPES[packet.type] }), name);
  }
});

test("what the vectors refuse is refused", options("socketio"), () => {
  // To JavaScript 0.0 is 0.
  for (const refused of read("socketio").refused.filter((text) => !String(text).includes('"num":0.0'))) {
    const [text, ...attachments] = [refused].flat();
    const decoder = new SocketDecoder();
    assert.throws(() => [text, ...attachments].map((part) => decoder.decode(part)), HoldfastError, JSON.stringify(refused));
  }
});

/** A packet of the vectors, as ours. */
const toPacket = ({ type, data, base64 }) => ({ type, data: base64 === undefined ? data : new Uint8Array(Buffer.from(base64, "base64")) });

test("packets are written and read as in the vectors", options("packets"), () => {
  const { valid, decoded, invalid } = read("packets");
  for (const { name, counting, wire, value } of valid) assert.equal(encodePacket(toPacket(value), !counting), wire, name);
  for (const { name, counting, wire, value } of [...valid, ...decoded]) assert.deepEqual(decodePacket(wire, !counting), toPacket(value), name);
  for (const { name, counting, wire } of invalid) assert.throws(() => decodePacket(wire, !counting), RemoteProtocolError, name);
});

test("payloads are written and read as in the vectors", options("payloads"), () => {
  const { valid, invalid } = read("payloads");
  for (const { name, counting, wire, value } of valid) {
    assert.equal(joinPayload(value.map((one) => encodePacket(toPacket(one), !counting))), wire, name);
    assert.deepEqual(decodePayload(wire, !counting), value.map(toPacket), name);
  }
  for (const { name, counting, wire } of invalid) assert.throws(() => decodePayload(wire, !counting), RemoteProtocolError, name);
});

test("event streams are read as in the vectors, wherever they are cut", options("eventstream"), () => {
  const { valid, decoded } = read("eventstream");
  for (const { name, wire, value } of [...valid, ...decoded]) {
    const events = value.map(({ payload }) => payload);
    for (let cut = 0; cut <= Math.min(wire.length, 400); cut++) {
      const decoder = new EventStreamDecoder();
      assert.deepEqual([wire.slice(0, cut), wire.slice(cut)].flatMap((part) => decoder.decode(part)), events, name);
    }
  }
});

test("open packets and answers are read as in the vectors", options("handshake"), () => {
  const vectors = read("handshake");
  const opened = (wire) => {
    const session = new Session();
    // We list no codec, so none but JSON may be chosen.
    session.open(wire.slice(1).replace('"codec":"msgpack"', '"codec":"json"'), true);
    return session;
  };
  for (const { name, counting, wire, value } of vectors.open) {
    const session = opened(wire);
    assert.deepEqual([session.sid, session.plain, session.maxPayload], [value.sid, !counting, value.maxPayload ?? value.max_payload], name);
  }
  for (const { name, wire } of vectors.open_invalid ?? []) assert.throws(() => opened(wire), RemoteProtocolError, name);
  const { wire: open } = vectors.open.find(({ counting }) => counting);
  const answered = (wire, carrier) => {
    const session = opened(open);
    while (session.attach() < (carrier ?? 0));
    session.outbox.written = Number.MAX_SAFE_INTEGER;
    if (carrier === undefined) takeAnswer(session, wire.slice(1), 0);
    else session.answer(wire.slice(1), carrier, true, 0);
    return session;
  };
  for (const { name, wire, value } of [...vectors.answer, ...vectors.answer_decoded]) {
    if ((value.carrier ?? 0) < 1000) assert.equal(answered(wire, value.carrier).outbox.acked, value.received, name);
  }
  for (const { name, wire } of vectors.answer_invalid) {
    // What a POST is answered with names no carrier.
    assert.throws(() => answered(wire, /carrier/.test(name) ? 2 : undefined), RemoteProtocolError, name);
  }
});
