/**
 * The short names of the bundles, and the order in them: whatever a table says, the code does the same.
 */
import assert from "node:assert/strict";
import test from "node:test";
import { SHORT, choose, minifyNamed } from "../naming/naming.js";
import { arrange, findRuns } from "../naming/order.js";
import { classicSize, gzipSize, nodeSize } from "../naming/size.js";

/** As the build does it, with tables. */
const named = (code, names, orders = {}) => {
  let keys;
  let runs;
  const result = minifyNamed(code, { module: true, compress: false, parse: { bare_returns: true } }, {
    rename(all) {
      keys = all.map(({ key }) => key);
      for (const [one, name] of choose(all, names)) one.rename(name);
    },
    reorder(toplevel) {
      const all = findRuns(toplevel);
      runs = Object.fromEntries(all.map(({ key, items }) => [key, items.map((item) => item.key)]));
      arrange(all, orders);
    },
  });
  return { code: result.code, keys, runs };
};
const run = (code) => new Function("outer", code)(7);

const CODE = `
  const first = { inbox$: 1, received: 2 };
  class Session { inbox$ = 3; constructor(add) { this.open$ = (more) => { const sum = add + more + this.inbox$ + first.inbox$; return { sum, inbox$: sum, outer }; }; } }
  const copy = ({ inbox$, sum: total }, { received } = first) => { for (const one of [inbox$, total]) { try { throw one; } catch (error) { received += error; } } return { received, total, outer }; };
  return JSON.stringify([copy(new Session(10).open$(20)), Object.values(new Session(1).open$(2))]);`;

test("a name that is taken where it is wanted is not given", () => {
  const { keys } = named(CODE, {});
  assert.ok(keys.length > 12 && keys.includes(".inbox") && keys.includes("open:sum"));
  for (const name of ["t", "outer", "JSON", "received", "default", "in"]) {
    const { code } = named(CODE, Object.fromEntries(keys.map((key) => [key, name])));
    assert.equal(run(code), run(CODE), code);
  }
});

test("with any table the code does the same", () => {
  const { keys } = named(CODE, {});
  for (let seed = 1; seed < 200; seed++) {
    const table = Object.fromEntries(keys.map((key, index) => [key, SHORT[(seed * (index + 3) * 7919) % 9]]));
    const { code } = named(CODE, table);
    assert.equal(run(code), run(CODE), code);
  }
});

test("a table's names are had, and a pair of one name is written once", () => {
  const { code } = named(CODE, { ".inbox": "a", "open:sum": "a", "open:more": "z" });
  assert.match(code, /z=>/);
  assert.match(code, /\{sum:a,a,outer\}/);
  assert.doesNotMatch(code, /inbox/);
});

const ORDERED = `
  const log = [], start = () => log.push("start") + later(), later = () => BASE * 2, BASE = 4, list = [BASE, later], table = { [BASE]: later };
  const value = start(), more = () => value + BASE, twice = () => more() + list.length, last = BASE;
  class First { name = "First"; more = more() }
  class Second extends First { constructor() { super(); this.add = () => this.sum(), this.sum = this.total = () => value + last, this.at = this.sum(), this.late = () => this.at, this.other = () => this.late() } }
  let count = BASE, step = ++count, behind = () => count, { length: one, at, push: two } = log, { a = count++, b = count++ } = {};
  return JSON.stringify([new Second().add(), new Second().other(), new Second().name, twice(), last, log, one, at.name, two.name, table[4](), step, behind(), a, b]);`;

test("what is done when the code is run keeps its place, and with any order the code does the same", () => {
  const { runs } = named(ORDERED, {});
  assert.deepEqual(Object.values(runs), [
    ["log", "start", "later", "BASE", "list", "table"],
    ["more", "twice", "last"],
    ["add", "sum"],
    ["late", "other"],
    ["length", "at", "push"],
  ]);
  let changed = 0;
  for (let seed = 1; seed < 200; seed++) {
    const orders = Object.fromEntries(Object.entries(runs).map(([key, items]) => [key, items.toSorted((a, b) => ((seed * (items.indexOf(a) + 3) * 7919) % 11) - ((seed * (items.indexOf(b) + 3) * 7919) % 11))]));
    const { code } = named(ORDERED, {}, orders);
    changed += +(code != named(ORDERED, {}).code);
    assert.equal(run(code), run(ORDERED), code);
  }
  assert.ok(changed > 150, `${changed}`);
});

test("what needs another at once stays behind it, and what the table does not know behind its neighbour", () => {
  const code = "let c = 1, b = [c], a = [b], f = () => a, g = () => f; return g()()[0][0]";
  const { runs } = named(code, {});
  const [key] = Object.keys(runs);
  const ordered = (...wanted) => named(code, { ":a": "a", ":b": "b", ":c": "c", ":f": "f", ":g": "g" }, { [key]: wanted }).code;
  assert.match(ordered("g", "a", "b", "c"), /^let g=.*c=1,b=\[c\],a=\[b\];/);
  assert.match(ordered("g", "c", "b", "a"), /^let g=\(\)=>f,c=1,b=\[c\],a=\[b\],f=\(\)=>a;/);
});

test("UglifyJS has its own choice of names again afterwards", async () => {
  const { default: uglify } = await import("uglify-js");
  assert.throws(() => minifyNamed("const one = 1;", { module: true }, { rename: () => assert.fail("stop") }), /stop/);
  assert.match(uglify.minify("export const f = (first) => first + 1", { module: true }).code, /(\w)=>\1\+1/);
});

test("what is measured is what classic zlib leaves, to the byte, or Node's if that is more", () => {
  const some = Array.from({ length: 900 }, (_, at) => "abcdefgh"[((at * at * 7919) % 10007) % 8]).join("");
  // gzip.compress(data, 9) in Python, with zlib 1.2.13.
  assert.equal(classicSize(some), 319);
  assert.equal(classicSize(Buffer.from(some)), 319);
  assert.equal(gzipSize(some), Math.max(319, nodeSize(some)));
});
