/** A program for steps of plans: what happened stands in its own ledger, and it kills its parent, the worker, where a file says so. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const script = `#!/bin/bash
cd "$(dirname "$0")"
step=$1; phase=$RESURGO_PHASE
die() { if [ -f "die-$step-$phase-$1" ]; then rm "die-$step-$phase-$1"; kill -9 $PPID; sleep 60; fi; }
die before
case $phase in
  apply) while [ -f "hold-$step" ]; do sleep 0.1; done; echo "$step" >> ledger; touch "made-$step";;
  compensate) rm -f "made-$step"; echo "undo $step" >> ledger;;
  probe) [ -f "made-$step" ]; exit $?;;
  verify) [ ! -f "fail-$step-verify" ] && [ -f "made-$step" ]; exit $?;;
esac
die after
if [ -f "fail-$step-$phase" ]; then rm "fail-$step-$phase"; exit 1; fi
echo "$RESURGO_MODE"
`;

export class PlanScript {
  readonly dir: string;
  readonly program: string;

  constructor(dir: string) {
    this.dir = dir;
    mkdirSync(dir, { recursive: true });
    this.program = path.join(dir, 'act.sh');
    writeFileSync(this.program, script, { mode: 0o755 });
  }

  /** A step that does it, and undoes it. */
  step(id: string, more: Record<string, unknown> = {}, step: Record<string, unknown> = {}): Record<string, unknown> {
    const command = [this.program, id];
    const abilities = Object.fromEntries(Object.entries(more).map(([key, value]) => [key, value === true ? command : value]));
    return { id, uses: 'exec', with: { command, compensate: command, ...abilities }, ...step };
  }

  mark(name: string): void {
    writeFileSync(path.join(this.dir, name), '');
  }

  forget(...names: string[]): void {
    for (const name of names) rmSync(path.join(this.dir, name), { force: true });
  }

  has(name: string): boolean {
    return existsSync(path.join(this.dir, name));
  }

  /** Ends of the outside world: what took effect, in order. */
  ledger(): string[] {
    return this.has('ledger') ? readFileSync(path.join(this.dir, 'ledger'), 'utf8').trim().split('\n').filter(Boolean) : [];
  }

  clear(): void {
    writeFileSync(path.join(this.dir, 'ledger'), '');
  }
}
