import { defineQuery, setCurrentDetails, setHandler, upsertSearchAttributes } from '@temporalio/workflow';
import { defineSearchAttributeKey, type SearchAttributePair } from '@temporalio/common';

export type CheckState = 'pending' | 'in progress' | 'completed' | 'failed' | 'skipped' | 'compensated' | 'unknown';

export interface CheckItem {
  readonly name: string;
  readonly state: CheckState;
  readonly detail?: string;
}

/** What the CLI and the board ask a running workflow. */
export const stepsQuery = defineQuery<CheckItem[]>('steps');

export const searchAttributes = {
  target: defineSearchAttributeKey('ResurgoTarget', 'KEYWORD'),
  operation: defineSearchAttributeKey('ResurgoOperation', 'KEYWORD'),
  backup: defineSearchAttributeKey('ResurgoBackup', 'KEYWORD'),
  outcome: defineSearchAttributeKey('ResurgoOutcome', 'KEYWORD'),
  plan: defineSearchAttributeKey('ResurgoPlan', 'KEYWORD'),
} as const;

const marks: Record<CheckState, string> = {
  pending: '⬜', 'in progress': '⏳', completed: '✅', failed: '❌', skipped: '➖', compensated: '↩️', unknown: '❓',
};

/** The target a person named, for the first line they see; whoever starts a run from the Temporal UI may have given no input at all. */
export const targetIn = (input: unknown): string => String((input as { target?: unknown } | null | undefined)?.target);

/** A live checklist, shown as Markdown in the Temporal UI ("current details") and answered to `steps` queries. */
export class Checklist {
  private readonly title: string;
  private readonly items: CheckItem[] = [];
  private attributesEnabled = false;
  private note: string | undefined;

  constructor(title: string, names: readonly string[]) {
    this.title = title;
    for (const name of names) this.items.push({ name, state: 'pending' });
    setHandler(stepsQuery, () => this.items, { description: 'The steps of this run and how far each is' });
    this.show();
  }

  /** Search attributes are set only where the namespace has them: an unknown one would block the workflow for ever. */
  enableAttributes(enabled: boolean): void {
    this.attributesEnabled = enabled;
  }

  tag(pairs: SearchAttributePair[]): void {
    if (this.attributesEnabled) upsertSearchAttributes(pairs);
  }

  set(name: string, state: CheckState, detail?: string): void {
    const item: CheckItem = detail === undefined ? { name, state } : { name, state, detail };
    const index = this.items.findIndex((candidate) => candidate.name === name);
    if (index < 0) this.items.push(item);
    else this.items[index] = item;
    this.show();
  }

  /** All items at once, and a line below the title. */
  replace(items: readonly CheckItem[], note?: string): void {
    this.items.splice(0, this.items.length, ...items);
    this.note = note;
    this.show();
  }

  /** Runs one step: in progress → completed, or failed with the error's message. */
  async run<T>(name: string, work: () => Promise<T>, describe?: (value: T) => string | undefined): Promise<T> {
    this.set(name, 'in progress');
    try {
      const value = await work();
      this.set(name, 'completed', describe?.(value));
      return value;
    } catch (error) {
      this.set(name, 'failed', rootMessage(error));
      throw error;
    }
  }

  private show(): void {
    const lines = this.items.map((item) => `- ${marks[item.state]} ${item.name}${item.detail === undefined ? '' : `: ${item.detail}`}`);
    setCurrentDetails(`**${this.title}**${this.note === undefined ? '' : `\n\n${this.note}`}\n\n${lines.join('\n')}`);
  }
}

/** The innermost message of a chain of Temporal failures: the one that says what happened. */
export function rootMessage(error: unknown): string {
  let current: unknown = error;
  while (current instanceof Error && current.cause instanceof Error) current = current.cause;
  return current instanceof Error ? current.message : String(current);
}
