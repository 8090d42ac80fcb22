/**
 * What an application pays for: what it uses, and no more, whatever bundles it. The package is imported by its own name.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { rollup } from "@rollup/wasm-node";
import { minify } from "terser";

const root = fileURLToPath(new URL("..", import.meta.url));
const external = ["react"];

const BUNDLERS = {
  async esbuild(code) {
    const { outputFiles } = await build({ stdin: { contents: code, resolveDir: root }, bundle: true, minify: true, format: "esm", target: "es2022", write: false, external });
    return outputFiles[0].text;
  },
  async rollup(code) {
    const entry = {
      name: "entry",
      resolveId: (id) => (id == "entry" ? id : id.startsWith("holdfast-client") ? fileURLToPath(import.meta.resolve(id)) : null),
      load: (id) => (id == "entry" ? code : null),
    };
    // What it has nothing to put in is what is hoped for here.
    const bundle = await rollup({ input: "entry", plugins: [entry], external, onLog: (level, log) => assert.equal(log.code, "EMPTY_BUNDLE") });
    const { output } = await bundle.generate({ format: "es" });
    return (await minify(output[0].code, { module: true })).code;
  },
};

const { exports } = JSON.parse(readFileSync(`${root}/package.json`, "utf8"));
const entries = Object.keys(exports).filter((name) => !/bundle|package/.test(name)).map((name) => "holdfast-client" + name.slice(1));

for (const [name, bundle] of Object.entries(BUNDLERS)) {
  for (const entry of entries) {
    test(`${name}: an import of ${entry} that is not used costs nothing`, async () => {
      const names = Object.keys(await import(entry)).filter((name) => name != "default");
      assert.ok(names.length);
      const code = await bundle(`import { ${names.join(", ")} } from "${entry}";`);
      assert.equal(code.replace(/import\s?"react";/, "").trim(), "");
    });
  }

  test(`${name}: an error's class brings nothing but itself`, async () => {
    for (const entry of ["holdfast-client", "holdfast-client/compat"]) {
      const code = await bundle(`import { HoldfastError } from "${entry}"; console.log(HoldfastError);`);
      assert.ok(code.length < 100, code);
    }
  });

  test(`${name}: the bare session brings no events`, async () => {
    const [whole, bare] = await Promise.all(["", "/session"].map((entry) => bundle(`import * as all from "holdfast-client${entry}"; console.log(all);`)));
    assert.match(whole, /emitWithAck/);
    assert.doesNotMatch(bare, /emitWithAck|_placeholder/);
    assert.ok(gzipSync(bare).length < gzipSync(whole).length - 2000);
  });

  test(`${name}: the WebSocket alone brings nothing that travels by HTTP`, async () => {
    const code = await bundle('import { io } from "holdfast-client/websocket"; console.log(io);');
    assert.match(code, /emitWithAck/);
    assert.doesNotMatch(code, /XMLHttpRequest\(|event-stream|Holdfast-Attach|keepalive|AbortController/);
    assert.doesNotMatch(code, /["'`]POST["'`]/);
  });

  test(`${name}: useEvent alone brings no session`, async () => {
    const code = await bundle('import { useEvent } from "holdfast-client/react"; console.log(useEvent);');
    assert.ok(code.length < 400, code);
  });
}
