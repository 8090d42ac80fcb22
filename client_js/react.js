/**
 * Hooks for React 18 and later: a socket that lives as long as somebody uses it, its events, and its status.
 *
 * Rendering connects nothing: React renders what it then throws away, on a server too. A socket is connected when the first
 * component that uses it is mounted, and disconnected a moment after the last one has gone, for another may come in its
 * place: StrictMode mounts everything twice, and a change of page leaves one component before it enters the next.
 */
import { useCallback, useEffect, useInsertionEffect, useRef, useSyncExternalStore } from "react";
import { Manager } from "./index.js";
import { resolve } from "./lookup.js";

/** @typedef {import("./socket.js").EventsMap} EventsMap */
/** @typedef {import("./socket.js").DefaultEvents} DefaultEvents */
/**
 * @template {EventsMap} Listen
 * @template {EventsMap} Emit
 * @typedef {import("./socket.js").Socket<Listen, Emit>} Typed
 */
/** @typedef {import("./manager.js").Manager} AnyManager Of any entry. */
/** @typedef {import("./manager.js").ManagerOptions} ManagerOptions */
/** @typedef {ManagerOptions & {closeDelayMs?: number}} HookOptions `closeDelayMs`: how long a socket outlives its last user; 1000. */
/**
 * @typedef {<Listen extends EventsMap = DefaultEvents, Emit extends EventsMap = Listen>(url?: string | HookOptions, options?: HookOptions) => Typed<Listen, Emit>} UseSocket
 *   Without a URL, the page's own origin. Options may be written anew in every render: what they say decides.
 */
/** @typedef {{socket: import("./socket.js").Socket, closeDelayMs: number, use: () => () => void}} Entry What `use` gives back ends the use. */

/** How long what was rendered is kept for its component to be mounted. */
const RENDERED_MS = 10_000;

/** Functions and classes among options are told apart by what they are. @type {WeakMap<object, number>} */
const ids = /* @__PURE__ */ new WeakMap();
let lastId = 0;

/** @param {object} value */
const idOf = (value) => {
  if (!ids.has(value)) ids.set(value, ++lastId);
  return ids.get(value);
};

/** @param {unknown} value Equal options, equal text. */
const keyOf = (value) =>
  JSON.stringify(value, (_, item) =>
    typeof item == "function"
      ? "function " + idOf(item)
      : item && typeof item == "object" && !Array.isArray(item)
        ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
        : item,
  );

/** Managers whose sockets will be connected as soon as what was rendered is mounted. @type {WeakSet<AnyManager>} */
const awaited = /* @__PURE__ */ new WeakSet();

/**
 * `useSocket` with another Manager than the whole client's.
 * @param {new (origin: string, options: ManagerOptions) => AnyManager} OneManager
 * @returns {UseSocket}
 */
export const createUseSocket = (OneManager) => {
  /** By origin and options. @type {Map<string, AnyManager>} */
  const managers = new Map();
  /** By namespace too. @type {Map<string, Entry>} */
  const entries = new Map();

  /**
   * @param {string} url
   * @param {HookOptions} options
   * @returns {Entry}
   */
  const find = (url, { auth, closeDelayMs = 1000, ...options }) => {
    const { origin, pathname, searchParams } = resolve(url || "/");
    // Another function asks for the same thing: the latest one is called. Other data are somebody else.
    const who = typeof auth == "function" ? undefined : auth;
    const all = { query: Object.fromEntries(searchParams), ...options };
    const key = keyOf([origin, all, who]);
    const name = key + pathname;
    const entry = entries.get(name) ?? create(managers.get(key) ?? new OneManager(origin, { ...all, autoConnect: false }), key, pathname, auth);
    entry.closeDelayMs = closeDelayMs;
    return entry;
  };

  /**
   * @param {AnyManager} manager
   * @param {string} key
   * @param {string} nsp
   * @param {any} auth
   * @returns {Entry}
   */
  const create = (manager, key, nsp, auth) => {
    const { setTimeout, clearTimeout } = manager.opts;
    const socket = manager.socket(nsp, { auth });
    let users = 0;
    /** @type {any} */
    let timer;
    const name = key + nsp;
    // Between a render and its effects it may have expired, and another one may have taken its place.
    const insert = () => {
      if (!managers.has(key)) managers.set(key, manager);
      if (!entries.has(name)) entries.set(name, entry);
    };
    /** @param {number} ms */
    const expire = (ms) => {
      timer = setTimeout(() => {
        socket.disconnect();
        if (entries.get(name) == entry) entries.delete(name);
        const isUsed = [...entries.values()].some(({ socket }) => socket.io == manager);
        if (!isUsed && managers.get(key) == manager) managers.delete(key);
      }, ms);
      // Where pages are rendered, no process waits for it.
      timer?.unref?.();
    };
    /** @type {Entry} */
    const entry = {
      socket,
      closeDelayMs: 0,
      use: () => {
        clearTimeout(timer);
        insert();
        if (!users++) socket.connect();
        awaited.delete(manager);
        return () => {
          if (!--users) expire(entry.closeDelayMs);
        };
      },
    };
    insert();
    awaited.add(manager);
    // It may have been rendered for nothing.
    expire(RENDERED_MS);
    return entry;
  };

  return (url = "", options = {}) => {
    if (typeof url == "object") [url, options] = ["", url];
    const entry = find(url, options);
    const { socket } = entry;
    useInsertionEffect(() => {
      if (typeof options.auth == "function") socket.auth = options.auth;
    });
    useEffect(entry.use, [entry]);
    return /** @type {any} */ (socket);
  };
};

/**
 * The socket of a namespace, shared by all components with the same URL and options, of which sockets of other namespaces
 * share the session. `auth`, if it is data, is part of them; of a function the latest is called.
 * @type {UseSocket}
 */
export const useSocket = /* @__PURE__ */ createUseSocket(Manager);

/**
 * Hear an event, with the latest handler, as long as the component is there.
 * @template {EventsMap} Listen
 * @template {import("./socket.js").HeardNames<Listen>} Name
 * @param {Typed<Listen, any> | null | undefined} socket
 * @param {Name} name
 * @param {(...args: import("./emitter.js").Args<import("./socket.js").Heard<Listen>, Name>) => void} handler May be another
 *   function in every render. Of a burst, all events may come before the next render: what it sets a state to is best
 *   said by a function of the state before.
 */
export const useEvent = (socket, name, handler) => {
  const latest = useRef(/** @type {import("./socket.js").Listener} */ (handler));
  useInsertionEffect(() => {
    latest.current = handler;
  });
  useEffect(() => {
    const listener = (/** @type {any[]} */ ...args) => latest.current(...args);
    socket?.on(name, listener);
    return () => void socket?.off(name, listener);
  }, [socket, name]);
};

/**
 * How the session under a socket stands; the component is rendered again when that changes.
 * @param {Typed<any, any>} socket
 * @returns {import("./live.js").Status} Where nothing is connected yet, or pages are rendered: "connecting".
 */
export const useStatus = ({ io }) =>
  useSyncExternalStore(
    useCallback(
      (notify) => {
        io.on("status", notify);
        return () => void io.off("status", notify);
      },
      [io],
    ),
    () => (awaited.has(io) ? "connecting" : io.status),
    () => "connecting",
  );
