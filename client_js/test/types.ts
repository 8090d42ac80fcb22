/**
 * What a TypeScript application sees. Compiled by `npm run check`, never run.
 */
import { io, openSession } from "../index.js";

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

const session = openSession("https://server.test");
session.send("text");
session.send(new Uint8Array(1));
session.send(new ArrayBuffer(1));
session.on("message", (message) => message satisfies string | Uint8Array);
for await (const message of session) message satisfies string | Uint8Array;
// @ts-expect-error Neither text nor bytes.
session.send(5);
