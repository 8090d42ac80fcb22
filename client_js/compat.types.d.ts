/**
 * What `holdfast-client/compat` is to TypeScript: typed events, as applications of socket.io-client have them.
 *
 * Written by hand, because the classes are generic here and their members come from constructors there. The build copies
 * it to `dist/types/compat.d.ts`.
 */
import type { Manager as OwnManager, Socket as OwnSocket } from "./index.js";

export { AbortError, DisconnectedError, EventError, HoldfastError, TimeoutError } from "./index.js";

type Listener = (...args: any[]) => void;
/** Name -> listener. */
type EventsMap = Record<string, any>;
type DefaultEvents = Record<string, Listener>;
type Names<Map> = keyof Map & string;
type Arguments<Map, Name extends keyof Map> = Map[Name] extends (...args: infer Args) => any ? Args : any[];
/** The listener of a name: of the library's own names, or the application's. */
type ListenerOf<Own, Map, Name> = Name extends keyof Own ? Own[Name] : Name extends keyof Map ? Map[Name] : Listener;
type LastOf<List extends any[]> = List extends [...any[], infer Last] ? Last : any;
type WithoutLast<List extends any[]> = List extends [...infer Rest, any] ? Rest : any[];
/** What comes first, after the error if there is a time limit. */
type AnswerOf<Ack> = Ack extends (...args: infer Args) => any
  ? Args extends [Error | null, infer Answer, ...any[]]
    ? Answer
    : Args extends [infer Answer, ...any[]]
      ? Answer
      : any
  : any;
/** With a time limit, an acknowledgement's first argument is an error or null. */
type WithError<List extends any[]> = {
  [Index in keyof List]: List[Index] extends (...args: infer Args) => infer Result ? (error: Error | null, ...args: Args) => Result : List[Index];
};
export type DecorateAcknowledgements<Map> = {
  [Name in keyof Map]: Map[Name] extends (...args: infer Args) => infer Result ? (...args: WithError<Args>) => Result : Map[Name];
};

/** The same listeners under each of their names. */
interface Listeners<Own, Map> {
  on<Name extends Names<Own> | Names<Map>>(name: Name, listener: ListenerOf<Own, Map, Name>, options?: { signal?: AbortSignal }): this;
  once<Name extends Names<Own> | Names<Map>>(name: Name, listener: ListenerOf<Own, Map, Name>, options?: { signal?: AbortSignal }): this;
  addEventListener<Name extends Names<Own> | Names<Map>>(name: Name, listener: ListenerOf<Own, Map, Name>, options?: { signal?: AbortSignal }): this;
  off<Name extends Names<Own> | Names<Map>>(name?: Name, listener?: ListenerOf<Own, Map, Name>): this;
  removeListener<Name extends Names<Own> | Names<Map>>(name?: Name, listener?: ListenerOf<Own, Map, Name>): this;
  removeEventListener<Name extends Names<Own> | Names<Map>>(name?: Name, listener?: ListenerOf<Own, Map, Name>): this;
  removeAllListeners<Name extends Names<Own> | Names<Map>>(name?: Name): this;
  listeners<Name extends Names<Own> | Names<Map>>(name: Name): ListenerOf<Own, Map, Name>[];
  hasListeners<Name extends Names<Own> | Names<Map>>(name: Name): boolean;
}

export type DisconnectDescription = { description?: Error; unconfirmed?: any[]; context?: unknown };
export interface ExtendedError extends Error {
  data?: any;
}

export interface SocketReservedEvents {
  connect: () => void;
  connect_error: (error: ExtendedError) => void;
  disconnect: (reason: Socket.DisconnectReason, description?: DisconnectDescription) => void;
}

export interface ManagerReservedEvents {
  open: () => void;
  error: (error: Error) => void;
  ping: () => void;
  packet: (packet: Packet) => void;
  close: (reason: string, description?: DisconnectDescription) => void;
  reconnect_failed: () => void;
  reconnect_attempt: (attempt: number) => void;
  reconnect_error: (error: Error) => void;
  reconnect: (attempt: number) => void;
  transport: (change: { from: string | null; to: string; reason: string }) => void;
  status: (status: OwnManager["status"]) => void;
}

/** A packet of Socket.IO. */
export interface Packet {
  type: number;
  nsp: string;
  data?: any;
  id?: number;
}

export interface EnginePacket {
  type: string;
  data?: any;
}

export interface EngineEvents {
  open: () => void;
  handshake: (data: { sid: string; upgrades: string[]; pingInterval: number; pingTimeout: number; maxPayload: number }) => void;
  packet: (packet: EnginePacket) => void;
  packetCreate: (packet: EnginePacket) => void;
  data: (data: any) => void;
  message: (data: any) => void;
  drain: () => void;
  flush: () => void;
  heartbeat: () => void;
  ping: () => void;
  pong: () => void;
  error: (error: Error) => void;
  upgrading: (transport: { name: string }) => void;
  upgrade: (transport: { name: string }) => void;
  close: (reason: string, description?: DisconnectDescription) => void;
  transport: (change: { from: string | null; to: string; reason: string }) => void;
}

