/**
 * Bytes as base64 (RFC 4648 section 4), as packets of type `b` carry them.
 */
import { RemoteProtocolError } from "../errors.js";

/** As many arguments as every engine takes in one call. */
const CHUNK = 8192;

/**
 * @param {Uint8Array} bytes
 * @returns {string}
 */
export const encodeBase64 = (bytes) => {
  let text = "";
  for (let i = 0; i < bytes.length; i += CHUNK) {
    text += String.fromCharCode(...bytes.subarray(i, i + CHUNK));
  }
  return btoa(text);
};

/**
 * @param {string} text
 * @returns {Uint8Array}
 * @throws {RemoteProtocolError} `text` is not base64 with its padding.
 */
export const decodeBase64 = (text) => {
  // `atob` alone would let white space and missing padding pass.
  if (text.length % 4 || /[^\w+/=]|_/.test(text)) throw new RemoteProtocolError("bad base64");
  try {
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch (error) {
    throw new RemoteProtocolError("bad base64", { cause: error });
  }
};
