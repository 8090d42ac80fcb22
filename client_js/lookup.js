/**
 * From a URL to a socket.
 */

/** @param {string} url As people write it: with a scheme, without one, or only a path. */
export const resolve = (url) =>
  new URL(url.replace(/^(?!(\w+:\/)?\/)/, "//").replace(/^ws/, "http"), globalThis.location?.href ?? "https://localhost");

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
  const io = (url, opts = {}) => {
    if (typeof url == "object") return io("", url);
    const { origin, pathname, searchParams } = resolve(url || "/");
    const key = origin + (opts.path ?? "");
    let manager = managers.get(key);
    const isAlone = opts.forceNew || opts.multiplex === false || manager?.nsps.has(pathname);
    if (isAlone || !manager) manager = new Manager(origin, { query: Object.fromEntries(searchParams), ...opts });
    if (!isAlone) managers.set(key, manager);
    return /** @type {any} */ (manager.socket(pathname, opts));
  };
  return io;
};
