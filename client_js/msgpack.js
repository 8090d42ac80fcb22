/**
 * The codec of `io({ codec: msgpack })`: bytes stay bytes, and numbers and dates stay what they are.
 *
 * It is asked for when the session is opened; a holdfast server that does not have it goes on in JSON. A standard server is
 * spoken to in msgpack whatever it expects: it needs socket.io-msgpack-parser.
 */
import { MsgpackDecoder, encodeMsgpack } from "./wire/msgpack.js";

/** @type {import("./wire/socketio.js").Codec} */
export const msgpack = { name: "msgpack", encode: encodeMsgpack, Decoder: MsgpackDecoder };
