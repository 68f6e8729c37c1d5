/** Something a test started and has to end. */
export interface Resource {
  readonly name: string;
  /** Ends it and leaves nothing behind, also when it crashed before. Safe to call twice. */
  stop(): Promise<void>;
  /** Last resort while the process exits: may not wait. */
  abandon(): void;
}

const open = new Set<Resource>();

export function register(resource: Resource): void {
  open.add(resource);
}

export function unregister(resource: Resource): void {
  open.delete(resource);
}

export const openResources = (): readonly string[] => [...open].map((resource) => resource.name);

/** Stops everything still open, the newest first. */
export async function stopAll(): Promise<void> {
  for (const resource of [...open].reverse()) await resource.stop();
}

process.on('exit', () => {
  for (const resource of [...open].reverse()) resource.abandon();
});
