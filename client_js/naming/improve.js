/**
 * `npm run names [seconds]`: better names and a better order for the bundles, by trying. Two letters change places, or what may
 * stand anywhere goes elsewhere, and what is no smaller then is mostly undone: now and then a worse one is kept for a while, ever
 * more rarely. The best that was seen is written down.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { NAMES, TABLES, bundle } from "../build.js";
import { SHORT, choose } from "./naming.js";
import { findRuns, isBound, sorted } from "./order.js";
import { classicSize, gzipSize, nodeSize } from "./size.js";

/** Of the short names, so many are tried; and how often it is rather that of the member which a variable comes from or goes to, or what stands elsewhere in its place, between so many characters. */
const MOST = 90;
const OWN = 0.05;
const MODEL = 0.6;
const SIDE = 4;
/** How often it is the order that changes, and of how many neighbours at once. */
const ORDER = 0.12;
const TOGETHER = 4;
/** How many bytes more are kept one time out of three, at the beginning; nearly none at the end. */
const WARM = 0.4;
const COLD = 0.05;

/** In the code that is measured: a name, and where what may stand elsewhere begins and ends. */
const PARTS = /Q(\d+)Q|\x01(\d+)\.(\d+)\x01|(\x02)/;

let seed = 1;
const random = () => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return seed / 2 ** 32;
};

/** @template T @param {T[]} list @returns {T} */
const any = (list) => list[Math.floor(random() * list.length)];

/** @typedef {string | number | {run: number, items: Part[][]}} Part Text, a variable or member by its index, or all of a run. */

/**
 * @param {string} code
 * @returns {Part[]}
 */
const parse = (code) => {
  const parts = code.split(PARTS);
  /** @type {Part[]} */
  const top = [];
  let here = top;
  /** @type {Part[][]} */
  const outer = [];
  for (let at = 0; at < parts.length; at += 5) {
    const [text, name, run, item, end] = parts.slice(at, at + 5);
    // What divides the items of a run is written between them again.
    const last = here.at(-1);
    if (text && !(text == "," && run && item != "0" && typeof last == "object" && last.run == +run)) here.push(text);
    if (name) here.push(+name);
    else if (run) {
      let all = here.at(-1);
      if (item == "0") {
        if (typeof all == "string" && /\w$/.test(all)) here.push(" ");
        here.push((all = { run: +run, items: [] }));
      }
      outer.push(here);
      /** @type {{items: Part[][]}} */ (all).items.push((here = []));
    } else if (end) here = /** @type {Part[]} */ (outer.pop());
  }
  return top;
};

/**
 * @param {string} file
 * @param {Record<string, string[]>} orders
 * @returns What can be named in it and put in another order, and how large it is then.
 */
