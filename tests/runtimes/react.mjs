// The hooks in React 18's StrictMode, with a real server, whose URL is the argument. Prints one JSON object.

import { Window } from "happy-dom";

const window = new Window();
Object.assign(globalThis, { window, document: window.document });
globalThis.navigator ??= window.navigator;
const { StrictMode, createElement, useState, version } = await import("react");
const { createRoot } = await import("react-dom/client");
const { renderToString } = await import("react-dom/server");
const { useEvent, useSocket } = await import("holdfast-client/react");

const url = process.argv[2];
const seen = { version: version.split(".")[0], welcomes: [], echoes: [], sockets: new Set() };
const wakers = new Set();
/** As soon as something is true: everything that happens looks again. */
const until = (condition) =>
  new Promise((resolve) => {
    const look = () => condition() && wakers.delete(look) && resolve();
    wakers.add(look);
    look();
  });
const note = (list, value) => {
  list.push(value);
  for (const look of [...wakers]) look();
};

let setName;
const Chat = () => {
  const [name, set] = useState("first");
  setName = set;
  const socket = useSocket(url, { transports: ["stream"], auth: { name }, closeDelayMs: 50 });
  seen.sockets.add(socket);
  useEvent(socket, "welcome", (namespace, auth) => note(seen.welcomes, auth.name));
  useEvent(socket, "echo", (text) => note(seen.echoes, text));
  return createElement("p", null, socket.nsp);
};
const app = createElement(StrictMode, null, createElement(Chat));
const reasons = async (name) => (await fetch(`${url}/reasons?name=${name}`)).json();
const ended = async (name) => {
  for (;;) {
    const found = await reasons(name);
    if (found.length) return found;
  }
};

seen.html = renderToString(createElement(Chat));
const container = document.createElement("div");
const root = createRoot(container);
root.render(app);
await until(() => seen.welcomes.length == 1);
const [first] = [...seen.sockets].filter(({ connected }) => connected);
first.emit("echo", "one");
await until(() => seen.echoes.length == 1);
setName("second");
await until(() => seen.welcomes.length == 2);
seen.first = await ended("first");
root.unmount();
seen.second = await ended("second");
const again = createRoot(container);
again.render(app);
await until(() => seen.welcomes.length == 3);
console.log(JSON.stringify({ ...seen, sockets: undefined }));
process.exit();
