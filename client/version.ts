import { readFileSync } from 'node:fs';
import path from 'node:path';

/** Version of this package; found from the sources as well as from `dist/`. */
export const version: string = findVersion(import.meta.dirname);

function findVersion(start: string): string {
  for (let directory = start; ; directory = path.dirname(directory)) {
    try {
      const found = JSON.parse(readFileSync(path.join(directory, 'package.json'), 'utf8')) as {
        name?: string;
        version?: string;
      };
      if (found.name === 'resurgo' && found.version) return found.version;
    } catch {
      // Not here; look further up.
    }
    if (directory === path.dirname(directory)) return '0.0.0';
  }
}
