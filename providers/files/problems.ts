/** Names in a warning. */
const shown = 5;

/** What is not in the backup, or not as it should be. */
export class Problems {
  readonly unread = new Map<string, string>();
  readonly vanished: string[] = [];
  readonly changing: string[] = [];
  /** In no backup, whatever the draft says. */
  readonly gone = new Set<string>();
  sockets = 0;

  report(path: string, why: string): void {
    this.unread.set(path, why.replace(/, \w+ '.*'$/s, ''));
  }

  warnings(): string[] {
    const named = (paths: readonly string[]): string => paths.slice(0, shown).map((path) => JSON.stringify(`/${path}`)).join(', ') + (paths.length > shown ? ' …' : '');
    const unread = [...this.unread.keys()];
    return [
      ...(unread.length === 0 ? [] : [`${String(unread.length)} could not be read and are not in the backup: ${unread.slice(0, shown).map((path) => `${JSON.stringify(`/${path}`)} (${this.unread.get(path) ?? ''})`).join(', ')}${unread.length > shown ? ' …' : ''}`]),
      ...(this.changing.length === 0 ? [] : [`${String(this.changing.length)} changed each time they were read; what the backup has of them may be half old, half new: ${named(this.changing)}`]),
      ...(this.vanished.length === 0 ? [] : [`${String(this.vanished.length)} vanished while the backup was taken: ${named(this.vanished)}`]),
    ];
  }
}
