/**
 * Several packets in one text: a POST body, a poll's response, an event, a WebSocket message.
 */
import { SEPARATOR, decodePacket } from "./packet.js";

/** @typedef {import("./packet.js").Packet} Packet */

/**
 * @param {string} text
 * @returns {number} How many bytes it takes in UTF-8.
 */
export const utf8Length = (text) => new Blob([text]).size;

/**
 * @param {string[]} packets Encoded.
 * @returns {string}
 */
export const joinPayload = (packets) => packets.join(SEPARATOR);

/**
 * @param {string} text
 * @param {boolean} [plain]
 * @returns {Packet[]}
 * @throws {import("../errors.js").RemoteProtocolError} One of the packets is not one.
 */
export const decodePayload = (text, plain) => text.split(SEPARATOR).map((part) => decodePacket(part, plain));
