/**
 * One packet: its type, one character, and its data (protocol.md section 3).
 *
 * A message is always of type `4` here, text or bytes; `j` and `b` are only ways to write it down.
 */
import { LocalProtocolError, attempt, check } from "../errors.js";
import { decodeBase64, encodeBase64 } from "./base64.js";

/** @typedef {string | Uint8Array} Data */
/** @typedef {{type: string, data: Data}} Packet */

/** Half of a character. */
const LONE_SURROGATE = /\p{Cs}/u;

/** Joins packets to a payload. */
export const SEPARATOR = "\x1e";

/**
 * A packet; without data, an empty one.
 * @param {string} type
 * @param {Data} [data]
 * @returns {Packet}
 */
export const packet = (type, data = "") => ({ type, data });

/**
 * @param {string} text
 * @param {unknown} [isPlain] For a plain peer.
 * @throws {LocalProtocolError} A surrogate without its partner, that no encoding can carry, or U+001E for a plain peer.
 */
export const checkText = (text, isPlain) => {
  if (LONE_SURROGATE.test(text) || (isPlain && text.includes(SEPARATOR))) throw new LocalProtocolError("surrogate or U+001E");
};

/**
 * @param {string} text Of a message.
 * @param {boolean} [plain] Towards a plain peer, that does not know `j`.
 * @returns {string}
 */
export const encodeText = (text, plain) => (!plain && /[\x1e\r\n]/.test(text) ? "j" + JSON.stringify(text) : "4" + text);

/**
 * @param {Data} data
 * @param {boolean} [plain] Towards a plain peer.
 * @returns {string}
 */
export const encodeMessage = (data, plain) => (typeof data == "string" ? encodeText(data, plain) : "b" + encodeBase64(data));

/**
 * @param {Packet} packet
 * @param {boolean} [plain] Towards a plain peer.
 * @returns {string}
 * @throws {LocalProtocolError} The text cannot be carried.
 */
export const encodePacket = ({ type, data }, plain) => {
  if (typeof data == "string") checkText(data);
  return type == "4" ? encodeMessage(data, plain) : type + data;
};

/**
 * @param {string} text
 * @returns {any}
 * @throws {import("../errors.js").RemoteProtocolError}
 */
export const parseJson = (text) => attempt(() => JSON.parse(text));

/**
 * @param {string} text
 * @param {boolean} [plain] From a plain peer, that does not know `j`, `7`, `8` and `9`.
 * @returns {Packet}
 * @throws {import("../errors.js").RemoteProtocolError} The type is unknown, or its data are not what the type asks for.
 */
export const decodePacket = (text, plain) =>
  text[0] == "b" ? packet("4", decodeBase64(text.slice(1))) : decodeTextPacket(text, plain);

/**
 * As `decodePacket`, where bytes come as they are: on a WebSocket.
 * @param {string} text
 * @param {boolean} [plain]
 * @returns {Packet}
 * @throws {import("../errors.js").RemoteProtocolError}
 */
export const decodeTextPacket = (text, plain) => {
  const type = text[0];
  const data = text.slice(1);
  if (type == "j" && !plain) {
    const value = parseJson(data);
    check(typeof value == "string" && !LONE_SURROGATE.test(value));
    return packet("4", value);
  }
  check((plain ? /[0-6]/ : /\d/).test(type));
  if (type > "7") decodeNumber(data, +type - 8);
  return packet(type, data);
};

/**
 * @param {any} value From JSON.
 * @param {number} [least]
 * @returns {number}
 * @throws {import("../errors.js").RemoteProtocolError} Not an integer from `least` to 2^53 - 1.
 */
export const checkNumber = (value, least = 0) => {
  check(Number.isSafeInteger(value) && value >= least);
  return value;
};

/**
 * @param {any} text Decimal digits, without a sign or a leading zero.
 * @param {number} [least]
 * @returns {number}
 * @throws {import("../errors.js").RemoteProtocolError} As `checkNumber`.
 */
export const decodeNumber = (text, least) => {
  check("" + checkNumber(+text, least) == text);
  return +text;
};

/**
 * @param {string} text
 * @returns {Record<string, any>} Whoever reads a key checks it.
 * @throws {import("../errors.js").RemoteProtocolError}
 */
export const decodeObject = (text) => {
  const value = parseJson(text);
  check(isObject(value));
  return value;
};

/**
 * @param {unknown} value
 * @returns {value is Record<string, any>}
 */
export const isObject = (value) => !!value && typeof value == "object" && !Array.isArray(value);
