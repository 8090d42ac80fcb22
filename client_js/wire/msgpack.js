/**
 * Socket.IO 5 packets as socket.io-msgpack-parser writes them: a map `{type, data, nsp, id?}` in one binary message
 * (https://github.com/msgpack/msgpack/blob/master/spec.md; protocol.md section 9).
 *
 * Extension 0 is how JavaScript's own travel: `undefined` in one byte, a Date in eight, the buffer of a typed array in any
 * number, each with a tag of its own.
 */
import { LocalProtocolError, attempt, check } from "../errors.js";
import { checkNumber, checkText, isObject } from "./packet.js";
import { NAMESPACE, checkNamespace, checkPacket, toBytes } from "./socketio.js";

/** @typedef {import("./packet.js").Data} Data */
/** @typedef {import("./socketio.js").SocketPacket} SocketPacket */

/** How deep arrays and maps may nest, and how many entries each may have. */
const MAX_DEPTH = 64;
const MAX_LENGTH = 65536;

/**
 * @param {unknown} isRight
 * @param {string} what
 */
const demand = (isRight, what) => {
  if (!isRight) throw new LocalProtocolError("msgpack: " + what);
};

/**
 * @param {SocketPacket} packet
 * @returns {Data[]} One message.
 * @throws {LocalProtocolError} A value cannot be carried, or the namespace cannot be written down.
 */
export const encodeMsgpack = ({ type, nsp, data, id }) => {
  checkNamespace(nsp);
  let out = new Uint8Array(256);
  let at = 0;

  /** @param {ArrayLike<number>} bytes */
  const put = (bytes) => {
    const end = at + bytes.length;
    if (end > out.length) {
      const old = out;
      out = new Uint8Array(2 * end);
      out.set(old);
    }
    out.set(bytes, at);
    at = end;
  };

  /**
   * @param {number} tag
   * @param {number} size In bytes.
   * @param {number} value An integer.
   */
  const putInteger = (tag, size, value) => {
    const bytes = [tag];
    while (size--) bytes.push(Math.floor(value / 256 ** size));
    put(bytes);
  };

  /**
   * In as few bytes as it takes.
   * @param {number} value 0 or more.
   * @param {number} limit Below it, it stands in the tag.
   * @param {number} small That tag.
   * @param {number} tag Of one byte; those of two, four and eight follow.
   */
  const putSized = (value, limit, small, tag) => {
    if (value < limit) put([small + value]);
    // Arrays and maps have no length of one byte: their `tag` stands for another thing.
    else if (value < 256 && limit != 16) putInteger(tag, 1, value);
    else if (value < 2 ** 16) putInteger(tag + 1, 2, value);
    else if (value < 2 ** 32) putInteger(tag + 2, 4, value);
    else putInteger(tag + 3, 8, value);
  };

  /** @param {number} value */
  const putNumber = (value) => {
    if (!Number.isSafeInteger(value)) {
      const view = new DataView(new ArrayBuffer(9));
      view.setUint8(0, 0xcb);
      view.setFloat64(1, value);
      put(new Uint8Array(view.buffer));
    } else if (value >= 0) putSized(value, 128, 0, 0xcc);
    else if (value >= -32) put([value]);
    else if (value >= -128) putInteger(0xd0, 1, value);
    else if (value >= -(2 ** 15)) putInteger(0xd1, 2, value);
    else if (value >= -(2 ** 31)) putInteger(0xd2, 4, value);
    else putInteger(0xd3, 8, value);
  };

  /**
   * @param {any[]} items
   * @param {number} small
   * @param {number} tag
   * @param {(item: any) => void} write
   */
  const putAll = (items, small, tag, write) => {
    demand(items.length <= MAX_LENGTH, "too many entries");
    putSized(items.length, 16, small, tag);
    items.forEach(write);
  };

  /**
   * @param {any} value As JSON would have it, where msgpack has no other way.
   * @param {number} depth
   */
  const write = (value, depth) => {
    demand(depth <= MAX_DEPTH, "nested too deeply");
    if (value === undefined || typeof value == "function") put([0xd4, 0, 0]);
    else if (value === null) put([0xc0]);
    else if (typeof value == "boolean") put([value ? 0xc3 : 0xc2]);
    else if (typeof value == "number") putNumber(value);
    else if (typeof value == "string") {
      checkText(value);
      const bytes = new TextEncoder().encode(value);
      putSized(bytes.length, 32, 0xa0, 0xd9);
      put(bytes);
    } else if (value instanceof Date && value >= /** @type {any} */ (-Infinity)) {
      putInteger(0xd7, 1, 0);
      putInteger(Math.floor(+value / 256 ** 7), 7, +value);
    } else {
      demand(typeof value == "object", typeof value);
      const bytes = toBytes(value);
      if (bytes) {
        putSized(bytes.length, 0, 0, 0xc4);
        put(bytes);
      } else if (typeof value.toJSON == "function") write(value.toJSON(), depth);
      else if (Array.isArray(value)) putAll(Array.from(value), 0x90, 0xdb, (item) => write(item, depth + 1));
      else {
        const entries = Object.entries(value).filter(([, item]) => item !== undefined && typeof item != "function");
        putAll(entries, 0x80, 0xdd, ([key, item]) => {
          write(key, depth);
          write(item, depth + 1);
        });
      }
    }
  };

  write({ type, data, nsp, id }, 0);
  return [out.slice(0, at)];
};

