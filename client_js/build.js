/**
 * `npm run build`: the bundles, their source maps and the types, into dist/.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { minify } from "terser";
import uglify from "uglify-js";

const root = dirname(fileURLToPath(import.meta.url));

/**
 * Members that modules use among themselves. None of these may be a name of the platform's, of the wire's JSON, of an option or
 * of the public surface; `test/bundle.test.js` runs the bundle to see.
 */
const INTERNAL = `
  outbox inbox acked written since append acknowledge calm after take start deadline attachment answer receive frames
  note doubtful attach plain race carries lost dropped failed offer refuse refresh rounds until failures late lives
  allowed asked isOwing isTried progress ended heard kind bring pump fire listener
  drain withdraw prepare undo count wake writer carrying due untold end next number state rounds last current meta write
  phase current slack highest carriers control session give ask ride asking doubt
  stepSoon blocked bye dismiss isOurs want burden giveUp
  judge args lacks room oldest isHeld isMute _rtt _carried _stepped _session _sent _told _codec _send _flags _decoder _reconnecting _opened _closed _settle _packet _release
`;

/**
 * The page's global has the public names, and nothing of a module's machinery.
 * @param {string} names
 * @param {string} [more] Imports.
 */
const globalOf = (names, more = "") => `${more}
  import { ${names} } from "./index.js";
  globalThis.holdfast = { ${names}${more && ", msgpack"} };`;

const NAMES = `io, Manager, Socket, HoldfastError, LocalProtocolError, RemoteProtocolError, RefusedError,
    AbortError, DisconnectedError, TimeoutError, EventError`;
const MSGPACK = 'import { msgpack } from "./msgpack.js";';

/** As socket.io.min.js has it. */
const COMPAT_GLOBAL = `
  import io from "./compat.js";
  globalThis.io = io;`;

/**
 * Whoever reads the file meanwhile has the old one or the new one, whole.
 * @param {string} path
 * @param {string} content
 */
const replace = (path, content) => {
  const part = `${path}.${process.pid}`;
  writeFileSync(part, content);
  renameSync(part, path);
};

/** @param {string} folder */
const typesIn = (folder) => readdirSync(folder, { encoding: "utf8", recursive: true }).filter((name) => name.endsWith(".d.ts"));

/**
 * A folder of types becomes another one, file by file, so that a reader never misses any. What is of a module that is gone goes.
 * @param {string} folder
 * @param {string} made What it is to be; is left empty.
 */
export const replaceTypes = (folder, made) => {
  mkdirSync(folder, { recursive: true });
  const names = typesIn(made);
  for (const name of names) {
    mkdirSync(dirname(`${folder}/${name}`), { recursive: true });
    renameSync(`${made}/${name}`, `${folder}/${name}`);
  }
  for (const name of typesIn(folder)) if (!names.includes(name)) rmSync(`${folder}/${name}`, { force: true });
};

/**
 * Names first, esbuild knows the members; then terser's and UglifyJS's shortening, which find different things; the names that
 * UglifyJS gives repeat themselves most, and so compress best.
 * @param {string} file A global script, or a module (`.esm`).
 * @param {import("esbuild").BuildOptions} options
 */
const bundle = async (file, options) => {
  const { outputFiles } = await build({
    ...options,
    absWorkingDir: root,
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    legalComments: "none",
    mangleProps: new RegExp(`^(${INTERNAL.trim().split(/\s+/).join("|")})$`),
    sourcemap: "external",
    outfile: `${root}/dist/${file}`,
    write: false,
  });
  const [map, code] = outputFiles.map(({ text }) => text);
  const shorter = await minify(code, {
    ecma: 2020,
    module: true,
    mangle: false,
    compress: { sequences: false, inline: 1, keep_fargs: false, unsafe_arrows: true, unsafe_comps: true, pure_getters: true, if_return: false, hoist_funs: true },
    sourceMap: { content: map },
  });
  const isGlobal = !file.includes(".esm.");
  const small = uglify.minify(String(shorter.code), {
    module: true,
    compress: { keep_fargs: false, pure_getters: true, arrows: false, comparisons: false, evaluate: false, inline: 1, join_vars: false, sequences: true },
    // Of a script, nothing but the global is to be seen.
    output: { preamble: isGlobal ? "(()=>{" : undefined },
    sourceMap: { content: String(shorter.map), filename: file },
  });
  if (small.error) throw small.error;
  mkdirSync(`${root}/dist`, { recursive: true });
  replace(`${root}/dist/${file}`, `${small.code}${isGlobal ? "})()" : ""}\n//# sourceMappingURL=${file}.map`);
  replace(`${root}/dist/${file}.map`, small.map);
};

/** Write all bundles. */
export const buildBundles = async () => {
  await bundle("holdfast.esm.min.js", { entryPoints: ["index.js"] });
  await bundle("holdfast.min.js", { stdin: { contents: globalOf(NAMES), resolveDir: root } });
  await bundle("holdfast.session.esm.min.js", { entryPoints: ["opensession.js"] });
  await bundle("holdfast.socket.esm.min.js", { entryPoints: ["holdfastsocket.js"] });
  await bundle("holdfast.websocket.esm.min.js", { entryPoints: ["websocket.js"] });
  await bundle("holdfast.msgpack.esm.min.js", { stdin: { contents: `export * from "./index.js"; ${MSGPACK} export { msgpack };`, resolveDir: root } });
  await bundle("holdfast.msgpack.min.js", { stdin: { contents: globalOf(NAMES, MSGPACK), resolveDir: root } });
  await bundle("holdfast.compat.esm.min.js", { entryPoints: ["compat.js"] });
  await bundle("holdfast.compat.min.js", { stdin: { contents: COMPAT_GLOBAL, resolveDir: root } });
};

if (process.argv[1] == fileURLToPath(import.meta.url)) {
  await buildBundles();
  const made = `${root}/dist/types.${process.pid}`;
  try {
    execFileSync("npm", ["run", "--silent", "types", "--", "--outDir", made], { stdio: "inherit" });
    copyFileSync(`${root}/compat.types.d.ts`, `${made}/compat.d.ts`);
    writeFileSync(`${made}/msgpack.bundle.d.ts`, 'export * from "./index.js";\nexport { msgpack } from "./msgpack.js";\n');
    replaceTypes(`${root}/dist/types`, made);
  } finally {
    rmSync(made, { recursive: true, force: true });
  }
}
