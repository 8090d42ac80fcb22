/**
 * What a TypeScript application sees. Compiled by `npm run check`, never run.
 */
import { AbortError, DisconnectedError, Manager, Socket, TimeoutError, io } from "../index.js";
import { openSession } from "../opensession.js";
import { HoldfastSocket } from "../holdfastsocket.js";
import { readByXhr } from "../transports/xhr.js";
import { eventsOf } from "../events.js";

const socket = io("https://server.test", { transports: ["websocket", "polling"], auth: () => ({ token: "t" }) });
socket
  .on("connect", () => {})
  .on("disconnect", (reason, details) => [reason satisfies string, details?.unconfirmed satisfies unknown[] | undefined])
  .on("connect_error", (error) => [error.message satisfies string, error.data])
  .on("chat", (text: string, at: number) => [text, at]);
socket.on("chat", (text: string) => text, { signal: AbortSignal.abort() });
socket.io.on("transport", ({ to }) => to satisfies string).on("reconnect_attempt", (attempt) => attempt satisfies number);
// @ts-expect-error There is no such thing to read.
socket.on("disconnect", (reason, details) => details.nonsense);
// @ts-expect-error
socket.on("connect_error", (error) => error.nonsense);
// @ts-expect-error A string.
socket.io.on("transport", ({ to }) => to satisfies number);
// @ts-expect-error There is no such event.
socket.io.on("transprot", () => {});
// @ts-expect-error There is no such transport.
io("https://server.test", { transports: ["webtransport"] });

const session = openSession("https://server.test", { readStream: readByXhr });
session.send("text");
session.send(new Uint8Array(1));
session.send(new ArrayBuffer(1));
session.on("message", (message) => message satisfies string | Uint8Array);
for await (const message of session) message satisfies string | Uint8Array;
// @ts-expect-error Neither text nor bytes.
session.send(5);

const shaped = new HoldfastSocket("/stomp", ["v12.stomp"], { transports: ["polling"] });
shaped satisfies Pick<WebSocket, "url" | "protocol" | "readyState" | "bufferedAmount" | "binaryType" | "extensions" | "close" | "addEventListener">;
shaped satisfies Pick<WebSocket, "onopen" | "onmessage" | "onerror" | "onclose" | "CONNECTING" | "OPEN" | "CLOSING" | "CLOSED">;
shaped.onmessage = ({ data }) => data;
shaped.send(new Blob(["x"]));
shaped.send(new Uint8Array(1));
HoldfastSocket.OPEN satisfies number;
// @ts-expect-error Nothing that can be sent.
shaped.send({});

// A program for socket.io-client's main entry, after its import was changed.
interface ServerToClient {
  noArg: () => void;
  basic: (a: number, b: string, c: Uint8Array) => void;
  withAck: (d: string, callback: (e: number) => void) => void;
}
interface ClientToServer {
  hello: () => void;
  question: (value: string, answer: (reply: number) => void) => void;
}

const typed: Socket<ServerToClient, ClientToServer> = io("https://server.test", { auth: (done) => done({ token: "t" }) });
typed.on("connect", () => typed.id?.length);
typed.on("disconnect", (reason, details) => [reason satisfies string, details?.description]);
typed.on("connect_error", (error) => [error.message, error.data]);
typed.on("noArg", () => {}).on("basic", (a, b, c) => [a satisfies number, b satisfies string, c satisfies Uint8Array]);
typed.once("withAck", (d, callback) => callback(d.length));
typed.on("basic", (a) => a, { signal: AbortSignal.abort() });
typed.off("noArg").off();
// @ts-expect-error There is no such event.
typed.on("nothing", () => {});
// @ts-expect-error A string comes second.
typed.on("basic", (a: number, b: number) => [a, b]);
typed.emit("hello").emit("question", "a", (reply) => reply satisfies number);
typed.timeout(1000).emit("question", "a", (error, reply) => [error, reply satisfies number]);
typed.signal(AbortSignal.abort()).emit("question", "a", (error, reply) => [error, reply satisfies number]);
typed.volatile.emit("hello");
(await typed.emitWithAck("question", "a")) satisfies number;
(await typed.timeout(1000).emitWithAck("question", "a")) satisfies number;
(await typed.timeout(1000).signal(AbortSignal.abort()).emitWithAck("question", "a")) satisfies number;
// @ts-expect-error There is no such event.
typed.emit("basic", 1, "2", new Uint8Array());
// @ts-expect-error A string.
typed.emit("question", 5, () => {});
// @ts-expect-error A string.
typed.emitWithAck("question", 5);
// @ts-expect-error An answer is a number.
(await typed.emitWithAck("question", "a")) satisfies string;
for await (const [a, b] of eventsOf(typed, "basic", { signal: AbortSignal.abort(), limit: 5 })) [a satisfies number, b satisfies string];
for await (const [reason] of eventsOf(typed, "disconnect")) reason satisfies string;
// @ts-expect-error There is no such event.
eventsOf(typed, "nothing");

const echoing: Socket<ClientToServer> = io();
echoing.on("question", (value, answer) => answer(value.length)).emit("hello");
const generic = io<ServerToClient, ClientToServer>();
generic satisfies Socket<ServerToClient, ClientToServer>;
const untyped: Socket = io("/chat");
untyped.on("anything", (a: string, b: number) => [a, b]).emit("anything", 1, "b", () => {});
(await untyped.emitWithAck("anything", 1)).anything;
for await (const [a] of eventsOf(untyped, "anything")) a.anything;
const admin: Socket<ServerToClient, ClientToServer> = new Manager("https://server.test").socket("/admin", { auth: { a: 1 } });
admin.io.socket("/other").emit("anything");
const keep = (socket: Socket<any, any>) => socket.emit("anything", 1);
keep(typed).connect();
keep(untyped);
try {
  await typed.timeout(5).emitWithAck("question", "a");
} catch (error) {
  if (error instanceof TimeoutError || error instanceof AbortError || error instanceof DisconnectedError) {
    error.delivery satisfies "not delivered" | "unknown";
    // @ts-expect-error There are two.
    error.delivery == "delivered";
  }
}
