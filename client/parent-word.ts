/**
 * Waits until `resurgo up`, our parent, has said where its Temporal serves. Listen before anything slow.
 * @returns false when the parent is gone or we are to stop: then there is nothing to connect to
 */
export const toldWhereTemporalServes = (signal: AbortSignal): Promise<boolean> =>
  new Promise((resolve) => {
    process.on('message', (message) => {
      const { temporal } = message as { temporal?: string };
      if (temporal === undefined) return;
      process.env['TEMPORAL_ADDRESS'] = temporal;
      resolve(true);
    });
    process.once('disconnect', () => { resolve(false); });
    signal.addEventListener('abort', () => { resolve(false); }, { once: true });
  });
