/**
 * Socket.IO 5 packets with binary attachments
 * (https://socket.io/docs/v4/socket-io-protocol/#packet-encoding).
 */
import { LocalProtocolError, attempt, check, checkSize } from "../errors.js";
import { checkNumber, isObject } from "./packet.js";

/** @typedef {import("./packet.js").Data} Data */
/** @typedef {{name: string, encode(packet: SocketPacket): Data[], Decoder: new () => {decode(message: Data): SocketPacket | undefined}}} Codec How packets become messages, and messages packets; `name` as it is negotiated. */
/** @typedef {{type: number, nsp: string, data?: any, id?: number}} SocketPacket `data` is what the application sent: JSON of any shape, and bytes. */

export const CONNECT = 0;
export const DISCONNECT = 1;
export const EVENT = 2;
export const ACK = 3;
export const CONNECT_ERROR = 4;
/** What `type` grows by when attachments follow. */
const BINARY = 3;
/** Names that are the library's own; they never travel. */
export const RESERVED = ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];
const MAX_ATTACHMENTS = 10;

/** @param {unknown} name Whether it may travel as an event's. */
export const isEvent = (name) => typeof name == "string" && !RESERVED.includes(name);

/** The name of a namespace. */
export const NAMESPACE = /^\/[^,\0-\x1f]{0,255}$/;

/**
 * @param {any} value
 * @returns {Uint8Array | undefined} The bytes, if it is a kind of them.
 */
export const toBytes = (value) =>
  value instanceof ArrayBuffer || ArrayBuffer.isView(value)
    ? new Uint8Array(/** @type {any} */ (value).buffer ?? value, /** @type {any} */ (value).byteOffset, value.byteLength)
    : undefined;

/**
 * @param {string} nsp
 * @throws {LocalProtocolError}
 */
export const checkNamespace = (nsp) => {
  if (!NAMESPACE.test(nsp)) throw new LocalProtocolError("bad namespace");
};

/**
 * @param {SocketPacket} packet
 * @returns {Data[]} The text, then its attachments: messages to be sent one after another.
 * @throws {LocalProtocolError} A Blob, more than ten attachments, or the namespace cannot be written down.
 */
export const encodeSocketPacket = ({ type, nsp, data, id }) => {
  checkNamespace(nsp);
  /** @type {Data[]} */
  const out = [""];
  const json = JSON.stringify(data, function (key, value) {
    // Not `value`: a Buffer has by then become `{type, data}` by its toJSON.
    const bytes = toBytes(this[key]);
    // Anything that would become an empty object.
    if (value?.arrayBuffer) throw new LocalProtocolError("Blob: send its arrayBuffer()");
    return bytes ? { _placeholder: true, num: out.push(bytes) - 2 } : value;
  });
  const attachments = out.length - 1;
  checkSize(attachments, MAX_ATTACHMENTS, "attachments");
  out[0] =
    // What is undefined leaves nothing.
    [attachments ? type + BINARY + (attachments + "-") : type, nsp == "/" ? "" : nsp + ",", id, json].join("");
  return out;
};

/**
 * @param {SocketPacket} packet
 * @throws {import("../errors.js").RemoteProtocolError} The data or the id are not what the type asks for.
 */
export const checkPacket = ({ type, data, id }) =>
  check(
    type == EVENT
      ? Array.isArray(data) && isEvent(data[0])
      : type == ACK
        ? Array.isArray(data) && id !== undefined
        : id === undefined &&
          (type == CONNECT_ERROR ? typeof data == "string" || isObject(data) : data === undefined || (type == CONNECT && isObject(data))),
  );

/** Type, how many attachments, namespace, id, data. */
const GRAMMAR = /^([0-6])(?:([1-9]|10)-)?(?:(\/[^,\0-\x1f]{0,255})(?:,|$))?(\d+)?([^]+)?$/;

/** Puts packets together again whose attachments come after them. */
export class SocketDecoder {
  constructor() {
    /** What wants attachments, and where the next ones belong. @type {SocketPacket | undefined} */
    let waiting;
    /** @type {Place[]} */
    let places = [];

    /**
     * @param {Data} message
     * @returns {SocketPacket | undefined} The packet, once it is complete.
     * @throws {import("../errors.js").RemoteProtocolError}
     */
    this.decode = (message) => {
      check(!waiting == (typeof message == "string"));
      if (typeof message == "string") {
        const match = GRAMMAR.exec(message);
        check(match);
        const [, type, count = 0, nsp = "/", id, json] = /** @type {any[]} */ (match);
        check(!count == type < "5");
        places = [];
        waiting = {
          type: +type - (count ? BINARY : 0),
          nsp,
          id: id && checkNumber(+id),
          data: json && parse(json, +count, places),
        };
        checkPacket(waiting);
      } else places.shift()?.(message);
      if (places.length) return undefined;
      const packet = waiting;
      waiting = undefined;
      return packet;
    };
  }
}

/** @typedef {(bytes: Uint8Array) => void} Place */
/**
 * @param {string} json
 * @param {number} count Of attachments; each has one place.
 * @param {Place[]} places To be filled with these.
 */
const parse = (json, count, places) =>
  attempt(() => {
    const free = new Set(Array(count).keys());
    const value = JSON.parse(json, function (key, value) {
      if (!count || value?._placeholder !== true) return value;
      check(free.delete(value.num));
      places[value.num] = (bytes) => (this[key] = bytes);
      return null;
    });
    check(!free.size);
    return value;
  });

/** Socket.IO's default format. @type {Codec} */
export const json = { name: "json", encode: encodeSocketPacket, Decoder: SocketDecoder };
