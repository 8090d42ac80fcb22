/**
 * The page about the client names every option, with its default.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import test from "node:test";
import { io } from "../index.js";
import { withDefaults } from "../options.js";
import { World } from "./world.js";

const page = new URL("../../docs/client.md", import.meta.url);
// The client is tested outside the repository too, where the page is not.
const options = { skip: !existsSync(page) && "no docs here" };
const read = (url) => readFileSync(url, "utf8");
const source = (name) => read(new URL(`../${name}`, import.meta.url));

/** The properties of a JSDoc type. */
const properties = (text, type) => {
  const [body] = text.slice(text.indexOf(`@typedef {object} ${type}`)).split("*/");
  return [...body.matchAll(/@property \{.+\} \[?(\w+)\]?/g)].map(([, name]) => name);
};

/** The rows of a table whose first heading is given: names, and what stands in the second column. */
const rows = (heading) => {
  const table = read(page).split(`\n| ${heading} |`)[1].split("\n\n")[0];
  return [...table.matchAll(/^\| (`.+?) \| (.*?) \|/gm)].flatMap(([, names, value]) => [...names.matchAll(/`"?(\w+)"?`/g)].map(([, name]) => [name, value]));
};

test("the page names every option of a session", options, () => {
  const names = ["SessionOptions", "Environment"].flatMap((type) => properties(source("options.js"), type));
  assert.ok(names.length > 20);
  assert.deepEqual(rows("session").map(([name]) => name).toSorted(), names.toSorted());
});

test("the page names every option of events", options, () => {
  assert.deepEqual(rows("events").map(([name]) => name).toSorted(), properties(source("manager.js"), "EventOptions").toSorted());
});

test("the defaults on the page are those of the code", options, () => {
  const defaults = withDefaults();
  const found = Object.fromEntries(rows("session"));
  for (const [name, value] of Object.entries(defaults)) {
    if (typeof value != "function" && value !== undefined) assert.equal(found[name], `\`${JSON.stringify(value).replaceAll(",", ", ")}\``, name);
  }
});

test("the page explains every status", options, () => {
  const [, union] = source("alike.js").match(/@typedef \{(("\w+"[ |]*)+)\} Status/);
  const names = [...union.matchAll(/\w+/g)].map(([name]) => name);
  assert.deepEqual(rows("`status`").map(([name]) => name).toSorted(), names.toSorted());
  assert.equal(names.length, 6);
});

test("the page shows what inspect gives", options, async () => {
  const world = new World();
  const socket = io("http://server.test", { ...world.options, forceNew: true });
  await world.advance(1000);
  const shown = JSON.parse(read(page).match(/```json\n(.*?)```/s)[1]);
  const found = socket.io.inspect();
  assert.deepEqual(Object.keys(shown), Object.keys(found));
  assert.deepEqual(Object.keys(shown.attempts[0]), Object.keys(found.attempts[0]));
  socket.disconnect();
});
