/**
 * `npm run build`: the two bundles, their source maps and the types, into dist/.
 */
import { execFileSync } from "node:child_process";
import { build } from "esbuild";

/**
 * Members that modules use among themselves. None of these may be a name of the platform's, of the wire's JSON, of an option or
 * of the public surface; `test/bundle.test.js` runs the bundle to see.
 */
const INTERNAL = `
  outbox inbox acked written since append acknowledge calm after peek take start deadline attachment answer receive frames
  note upgrade doubtful attach plain race carries lost dropped failed offer refuse refresh rounds until failures lives running
  raced asked probed progress ended heard kind busy bring pump fire run listener first writable takesError isNewNetwork
  wake stated writer carrying
  _readyState _reconnecting _opened _closed _failed _packet _release
`
  .trim()
  .split(/\s+/);

/** @type {import("esbuild").BuildOptions} */
const common = {
  entryPoints: ["index.js"],
  bundle: true,
  minify: true,
  sourcemap: true,
  target: "es2022",
  legalComments: "none",
  mangleProps: new RegExp(`^(${INTERNAL.join("|")})$`),
};

await build({ ...common, format: "esm", outfile: "dist/holdfast.esm.min.js" });
await build({ ...common, format: "iife", globalName: "holdfast", outfile: "dist/holdfast.min.js" });
execFileSync("npm", ["run", "--silent", "types"], { stdio: "inherit" });
