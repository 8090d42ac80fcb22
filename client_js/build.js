/**
 * `npm run build`: the bundles, their source maps and the types, into dist/.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { minify } from "terser";
import { MARK, choose, minifyNamed } from "./naming/naming.js";
import { arrange, findRuns } from "./naming/order.js";

const root = dirname(fileURLToPath(import.meta.url));

/**
 * Members that modules use among themselves. None of these may be a name of the platform's, of the wire's JSON, of an option or
 * of the public surface; `test/bundle.test.js` runs the bundle to see.
 */
const INTERNAL = `
  outbox inbox acked written since append acknowledge calm after take start deadline attachment answer receive frames
  note doubtful attach plain race carries lost dropped failed offer refuse refresh rounds until failures late lives
  allowed asked isOwing isTried progress ended heard kind bring pump fire listener
  drain withdraw prepare undo count _wake writer carrying due untold end next number state rounds last current meta write
  phase current slack highest carriers control give ask ride asking doubt
  answered taker stepSoon blocked bye dismiss isOurs want burden giveUp
  judge lacks room oldest isHeld isMute _known _carried _stepped _session _sent _told _codec _send _flags _decoder _reconnecting _opened _closed _settle _packet _release
`;

/**
 * The page's global has the public names, and nothing of a module's machinery.
 * @param {string} names
 * @param {string} [more] Imports.
 */
const globalOf = (names, more = "") => `${more}
  import { ${names} } from "./index.js";
  globalThis.holdfast = { ${names}${more && ", msgpack"} };`;

const PUBLIC = `io, Manager, Socket, HoldfastError, LocalProtocolError, RemoteProtocolError, RefusedError,
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

const members = INTERNAL.trim().split(/\s+/);

/** As naming/naming.js reads it, and `npm run names` writes it. */
export const NAMES = `${root}/naming/names.json`;

/** Its tables, and the bundles whose names they have: those of the first bundle as they are best for it, then what the next one has besides. */
export const TABLES = {
  whole: ["holdfast.esm.min.js", "holdfast.msgpack.min.js", "holdfast.compat.esm.min.js", "holdfast.socket.esm.min.js"],
  websocket: ["holdfast.websocket.esm.min.js"],
};

/**
 * @param {string} file
 * @returns {import("./naming/naming.js").Choice}
 */
const choiceFor = (file) => {
  const { whole, websocket } = JSON.parse(readFileSync(NAMES, "utf8"));
  const { names, orders } = file.includes("websocket") ? websocket : whole;
  return {
    rename(all) {
      for (const [one, name] of choose(all, names)) one.rename(name);
    },
    reorder: (toplevel) => arrange(findRuns(toplevel), orders),
  };
};

/**
 * esbuild marks the members that are to be renamed; then terser's and UglifyJS's shortening, which find different things; then
 * the names, the same ones everywhere.
 * @param {string} file A global script, or a module (`.esm`).
 * @param {import("./naming/naming.js").Choice} [choice]
 * @returns {Promise<{code: string, map: string}>}
 */
export const bundle = async (file, choice = choiceFor(file)) => {
  const { outputFiles } = await build({
    ...BUNDLES[file],
    absWorkingDir: root,
    bundle: true,
    minifySyntax: true,
    minifyWhitespace: true,
    format: "esm",
    target: "es2022",
    legalComments: "none",
    mangleProps: new RegExp(`^(${members.join("|")})$`),
    mangleCache: Object.fromEntries(members.map((name) => [name, name + MARK])),
    sourcemap: "external",
    outfile: `${root}/dist/${file}`,
    write: false,
  });
  const [map, code] = outputFiles.map(({ text }) => text);
  const shorter = await minify(code, {
    ecma: 2020,
    module: true,
    mangle: false,
    compress: { sequences: false, inline: 2, keep_fargs: false, unsafe_arrows: true, unsafe_comps: true, pure_getters: true, if_return: false, hoist_funs: true, unsafe_methods: true },
    sourceMap: { content: map },
  });
  const isGlobal = !file.includes(".esm.");
  const small = minifyNamed(
    String(shorter.code),
    {
      module: true,
      compress: { keep_fargs: false, pure_getters: true, arrows: false, comparisons: false, evaluate: false, inline: 2, join_vars: false, sequences: true },
      // Of a script, nothing but the global is to be seen.
      output: { preamble: isGlobal ? "(()=>{" : undefined },
      sourceMap: { content: String(shorter.map), filename: file },
    },
    choice,
  );
  return { code: `${small.code}${isGlobal ? "})()" : ""}\n//# sourceMappingURL=${file}.map`, map: small.map };
};

/** What each is made of. @type {Record<string, import("esbuild").BuildOptions>} */
export const BUNDLES = {
  "holdfast.esm.min.js": { entryPoints: ["index.js"] },
  "holdfast.min.js": { stdin: { contents: globalOf(PUBLIC), resolveDir: root } },
  "holdfast.session.esm.min.js": { entryPoints: ["opensession.js"] },
  "holdfast.socket.esm.min.js": { entryPoints: ["holdfastsocket.js"] },
  "holdfast.websocket.esm.min.js": { entryPoints: ["websocket.js"] },
  "holdfast.msgpack.esm.min.js": { stdin: { contents: `export * from "./index.js"; ${MSGPACK} export { msgpack };`, resolveDir: root } },
  "holdfast.msgpack.min.js": { stdin: { contents: globalOf(PUBLIC, MSGPACK), resolveDir: root } },
  "holdfast.compat.esm.min.js": { entryPoints: ["compat.js"] },
  "holdfast.compat.min.js": { stdin: { contents: COMPAT_GLOBAL, resolveDir: root } },
};

/** Write all bundles. */
export const buildBundles = async () => {
  mkdirSync(`${root}/dist`, { recursive: true });
  for (const file in BUNDLES) {
    const { code, map } = await bundle(file);
    replace(`${root}/dist/${file}`, code);
    replace(`${root}/dist/${file}.map`, map);
  }
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
