import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { HoldfastError, LocalProtocolError, RemoteProtocolError } from "../errors.js";
import { decodeBase64, encodeBase64 } from "../wire/base64.js";
import { EventStreamDecoder } from "../wire/eventstream.js";
import { decodeNumber, decodePacket, encodePacket, packet } from "../wire/packet.js";
import { decodePayload, joinPayload } from "../wire/payload.js";
import { ACK, CONNECT, CONNECT_ERROR, DISCONNECT, EVENT, SocketDecoder, encodeSocketPacket } from "../wire/socketio.js";

const anyText = fc.string({ unit: fc.oneof(fc.constantFrom("\x1e", "\r", "\n", "\0", "\ufeff", '"', "\\", "\u2028"), fc.string({ unit: "binary", minLength: 1, maxLength: 1 })) });
const anyBytes = fc.uint8Array({ maxLength: 300 });

/** Throws nothing but the errors of the protocol. */
const onlyProtocolErrors = (run) => {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof RemoteProtocolError, String(error.stack));
  }
};

test("any text and any bytes come back from a payload as they were", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(anyText, anyBytes), { minLength: 1 }), (messages) => {
      const text = joinPayload(messages.map((data) => encodePacket(packet("4", data))));
      assert.doesNotMatch(text, /[\r\n]/);
      assert.deepEqual(decodePayload(text).map(({ data }) => data), messages);
    }),
  );
});

test("arbitrary input raises the protocol error and nothing else", () => {
  const hostile = fc.oneof(fc.string({ unit: "binary" }), fc.tuple(fc.constantFrom(..."0123456789bj4{["), fc.string()).map((parts) => parts.join("")));
  fc.assert(
    fc.property(hostile, fc.boolean(), (text, plain) => {
      onlyProtocolErrors(() => decodePayload(text, plain));
      onlyProtocolErrors(() => new SocketDecoder().decode(text));
      new EventStreamDecoder().decode(text);
    }),
    { numRuns: 3000 },
  );
});

test("a lone surrogate is refused where it is sent", () => {
  for (const text of ["\ud800", "a\udc00b", "\udc00\ud800"]) {
    assert.throws(() => encodePacket(packet("4", text)), LocalProtocolError);
  }
  assert.equal(encodePacket(packet("4", "😀")), "4😀");
});

test("text that would break the framing is written as a string literal", () => {
  assert.equal(encodePacket(packet("4", "a\x1eb")), 'j"a\\u001eb"');
  assert.equal(encodePacket(packet("4", "a\r\nb")), 'j"a\\r\\nb"');
  assert.equal(encodePacket(packet("4", "a\x1eb"), true), "4a\x1eb");
  assert.deepEqual(decodePacket('j"plain"'), packet("4", "plain"));
});

test("packets that only counting peers know are refused from a plain one", () => {
  for (const text of ["7{}", "81", "91", 'j"a"']) assert.throws(() => decodePacket(text, true), RemoteProtocolError);
});

test("numbers are plain decimal integers within 2^53", () => {
  assert.equal(decodeNumber("9007199254740991"), 2 ** 53 - 1);
  for (const text of ["", "-1", "+1", "01", "1.0", "1e3", " 1", "0x1", "9007199254740992", "9".repeat(5000), "NaN", "null"]) {
    assert.throws(() => decodeNumber(text), RemoteProtocolError, text);
  }
  assert.equal(decodePacket("80").data, "0");
  assert.throws(() => decodePacket("90"), RemoteProtocolError);
});

test("base64 is strict", () => {
  fc.assert(fc.property(anyBytes, (bytes) => assert.deepEqual(decodeBase64(encodeBase64(bytes)), bytes)));
  for (const text of ["A", "AA", "AAA", "AA=A", "A A=", "AA-_", "====", "AAAA\n"]) {
    assert.throws(() => decodeBase64(text), RemoteProtocolError, text);
  }
  assert.equal(encodeBase64(new Uint8Array(100_000)).length, 133_336);
});

