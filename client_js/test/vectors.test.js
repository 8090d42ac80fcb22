import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import test from "node:test";
import { HoldfastError } from "../errors.js";
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
