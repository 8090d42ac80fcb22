/**
 * What docs/moving-from-socket.io-client.md says is here, is here. (That it names everything is tests/clients/test_moving_page.py.)
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import * as compat from "../compat.js";
import * as main from "../index.js";
import { World } from "./world.js";

const PAGE = readFileSync(new URL("../../docs/moving-from-socket.io-client.md", import.meta.url), "utf8");

/** Names under a heading, with one of these verdicts. */
const named = (heading, ...verdicts) => {
  const section = PAGE.split(`\n### ${heading}\n`)[1].split("\n#")[0];
  return [...section.matchAll(/^\| (`.*?) \| (.*?) \|/gm)]
    .filter(([, , verdict]) => verdicts.includes(verdict))
    .flatMap(([, names]) => [...names.matchAll(/`(.*?)`/g)].map(([, name]) => name))
    .filter((name) => name != "constructor");
};

/** @returns {string[]} What is missing. */
const missing = (object, names) => names.filter((name) => !(name in object) && !(name in object.constructor));

for (const [entry, library, verdicts] of [["holdfast-client", main, ["same"]], ["holdfast-client/compat", compat, ["same", "compat"]]]) {
  test(`${entry} has what the page says`, () => {
    const world = new World();
    const socket = library.io("http://server.test", { ...world.options, forceNew: true });
    const { io } = socket;
    const listeners = named("Listeners, of sockets, managers and engines", ...verdicts);
    assert.deepEqual(missing(socket, [...named("Socket", ...verdicts), ...listeners]), []);
    assert.deepEqual(missing(io, [...named("Manager", ...verdicts), ...listeners.filter((name) => name != "emit")]), []);
    assert.deepEqual(missing(io.engine, [...named("Engine (`socket.io.engine`)", ...verdicts), ...listeners.filter((name) => name != "emit")]), []);
    const types = ["ManagerOptions", "SocketOptions", "ManagerReservedEvents", "SocketReservedEvents", "DisconnectDescription", "ExtendedError"];
    assert.deepEqual(named("Exports", ...verdicts).filter((name) => !(name in library) && !types.includes(name)), []);
    socket.disconnect();
  });
}

test("what the types declare is there", () => {
  const types = readFileSync(new URL("../compat.types.d.ts", import.meta.url), "utf8");
  const world = new World();
  const socket = compat.io("http://server.test", { ...world.options, forceNew: true });
  const members = (start) => {
    const body = types.slice(types.indexOf(start)).split("\n}")[0];
    return [...body.matchAll(/^ {2}(?:readonly |get )?(\w+)(?:<.*?>)?[?]?[(:]/gm)].map(([, name]) => name).filter((name) => name != "constructor");
  };
  const listeners = members("interface Listeners<");
  assert.ok(listeners.length == 9 && members("export declare class Socket<").length > 25);
  assert.deepEqual(missing(socket, [...members("export declare class Socket<"), ...listeners]), []);
  assert.deepEqual(missing(socket.io, [...members("export declare class Manager<"), ...listeners]), []);
  assert.deepEqual(missing(socket.io.engine, [...members("export interface Engine extends"), ...listeners]), []);
  socket.disconnect();
});