test("an event stream reads the same wherever it is cut", () => {
  const text = ":" + " ".repeat(20) + '\n\nid: 3\ndata: 4a\x1e4b\n\nid:4\r\ndata:4ü😀\r\n\r\n: comment\nretry: 5\ndata\rdata: x\r\r';
  const expected = [
    "4a\x1e4b",
    "4ü😀",
    "\nx",
  ];
  assert.deepEqual(new EventStreamDecoder().decode(text + "\n"), expected);
  for (let cut = 0; cut < text.length; cut++) {
    const decoder = new EventStreamDecoder();
    const events = [text.slice(0, cut), text.slice(cut), "\n"].flatMap((part) => decoder.decode(part));
    assert.deepEqual(events, expected, `cut at ${cut}`);
  }
  const decoder = new EventStreamDecoder();
  assert.deepEqual([...text, "\n"].flatMap((char) => decoder.decode(char)), expected);
});

test("Socket.IO packets are what the specification shows", () => {
  const cases = [
    [{ type: CONNECT, nsp: "/" }, "0"],
    [{ type: CONNECT, nsp: "/admin", data: { sid: "x" } }, '0/admin,{"sid":"x"}'],
    [{ type: DISCONNECT, nsp: "/admin" }, "1/admin,"],
    [{ type: EVENT, nsp: "/", data: ["foo"] }, '2["foo"]'],
    [{ type: EVENT, nsp: "/admin", data: ["bar"], id: 12 }, '2/admin,12["bar"]'],
    [{ type: ACK, nsp: "/admin", data: [], id: 13 }, "3/admin,13[]"],
    [{ type: CONNECT_ERROR, nsp: "/", data: { message: "Not authorized" } }, '4{"message":"Not authorized"}'],
  ];
  for (const [value, text] of cases) {
    assert.deepEqual(encodeSocketPacket(value), [text]);
    const { id, ...rest } = new SocketDecoder().decode(text);
    assert.deepEqual({ ...rest, ...(id === undefined ? {} : { id }), data: rest.data }, { ...value, data: value.data });
  }
});

test("bytes of every kind travel as attachments", () => {
  const bytes = new Uint8Array([1, 2, 3]);
  const data = ["e", bytes.buffer, { deep: [Buffer.from(bytes)] }, new DataView(bytes.buffer, 1)];
  const [text, ...attachments] = encodeSocketPacket({ type: EVENT, nsp: "/", data, id: 0 });
  assert.equal(text, '53-0["e",{"_placeholder":true,"num":0},{"deep":[{"_placeholder":true,"num":1}]},{"_placeholder":true,"num":2}]');
  const decoder = new SocketDecoder();
  const results = [text, ...attachments].map((part) => decoder.decode(part));
  assert.deepEqual(results.slice(0, -1), [undefined, undefined, undefined]);
  assert.deepEqual(results.at(-1), { type: EVENT, nsp: "/", id: 0, data: ["e", bytes, { deep: [bytes] }, bytes.subarray(1)] });
});

test("more than ten attachments are refused in both directions", () => {
  const data = ["e", ...Array.from({ length: 11 }, () => new Uint8Array(1))];
  assert.throws(() => encodeSocketPacket({ type: EVENT, nsp: "/", data }), LocalProtocolError);
  assert.throws(() => new SocketDecoder().decode('511-["e"]'), RemoteProtocolError);
});

test("placeholders are checked, and names of prototypes are only names", () => {
  for (const num of [-1, 1, 0.5, '"__proto__"', '"length"', "null", "{}"]) {
    const text = `51-["e",{"_placeholder":true,"num":${num}}]`;
    assert.throws(() => new SocketDecoder().decode(text), RemoteProtocolError, text);
  }
  new SocketDecoder().decode('2["e",{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}]');
  assert.equal({}.polluted, undefined);
});

test("packets of another shape are refused", () => {
  for (const text of ["", "7", "9[]", "2", "2{}", "2[]", "2[{}]", "2[null]", '2["connect"]', '2["disconnect"]', "0[]", "0null", '1{"a":1}', "3{}", "5[]", '5["e"]', '2-["e"]', "4", "2x", '21-["e"]', '2["e"', "2[\"e\"]x"]) {
    assert.throws(() => new SocketDecoder().decode(text), HoldfastError, text);
  }
  assert.throws(() => new SocketDecoder().decode(new Uint8Array(1)), RemoteProtocolError);
  const decoder = new SocketDecoder();
  decoder.decode('51-["e",{"_placeholder":true,"num":0}]');
  assert.throws(() => decoder.decode('2["e"]'), RemoteProtocolError);
});
