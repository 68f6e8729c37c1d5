/** Where a part of `resurgo up` stands: when its parent is gone, so is it, whatever the platform does for orphans. */
export interface UnderUp {
  /** Also aborts when the parent is gone. */
  readonly signal: AbortSignal;
  /** Resolves when Temporal answers, at TEMPORAL_ADDRESS; false when there is nothing to connect to any more. At once for whom nobody tells. */
  readonly temporalServes: Promise<boolean>;
}

/** Listens to the process that started this one, if it is `resurgo up`. Call it before anything slow, so that no word is missed. */
export function underUp(stop: AbortSignal, awaitTemporal = false): UnderUp {
  if (process.send === undefined) return { signal: stop, temporalServes: Promise.resolve(true) };
  const orphaned = new AbortController();
  process.once('disconnect', () => { orphaned.abort(); });
  const signal = AbortSignal.any([stop, orphaned.signal]);
  return { signal, temporalServes: awaitTemporal ? toldWhereTemporalServes(signal) : Promise.resolve(true) };
}

const toldWhereTemporalServes = (signal: AbortSignal): Promise<boolean> =>
  new Promise((resolve) => {
    process.on('message', (message) => {
      const { temporal } = message as { temporal?: string };
      if (temporal === undefined) return;
      process.env['TEMPORAL_ADDRESS'] = temporal;
      resolve(true);
    });
    const none = (): void => { resolve(false); };
    if (signal.aborted) none();
    else signal.addEventListener('abort', none, { once: true });
  });
