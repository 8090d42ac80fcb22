/**
 * Bytes as base64 (RFC 4648 section 4), as packets of type `b` carry them.
 */
import { attempt, check } from "../errors.js";

/**
 * @param {Uint8Array} bytes
 * @returns {string}
 */
export const encodeBase64 = (bytes) => btoa(bytes.reduce((text, byte) => text + String.fromCharCode(byte), ""));

/**
 * @param {string} text
 * @returns {Uint8Array}
 * @throws {import("../errors.js").RemoteProtocolError} `text` is not base64 with its padding.
 */
export const decodeBase64 = (text) =>
  attempt(() => {
    // `atob` alone would let white space and missing padding pass.
    check(!(text.length % 4) && !/[^\w+/=]|_/.test(text));
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  });
