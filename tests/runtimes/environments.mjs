// What a browser has, but for one thing at a time: the bundle of a script tag in a context of its own, which has what is
// given to it and nothing else of Node. Arguments: the server's URL, then environments. Prints a JSON object per environment.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import vm from "node:vm";
import { readByXhr } from "holdfast-client/xhr";
import { WebSocket } from "ws";
import { XMLHttpRequest } from "./xhr.mjs";

// For `readByXhr`, which is of this realm.
globalThis.XMLHttpRequest = XMLHttpRequest;

const bundle = readFileSync(createRequire(import.meta.url).resolve("holdfast-client/bundle").replace(".esm", ""), "utf8");

/** A page, as far as anybody could use it. */
const page = () => {
  const target = new EventTarget();
  const storage = { getItem: () => null, setItem() {}, removeItem() {} };
  return {
    WebSocket,
    fetch,
    Response,
    ReadableStream,
    AbortController,
    TextEncoder,
    TextDecoder,
    URL,
    URLSearchParams,
    Blob,
    btoa,
    atob,
    performance,
    queueMicrotask,
    setTimeout,
    clearTimeout,
    console,
    navigator: { onLine: true, userAgent: "" },
    location: new URL("http://page.test/"),
    document: Object.assign(new EventTarget(), { hidden: false, visibilityState: "visible" }),
    localStorage: storage,
    sessionStorage: storage,
    addEventListener: target.addEventListener.bind(target),
    removeEventListener: target.removeEventListener.bind(target),
  };
};

const denied = (globals, name) =>
  Object.defineProperty(globals, name, {
    configurable: true,
    get() {
      throw new DOMException("The document is sandboxed", "SecurityError");
    },
  });

/** The text is whole before anybody has it, and there is no body to read from. */
const wholeFetch = async (url, init) => {
  const { ok, status, headers, ...response } = await fetch(url, init).then(async (response) => ({ ok: response.ok, status: response.status, headers: response.headers, content: await response.text() }));
  return { ok, status, headers, text: async () => response.content };
};

const SPECIAL = {
  everything() {},
  "localStorage denied": (globals) => denied(globals, "localStorage"),
  "sessionStorage denied": (globals) => denied(globals, "sessionStorage"),
  "streaming fetch": (globals) => Object.assign(globals, { Response: class {}, fetch: wholeFetch }),
  "streaming fetch, with readByXhr": (globals) => Object.assign(globals, { Response: class {}, fetch: wholeFetch, readStream: readByXhr }),
  "WebSocket that fails": (globals) => {
    globals.WebSocket = class extends WebSocket {
      constructor(url, ...rest) {
        super(url.replace(/:\d+/, ":1"), ...rest);
      }
    };
  },
  "WebSocket that throws": (globals) => {
    globals.WebSocket = class {
      constructor() {
        throw new DOMException("insecure", "SecurityError");
      }
    };
  },
  "React Native": (globals) => {
    const none = ["document", "addEventListener", "removeEventListener", "location", "TextDecoder", "ReadableStream", "localStorage", "sessionStorage"];
    for (const name of none) delete globals[name];
    Object.assign(globals, {
      navigator: { product: "ReactNative" },
      Response: class {},
      fetch: wholeFetch,
      readStream: readByXhr,
      // Its third argument is taken, and nothing but headers may be in it.
      WebSocket: class extends WebSocket {
        constructor(url, protocols, options) {
          const { headers, ...unknown } = options;
          if (headers["X-App"] != "mine" || Object.keys(unknown).length) throw new TypeError("wrong options");
          super(url, Array.isArray(protocols) ? protocols : [], { headers });
        }
      },
    });
  },
};

async function visit(url, name) {
  const globals = page();
  if (SPECIAL[name]) SPECIAL[name](globals);
  else delete globals[name];
  const context = vm.createContext(globals);
  vm.runInContext(bundle, context);
  const { io } = vm.runInContext("holdfast", context);
  const { readStream } = globals;
  const results = { name };
  for (const way of ["", "websocket", "stream", "polling"]) {
    const options = { forceNew: true, timeout: 5000, reconnection: false, readStream, extraHeaders: { "X-App": "mine" }, ...(way && { transports: [way] }) };
    try {
      const socket = io(url, options);
      await new Promise((resolve, reject) => socket.on("connect", resolve).on("connect_error", reject));
      const answers = [];
      for (let n = 0; n < 20; n++) answers.push(await socket.emitWithAck("echo", n));
      const { bytes } = await socket.emitWithAck("echo", { bytes: new Uint8Array([1, 255]) });
      if (answers.join() != [...Array(20).keys()].join() || bytes.join() != "1,255") throw new Error("not what was sent");
      results[way] = socket.io.engine.transport.name;
      socket.disconnect();
    } catch (error) {
      results[way] = `${error.name}: ${error.message}`;
    }
  }
  process.stdout.write(JSON.stringify(results) + "\n");
}

const [url, ...names] = process.argv.slice(2);
for (const name of names) await visit(url, name);
process.exit();
