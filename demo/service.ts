import { unlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type PostgresServer, checkout } from '../test/support/index.ts';
import type { Stage } from './stage.ts';

const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

/**
 * What systemd would be elsewhere: `service start|stop` starts and stops PostgreSQL as a child of the demo, so that it ends with it.
 * @returns path of that program, for the hooks of the configuration
 */
export async function offerService(stage: Stage, server: PostgresServer): Promise<string> {
  const socket = join(stage.dir, 'service.sock');
  const listener = createServer((connection) => {
    connection.setEncoding('utf8');
    connection.on('error', () => undefined);
    connection.once('data', (word) => {
      const work = String(word).trim() === 'start' ? server.start() : server.shutdown();
      work.then(
        () => connection.end('ok'),
        (error: unknown) => connection.end(error instanceof Error ? error.message : String(error)),
      );
    });
  });
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject);
    listener.listen(socket, resolve);
  });
  stage.onStop(async () => {
    listener.close();
    unlinkSync(socket);
  });
  const program = join(stage.dir, 'service');
  const client = join(checkout, 'demo', 'service-client.mjs');
  writeFileSync(program, `#!/bin/sh\nexec ${[process.execPath, client, socket].map(quoted).join(' ')} "$1"\n`, {
    mode: 0o700,
  });
  return program;
}
