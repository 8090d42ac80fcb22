/**
 * Socket.IO 5 packets with binary attachments
 * (https://socket.io/docs/v4/socket-io-protocol/#packet-encoding).
 */
import { LocalProtocolError, RemoteProtocolError } from "../errors.js";

/** @typedef {import("./packet.js").Data} Data */
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

/**
 * @param {any} value
 * @returns {Uint8Array | undefined} The bytes, if it is a kind of them.
 */
const toBytes = (value) =>
  value instanceof ArrayBuffer
    ? new Uint8Array(value)
    : ArrayBuffer.isView(value)
      ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
      : undefined;

/**
 * @param {SocketPacket} packet
 * @returns {Data[]} The text, then its attachments: messages to be sent one after another.
 * @throws {LocalProtocolError} A lone surrogate, or more than ten attachments.
 */
export const encodeSocketPacket = ({ type, nsp, data, id }) => {
  /** @type {Data[]} */
  const out = [""];
  const json =
    data === undefined
      ? ""
      : JSON.stringify(data, function (key, value) {
          // Not `value`: a Buffer has by then become `{type, data}` by its toJSON.
          const bytes = toBytes(this[key]);
          return bytes ? { _placeholder: true, num: out.push(bytes) - 2 } : value;
        });
  const attachments = out.length - 1;
  if (attachments > MAX_ATTACHMENTS) throw new LocalProtocolError("more than 10 attachments");
  // JSON.stringify writes a surrogate as an escape only when it has no partner.
  if (/(^|[^\\])(\\\\)*\\ud[89a-f]/.test(json)) throw new LocalProtocolError("text has a lone surrogate");
  out[0] =
    (attachments ? type + BINARY + (attachments + "-") : "" + type) +
    (nsp == "/" ? "" : nsp + ",") +
    (id ?? "") +
    json;
  return out;
};

/**
 * @param {number} type
 * @param {any} data
 */
const isValid = (type, data) =>
  type == CONNECT
    ? data === undefined || (data && typeof data == "object" && !Array.isArray(data))
    : type == DISCONNECT
      ? data === undefined
      : type == CONNECT_ERROR
        ? typeof data == "string" || (data && typeof data == "object")
        : Array.isArray(data) &&
          (type == ACK || typeof data[0] == "number" || (typeof data[0] == "string" && !RESERVED.includes(data[0])));

/** Puts packets together again whose attachments come after them. */
export class SocketDecoder {
  /** @type {{type: number, nsp: string, id?: number, json: string, count: number} | undefined} */
  #waiting;
  /** @type {Uint8Array[]} */
  #attachments = [];

  /**
   * @param {Data} message
   * @returns {SocketPacket | undefined} The packet, once it is complete.
   * @throws {RemoteProtocolError}
   */
  decode(message) {
    if (typeof message == "string") {
      if (this.#waiting) throw new RemoteProtocolError("text instead of an attachment");
      const match = /^([0-6])(?:(\d+)-)?(?:(\/[^,]*)(?:,|$))?(\d+)?([^]*)$/.exec(message);
      const binary = match && match[1] > "4";
      const count = +(match?.[2] ?? 0);
      if (!match || binary != (match[2] !== undefined) || count > MAX_ATTACHMENTS || !Number.isSafeInteger(+(match[4] ?? 0))) {
        throw new RemoteProtocolError("bad Socket.IO packet");
      }
      this.#attachments = [];
      this.#waiting = {
        type: +match[1] - (binary ? BINARY : 0),
        nsp: match[3] ?? "/",
        id: match[4] === undefined ? undefined : +match[4],
        json: match[5],
        count,
      };
    } else {
      if (!this.#waiting) throw new RemoteProtocolError("attachment without a packet");
      this.#attachments.push(message);
    }
    if (this.#attachments.length < this.#waiting.count) return undefined;
    const { json, count, ...packet } = this.#waiting;
    this.#waiting = undefined;
    const data = json ? this.#parse(json, count) : undefined;
    if (!isValid(packet.type, data)) throw new RemoteProtocolError("bad Socket.IO data");
    return { ...packet, data };
  }

  /**
   * @param {string} json
   * @param {number} count
   */
  #parse(json, count) {
    try {
      return JSON.parse(json, (_, value) => {
        if (!count || value?._placeholder !== true) return value;
        if (!Number.isInteger(value.num) || value.num < 0 || value.num >= count) throw new Error("bad placeholder");
        return this.#attachments[value.num];
      });
    } catch (error) {
      throw new RemoteProtocolError("bad Socket.IO data", { cause: error });
    }
  }
}
