/**
 * Runs `work` over the items, at most `limit` at once, results in the order of the items. The first failure stops new work, waits for what
 * is running (nothing goes on behind the caller's back) and is thrown.
 */
export async function mapBounded<T, R>(
  items: Iterable<T> | AsyncIterable<T>,
  limit: number,
  work: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const failures: unknown[] = [];
  const iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
  let next = 0;
  let done = false;
  // Lanes share one iterator; pulls are queued because an async generator may be asked again before it answered.
  let pull: Promise<unknown> = Promise.resolve();
  const take = async (): Promise<{ item: T; index: number } | undefined> => {
    const previous = pull;
    const mine = (async () => {
      await previous.catch(() => undefined);
      if (done || failures.length > 0) return undefined;
      const result = await iterator.next();
      if (result.done === true) {
        done = true;
        return undefined;
      }
      return { item: result.value, index: next++ };
    })();
    pull = mine;
    return mine;
  };
  const lane = async (): Promise<void> => {
    try {
      for (let got = await take(); got !== undefined; got = await take())
        results[got.index] = await work(got.item, got.index);
    } catch (error) {
      failures.push(error);
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, limit) }, lane));
  if (failures.length > 0) {
    await iterator.return?.();
    throw failures[0];
  }
  return results;
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
