import { inspect } from 'node:util';
import { ResurgoError } from '../domain/errors.ts';
import { readPrivateFile } from './safe-file.ts';

/** Where a secret is found when it is used; safe to log and to keep in a history. */
export type SecretRef = { readonly env: string } | { readonly file: string };

/**
 * A secret written into the configuration itself (allowed, and warned about by `check`).
 * Prints and serialises as what may be shown, so that no log or JSON leaks it.
 */
export class LiteralSecret {
  readonly #value: string;
  /** What may be shown, for example a URL without its password. */
  readonly shown: string;

  constructor(value: string, shown = '[redacted]') {
    this.#value = value;
    this.shown = shown;
  }

  reveal(): string {
    return this.#value;
  }

  toJSON(): string {
    return this.shown;
  }

  toString(): string {
    return this.shown;
  }

  [inspect.custom](): string {
    return `LiteralSecret(${this.shown})`;
  }
}

export type Secret = SecretRef | LiteralSecret;

/** `environment variable NAME` or `file PATH`. */
export function describeSecret(secret: Secret): string {
  if (secret instanceof LiteralSecret) return 'the value in the configuration';
  return 'env' in secret ? `environment variable ${secret.env}` : `file ${secret.file}`;
}

/**
 * The secret itself; call it where it is used (inside activities and commands), never put the result into a workflow.
 * One trailing line break of a file is removed.
 * @param what names the field in the error, for example `targets.shop.password`
 * @throws configInvalid when it is missing or empty; configUnsafe when others may read the file
 */
export function resolveSecret(secret: Secret, what = 'A secret', env: NodeJS.ProcessEnv = process.env): string {
  if (secret instanceof LiteralSecret) return secret.reveal();
  if ('env' in secret) {
    const value = env[secret.env];
    if (value === undefined || value === '') {
      throw new ResurgoError(
        'configInvalid',
        `${what}: environment variable ${secret.env} is ${value === undefined ? 'not set' : 'empty'}.`,
        {
          details: { hint: `Set ${secret.env} in the environment of this process (workers need it too).` },
        },
      );
    }
    return value;
  }
  const value = readPrivateFile(secret.file, what).replace(/\r?\n$/, '');
  if (value === '')
    throw new ResurgoError('configInvalid', `${what}: file ${secret.file} is empty.`, {
      details: { hint: 'Put the value into the file.' },
    });
  return value;
}

/** A PostgreSQL URL without its password. Rather removes too much than too little: passwords hold unescaped `@`, `/` and `?`. */
export function redactUrl(url: string): string {
  const match = /^([a-z][a-z0-9+.-]*:\/\/)([^]*)$/i.exec(url.trim());
  if (!match) return '[redacted]';
  const [, scheme = '', rest = ''] = match;
  const at = rest.lastIndexOf('@');
  const login = at < 0 ? '' : rest.slice(0, at);
  const colon = login.indexOf(':');
  const shown = at < 0 ? rest : `${colon < 0 ? login : login.slice(0, colon)}${rest.slice(at)}`;
  return scheme + shown.replaceAll(/([?&](?:\w*password|passfile|secret)=)[^&]*/gi, '$1[redacted]');
}
