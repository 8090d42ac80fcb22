/**
 * The public names, and nothing else.
 */
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

/** Origin and path -> the Manager that is shared there. @type {Map<string, Manager>} */
const managers = new Map();

/** @param {string} url As people write it: with a scheme, without one, or only a path. */
const resolve = (url) =>
  new URL((/^(\w+:\/)?\//.test(url) ? url : "//" + url).replace(/^ws/, "http"), `${globalThis.location ?? "https://localhost"}`);

/**
 * A socket, connected to the namespace that the URL's path names.
 *
 * Sockets of one origin share a session, unless `forceNew` says otherwise or the namespace is taken there.
 * @param {string | import("./manager.js").ManagerOptions} [url] Without one, the page's own origin.
 * @param {import("./manager.js").ManagerOptions} [opts]
 * @returns {import("./socket.js").Socket}
 */
export const io = (url, opts) => {
  if (typeof url == "object") return io(undefined, url);
  const { origin, pathname, searchParams } = resolve(url ?? "/");
  const query = opts?.query ?? Object.fromEntries(searchParams);
  const all = { ...opts, query };
  const key = origin + (opts?.path ?? "");
  const known = managers.get(key);
  let manager;
  if (opts?.forceNew || opts?.multiplex === false || known?.nsps.has(pathname)) manager = new Manager(origin, all);
  else managers.set(key, (manager = known ?? new Manager(origin, all)));
  return manager.socket(pathname, opts);
};

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
