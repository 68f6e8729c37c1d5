#!/usr/bin/env node
/** What bin/resurgo runs. */
import { main } from './program.ts';

// A reader that went away (`resurgo backups | head`) is no error; the command goes on and its exit code tells.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') return;
    // Nobody can be told on the stream that failed; what was lost must not look like success.
    if (stream === process.stdout) process.stderr.write(`the output could not be written: ${error.message}\n`);
    process.exit(1);
  });
}

const exitCode = await main(process.argv.slice(2));
// Connections that are still open must not keep a finished command alive.
await Promise.all(
  [process.stdout, process.stderr].map((stream) => new Promise((resolve) => stream.write('', resolve))),
);
process.exit(exitCode);
