// Runs vitest and closes with one line that counts what it really did.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

function count(file) {
  if (!existsSync(file)) return { passed: 0, failed: 1, skipped: 0, broken: 'vitest wrote no report' };
  const report = JSON.parse(readFileSync(file, 'utf8'));
  // A file that does not load has no failed test of its own, but it is a failure all the same.
  const unloaded = report.testResults.filter(
    (each) => each.status === 'failed' && !each.assertionResults.some((test) => test.status === 'failed'),
  );
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + unloaded.length,
    skipped: report.numPendingTests + report.numTodoTests,
    broken: report.numTotalTests === 0 ? 'no test ran' : undefined,
  };
}

export async function runTests({ root, node, config, args, env, become }) {
  const dir = mkdtempSync(join(tmpdir(), 'resurgo-report-'));
  const report = join(dir, 'report.json');
  try {
    let code = await become(
      node,
      [
        '--disable-warning=ExperimentalWarning',
        join(root, 'node_modules/vitest/vitest.mjs'),
        ...['run', '--root', root, '--config', join(root, config)],
        ...['--reporter=default', '--reporter=json', `--outputFile.json=${report}`],
        ...args,
      ],
      env,
    );
    const result = count(report);
    if (result.broken) process.stderr.write(`${result.broken}\n`);
    if (code === 0 && (result.failed > 0 || result.broken)) code = 1;
    // Something outside the tests failed (an unhandled error, a lost worker, a signal): never a clean count.
    if (code !== 0 && result.failed === 0) result.failed = 1;
    process.stdout.write(`${result.passed} passed, ${result.failed} failed, ${result.skipped} skipped\n`);
    return code;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
