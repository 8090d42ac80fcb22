/**
 * The public names, and nothing else.
 */
import { createIo, resolve } from "./lookup.js";
import { Manager } from "./manager.js";
import { OpenSession } from "./opensession.js";

export { Manager } from "./manager.js";
export { Socket } from "./socket.js";
export { OpenSession } from "./opensession.js";
export {
  DisconnectedError,
  EventError,
  HoldfastError,
  LocalProtocolError,
  RefusedError,
  RemoteProtocolError,
  TimeoutError,
} from "./errors.js";

/** A socket, connected to the namespace that the URL's path names. */
export const io = createIo(Manager);

export { io as connect };

/**
 * A session without events: what is sent arrives in order and once, over whatever gets through.
 * @param {string} [url] With the server's path, if it is not the usual one.
 * @param {Partial<import("./options.js").Options>} [opts]
 * @returns {OpenSession}
 */
export const openSession = (url = "/", opts) => {
  const { origin, pathname } = resolve(url);
  return new OpenSession(origin, pathname == "/" ? opts : { path: pathname, ...opts });
};
