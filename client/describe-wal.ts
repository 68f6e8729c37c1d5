import type { WalReadBack } from '../domain/operations.ts';
import { describeLoss } from '../domain/wal-scrub.ts';
import { formatBytes } from '../config/units.ts';

/** Lines about reading back WAL, without indentation. */
export function describeWalReadBack(results: readonly WalReadBack[]): string[] {
  return results.flatMap((result) => {
    const left = result.unread - result.objects;
    const healed = result.healed === 0 ? '' : `; ${String(result.healed)} healed${result.healedFrom.length === 0 ? '' : ` from ${result.healedFrom.join(', ')}`}`;
    const read = `${String(result.objects)} of ${String(result.total)} objects, ${formatBytes(result.bytes)}${left > 0 ? `, ${String(left)} not read back yet` : ''}`;
    const head = {
      verified: `✓ ${result.depth}  ${read}${healed}`,
      planned: `would read ${read}`,
      damaged: `✗ damaged: ${result.error?.message ?? `${read}${healed}`}`,
      unopened: `✗ not opened: ${result.error?.message ?? ''}`,
      unreachable: `✗ unreachable: ${result.error?.message ?? ''}`,
    }[result.status];
    return [`WAL  ${result.repository}  ${head}`, ...result.problems.map((problem) => `  ${problem}`), ...result.losses.map((loss) => `  ${describeLoss(loss)}`)];
  });
}
