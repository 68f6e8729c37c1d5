/** Makes `dist/`: compiled sources and the workflow bundle, as a release ships them. */
import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode } from '@temporalio/worker';

const root = fileURLToPath(new URL('..', import.meta.url));
rmSync(`${root}/dist`, { recursive: true, force: true });
const compiled = spawnSync(process.execPath, [`${root}/node_modules/typescript/bin/tsc`, '-p', `${root}/tsconfig.build.json`], { stdio: 'inherit' });
if (compiled.status !== 0) process.exit(compiled.status ?? 1);
const { code } = await bundleWorkflowCode({ workflowsPath: `${root}/dist/workflows/index.js` });
writeFileSync(`${root}/dist/workflow-bundle.js`, code);
process.stdout.write(`dist/ is built (bundle ${String(Math.round(code.length / 1024))} KiB)\n`);