/**
 * @param {Uint8Array} bytes
 * @returns {unknown}
 * @throws {Error} Any: it is not msgpack, or not what Socket.IO uses of it.
 */
const decodeValue = (bytes) => {
  let at = 0;

  /** @param {number} length */
  const take = (length) => {
    check(length <= bytes.length - at);
    return bytes.slice(at, (at += length));
  };

  /**
   * @param {number} size In bytes.
   * @param {boolean} [isSigned]
   */
  const integer = (size, isSigned) =>
    take(size).reduce((value, byte) => value * 256 + byte, isSigned && bytes[at - size] > 127 ? -1 : 0);

  /** @param {number} size In bytes. */
  const view = (size) => new DataView(take(size).buffer);

  /** @param {number} length In bytes. */
  const text = (length) => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(take(length));

  /**
   * @template T
   * @param {number} length
   * @param {() => T} item
   * @returns {T[]}
   */
  const list = (length, item) => {
    check(length <= MAX_LENGTH);
    const items = [];
    while (length--) items.push(item());
    return items;
  };

  /**
   * @param {number} tag
   * @param {number} length In bytes.
   */
  const extension = (tag, length) => {
    check(integer(1) == 0);
    if (tag == 0xd7) {
      const date = new Date(integer(8, true));
      check(+date == +date);
      return date;
    }
    const bytes = take(length);
    return tag == 0xd4 ? undefined : bytes;
  };

  /**
   * @param {number} depth
   * @returns {unknown}
   */
  const read = (depth) => {
    check(depth <= MAX_DEPTH);
    const item = () => read(depth + 1);
    const entry = () => {
      const key = read(depth);
      check(typeof key == "string");
      return [key, item()];
    };
    const tag = integer(1);
    if (tag < 0x80) return tag;
    // Not by assignment, which would set the prototype of one that is called so.
    if (tag < 0x90) return Object.fromEntries(list(tag - 0x80, entry));
    if (tag < 0xa0) return list(tag - 0x90, item);
    if (tag < 0xc0) return text(tag - 0xa0);
    if (tag > 0xdf) return tag - 256;
    if (tag == 0xc0) return null;
    check(tag > 0xc1);
    if (tag < 0xc4) return tag == 0xc3;
    if (tag < 0xc7) return take(integer(1 << (tag - 0xc4)));
    if (tag < 0xca) return extension(tag, integer(1 << (tag - 0xc7)));
    if (tag == 0xca) return view(4).getFloat32(0);
    if (tag == 0xcb) return view(8).getFloat64(0);
    if (tag < 0xd0) return integer(1 << (tag - 0xcc));
    if (tag < 0xd4) return integer(1 << (tag - 0xd0), true);
    if (tag < 0xd9) return extension(tag, 1 << (tag - 0xd4));
    if (tag < 0xdc) return text(integer(1 << (tag - 0xd9)));
    if (tag < 0xde) return list(integer(2 << (tag - 0xdc)), item);
    return Object.fromEntries(list(integer(2 << (tag - 0xde)), entry));
  };

  const value = read(0);
  check(at == bytes.length);
  return value;
};

/** Each message is a packet: it keeps nothing between them. */
export class MsgpackDecoder {
  /**
   * @param {Data} message
   * @returns {SocketPacket}
   * @throws {import("../errors.js").RemoteProtocolError} Nothing else, whatever the message is.
   */
  decode(message) {
    check(typeof message != "string");
    const value = attempt(() => decodeValue(message));
    check(isObject(value));
    // Other keys are tolerated: JavaScript's encoder sends its own `options` along.
    const { type, nsp } = value;
    const id = value.id ?? undefined;
    const packet = { type, nsp, id: id === undefined ? id : checkNumber(id), data: value.data ?? undefined };
    check([0, 1, 2, 3, 4].includes(type) && typeof nsp == "string" && NAMESPACE.test(nsp));
    checkPacket(packet);
    return packet;
  }
}
