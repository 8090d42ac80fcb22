import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** From the top down: a module imports from lower layers, or from its own if that is marked. */
const LAYERS = [
  ["compat.js"],
  ["compat/manager.js"],
  ["compat/socket.js", "compat/engine.js", "compat/options.js"],
  ["compat/emitter.js"],
  ["react.js"],
  ["holdfastsocket.js"],
  ["index.js", "websocket.js", "opensession.js", "msgpack.js", "events.js"],
  ["manager.js", "lookup.js"],
  ["socket.js"],
  ["live.js", "single.js"],
  ["poster.js"],
  ["connector.js", "carrier.js", "page.js", "seat.js"],
  ["attempts.js", "alike.js"],
  ["transports/websocket.js", "transports/stream.js", "transports/xhr.js", "transports/polling.js", "transports/post.js"],
  ["transports/http.js"],
  ["options.js", "emitter.js"],
  ["session/posts.js"],
  ["session/session.js"],
  ["session/outbox.js", "session/inbox.js"],
  ["wire/msgpack.js"],
  ["wire/payload.js", "wire/eventstream.js", "wire/socketio.js"],
  ["wire/packet.js"],
  ["wire/base64.js", "wire/kinds.js"],
  ["errors.js"],
];

const layerOf = (name) => LAYERS.findIndex((names) => names.includes(name));

/** What is wrong with a module's imports. */
const violations = (name, source) => {
  const found = [];
  for (const [, target] of source.matchAll(/^(?:import|export)[^"']*?from\s*["']([^"']+)["']/gm)) {
    const other = relative(root, normalize(join(root, dirname(name), target)));
    // The one that an application brings itself, if it has it.
    if (name == "react.js" && target == "react") continue;
    if (!target.startsWith(".")) found.push(`${name} depends on ${target}`);
    else if (!target.endsWith(".js")) found.push(`${name} imports ${target} without .js`);
    else if (layerOf(other) <= layerOf(name)) found.push(`${name} imports ${other} from beside or above`);
  }
  return found;
};

const modules = ["", "wire", "session", "transports", "compat"].flatMap((folder) =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith(".js") && name != "build.js")
    .map((name) => join(folder, name)),
);

test("every module has its layer", () => {
  assert.deepEqual(modules.toSorted(), LAYERS.flat().toSorted());
});

test("imports only go down, and nothing is imported from outside", () => {
  assert.deepEqual(modules.flatMap((name) => violations(name, readFileSync(join(root, name), "utf8"))), []);
});

test("a transport that imports another is seen", () => {
  assert.equal(violations("transports/stream.js", 'import { openPoll } from "./polling.js";').length, 1);
});

test("a session that imports what is above it is seen", () => {
  assert.equal(violations("session/session.js", 'import {\n  Live,\n} from "../live.js";').length, 1);
});

test("a dependency is seen", () => {
  assert.equal(violations("live.js", 'import { readFile } from "node:fs";').length, 1);
});

/** All that a module brings with it. */
const reach = (name, known = new Set()) => {
  if (known.has(name)) return known;
  known.add(name);
  for (const [, target] of readFileSync(join(root, name), "utf8").matchAll(/^(?:import|export)[^"']*?from\s*["']([^"']+)["']/gm)) reach(normalize(join(dirname(name), target)), known);
  return known;
};

test("the manager has no driver of its own, and that of the WebSocket entry brings no other", () => {
  assert.deepEqual([...reach("manager.js")].filter((name) => ["live.js", "single.js", "connector.js"].includes(name)), []);
  const others = ["live.js", "connector.js", "poster.js", "seat.js", "carrier.js", "session/posts.js", "transports/http.js", "transports/post.js", "transports/polling.js", "transports/stream.js"];
  assert.deepEqual([...reach("websocket.js")].filter((name) => others.includes(name)), []);
  assert.ok(others.every((name) => reach("index.js").has(name)));
});

test("the session and the wire know no clock, no timer and no network", () => {
  for (const name of modules.filter((name) => /^(wire|session)\//.test(name))) {
    const source = readFileSync(join(root, name), "utf8").replace(/\/\*[^]*?\*\//g, "");
    assert.doesNotMatch(source, /\b(Date\.now|new Date\(\)|performance|setTimeout|setInterval|fetch|WebSocket|Math\.random|queueMicrotask)/, name);
  }
});
