/**
 * The short names of the bundles: whatever a table says, the code does the same.
 */
import assert from "node:assert/strict";
import test from "node:test";
import { SHORT, choose, minifyNamed } from "../naming/naming.js";

/** As the build does it, with a table. */
const named = (code, table) => {
  let keys;
  const result = minifyNamed(code, { module: true, compress: false, parse: { bare_returns: true } }, (all) => {
    keys = all.map(({ key }) => key);
    for (const [one, name] of choose(all, table)) one.rename(name);
  });
  return { code: result.code, keys };
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

test("UglifyJS has its own choice of names again afterwards", async () => {
  const { default: uglify } = await import("uglify-js");
  assert.throws(() => minifyNamed("const one = 1;", { module: true }, () => assert.fail("stop")), /stop/);
  assert.match(uglify.minify("export const f = (first) => first + 1", { module: true }).code, /(\w)=>\1\+1/);
});
