/**
 * `npm run names [seconds]`: better names for the bundles, by trying. Two letters change places, and what is no smaller then is
 * mostly undone: now and then a worse one is kept for a while, ever more rarely. The best that was seen is written down.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { NAMES, TABLES, bundle } from "../build.js";
import { SHORT, choose } from "./naming.js";

/** Of the short names, so many are tried; and how often it is rather that of the member which a variable comes from or goes to, or what stands elsewhere in its place, between so many characters. */
const MOST = 90;
const OWN = 0.05;
const MODEL = 0.6;
const SIDE = 4;
/** How many bytes more are kept one time out of three, at the beginning; nearly none at the end. */
const WARM = 0.4;
const COLD = 0.05;

let seed = 1;
const random = () => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return seed / 2 ** 32;
};

/** @template T @param {T[]} list @returns {T} */
const any = (list) => list[Math.floor(random() * list.length)];

/**
 * @param {string} file
 * @returns What can be named in it, and how large it is with given names.
 */
const measured = async (file) => {
  /** @type {import("./naming.js").Named[]} */
  let all = [];
  const { code } = await bundle(file, (found) => {
    all = found;
    all.forEach((one, index) => one.rename(`Q${index}Q`));
  });
  const parts = code.split(/Q(\d+)Q/);
  const texts = parts.filter((_, index) => !(index % 2));
  const uses = parts.filter((_, index) => index % 2).map(Number);
  // `{a:a}` is printed as `{a}`; `a` may be a member that is renamed too, or one that is not.
  const pairs = uses.map((use, at) => {
    if (all[use].key[0] == "." || !/^[,}=]/.test(texts[at + 1])) return undefined;
    return texts[at] == ":" && /[{,]$/.test(texts[at - 1]) ? uses[at - 1] : /[{,](\w+):$/.exec(texts[at])?.[1];
  });
  /** @type {string[][]} */
  const own = all.map(() => []);
  pairs.forEach((pair, at) => typeof pair == "string" && own[uses[at]].push(pair));
  const size = (/** @type {string[]} */ names) => {
    /** @type {string[]} */
    const out = [];
    uses.forEach((use, at) => {
      const name = names[use];
      const pair = pairs[at];
      if (typeof pair == "number" && names[pair] == name) out.pop();
      else out.push(pair == name ? texts[at].slice(0, -name.length - 1) : texts[at]);
      out.push(name);
    });
    return gzipSync(out.join("") + texts.at(-1), { level: 9 }).length;
  };
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
  return { all, own, models, size };
};

/**
 * @param {string} file
 * @param {Record<string, string>} table
 * @param {number} seconds
 * @param {Record<string, string>} settled What another bundle has found is not for this one to change.
 * @returns {Promise<Record<string, string>>}
 */
const improved = async (file, table, seconds, settled) => {
  const { all, own, models, size } = await measured(file);
  const index = new Map(all.map((one, at) => [one, at]));
  const others = all.map((one) => [...one.others].map((other) => /** @type {number} */ (index.get(other))));
  const chosen = choose(all, table);
  const names = all.map((one) => /** @type {string} */ (chosen.get(one)));
  const pool = SHORT.slice(0, MOST);
  let now = size(names);
  let least = now;
  let best = [...names];
  console.log(file, now);
  const begin = Date.now();
  for (let part = 0; part < 1; part = (Date.now() - begin) / 1000 / seconds) {
    const one = Math.floor(random() * all.length);
    const was = names[one];
    const kind = random();
    const name = kind < OWN ? any(own[one]) : kind < MODEL ? names[any(models[one]) ?? one] : pool[Math.floor(random() ** 2 * pool.length)];
    if (!name || name == was) continue;
    // Those that have it where it is wanted get the other one, as far as that is free.
    const group = others[one].filter((other) => names[other] == name);
    const isTaken = (/** @type {number} */ at, /** @type {string} */ next) =>
      all[at].key in settled || all[at].taken.has(next) || others[at].some((other) => names[other] == next && other != one && !group.includes(other));
    if (group.length > 4 || isTaken(one, name) || group.some((other) => isTaken(other, was))) continue;
    names[one] = name;
    for (const other of group) names[other] = was;
    const next = size(names);
    if (next <= now || random() < Math.exp((now - next) / (WARM * (COLD / WARM) ** part))) now = next;
    else {
      names[one] = was;
      for (const other of group) names[other] = name;
    }
    if (now < least) {
      least = now;
      best = [...names];
    }
  }
  console.log(file, least);
  return { ...Object.fromEntries(all.map(({ key }, at) => [key, best[at]])), ...settled };
};

const seconds = +(process.argv[2] ?? 300);
const tables = JSON.parse(readFileSync(NAMES, "utf8"));
for (const [name, files] of Object.entries(TABLES)) {
  /** @type {Record<string, string>} */
  let settled = {};
  for (const file of files) settled = await improved(file, { ...tables[name], ...settled }, file == files[0] ? seconds : seconds / 10, settled);
  tables[name] = Object.fromEntries(Object.entries(settled).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
writeFileSync(NAMES, JSON.stringify(tables, null, 1) + "\n");
