/** Task queue names, once. Recovery never queues behind bulk work. */
export const taskQueues = {
  /** Workflows and light activities. */
  main: 'resurgo',
  /** Bulk work: dump, upload, verify, restore; few slots. */
  heavy: 'resurgo.heavy',
  /** Watching: WAL archives and monitors, many at once, each for ever. */
  watch: 'resurgo.watch',
  /** Watching bound to one host. */
  hostWatch: (name: string): string => `resurgo.host.${name}.watch`,
  /** Quick work bound to one host; never behind bulk work. */
  host: (name: string): string => `resurgo.host.${name}`,
  /** Bulk work bound to one host. */
  hostHeavy: (name: string): string => `resurgo.host.${name}.heavy`,
} as const;
