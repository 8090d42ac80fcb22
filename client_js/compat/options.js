/**
 * The options of socket.io-client, as the client has them.
 */
import { KINDS, POLL } from "../wire/kinds.js";
import { json } from "../wire/socketio.js";

/** @typedef {import("../wire/socketio.js").SocketPacket} SocketPacket */
/** @typedef {{Encoder: new () => {encode(packet: any): any[]}, Decoder: new () => {add(message: any): void, on(name: "decoded", take: (packet: any) => void): void}}} Parser */

/**
 * @param {any} WebSocket
 * @param {string | string[]} protocols
 */
const withProtocols = (WebSocket, protocols) =>
  class extends WebSocket {
    /** @type {any} */
    constructor(/** @type {string} */ url, /** @type {unknown} */ _, /** @type {object} */ more) {
      super(url, protocols, more);
    }
  };

/**
 * @param {any} given
 * @param {URLSearchParams} inUrl
 * @returns {any}
 */
export const toOwn = (given, inUrl) => {
  const { transportImplementations, transports = transportImplementations ?? KINDS } = given;
  const { protocols, transportOptions, WebSocket = globalThis.WebSocket } = given;
  return {
    ...given,
    path: given.path || "/socket.io",
    // Quoted, because `upgrade` is also a name that the build shortens.
    transports: given["upgrade"] === false ? [given.transports?.[0] ?? POLL] : transports,
    query: Object.fromEntries(new URLSearchParams(given.query ?? inUrl)),
    extraHeaders: { ...transportOptions?.polling?.extraHeaders, ...transportOptions?.websocket?.extraHeaders, ...given.extraHeaders },
    timeout: given.timeout === false ? Infinity : (given.timeout ?? 20000),
    reconnection: given.reconnection !== false,
    reconnectionAttempts: given.reconnectionAttempts || Infinity,
    reconnectionDelay: given.reconnectionDelay || 1000,
    reconnectionDelayMax: given.reconnectionDelayMax || 5000,
    randomizationFactor: given.randomizationFactor ?? 0.5,
    WebSocket: protocols && WebSocket ? withProtocols(WebSocket, protocols) : WebSocket,
    // Of a socket, not of all that share the session.
    ackTimeout: undefined,
  };
};

/**
 * @param {Parser | undefined} parser One that writes bytes is taken for msgpack's.
 * @param {(packet: SocketPacket) => void} tell Of each packet that comes.
 * @returns {import("../wire/socketio.js").Codec}
 */
export const codecOf = (parser, tell) => {
  const own = parser ? toCodec(parser) : json;
  return {
    ...own,
    Decoder: class {
      constructor() {
        const decoder = new own.Decoder();
        this.decode = (/** @type {any} */ message) => {
          const packet = decoder.decode(message);
          if (packet) tell(packet);
          return packet;
        };
      }
    },
  };
};

/**
 * @param {Parser} parser
 * @returns {import("../wire/socketio.js").Codec}
 */
const toCodec = (parser) => {
  const encoder = new parser.Encoder();
  return {
    name: typeof encoder.encode({ type: 0, nsp: "/" })[0] == "string" ? "json" : "msgpack",
    encode: (packet) => encoder.encode(packet),
    Decoder: class {
      constructor() {
        const decoder = new parser.Decoder();
        /** @type {SocketPacket | undefined} */
        let decoded;
        decoder.on("decoded", (packet) => {
          decoded = packet;
        });
        this.decode = (/** @type {any} */ message) => {
          decoded = undefined;
          decoder.add(message);
          return decoded;
        };
      }
    },
  };
};
