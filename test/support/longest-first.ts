import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * Files that take longest, the longest first: begun last, one of them would keep one core busy and the other idle at the end. Those that kill many
 * workers (`crash-quick`) have lanes of their own and fill both cores; they are not begun together.
 */
const longest = ['crash-quick/restore', 'lies-in-flight', 'workflows/drill', 'upkeep', 'crash-quick/backup', 'failover/replication', 'workflows/plan', 'wal-pitr', 'lies-dump', 'chain-commands', 'crash-quick/plan', 'failover/roles', 'lies.test', 'crash-quick/archive'];

const rank = ({ moduleId }: TestSpecification): number => {
  const found = longest.findIndex((name) => moduleId.includes(name));
  return found < 0 ? longest.length : found;
};

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return sorted.sort((a, b) => rank(a) - rank(b));
  }
}
