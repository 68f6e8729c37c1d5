import { rmSync } from 'node:fs';
import { expect, test } from 'vitest';
import { startPostgres } from '../support/index.ts';
import { runDrillSeries, startDrillSeries } from '../support/drill-series.ts';

test('D1 50 drills in a row, a third cancelled, terminated or killed, leave nothing behind', async () => {
  const server = await startPostgres();
  const series = await startDrillSeries(server);
  try {
    const outcome = await runDrillSeries(series, 50);
    expect(outcome).toMatchObject({ passed: 33, disturbed: 17, failed: [], left: [], evidence: 'verified' });
    expect(outcome.recorded).toBeGreaterThanOrEqual(33);
  } finally {
    await series.stack.stop();
    await server.stop();
    rmSync(series.temporary, { recursive: true, force: true });
  }
});
