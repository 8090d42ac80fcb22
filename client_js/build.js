/**
 * `npm run build`: the two bundles, their source maps and the types, into dist/.
 */
import { execFileSync } from "node:child_process";
import { build } from "esbuild";

/** @type {import("esbuild").BuildOptions} */
const common = {
  entryPoints: ["index.js"],
  bundle: true,
  minify: true,
  sourcemap: true,
  target: "es2022",
  // Members that begin with an underscore are the modules' own.
  mangleProps: /^_[a-z]/,
  reserveProps: /^_placeholder$/,
};

await build({ ...common, format: "esm", outfile: "dist/holdfast.esm.min.js" });
await build({ ...common, format: "iife", globalName: "holdfast", outfile: "dist/holdfast.min.js" });
execFileSync("npm", ["run", "--silent", "types"], { stdio: "inherit" });