export interface Engine extends Listeners<EngineEvents, {}> {
  id: string;
  readonly transport: { name: string };
  readonly readyState: "opening" | "open" | "closed";
  readonly writable: boolean;
  readonly writeBuffer: EnginePacket[];
  binaryType: "arraybuffer" | "nodebuffer";
  send(data: string | Uint8Array | ArrayBuffer, options?: object, done?: () => void): this;
  write(data: string | Uint8Array | ArrayBuffer, options?: object, done?: () => void): this;
  close(): void;
}

export interface SocketOptions {
  auth?: Record<string, any> | ((done: (data: object) => void) => void) | (() => object | Promise<object>);
  retries?: number;
  ackTimeout?: number;
}

type OwnOptions = NonNullable<ConstructorParameters<typeof OwnManager>[1]>;

/** Those of the client, and those of socket.io-client; what the latter mean here is in docs/moving-from-socket.io-client.md. */
export interface ManagerOptions extends Omit<OwnOptions, "transports" | "timeout" | "query" | "auth"> {
  transports?: string[];
  transportImplementations?: string[];
  timeout?: number | false;
  query?: Record<string, any> | string;
  upgrade?: boolean;
  rememberUpgrade?: boolean;
  tryAllTransports?: boolean;
  protocols?: string | string[];
  parser?: any;
  transportOptions?: Record<string, any>;
  closeOnBeforeunload?: boolean;
  forceBase64?: boolean;
  timestampRequests?: boolean;
  timestampParam?: string;
  requestTimeout?: number;
  useNativeTimers?: boolean;
  autoUnref?: boolean;
  perMessageDeflate?: any;
}

export declare class Manager<Listen extends EventsMap = DefaultEvents, Emit extends EventsMap = Listen> {
  constructor(opts?: Partial<ManagerOptions>);
  constructor(url?: string, opts?: Partial<ManagerOptions>);
  readonly opts: Partial<ManagerOptions>;
  readonly engine: Engine;
  readonly status: OwnManager["status"];
  readonly transport: OwnManager["transport"];
  readonly rtt: OwnManager["rtt"];
  inspect: OwnManager["inspect"];
  socket(nsp: string, opts?: Partial<SocketOptions>): Socket<Listen, Emit>;
  open(done?: (error?: Error) => void): this;
  connect(done?: (error?: Error) => void): this;
  close(): void;
  reconnection(): boolean;
  reconnection(value: boolean): this;
  reconnectionAttempts(): number;
  reconnectionAttempts(value: number): this;
  reconnectionDelay(): number;
  reconnectionDelay(value: number): this;
  reconnectionDelayMax(): number;
  reconnectionDelayMax(value: number): this;
  randomizationFactor(): number;
  randomizationFactor(value: number): this;
  timeout(): number | boolean;
  timeout(value: number | boolean): this;
}
export interface Manager<Listen, Emit> extends Listeners<ManagerReservedEvents, {}> {}

export declare class Socket<Listen extends EventsMap = DefaultEvents, Emit extends EventsMap = Listen> {
  constructor(io: Manager<any, any>, nsp: string, opts?: Partial<SocketOptions>);
  readonly io: Manager<Listen, Emit>;
  readonly nsp: string;
  id: string | undefined;
  connected: boolean;
  readonly disconnected: boolean;
  readonly active: boolean;
  recovered: boolean;
  auth: SocketOptions["auth"];
  sendBuffer: OwnSocket["sendBuffer"];
  connect(): this;
  open(): this;
  disconnect(): this;
  close(): this;
  send(...args: any[]): this;
  emit<Name extends Names<Emit>>(name: Name, ...args: Arguments<Emit, Name>): this;
  emitWithAck<Name extends Names<Emit>>(name: Name, ...args: WithoutLast<Arguments<Emit, Name>>): Promise<AnswerOf<LastOf<Arguments<Emit, Name>>>>;
  compress(compress: boolean): this;
  timeout(timeout: number): Socket<Listen, DecorateAcknowledgements<Emit>>;
  signal(signal: AbortSignal): Socket<Listen, DecorateAcknowledgements<Emit>>;
  get volatile(): this;
  onAny(listener: Listener): this;
  prependAny(listener: Listener): this;
  offAny(listener?: Listener): this;
  listenersAny(): Listener[];
  onAnyOutgoing(listener: Listener): this;
  prependAnyOutgoing(listener: Listener): this;
  offAnyOutgoing(listener?: Listener): this;
  listenersAnyOutgoing(): Listener[];
}
export interface Socket<Listen, Emit> extends Listeners<SocketReservedEvents, Listen> {}
export declare namespace Socket {
  type DisconnectReason = "io server disconnect" | "io client disconnect" | "ping timeout" | "transport close" | "transport error" | "parse error" | "forced close";
}

interface Lookup {
  <Listen extends EventsMap = DefaultEvents, Emit extends EventsMap = Listen>(opts?: Partial<ManagerOptions & SocketOptions>): Socket<Listen, Emit>;
  <Listen extends EventsMap = DefaultEvents, Emit extends EventsMap = Listen>(url?: string, opts?: Partial<ManagerOptions & SocketOptions>): Socket<Listen, Emit>;
  Manager: typeof Manager;
  Socket: typeof Socket;
  protocol: number;
  io: Lookup;
  connect: Lookup;
}
export declare const io: Lookup;
export { io as connect, io as lookup, io as default };
export declare const protocol: number;
export declare const Fetch: string;
export declare const XHR: string;
export declare const NodeXHR: string;
export declare const WebSocket: string;
export declare const NodeWebSocket: string;
export declare const WebTransport: string;
