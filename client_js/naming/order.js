/**
 * The order in the bundles of what may stand in any order: functions and constants declared in a row, methods given to `this`
 * in a row, names taken out of an object. What is alike compresses best when it is near.
 */
import { MARK, counter, titleOf, walk } from "./naming.js";

/**
 * @typedef {object} Item
 * @property {string} key In the table.
 * @property {any} node
 * @property {Set<any>} gives What it defines.
 * @property {Set<any>} needs What it reads at once, and not when it is called.
 */
/** @typedef {{key: string, list: any[], start: number, items: Item[]}} Run Neighbours in a list, from there on. */

/** What does nothing at once but to make a value. */
const PURE = /^(Arrow|AsyncArrow|Function|AsyncFunction|ClassExpression|SymbolRef|String|Number|RegExp|True|False|Null|Undefined|Infinity|Array|Object|ObjectKeyVal|ObjectMethod|Binary|UnaryPrefix)$/;
const LAZY = /^(Arrow|AsyncArrow|Function|AsyncFunction)$/;

/**
 * @param {any} node Or what else a node has in it.
 * @param {Set<any>} needs To be added to.
 * @returns {boolean} Whether it may be evaluated sooner or later.
 */
const isPure = (node, needs) => {
  if (!node?.TYPE || LAZY.test(node.TYPE)) return true;
  if (!PURE.test(node.TYPE)) return false;
  if (node.TYPE == "SymbolRef") needs.add(node.definition());
  if (["++", "--", "delete"].includes(node.operator)) return false;
  const { TYPE, elements = [], properties = [], left, right, expression, extends: base, key, value } = node;
  if (TYPE == "ClassExpression") return properties.every((/** @type {any} */ member) => typeof member.key == "string" && !member.static) && isPure(base, needs);
  return [...elements, ...properties, key, value, left, right, expression].every((part) => isPure(part, needs));
};

/** @param {any} node Of a list. @returns {Item | undefined} Nothing, if it has to stay where it is. */
const itemOf = (node) => {
  const needs = new Set();
  if (node.TYPE == "VarDef" && node.name.definition && isPure(node.value, needs)) return { key: node.name.name, node, gives: new Set([node.name.definition()]), needs };
  if (node.TYPE == "DestructuredKeyVal" && typeof node.key == "string" && node.value.definition) {
    return { key: node.key.replace(MARK, ""), node, gives: new Set([node.value.definition()]), needs };
  }
  const gives = new Set();
  let value = node;
  for (; value.TYPE == "Assign" && value.operator == "=" && value.left.TYPE == "Dot" && value.left.expression.TYPE == "This"; value = value.right) gives.add(value.left.property);
  return gives.size && LAZY.test(value.TYPE) ? { key: [...gives][0].replace(MARK, ""), node, gives, needs } : undefined;
};

/** @param {Set<any>} one @param {Set<any>} other */
const meet = (one, other) => [...one].some((part) => other.has(part));

/** @param {Item} one @param {Item} other Behind it. */
export const isBound = (one, other) => meet(one.gives, other.needs) || meet(one.gives, other.gives) || meet(one.needs, other.gives);

/**
 * @param {any} node
 * @param {any} parent
 * @returns {any[]} In which some may stand in any order.
 */
const listOf = (node, parent) => {
  if (node.definitions) return node.definitions;
  if (node.TYPE == "DestructuredObject") return node.properties;
  return node.TYPE == "Sequence" && parent.TYPE == "SimpleStatement" ? node.expressions : [];
};

/**
 * @param {any} toplevel As UglifyJS has it, with its scopes.
 * @returns {Run[]} As they stand now.
 */
export const findRuns = (toplevel) => {
  /** @type {Run[]} */
  const runs = [];
  const unique = counter();
  walk(toplevel, (node, parents) => {
    const list = listOf(node, parents.at(-1));
    const place = parents.findLast((/** @type {any} */ parent, /** @type {number} */ at) => parent.enclosed && titleOf(parents[at - 1]));
    const title = place ? titleOf(parents[parents.indexOf(place) - 1]) : "";
    /** @type {(Item | undefined)[]} */
    const items = list.map(itemOf);
    for (let start = 0, end = 0; start < list.length; start = end + 1) {
      for (end = start; items[end]; ) end++;
      if (end - start < 2) continue;
      const run = /** @type {Item[]} */ (items.slice(start, end));
      // Two variables may have become one, and a run has it twice.
      const inRun = counter();
      for (const item of run) item.key = inRun(item.key);
      runs.push({ key: unique(`${title}:${run[0].key}`), list, start, items: run });
    }
  });
  return runs;
};

/**
 * @param {Item[]} items
 * @param {string[]} [wanted] Their keys in the order wanted. Others follow those they follow now.
 * @returns {Item[]}
 */
export const sorted = (items, wanted = []) => {
  let rank = -1;
  const ranks = new Map(items.map((item) => [item, (rank = wanted.includes(item.key) ? wanted.indexOf(item.key) : rank)]));
  const left = items.toSorted((one, other) => /** @type {number} */ (ranks.get(one)) - /** @type {number} */ (ranks.get(other)));
  /** @type {Item[]} */
  const out = [];
  while (left.length) {
    // The first one that waits for none of the others.
    const next = left.findIndex((item) => !left.some((other) => items.indexOf(other) < items.indexOf(item) && isBound(other, item)));
    out.push(...left.splice(next, 1));
  }
  return out;
};

/**
 * @param {Run[]} runs
 * @param {Record<string, string[]>} table
 */
export const arrange = (runs, table) => {
  for (const { key, list, start, items } of runs) list.splice(start, items.length, ...sorted(items, table[key]).map(({ node }) => node));
};
