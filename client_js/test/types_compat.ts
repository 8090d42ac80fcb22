/**
 * A program for socket.io-client, after its import was changed. Compiled by `npm run check`, never run.
 */
import io, { Manager, Socket, connect, io as lookup, protocol, type ManagerOptions, type SocketOptions } from "../compat.types.js";

interface ServerToClient {
  noArg: () => void;
  basic: (a: number, b: string, c: Uint8Array) => void;
  withAck: (d: string, callback: (e: number) => void) => void;
}
interface ClientToServer {
  hello: () => void;
  question: (value: string, answer: (reply: number) => void) => void;
}

const options: Partial<ManagerOptions & SocketOptions> = {
  auth: (done) => done({ token: "t" }),
  reconnectionDelayMax: 10_000,
  transports: ["websocket", "polling"],
  upgrade: false,
  retries: 3,
  ackTimeout: 1000,
  query: { room: "a" },
  extraHeaders: { a: "b" },
  withCredentials: true,
  closeOnBeforeunload: true,
};
const socket: Socket<ServerToClient, ClientToServer> = io("https://server.test", options);
lookup<ServerToClient, ClientToServer>("https://server.test", options) satisfies typeof socket;
connect<ServerToClient, ClientToServer>(options) satisfies typeof socket;

socket.on("connect", () => socket.id?.length);
socket.on("disconnect", (reason, details) => [reason satisfies Socket.DisconnectReason, details?.description]);
socket.on("connect_error", (error) => [error.message, error.data]);
socket.on("noArg", () => {}).on("basic", (a, b, c) => [a satisfies number, b satisfies string, c satisfies Uint8Array]);
socket.once("withAck", (d, callback) => callback(d.length));
socket.on("basic", (a) => a, { signal: AbortSignal.abort() });
socket.off("noArg").removeAllListeners("basic").removeListener();
// @ts-expect-error There is no such event.
socket.on("nothing", () => {});
// @ts-expect-error A string comes second.
socket.on("basic", (a: number, b: number) => [a, b]);

socket.emit("hello");
socket.emit("question", "a", (reply) => reply satisfies number);
socket.timeout(1000).emit("question", "a", (error, reply) => [error, reply satisfies number]);
socket.volatile.compress(true).emit("hello");
(await socket.emitWithAck("question", "a")) satisfies number;
(await socket.timeout(1000).emitWithAck("question", "a")) satisfies number;
(await socket.signal(AbortSignal.abort()).emitWithAck("question", "a")) satisfies number;
// @ts-expect-error There is no such event.
socket.emit("basic", 1, "2", new Uint8Array());
// @ts-expect-error A string.
socket.emit("question", 5, () => {});

socket.onAny((name, ...args) => [name, args]).prependAny(() => {}).offAny().listenersAny().length = 0;
socket.onAnyOutgoing(() => {}).prependAnyOutgoing(() => {}).offAnyOutgoing().listenersAnyOutgoing();
socket.auth = { token: "u" };
socket.connect().disconnect().open().close();
socket.sendBuffer = [];

socket.io.on("status", (status) => status satisfies "connecting" | "connected" | "stalled" | "recovering" | "offline" | "closed");
[socket.io.status satisfies string, socket.io.transport satisfies string, socket.io.rtt satisfies number | undefined];
socket.io.inspect().attempts.map(({ verdict, ms }) => [verdict satisfies string, ms satisfies number]);
const { engine } = socket.io;
engine.once("upgrade", () => engine.transport.name satisfies string);
engine.on("packet", ({ type, data }) => [type, data]).on("drain", () => {}).on("close", (reason) => reason satisfies string);
socket.io.on("reconnect_attempt", (attempt) => attempt satisfies number).on("packet", ({ nsp }) => nsp);
socket.io.reconnectionDelay(5).reconnectionDelayMax(10).reconnectionDelay() satisfies number;
socket.io.timeout(false);

const manager: Manager = new Manager("https://server.test", { autoConnect: false, timeout: 1000 });
const admin = manager.socket("/admin", { auth: { a: 1 } });
admin.emit("anything", 1, "b", () => {});
admin.on("anything", (a: string, b: number) => [a, b]);
(await admin.emitWithAck("anything", 1)) satisfies unknown;
new Manager({ forceNew: true });
[connect(), lookup({ path: "/x" }), io.connect("/y"), protocol satisfies number];
