import { statSync } from 'node:fs';
import { isResurgoError, ResurgoError } from '../domain/errors.ts';
import { describeSecret, resolveSecret, type Secret } from '../config/secret.ts';
import { loadConfig, type LoadedConfig } from '../config/load.ts';
import type { EncryptionConfig } from '../config/schema.ts';
import { hostPublic, parseHostKey, type HostKey } from '../providers/vault/host-key.ts';
import { parseIdentityFile } from '../providers/vault/identity-file.ts';

export interface Keys {
  /** @throws keyMissing */
  hostKey(): Promise<HostKey>;
  /** For whom data keys are wrapped. */
  audience(): Promise<{ recipients?: string[]; passphrase?: string }>;
  /** Signing keys whose manifests are accepted; none means anybody's (rescue without a pinned key, which warns). */
  trusted(): Promise<string[]>;
  /** What opens backup contents. @throws keyMissing when this host has neither identity nor passphrase */
  credentials(): Promise<{ identities?: string[]; passphrase?: string }>;
  /** Opens metadata (index, engine facts) of backups this host took; not their contents. */
  hostCredentials(): Promise<{ hostKey: HostKey }>;
}

/**
 * Keys of the configuration, read when they are needed and never earlier: a backup host may have no identity at all. A worker lives long, and who can
 * restore may change meanwhile (`resurgo keys rotate`): what the file says now counts, so that no backup is wrapped for a key that was given up.
 */
export class KeyRing implements Keys {
  private loaded: LoadedConfig;
  private seen: string | undefined;
  private host: Promise<HostKey> | undefined;

  constructor(loaded: LoadedConfig) {
    this.loaded = loaded;
    this.seen = markOf(loaded.path);
  }

  /** Of the file as it is; of the last one that was valid while somebody is half-way through editing it. */
  private get encryption(): EncryptionConfig {
    const mark = markOf(this.loaded.path);
    if (mark !== undefined && mark !== this.seen) {
      try {
        this.loaded = loadConfig(this.loaded.path);
        this.seen = mark;
        this.host = undefined;
      } catch (error) {
        if (!isResurgoError(error)) throw error;
      }
    }
    return this.loaded.config.encryption;
  }

  hostKey(): Promise<HostKey> {
    this.host ??= this.readHostKey();
    this.host.catch(() => {
      this.host = undefined;
    });
    return this.host;
  }

  private async readHostKey(): Promise<HostKey> {
    const reference = this.encryption.hostKey;
    return parseHostKey(keyText(reference, 'encryption.hostKey'), describeSecret(reference));
  }

  async audience(): Promise<{ recipients?: string[]; passphrase?: string }> {
    const { recipients, passphrase } = this.encryption;
    if (passphrase !== undefined) return { passphrase: resolveSecret(passphrase, 'encryption.passphrase') };
    if (recipients === undefined || recipients.length === 0) throw new ResurgoError('keyMissing', 'the configuration names neither encryption.recipients nor a passphrase');
    return { recipients: [...recipients] };
  }

  /** Manifests signed by anybody else are refused. */
  async trusted(): Promise<string[]> {
    const { trustedHosts } = this.encryption;
    const own = await this.hostKey().then((key) => [hostPublic(key).publicKey], (error: unknown) => {
      if (trustedHosts === undefined) throw error;
      return [];
    });
    return [...new Set([...own, ...(trustedHosts ?? [])])];
  }

  async credentials(): Promise<{ identities?: string[]; passphrase?: string }> {
    const { identity, passphrase } = this.encryption;
    if (passphrase !== undefined) return { passphrase: resolveSecret(passphrase, 'encryption.passphrase') };
    if (identity === undefined) throw new ResurgoError('keyMissing', 'the configuration has no encryption.identity: this host can back up, but not restore');
    return { identities: await parseIdentityFile(keyText(identity, 'encryption.identity'), describeSecret(identity)) };
  }

  async hostCredentials(): Promise<{ hostKey: HostKey }> {
    return { hostKey: await this.hostKey() };
  }
}

/** Changes whenever the file does; undefined where there is none. */
function markOf(file: string): string | undefined {
  const info = statSync(file, { throwIfNoEntry: false });
  return info === undefined ? undefined : [info.ino, info.size, info.mtimeMs].join(' ');
}

/** A key's text; what makes it unreadable is a missing key, not a broken configuration. */
function keyText(reference: Secret, field: string): string {
  try {
    return resolveSecret(reference, field);
  } catch (error) {
    if (!isResurgoError(error, 'configInvalid')) throw error;
    throw new ResurgoError('keyMissing', error.message, { cause: error, details: { hint: '`resurgo init` makes the keys; keep their modes at 0600.' } });
  }
}
