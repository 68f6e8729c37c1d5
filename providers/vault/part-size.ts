const mib = 1024 * 1024;

/** Plain bytes of an ordinary part. */
export const defaultPartBytes = 16 * mib;
/** From this part on parts are twice as large (16 GiB of plaintext): fewer objects, and still bounded memory. */
export const growFromPart = 1024;

/** How many plain bytes part `n` (from 1) takes. Larger steps would not fit the memory budget of the pipeline. */
export function partBytesOf(n: number, base: number = defaultPartBytes): number {
  return n < growFromPart ? base : 2 * base;
}

/**
 * How many part buffers a pipeline has: one being filled, one per thread, one on its way out; never more than this many
 * bytes. Measured: fewer starve the threads, more only cost memory.
 */
export function slotsFor(threads: number, partBytes: number): number {
  return Math.max(3, Math.min(threads + 2, Math.floor((6 * defaultPartBytes) / partBytes)));
}
