// Runs the checks of the client's options against the server whose address is the first argument, with the entry that is
// the second one, and prints what came of each as a JSON line.

import * as compat from "../../client_js/compat.js";
import * as main from "../../client_js/index.js";
import { optionChecks } from "../../client_js/test/option_checks.js";

const [url, entry] = process.argv.slice(2);
const isCompat = entry === "compat";
const { io } = isCompat ? compat : main;
const checks = optionChecks({ io, url, isCompat, transports: ["websocket", "stream", "polling"], msgpackPath: "/socket.io" });

for (const [name, check] of Object.entries(checks)) {
  const error = await check().then(
    () => null,
    (error) => String(error.stack),
  );
  process.stdout.write(JSON.stringify({ name, error }) + "\n");
}
