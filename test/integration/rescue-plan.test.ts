import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { formatHostKey, generateHostKey } from '../../providers/vault/host-key.ts';
import { stopAll, tempDir } from '../support/index.ts';
import { runCli, type CliRun } from '../support/run-cli.ts';

afterEach(stopAll);

async function setUp(plans: Record<string, unknown>, more: Record<string, unknown> = {}): Promise<{ dir: string; file: (name: string) => string; run: (...args: string[]) => Promise<CliRun>; stop: () => Promise<void> }> {
  const work = tempDir('rescue-plan');
  const dir = work.path;
  const identity = await generateIdentity();
  writeFileSync(path.join(dir, 'resurgo.key'), `${identity}\n`, { mode: 0o600 });
  writeFileSync(path.join(dir, 'resurgo-host.key'), formatHostKey(await generateHostKey()), { mode: 0o600 });
  mkdirSync(path.join(dir, 'repo'), { mode: 0o700 });
  writeFileSync(path.join(dir, 'resurgo.yaml'), JSON.stringify({
    version: 1, encryption: { recipients: [await identityToRecipient(identity)] }, repositories: { local: { type: 'disk', path: './repo' } },
    targets: { shop: { type: 'postgres', engine: 'logical', connection: 'postgres://x@127.0.0.1:1/shop' } }, plans, ...more,
  }), { mode: 0o600 });
  writeFileSync(path.join(dir, 'act.sh'), script, { mode: 0o755 });
  return { dir, file: (name) => path.join(dir, name), run: (...args) => runCli(['rescue', 'plan', 'run', 'p', ...args, '--json'], { cwd: dir, env: { APPROVER_ANN: 'token of ann, long enough', RESURGO_APPROVER_TOKEN: 'token of ann, long enough' } }), stop: () => work.stop() };
}

/** The ledger is the script's own: what happened, not what we think happened. `die-STEP-PHASE` makes it kill its parent there, once. */
const script = `#!/bin/bash
cd "$(dirname "$0")"
step=$1; phase=$RESURGO_PHASE
die() { if [ -f "die-$step-$phase-$1" ]; then rm "die-$step-$phase-$1"; kill -9 $PPID; sleep 60; fi; }
die before
case $phase in
  apply) echo "$step" >> ledger; touch "made-$step";;
  compensate) rm -f "made-$step"; echo "undo $step" >> ledger;;
  probe) [ -f "made-$step" ]; exit $?;;
esac
die after
[ ! -f "fail-$step-$phase" ]
`;

const act = (dir: string, id: string, more: Record<string, unknown> = {}, step: Record<string, unknown> = {}) => ({ id, uses: 'exec', with: { command: ['./act.sh', id], cwd: dir, compensate: ['./act.sh', id], ...more }, ...step });
const ledger = (dir: string): string[] => (existsSync(path.join(dir, 'ledger')) ? readFileSync(path.join(dir, 'ledger'), 'utf8').trim().split('\n') : []);

/** The script's directory is known only when it is made: the configuration is written again with it. */
async function withScript(make: (dir: string) => Record<string, unknown>, more: Record<string, unknown> = {}) {
  const made = await setUp({}, more);
  const config = JSON.parse(readFileSync(made.file('resurgo.yaml'), 'utf8')) as Record<string, unknown>;
  const text = JSON.stringify({ ...config, plans: make(made.dir) }).replaceAll('"./act.sh"', JSON.stringify(made.file('act.sh')));
  writeFileSync(made.file('resurgo.yaml'), text, { mode: 0o600 });
  return made;
}

test('O6 a plan without Temporal goes on from its journal after kill -9, each effect once, and its record is in the repository', async () => {
  const { dir, file, run, stop } = await withScript((at) => ({ p: { steps: [act(at, 'a'), act(at, 'b', { probe: ['./act.sh', 'b'] }), act(at, 'c')] } }));
  try {
    writeFileSync(file('die-b-apply-after'), '');
    const killed = await run();
    expect(killed.signal ?? killed.exitCode).not.toBe(0);
    expect(ledger(dir)).toEqual(['a', 'b']);
    const again = await run();
    expect(again.exitCode, again.stderr).toBe(0);
    expect(ledger(dir)).toEqual(['a', 'b', 'c']);
    const result = again.json() as { status: string; evidence: string; steps: { id: string; status: string }[] };
    expect(result.steps.map(({ id, status }) => `${id} ${status}`)).toEqual(['a completed', 'b completed', 'c completed']);
    expect(result.evidence).toContain('evidence/');
  } finally {
    await stop();
  }
});

test('O6 what cannot be probed waits for a person; the answer goes on, an abort undoes in reverse', async () => {
  const { dir, file, run, stop } = await withScript((at) => ({ p: { steps: [act(at, 'a'), act(at, 'b'), act(at, 'c')] } }));
  try {
    writeFileSync(file('die-b-apply-before'), '');
    await run();
    const waits = await run();
    expect(waits.exitCode, waits.stderr).toBe(5);
    expect(waits.stderr).toMatch(/b has an unknown outcome[^]*--answer b=applied/);
    expect(ledger(dir)).toEqual(['a']);
    writeFileSync(file('fail-c-apply'), '');
    const ended = await run('--answer', 'b=notApplied');
    expect(ended.exitCode, ended.stderr).toBe(4);
    expect(ledger(dir)).toEqual(['a', 'b', 'c', 'undo c', 'undo b', 'undo a']);
  } finally {
    await stop();
  }
});

test('O6 I10 approvals hold in a rescue too, each by the token of its approver', async () => {
  const { dir, run, stop } = await withScript((at) => ({ p: { steps: [act(at, 'a', {}, { approval: { from: ['ann'] } })] } }), { approvers: { ann: { token: { env: 'APPROVER_ANN' } } } });
  try {
    const waits = await run();
    expect(waits.exitCode, waits.stderr).toBe(5);
    expect(ledger(dir)).toEqual([]);
    const wrong = await runCli(['rescue', 'plan', 'run', 'p', '--approve', 'a', '--as', 'ann', '--json'], { cwd: dir, env: { APPROVER_ANN: 'token of ann, long enough', RESURGO_APPROVER_TOKEN: 'token of bob' } });
    expect(wrong.exitCode).toBe(3);
    const done = await run('--approve', 'a', '--as', 'ann');
    expect(done.exitCode, done.stderr).toBe(0);
    expect(ledger(dir)).toEqual(['a']);
    appendFileSync(path.join(dir, 'ledger'), '');
  } finally {
    await stop();
  }
});
