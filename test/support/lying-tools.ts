/** A directory of PostgreSQL's programs in which pg_dump lies. */
import { chmodSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What pg_dump does instead: a shell script, with `$real` the real program, `$file` the directory it is to write. */
export const dumpLies = {
  'writes nothing and says it went well': 'exit 0',
  'makes an empty directory and says it went well': 'mkdir "$file"; exit 0',
  'leaves the largest table half and says it went well':
    '"$real" "$@" --file="$file.real" || exit 1; largest=$(ls -S "$file.real" | grep dat | head -1); size=$(stat -c %s "$file.real/$largest"); truncate -s $((size / 2)) "$file.real/$largest"; mv "$file.real" "$file"; exit 0',
  'leaves out a table and says it went well':
    '"$real" "$@" --file="$file.real" || exit 1; rm "$file.real/$(ls -S "$file.real" | grep dat | head -1)"; mv "$file.real" "$file"; exit 0',
  'makes a table empty and says it went well':
    '"$real" "$@" --file="$file.real" || exit 1; : > "$file.real/$(ls -S "$file.real" | grep dat | head -1)"; mv "$file.real" "$file"; exit 0',
  'cuts its table of contents and says it went well': '"$real" "$@" --file="$file.real" || exit 1; truncate -s 300 "$file.real/toc.dat"; mv "$file.real" "$file"; exit 0',
  'writes all and ends with an error': '"$real" "$@"; exit 1',
  // However fast it is: what a tool leaves that dies before it has written its table of contents.
  'is killed half-way': '"$real" "$@" || exit 1; rm -f "$file/toc.dat"; kill -9 $$',
} as const;

export type DumpLie = keyof typeof dumpLies;

/** @param bin the real programs */
export function lyingTools(dir: string, bin: string, lie: DumpLie): string {
  for (const name of readdirSync(bin)) if (name !== 'pg_dump') symlinkSync(join(bin, name), join(dir, name));
  const script = `#!/bin/sh
real='${join(bin, 'pg_dump')}'
file=
for word in "$@"; do case "$word" in --version) exec "$real" --version;; --file=*) file=\${word#--file=};; esac; done
${dumpLies[lie]}
`;
  writeFileSync(join(dir, 'pg_dump'), script, { mode: 0o755 });
  chmodSync(join(dir, 'pg_dump'), 0o755);
  return dir;
}
