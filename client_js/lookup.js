/**
 * From a URL to a socket.
 */

/** @param {string} url As people write it: with a scheme, without one, or only a path. */
export const resolve = (url) =>
  new URL((/^(\w+:\/)?\//.test(url) ? url : "//" + url).replace(/^ws/, "http"), `${globalThis.location ?? "https://localhost"}`);

/**
 * @template {import("./manager.js").Manager} One
 * @param {new (url: string, opts?: import("./manager.js").ManagerOptions) => One} Manager
 */
export const createIo = (Manager) => {
  /** Origin and path -> the Manager that is shared there. @type {Map<string, One>} */
  const managers = new Map();

  /**
   * A socket, connected to the namespace that the URL's path names.
   *
   * Sockets of one origin share a session, unless `forceNew` says otherwise or the namespace is taken there.
   * @param {string | import("./manager.js").ManagerOptions} [url] Without one, the page's own origin.
   * @param {import("./manager.js").ManagerOptions} [opts]
   * @returns {ReturnType<One["socket"]>}
   */
  const io = (url, opts) => {
    if (typeof url == "object") return io("", url);
    const { origin, pathname, searchParams } = resolve(url || "/");
    const all = { query: Object.fromEntries(searchParams), ...opts };
    const key = origin + (opts?.path ?? "");
    const known = managers.get(key);
    let manager;
    if (opts?.forceNew || opts?.multiplex === false || known?.nsps.has(pathname)) manager = new Manager(origin, all);
    else managers.set(key, (manager = known ?? new Manager(origin, all)));
    return /** @type {any} */ (manager.socket(pathname, opts));
  };
  return io;
};
