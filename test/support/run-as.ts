import { readFileSync } from 'node:fs';

/** The user PostgreSQL runs as when we are root, which it refuses. */
export interface RunAs {
  readonly user: string;
  readonly uid: number;
  readonly gid: number;
}

let known: { value: RunAs | undefined } | undefined;

/** `postgres` where that user exists, else `nobody`; undefined when we are not root and servers simply run as ourselves. */
export function pgRunAs(): RunAs | undefined {
  known ??= { value: process.getuid?.() === 0 ? lookUp() : undefined };
  return known.value;
}

function lookUp(): RunAs {
  const users = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  for (const wanted of ['postgres', 'nobody']) {
    const found = users.find(([name]) => name === wanted);
    if (found) return { user: wanted, uid: Number(found[2]), gid: Number(found[3]) };
  }
  return { user: 'nobody', uid: 65534, gid: 65534 };
}
