import {
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { generateX25519Identity } from 'age-encryption';
import { ResurgoError } from '../../domain/errors.ts';
import { formatHostKey, generateHostKey } from '../../providers/vault/host-key.ts';
import { parseIdentityFile, recipientOf } from '../../providers/vault/identity-file.ts';
import { readPrivateFile } from '../../config/safe-file.ts';
import type { CliContext } from '../cli-context.ts';
import { configTemplate } from './init-template.ts';
import type { InitOptions } from './init.ts';

interface Planned {
  readonly file: string;
  readonly mode: number;
  readonly text: () => string;
}

/** Writes configuration, identity and host key; all or nothing. Without `--force-free` any of them being there is a refusal. */
export async function runInit(context: CliContext, options: InitOptions): Promise<void> {
  const config = path.resolve(context.configPath);
  const dir = path.dirname(config);
  const identityFile = path.join(dir, 'resurgo.key');
  const hostKeyFile = path.join(dir, 'resurgo-host.key');
  const there = [config, identityFile, hostKeyFile].filter(exists);
  if (there.length > 0 && !options.forceFree) {
    throw new ResurgoError(
      'destinationNotEmpty',
      `${there.map(shorten).join(', ')} ${there.length === 1 ? 'exists' : 'exist'} already; nothing was written.`,
      {
        details: {
          hint: 'Work with what is there, choose another place with --config, or add only what is missing with --force-free.',
        },
      },
    );
  }

  const identity = there.includes(identityFile) ? await firstIdentity(identityFile) : await generateX25519Identity();
  const recipient = await recipientOf(identity, identityFile);
  const hostKey = await generateHostKey();
  const createdAt = new Date().toISOString();
  const plan: Planned[] = [
    {
      file: identityFile,
      mode: 0o600,
      text: () =>
        `# created: ${createdAt}\n# public key: ${recipient}\n# Resurgo restore identity. SECRET: who has it can read every backup; without it nobody can.\n${identity}\n`,
    },
    { file: hostKeyFile, mode: 0o600, text: () => formatHostKey(hostKey) },
    { file: config, mode: 0o644, text: () => configTemplate(recipient) },
  ];
  const todo = plan.filter(({ file }) => !there.includes(file));
  const written = writeAll(dir, todo);
  await context.loadConfig();

  const wrote = (file: string): boolean => written.includes(file);
  context.output.result(
    {
      schemaVersion: 1,
      config,
      identity: identityFile,
      hostKey: hostKeyFile,
      recipient,
      ...(wrote(hostKeyFile) ? { hostPublicKey: hostKey.publicKey } : {}),
      written,
    },
    () =>
      [
        ...plan.map(({ file }) => `${wrote(file) ? 'wrote' : 'kept '} ${shorten(file)}`),
        '',
        'Next:',
        `  1. Keep a copy of ${shorten(identityFile)} away from this host, now. Without it no backup can be read;`,
        '     who has it can read them all. A host that only takes backups does not need it at all.',
        `  2. Fill in the connection of your database in ${shorten(config)}.`,
        '  3. resurgo check              tries every server, repository and tool',
        '  4. resurgo up                 starts Temporal and a worker',
        '  5. resurgo backup main        takes the first backup',
      ].join('\n'),
  );
}

/** A dangling symbolic link is there too. */
function exists(file: string): boolean {
  try {
    lstatSync(file);
    return true;
  } catch {
    return false;
  }
}

async function firstIdentity(file: string): Promise<string> {
  const [identity] = await parseIdentityFile(readPrivateFile(file, 'Identity'), file);
  return identity ?? '';
}

function writeAll(dir: string, files: readonly Planned[]): string[] {
  const written: string[] = [];
  try {
    if (!existsSync(dir)) mkdirSync(dir, { recursive: true, mode: 0o700 });
    for (const { file, mode, text } of files) {
      // O_EXCL: what appeared in between is not overwritten, and no link is followed.
      const descriptor = openSync(file, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, mode);
      written.push(file);
      try {
        // Whatever the umask took or left.
        fchmodSync(descriptor, mode);
        writeSync(descriptor, text());
        fsyncSync(descriptor);
      } finally {
        closeSync(descriptor);
      }
    }
    const descriptor = openSync(dir, constants.O_RDONLY);
    fsyncSync(descriptor);
    closeSync(descriptor);
    return written;
  } catch (error) {
    for (const file of written) unlinkSync(file);
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST')
      throw new ResurgoError(
        'destinationNotEmpty',
        'Another process has just written here; nothing of this run was kept.',
        { cause: error },
      );
    throw new ResurgoError(
      'repositoryDenied',
      `The files cannot be written in ${dir}: ${code ?? (error as Error).message}. Nothing was kept.`,
      { cause: error, details: { hint: 'Check owner, mode and free space of the directory.' } },
    );
  }
}

/** Relative to the working directory when below it. */
function shorten(file: string): string {
  const relative = path.relative(process.cwd(), file);
  return relative === '' || relative.startsWith('..') ? file : relative;
}
