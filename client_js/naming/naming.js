/**
 * The short names in the bundles. What is written alike most often compresses best, so who gets which letter decides over one
 * byte in twenty. names.json has the letters, `npm run names` looks for better ones, and what the table does not know gets the
 * first letter that is free: with any table a bundle is right, with a good one it is small. So with the order (order.js).
 *
 * UglifyJS knows the scopes and writes the source map; only its choice of names is replaced.
 */
import uglify from "uglify-js";

/** Behind the members that are to be renamed, until they are. */
export const MARK = "$";

/** Those first that there are most of in JavaScript. */
const LETTERS = [..."tesrinoahcldfupgvmwybkMxTESAPONLIFUjWCzJqRDGBVHKZQXY_"];
const WORDS =
  "arguments await break case catch class const continue debugger default delete do else enum eval export extends false finally for function if implements import in instanceof interface let new null package private protected public return static super switch this throw true try typeof undefined var void while with yield".split(" ");
export const SHORT = [...LETTERS, ...LETTERS.flatMap((first) => [...LETTERS, ..."0123456789"].map((second) => first + second))].filter((name) => !WORDS.includes(name));

/**
 * @typedef {object} Named A variable or a member.
 * @property {string} key In the table: where it is, and its name in the source.
 * @property {Set<Named>} others Those that have to be called otherwise.
 * @property {Set<string>} taken What cannot be renamed there.
 * @property {(name: string) => void} rename
 */

/**
 * @typedef {object} Choice
 * @property {(all: Named[]) => void} rename
 * @property {(toplevel: any) => void} [reorder]
 */

/**
 * @param {any} toplevel
 * @param {(node: any, parents: any[]) => void} see
 */
export const walk = (toplevel, see) => {
  /** @type {any[]} */
  const parents = [];
  toplevel.walk({
    visit(/** @type {any} */ node, /** @type {(() => void) | undefined} */ descend) {
      see(node, parents);
      parents.push(node);
      descend?.();
      parents.pop();
    },
    push() {},
    pop() {},
  });
};

/** @returns {(key: string) => string} What is there for the second time gets a number. */
export const counter = () => {
  /** @type {Map<string, number>} */
  const counts = new Map();
  return (key) => {
    const count = (counts.get(key) ?? 0) + 1;
    counts.set(key, count);
    return count > 1 ? `${key}#${count}` : key;
  };
};

/** What a place is called: the function that is given this name, or the method. @param {any} parent */
export const titleOf = (parent) => {
  const { name, left, key } = parent ?? {};
  const title = parent?.TYPE == "VarDef" ? name.name : parent?.TYPE == "Assign" ? left.property : key;
  return typeof title == "string" ? title.replace(MARK, "") : "";
};

/**
 * @param {any} toplevel As UglifyJS has it, with its scopes.
 * @returns {Named[]} All that can be renamed, what is in inner scopes first.
 */
export const find = (toplevel) => {
  /** @type {Map<any, Named>} */
  const found = new Map();
  const unique = counter();
  const add = (/** @type {any} */ id, /** @type {string} */ key, /** @type {Named["rename"]} */ rename) => {
    found.set(id, { key: unique(key), others: new Set(), taken: new Set(WORDS), rename });
  };

  /** @type {Map<any, string>} */
  const scopes = new Map();
  /** @type {Map<string, ((name: string) => void)[]>} */
  const members = new Map();
  /** @type {Set<string>} */
  const fixed = new Set();
  walk(toplevel, (node, parents) => {
    if (node.enclosed) scopes.set(node, titleOf(parents.at(-1)));
    for (const field of ["property", "key"]) {
      const name = node[field];
      if (typeof name != "string") continue;
      if (!name.endsWith(MARK)) fixed.add(name);
      else members.set(name, [...(members.get(name) ?? []), (short) => (node[field] = short)]);
    }
  });
  for (const [name, uses] of members) add(name, "." + name.replace(MARK, ""), (short) => uses.forEach((use) => use(short)));
  const all = [...found.values()];
  for (const one of all) {
    one.others = new Set(all.filter((other) => other != one));
    one.taken = fixed;
  }

  const first = (/** @type {any} */ def) => def.redefined() ?? def;
  const isFixed = (/** @type {any} */ def) => def.undeclared || def.exported || def.name == "arguments";
  for (const scope of [...scopes.keys()].toReversed()) {
    let place = scope;
    while (place && !scopes.get(place)) place = place.parent_scope;
    scope.variables.each((/** @type {any} */ def) => {
      const one = first(def);
      if (!isFixed(one) && !found.has(one)) add(one, `${scopes.get(place) ?? ""}:${one.name}`, (short) => (one.mangled_name = short));
    });
  }
  for (const scope of scopes.keys()) {
    const defs = new Set(scope.enclosed.map(first));
    scope.variables.each((/** @type {any} */ def) => defs.add(first(def)));
    const here = [...defs].flatMap((def) => found.get(def) ?? []);
    const taken = [...defs].filter(isFixed).map(({ name }) => name);
    for (const one of here) {
      for (const other of here) if (other != one) one.others.add(other);
      for (const name of taken) one.taken.add(name);
    }
  }
  return [...found.values()];
};

/**
 * @param {Named[]} all
 * @param {Record<string, string>} table
 * @returns {Map<Named, string>}
 */
export const choose = (all, table) => {
  /** @type {Map<Named, string>} */
  const chosen = new Map();
  const isFree = (/** @type {Named} */ one, /** @type {string} */ name) => !one.taken.has(name) && ![...one.others].some((other) => chosen.get(other) == name);
  // Who has a name keeps it, whoever is new.
  for (const one of all) if (table[one.key] && isFree(one, table[one.key])) chosen.set(one, table[one.key]);
  for (const one of all) if (!chosen.has(one)) chosen.set(one, /** @type {string} */ (SHORT.find((name) => isFree(one, name))));
  return chosen;
};

/** `{a:a}` as `{a}`, which UglifyJS only does in patterns. @param {any} toplevel */
const joinPairs = (toplevel) =>
  walk(toplevel, (node) => {
    if (node.TYPE != "ObjectKeyVal" || node.value.TYPE != "SymbolRef") return;
    const { name, mangled_name } = node.value.definition();
    if (node.key === (mangled_name ?? name)) node.print = (/** @type {any} */ output) => node.value.print(output);
  });

/**
 * `uglify.minify`, with its names chosen by somebody else, and the order of what may stand in any.
 * @param {string} code
 * @param {uglify.MinifyOptions} options
 * @param {Choice} choice
 */
export const minifyNamed = (code, options, { rename, reorder }) => {
  const Toplevel = Object.getPrototypeOf(/** @type {any} */ (uglify.minify("", { output: { ast: true } })).ast);
  const { mangle_names } = Toplevel;
  Toplevel.mangle_names = function () {
    const all = find(this);
    reorder?.(this);
    rename(all);
    joinPairs(this);
  };
  try {
    const result = uglify.minify(code, { ...options, rename: false });
    if (result.error) throw result.error;
    return result;
  } finally {
    Toplevel.mangle_names = mangle_names;
  }
};
