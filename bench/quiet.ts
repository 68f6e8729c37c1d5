/** For what may be done once per process only and is harmless the second time. */
export function silently(work: () => void): void {
  try {
    work();
  } catch {
    // Done before.
  }
}