const measured = async (file, orders) => {
  /** @type {import("./naming.js").Named[]} */
  let all = [];
  /** @type {import("./order.js").Run[]} */
  let runs = [];
  const { code } = await bundle(file, {
    rename(found) {
      all = found;
      all.forEach((one, index) => one.rename(`Q${index}Q`));
    },
    reorder(toplevel) {
      runs = findRuns(toplevel);
      runs.forEach(({ items }, run) =>
        items.forEach(({ node }, item) => {
          const { print } = node;
          node.print = (/** @type {any} */ output, /** @type {any} */ force) => {
            output.print(`\x01${run}.${item}\x01`);
            print.call(node, output, force);
            output.print("\x02");
          };
        }),
      );
    },
  });
  const top = parse(code);

  /** @param {number[][]} order Of each run, its items. */
  const layOut = (order) => {
    /** @type {string[]} */
    const texts = [""];
    /** @type {number[]} */
    const uses = [];
    /** @param {Part[]} parts */
    const add = (parts) => {
      for (const part of parts) {
        if (typeof part == "string") texts[texts.length - 1] += part;
        else if (typeof part == "number") {
          uses.push(part);
          texts.push("");
        } else {
          order[part.run].forEach((item, at) => {
            if (at) texts[texts.length - 1] += ",";
            add(part.items[item]);
          });
        }
      }
    };
    add(top);
    // `{a:a}` is printed as `{a}`; `a` may be a member that is renamed too, or one that is not.
    const pairs = uses.map((use, at) => {
      if (all[use].key[0] == "." || !/^[,}=]/.test(texts[at + 1])) return undefined;
      return texts[at] == ":" && /[{,]$/.test(texts[at - 1]) ? uses[at - 1] : /[{,](\w+):$/.exec(texts[at])?.[1];
    });
    return { texts, uses, pairs };
  };

  /** @param {ReturnType<typeof layOut>} layout @param {string[]} names */
  const write = ({ texts, uses, pairs }, names) => {
    /** @type {string[]} */
    const out = [];
    uses.forEach((use, at) => {
      const name = names[use];
      const pair = pairs[at];
      if (typeof pair == "number" && names[pair] == name) out.pop();
      else out.push(pair == name ? texts[at].slice(0, -name.length - 1) : texts[at]);
      out.push(name);
    });
    return out.join("") + texts.at(-1);
  };

  const order = runs.map(({ key, items }) => sorted(items, orders[key]).map((item) => items.indexOf(item)));
  const { texts, uses, pairs } = layOut(order);
  /** @type {string[][]} */
  const own = all.map(() => []);
  pairs.forEach((pair, at) => typeof pair == "string" && own[uses[at]].push(pair));
  // Where the same stands before and behind a name, the same name makes one longer repetition of two.
  /** @type {Map<string, number[]>} */
  const alike = new Map();
  uses.forEach((use, at) => {
    const around = `${texts[at].slice(-SIDE)}|${texts[at + 1].slice(0, SIDE)}`;
    alike.set(around, [...(alike.get(around) ?? []), use]);
  });
  /** @type {number[][]} */
  const models = all.map(() => []);
  for (const group of alike.values()) if (group.length > 1) for (const use of group) models[use].push(...group);
  return { all, runs, order, own, models, layOut, write };
};

/**
 * @param {string[]} known
 * @param {string[]} here The same in the same order, as far as it is here; and more.
 */
const joined = (known, here) =>
  here.reduce((list, key, at) => (list.includes(key) ? list : list.toSpliced(list.indexOf(here[at - 1]) + 1, 0, key)), known);

/** @typedef {{names: Record<string, string>, orders: Record<string, string[]>}} Table */

/**
 * @param {string} file
 * @param {Table} table
 * @param {number} seconds
 * @param {Table} settled What another bundle has found is not for this one to change.
 * @returns {Promise<Table>}
 */
const improved = async (file, table, seconds, settled) => {
  const { all, runs, order, own, models, layOut, write } = await measured(file, table.orders);
  const index = new Map(all.map((one, at) => [one, at]));
  const others = all.map((one) => [...one.others].map((other) => /** @type {number} */ (index.get(other))));
  const chosen = choose(all, table.names);
  const names = all.map((one) => /** @type {string} */ (chosen.get(one)));
  const pool = SHORT.slice(0, MOST);
  /** All that may be moved: its run, and its place there. @type {[run: number, item: number][]} */
  const free = runs.flatMap(({ key, items }, run) => items.flatMap((item, at) => (settled.orders[key]?.includes(item.key) ? [] : [/** @type {[number, number]} */ ([run, at])])));
  // Of the two sizes it is the larger one, by more than what is gained here; the other one goes down with it.
  const size = (/** @type {ReturnType<typeof layOut>} */ laid) => gzipSize(write(laid, names));
  const tell = () => {
    const code = write(layOut(best.order), best.names);
    console.log(`${file}: ${classicSize(code)} bytes, ${nodeSize(code)} by Node's zlib`);
  };
  let layout = layOut(order);
  let now = size(layout);
  let least = now;
  let best = { names: [...names], order: [...order] };
  tell();
  const begin = Date.now();
  let part = 0;
  const isKept = (/** @type {number} */ next) => next <= now || random() < Math.exp((now - next) / (WARM * (COLD / WARM) ** part));

  const move = () => {
    const [run, item] = any(free);
    const was = order[run];
    const next = [...was];
    // With its neighbours, if those may be moved too.
    const some = next.splice(was.indexOf(item), runs[run].key in settled.orders ? 1 : 1 + Math.floor(random() * Math.min(TOGETHER, was.length - 1)));
    next.splice(Math.floor(random() * (next.length + 1)), 0, ...some);
    const { items } = runs[run];
    if (next.some((one, at) => next.slice(at + 1).some((other) => other < one && isBound(items[other], items[one])))) return;
    order[run] = next;
    const laid = layOut(order);
    const sized = size(laid);
    if (isKept(sized)) [now, layout] = [sized, laid];
    else order[run] = was;
  };

  const rename = () => {
    const one = Math.floor(random() * all.length);
    const was = names[one];
    const kind = random();
    const name = kind < OWN ? any(own[one]) : kind < MODEL ? names[any(models[one]) ?? one] : pool[Math.floor(random() ** 2 * pool.length)];
    if (!name || name == was) return;
    // Those that have it where it is wanted get the other one, as far as that is free.
    const group = others[one].filter((other) => names[other] == name);
    const isTaken = (/** @type {number} */ at, /** @type {string} */ next) =>
      all[at].key in settled.names || all[at].taken.has(next) || others[at].some((other) => names[other] == next && other != one && !group.includes(other));
    if (group.length > 4 || isTaken(one, name) || group.some((other) => isTaken(other, was))) return;
    names[one] = name;
    for (const other of group) names[other] = was;
    const next = size(layout);
    if (isKept(next)) now = next;
    else {
      names[one] = was;
      for (const other of group) names[other] = name;
    }
  };

  for (; part < 1; part = (Date.now() - begin) / 1000 / seconds) {
    if (free.length && random() < ORDER) move();
    else rename();
    if (now < least) {
      least = now;
      best = { names: [...names], order: [...order] };
    }
  }
  tell();
  return {
    names: { ...Object.fromEntries(all.map(({ key }, at) => [key, best.names[at]])), ...settled.names },
    orders: { ...settled.orders, ...Object.fromEntries(runs.map(({ key, items }, run) => [key, joined(settled.orders[key] ?? [], best.order[run].map((item) => items[item].key))])) },
  };
};

/** @template T @param {Record<string, T>} table @returns {Record<string, T>} */
const inOrder = (table) => Object.fromEntries(Object.entries(table).toSorted(([a], [b]) => (a < b ? -1 : 1)));

const seconds = +(process.argv[2] ?? 300);
/** @type {Record<string, Table>} */
const tables = JSON.parse(readFileSync(NAMES, "utf8"));
for (const [name, files] of Object.entries(TABLES)) {
  /** @type {Table} */
  let settled = { names: {}, orders: {} };
  for (const file of files) {
    const { names, orders } = tables[name];
    settled = await improved(file, { names: { ...names, ...settled.names }, orders: { ...orders, ...settled.orders } }, file == files[0] ? seconds : seconds / 10, settled);
  }
  tables[name] = { names: inOrder(settled.names), orders: inOrder(settled.orders) };
}
// A list in one line.
writeFileSync(NAMES, JSON.stringify(tables, null, 1).replace(/\[\s+([^\]]*?)\s+\]/g, (_, list) => `[${list.replace(/,\s+/g, ", ")}]`) + "\n");
