import { readFile, readdir, readlink } from 'node:fs/promises';
import { createServer } from 'node:net';

/** Whether a loopback port can be bound just now. */
export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => { resolve(false); });
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => { resolve(true); }));
  });
}

/** The wanted port when it is free, else any free one. */
export async function portNear(wanted: number): Promise<number> {
  if (await isFree(wanted)) return wanted;
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ port: 0, host: '127.0.0.1' }, () => {
      const address = server.address();
      server.close(() => { resolve(typeof address === 'object' && address !== null ? address.port : wanted); });
    });
  });
}

const listening = '0A';

/** Whether that process is the one that listens on a loopback port; undefined where the system does not tell. */
export async function listensOn(pid: number, port: number): Promise<boolean | undefined> {
  try {
    const address = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`;
    const inodes = (await readFile('/proc/net/tcp', 'utf8')).split('\n').map((line) => line.trim().split(/\s+/)).filter((field) => field[1] === address && field[3] === listening).map((field) => `socket:[${field[9] ?? ''}]`);
    // A process that has ended listens nowhere.
    const files = await readdir(`/proc/${String(pid)}/fd`).catch(() => []);
    const links = await Promise.all(files.map((file) => readlink(`/proc/${String(pid)}/fd/${file}`).catch(() => '')));
    return inodes.some((inode) => links.includes(inode));
  } catch {
    return undefined;
  }
}
