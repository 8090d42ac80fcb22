/**
 * What TypeScript says of the hooks, and of the WebSocket alone. Compiled by `npm run check`, never run.
 */
import { useState } from "react";
import type { Socket } from "../index.js";
import { createUseSocket, useEvent, useSocket, useStatus } from "../react.js";
import { Manager, Socket as AloneSocket, connect, io } from "../websocket.js";

interface ServerToClient {
  line: (text: string, at?: number) => void;
  question: (text: string, answer: (reply: number) => void) => void;
}
interface ClientToServer {
  say: (text: string, done: (isSaid: boolean) => void) => void;
}
type Typed = Socket<ServerToClient, ClientToServer>;

export const Chat = (props: { socket: Typed | null | undefined }): string => {
  const socket = useSocket<ServerToClient, ClientToServer>("/chat", { auth: { token: "t" }, closeDelayMs: 5 });
  socket satisfies Typed;
  const annotated: Typed = useSocket("/chat");
  const [lines, setLines] = useState<string[]>([]);
  useEvent(socket, "line", (line) => setLines((lines) => [...lines, line satisfies string]));
  useEvent(socket, "line", (line, at) => [line, at satisfies number | undefined]);
  useEvent(socket, "question", (text, answer) => answer(text.length));
  useEvent(annotated, "connect", () => {});
  useEvent(annotated, "disconnect", (reason, details) => [reason satisfies string, details?.unconfirmed.length]);
  useEvent(props.socket, "connect_error", (error) => [error.message satisfies string, error.data]);
  useEvent(null, "anything", () => {});
  // @ts-expect-error There is no such event.
  useEvent(socket, "nothing", () => {});
  // @ts-expect-error A string.
  useEvent(socket, "line", (line: number) => line);
  // @ts-expect-error An answer is a number.
  useEvent(socket, "question", (text, answer) => answer(text));
  // @ts-expect-error There is no such event to emit.
  socket.emit("line", "x");
  // @ts-expect-error There is no such option.
  useSocket<ServerToClient, ClientToServer>("/chat", { closeDelay: 5 });
  useStatus(socket) satisfies "connecting" | "connected" | "stalled" | "recovering" | "offline" | "closed";
  return useStatus(annotated) + lines.length;
};

const useAlone = createUseSocket(Manager);
export const Untyped = (): string => {
  const socket = useAlone("/chat");
  socket satisfies Socket;
  useEvent(socket, "line", (line: string) => line);
  useEvent(socket, "whatever", (a, b) => [a.b, b.c]);
  const typed = useAlone<ServerToClient, ClientToServer>();
  useEvent(typed, "line", (line) => line satisfies string);
  return useStatus(socket);
};

const alone = io<ServerToClient, ClientToServer>("https://server.test", { timeout: 5 });
alone satisfies AloneSocket<ServerToClient, ClientToServer> satisfies Typed;
alone.on("line", (text) => text satisfies string);
(await alone.emitWithAck("say", "x")) satisfies boolean;
// @ts-expect-error There is no such event.
alone.on("nothing", () => {});
const annotated: Typed = connect({ forceNew: true });
annotated.emit("say", "x", (isSaid) => isSaid satisfies boolean);
const untyped: Socket = io();
untyped.emit("anything", 1);
new Manager("https://server.test").socket<ServerToClient, ClientToServer>("/") satisfies Typed;
