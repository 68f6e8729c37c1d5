#!/usr/bin/env node
// npm run demo | test | test:crash | test:soak | bench | setup: sets up what is missing, then runs it with the right Node.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bootstrap } from './bootstrap.mjs';
import { SetupError } from './tools/process.mjs';
import { runTests } from './tools/vitest.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Runs a program in our place: same terminal, signals passed on, its exit code ours; it dies with us. */
function become(file, args, env) {
  return new Promise((resolve, reject) => {
    const setpriv = ['/usr/bin/setpriv', '/bin/setpriv'].find((each) => existsSync(each));
    const child = setpriv
      ? spawn(setpriv, ['--pdeathsig', 'KILL', '--', file, ...args], { stdio: 'inherit', env })
      : spawn(file, args, { stdio: 'inherit', env });
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
      // A terminal sends its Ctrl-C to both of us; passing it on would make two of one.
      process.on(signal, () => (signal === 'SIGINT' && process.stdin.isTTY) || child.kill(signal));
    }
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(code ?? 128 + constants.signals[signal]));
  });
}

const commands = {
  demo: { needs: ['node', 'temporal', 'postgres', 'moto'], main: 'demo/main.ts' },
  bench: { needs: ['node', 'temporal', 'postgres', 'moto'], main: 'bench/main.ts' },
  test: { needs: ['node', 'temporal', 'postgres', 'moto'], config: 'vitest.config.ts' },
  'test:crash': { needs: ['node', 'temporal', 'postgres', 'moto'], config: 'vitest.crash.config.ts' },
  'test:soak': { needs: ['node', 'temporal', 'postgres', 'moto'], config: 'vitest.soak.config.ts' },
  build: { needs: ['node'], main: 'scripts/build.ts' },
  setup: { needs: ['node', 'temporal', 'postgres', 'moto'] },
};

async function main([name, ...args]) {
  const command = Object.hasOwn(commands, name ?? '') ? commands[name] : undefined;
  if (!command) throw new SetupError(`usage: node scripts/run.mjs ${Object.keys(commands).join('|')} [arguments]`);
  const tools = await bootstrap(command.needs, { retry: name === 'setup' });
  // Children that say `node` mean this one.
  const env = { ...process.env, PATH: [dirname(tools.node), process.env.PATH].filter(Boolean).join(delimiter) };
  if (command.main) {
    if (!existsSync(join(root, command.main))) throw new SetupError(`${command.main} does not exist in this checkout.`);
    return become(tools.node, ['--disable-warning=ExperimentalWarning', join(root, command.main), ...args], env);
  }
  if (command.config) return runTests({ root, node: tools.node, config: command.config, args, env, become });
  process.stderr.write(
    `Node ${tools.nodeVersion}, Temporal CLI ${tools.temporalVersion}, PostgreSQL ${tools.pgVersion}${tools.moto ? ', moto' : ''}: ready (.tools/env.json)\n`,
  );
  return 0;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${error instanceof SetupError ? error.message : error.stack}\n`);
  process.exitCode = error instanceof SetupError ? 3 : 1;
}
