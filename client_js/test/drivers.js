/**
 * The drivers of a session, by name: what one with a choice does with the WebSocket alone, the other does too.
 */
import test from "node:test";
import { Attempts } from "../attempts.js";
import { Connector } from "../connector.js";
import { Live } from "../live.js";
import { withDefaults, withSomeDefaults } from "../options.js";
import { Single } from "../single.js";

/** Instead of `transports`: the driver of the WebSocket entry. */
export const SINGLE = ["single"];
/** Those that go by WebSocket where it gets through. */
export const BY_WEBSOCKET = [["websocket", "stream", "polling"], ["websocket"], SINGLE];
/** One for each transport, and the driver that has only one. */
export const BY_EACH = [["websocket"], ["stream"], ["polling"], SINGLE];

/** The driver of the test that runs. */
let chosen = BY_WEBSOCKET[0];

/** @param {string} url @param {object} options */
export const createDriver = (url, options) => {
  const transports = options.transports ?? chosen;
  const isSingle = transports == SINGLE;
  const all = isSingle ? withSomeDefaults(options) : withDefaults({ ...options, transports });
  const driver = isSingle ? new Single(url, all, new Attempts(all)) : new Live(url, all, new Connector(all));
  return Object.assign(driver, { send: (data) => driver._send([data]) });
};

/** A test of each driver that goes by WebSocket: its `createDriver` takes this one, unless the options name transports. */
export const testEach = (name, run) => {
  for (const transports of BY_WEBSOCKET) {
    test(`${name} (${transports})`, async () => {
      chosen = transports;
      try {
        await run(transports);
      } finally {
        chosen = BY_WEBSOCKET[0];
      }
    });
  }
};
