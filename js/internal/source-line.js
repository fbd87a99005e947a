// source-line: where in the author's code was this recorded?
//
// Reads the call stack of the engine we run in.  A recording that cannot be located has the source "unknown place";
// nothing else depends on it.  Not part of the public API.

/** Files whose frames are ours: everything in this folder's parent. Text only: in some hosts a module's address is no URL. */
const OURS = String(import.meta.url).replace(/internal\/source-line\.js.*$/, '');

/** @returns {string} file:line:column of the nearest frame outside this package */
export function callerLine() {
  const stack = new Error().stack ?? '';
  for (const line of stack.split('\n').slice(1)) {
    // "at name (file:1:2)", "at file:1:2" (V8) or "name@file:1:2" (Firefox, Safari)
    const match = /(?:\(|@|at )((?:file|https?|node|webpack|data|blob)?:?[^\s()@]*:\d+:\d+)\)?$/.exec(line.trim());
    if (match && !(OURS !== '' && match[1].startsWith(OURS)) && !line.includes('node:internal')) return match[1];
  }
  return 'unknown place';
}
