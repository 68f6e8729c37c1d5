/** Task queue names, once. Recovery never queues behind bulk work. */
export const taskQueues = {
  /** Workflows and light activities. */
  main: 'resurgo',
  /** Bulk work: dump, upload, verify, restore; few slots. */
  heavy: 'resurgo.heavy',
  /** Work bound to one host. */
  host: (name: string): string => `resurgo.host.${name}`,
} as const;
