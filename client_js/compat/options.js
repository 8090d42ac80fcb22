/**
 * The options of socket.io-client, as the client has them.
 */
import { KINDS, POLLING } from "../wire/kinds.js";
import { SocketDecoder } from "../wire/socketio.js";

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
  const { protocols, transportOptions, parser, WebSocket = globalThis.WebSocket } = given;
  return {
    ...given,
    path: given.path || "/socket.io",
    // Quoted, because `upgrade` is also a name that the build shortens.
    transports: given["upgrade"] === false ? [given.transports?.[0] ?? POLLING] : transports,
    // The codec of a standard server is its own affair; one of holdfast is asked for msgpack, or speaks JSON.
    query: {
      ...(parser && typeof new parser.Encoder().encode({ type: 0, nsp: "/" })[0] != "string" && { codec: "msgpack" }),
      ...Object.fromEntries(new URLSearchParams(given.query ?? inUrl)),
    },
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
 * @param {Parser | undefined} parser
 * @param {(packet: SocketPacket) => void} tell
 */
export const decoderOf = (parser, tell) =>
  class extends SocketDecoder {
    constructor() {
      super();
      const decode = parser ? decodeBy(new parser.Decoder()) : this.decode;
      this.decode = (/** @type {any} */ message) => {
        const packet = decode(message);
        if (packet) tell(packet);
        return packet;
      };
    }
  };

/** @param {InstanceType<Parser["Decoder"]>} decoder */
const decodeBy = (decoder) => {
  /** @type {SocketPacket | undefined} */
  let decoded;
  decoder.on("decoded", (packet) => {
    decoded = packet;
  });
  return (/** @type {any} */ message) => {
    decoded = undefined;
    decoder.add(message);
    return decoded;
  };
};
