import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Files that take longest, the longest first: begun last, one of them would keep one core busy and the other idle at the end. */
const longest = ['crash-quick/restore', 'lies-in-flight', 'crash-quick/backup', 'workflows/drill', 'upkeep', 'workflows/plan', 'chain-commands', 'wal-pitr', 'crash-quick/plan', 'lies-dump', 'failover/roles', 'lies.test'];

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
