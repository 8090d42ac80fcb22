/**
 * How large gzip leaves a bundle. There are two answers. Classic zlib also takes repetitions of three bytes, though three letters
 * are mostly the shorter code; so do nginx and Python. Chromium's zlib, which Node has, looks for four bytes and more.
 */
import { gzipSync } from "node:zlib";
import { gzip } from "pako";

/** @param {string | Uint8Array} code @returns {number} As classic zlib leaves it at level 9, to the byte. */
export const classicSize = (code) => gzip(code, { level: 9, legacyHash: true }).length;

/** @param {string | Uint8Array} code @returns {number} As Node leaves it at level 9. */
export const nodeSize = (code) => gzipSync(code, { level: 9 }).length;

/** @param {string | Uint8Array} code @returns {number} The larger of the two. */
export const gzipSize = (code) => Math.max(classicSize(code), nodeSize(code));
