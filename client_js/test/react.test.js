/**
 * The hooks, in React's own StrictMode, which renders and mounts everything twice.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import test, { after, before } from "node:test";
import { transform } from "esbuild";
import { Window } from "happy-dom";
import { StrictMode, act, createElement, useState } from "react";
import { json } from "../wire/socketio.js";
import { World } from "./world.js";

let createRoot, renderToString, hydrateRoot, hooks;

before(async () => {
  const window = new Window();
  // React looks for a DOM when it is imported, and the session for a page that it could watch.
  Object.assign(globalThis, { window, document: window.document, IS_REACT_ACT_ENVIRONMENT: true });
  globalThis.navigator ??= window.navigator;
  ({ createRoot, hydrateRoot } = await import("react-dom/client"));
  ({ renderToString } = await import("react-dom/server"));
  hooks = await import("../react.js");
});
after(() => globalThis.window.happyDOM.close());

/** A server of events, and what a component is given to reach it. */
const start = () => {
  const world = new World();
  const heard = [];
  const say = (session, packet) => json.encode(packet).forEach((message) => world.say(session, message));
  const emit = (...data) => [...world.sessions.values()].filter(({ server }) => !server.over).forEach((session) => say(session, { type: 2, nsp: "/", data }));
  world.onMessage = (session, message) => {
    const packet = new json.Decoder().decode(message);
    heard.push(packet);
    if (packet.type == 0) say(session, { type: 0, nsp: packet.nsp, data: { sid: "s" + session.sid } });
  };
  const connects = () => heard.filter(({ type }) => type == 0);
  const open = () => [...world.sessions.values()].filter(({ server }) => !server.over).length;
  return { world, heard, emit, connects, open, options: { ...world.options, transports: ["websocket"] } };
};

const url = "http://server.test";

/** Render in StrictMode; the world goes on inside of React's `act`. */
const mount = async (world, element) => {
  const container = document.createElement("div");
  const root = createRoot(container);
  const advance = (ms) => act(() => world.advance(ms));
  const render = (next) => act(() => root.render(createElement(StrictMode, null, next)));
  await render(element);
  return { container, advance, render, unmount: () => act(() => root.unmount()) };
};

test("a component that is mounted twice has one session, and hears each event once", async () => {
  const { world, emit, connects, options } = start();
  const heard = [];
  const Page = () => {
    const socket = hooks.useSocket(url, { ...options, auth: { token: "t" } });
    hooks.useEvent(socket, "news", (text) => heard.push(text));
    return socket.nsp;
  };
  const { container, advance, unmount } = await mount(world, createElement(Page));
  await advance(2000);
  emit("news", "one");
  await advance(100);
  assert.deepEqual([world.sessions.size, connects(), heard], [1, [{ type: 0, nsp: "/", id: undefined, data: { token: "t" } }], ["one"]]);
  assert.equal(container.textContent, "/");
  await unmount();
});

test("a session ends a moment after the last of its users, and not before", async () => {
  const { world, open, connects, options } = start();
  const Part = ({ nsp = "" }) => hooks.useSocket(url + nsp, options).nsp;
  const App = ({ parts }) => parts.map((nsp, key) => createElement(Part, { key, nsp }));
  const { advance, render, unmount } = await mount(world, createElement(App, { parts: ["", "/chat", "/chat"] }));
  await advance(500);
  assert.deepEqual(connects().map(({ nsp }) => nsp).toSorted(), ["/", "/chat"]);
  assert.equal(world.sessions.size, 1);
  await render(createElement(App, { parts: ["", "/chat"] }));
  await advance(2000);
  await render(createElement(App, { parts: [] }));
  await advance(900);
  assert.equal(open(), 1);
  // Somebody comes before it is over.
  await render(createElement(App, { parts: ["/chat"] }));
  await advance(2000);
  assert.deepEqual([open(), connects().length], [1, 2]);
  await unmount();
  await advance(900);
  assert.equal(open(), 1);
  await advance(200);
  assert.equal(open(), 0);
});

test("what is mounted again after the end connects again", async () => {
  const { world, open, options } = start();
  const heard = [];
  const Part = () => {
    const socket = hooks.useSocket(url, { ...options, closeDelayMs: 0 });
    hooks.useEvent(socket, "connect", () => heard.push("connect"));
    return null;
  };
  for (let round = 1; round < 4; round++) {
    const { advance, unmount } = await mount(world, createElement(Part));
    await advance(500);
    assert.deepEqual([open(), heard.length], [1, round]);
    await unmount();
    await advance(500);
    assert.equal(open(), 0);
  }
});

test("other options are another session, and the first one ends", async () => {
  const { world, heard, open, options } = start();
  const Part = ({ token }) => {
    const socket = hooks.useSocket(url, { ...options, auth: { token } });
    hooks.useEvent(socket, "connect", () => socket.emit("hello", token));
    return null;
  };
  const { advance, render, unmount } = await mount(world, createElement(Part, { token: 1 }));
  await advance(500);
  // The same data in other objects are the same.
  await render(createElement(Part, { token: 1 }));
  await advance(500);
  await render(createElement(Part, { token: 2 }));
  await advance(2000);
  const said = heard.map(({ type, data }) => (type == 0 ? data.token : type == 2 ? data : "bye"));
  assert.deepEqual(said, [1, ["hello", 1], 2, ["hello", 2], "bye"]);
  assert.deepEqual([world.sessions.size, open()], [2, 1]);
  await unmount();
});

test("of a function that says who we are, the latest is asked", async () => {
  const { world, connects, options } = start();
  const Part = ({ token }) => {
    hooks.useSocket(url, { ...options, reconnectionDelay: 100, auth: async () => ({ token }) });
    return null;
  };
  const { advance, render, unmount } = await mount(world, createElement(Part, { token: 1 }));
  await advance(500);
  await render(createElement(Part, { token: 2 }));
  world.sessions.clear();
  world.cut();
  await advance(5000);
  assert.deepEqual(connects().map(({ data }) => data.token), [1, 2]);
  await unmount();
});

test("the latest handler hears, without a gap in which nobody does", async () => {
  const { world, emit, options } = start();
  const heard = [];
  let set;
  let subscribed = 0;
  const Part = () => {
    const [round, setRound] = useState(1);
    set = setRound;
    const socket = hooks.useSocket(url, options);
    const { on } = socket;
    socket.on = (...args) => (subscribed++, on(...args));
    hooks.useEvent(socket, "news", (text) => heard.push([round, text]));
    return null;
  };
  const { advance, unmount } = await mount(world, createElement(Part));
  await advance(500);
  const before = subscribed;
  emit("news", "a");
  await advance(100);
  await act(() => set(2));
  emit("news", "b");
  await advance(100);
  assert.deepEqual([heard, subscribed], [[[1, "a"], [2, "b"]], before]);
  await unmount();
  emit("news", "c");
  await world.advance(100);
  assert.equal(heard.length, 2);
});

const page = new URL("../../docs/client.md", import.meta.url);
// The client is tested outside the repository too, where the page is not.
test("the component of the documentation counts every event of a burst", { skip: !existsSync(page) && "no docs here" }, async () => {
  const { world, options, heard } = start();
  const [, jsx] = readFileSync(page, "utf8").match(/```jsx\n(.*?)```/s);
  const { code } = await transform(jsx.replace(/^import .*/m, ""), { loader: "jsx", jsxFactory: "createElement" });
  const names = { ...hooks, useState, createElement, useSocket: (path, more) => hooks.useSocket(url + path, { ...options, ...more }) };
  const Chat = new Function(...Object.keys(names), `${code}; return Chat;`)(...Object.values(names));
  const { container, advance, unmount } = await mount(world, createElement(Chat, { token: "t" }));
  await advance(500);
  assert.equal(container.textContent, "connected: 0");
  const [session] = world.sessions.values();
  await act(async () => {
    for (const n of [1, 2, 3]) json.encode({ type: 2, nsp: "/chat", data: ["line", n] }).forEach((message) => world.say(session, message));
    await world.advance(100);
  });
  assert.equal(container.textContent, "connected: 3");
  await act(() => container.querySelector("button").click());
  await advance(100);
  assert.deepEqual(heard.at(-1).data, ["line", "hello"]);
  await unmount();
});

test("a component without a socket yet hears nothing and breaks nothing", async () => {
  const Part = () => {
    hooks.useEvent(null, "news", () => {});
    return "here";
  };
  const { container, unmount } = await mount(new World(), createElement(Part));
  assert.equal(container.textContent, "here");
  await unmount();
});

test("what is rendered and thrown away connects nothing", async () => {
  const { world, options } = start();
  const Part = () => hooks.useSocket(url, options).nsp;
  assert.equal(renderToString(createElement(Part)), "/");
  await world.advance(20_000);
  assert.deepEqual([world.sessions.size, world.requests], [0, []]);
});

test("the status is shown as it changes, and a page that was rendered elsewhere begins with the same", async () => {
  const { world, options } = start();
  const shown = [];
  const Part = () => {
    const status = hooks.useStatus(hooks.useSocket(url, { ...options, closeDelayMs: 0 }));
    if (shown.at(-1) != status) shown.push(status);
    return status;
  };
  const html = renderToString(createElement(Part));
  assert.equal(html, "connecting");
  const container = document.createElement("div");
  container.innerHTML = html;
  const errors = [];
  const root = await act(() => hydrateRoot(container, createElement(StrictMode, null, createElement(Part)), { onRecoverableError: (error) => errors.push(error) }));
  await act(() => world.advance(500));
  assert.equal(container.textContent, "connected");
  world.weather.down = true;
  world.cut();
  await act(() => world.advance(500));
  assert.equal(container.textContent, "recovering");
  world.weather.down = false;
  await act(() => world.advance(5000));
  assert.deepEqual([shown, errors], [["connecting", "connected", "recovering", "connected"], []]);
  await act(() => root.unmount());
});

test("sockets without React are not touched by those with it", async () => {
  const { world, options } = start();
  const { io } = await import("../index.js");
  const own = io(url, options);
  const Part = () => hooks.useSocket(url, options).nsp;
  const { advance, unmount } = await mount(world, createElement(Part));
  await advance(500);
  await unmount();
  await advance(3000);
  assert.equal(own.connected, true);
  own.disconnect();
});
