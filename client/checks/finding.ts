import type { LoadedConfig } from '../../config/load.ts';
import { isResurgoError, type ErrorCode } from '../../domain/errors.ts';

export type CheckStatus = 'ok' | 'note' | 'warn' | 'fail';

/** One line of `resurgo check`. */
export interface Finding {
  /** `config`, `keys`, `repository`, `target`, `tools`, `service`, `schedule`, `temporal` */
  readonly area: string;
  /** Name of the repository, target … */
  readonly subject: string;
  readonly status: CheckStatus;
  readonly message: string;
  readonly hint?: string;
  readonly code?: ErrorCode;
}

/** What a check may use. */
export interface CheckScope {
  readonly loaded: LoadedConfig;
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
  /** Name of this host, as a worker started here would have it. */
  readonly host: string;
}

/** Makes findings about one subject. */
export class Findings {
  readonly list: Finding[] = [];
  private readonly area: string;
  private readonly subject: string;

  constructor(area: string, subject = '') {
    this.area = area;
    this.subject = subject;
  }

  ok(message: string): void {
    this.add('ok', message);
  }

  note(message: string, hint?: string): void {
    this.add('note', message, hint);
  }

  warn(message: string, hint: string): void {
    this.add('warn', message, hint);
  }

  fail(message: string, hint: string, code?: ErrorCode): void {
    this.add('fail', message, hint, code);
  }

  /** An error as a finding; a bug of ours stays an exception, and so does the wish to stop. */
  error(error: unknown, status: 'fail' | 'warn' = 'fail'): void {
    if (!isResurgoError(error) || error.code === 'bug' || error.code === 'cancelled') throw error;
    this.add(status, error.message, error.hint, error.code);
  }

  private add(status: CheckStatus, message: string, hint?: string, code?: ErrorCode): void {
    this.list.push({
      area: this.area,
      subject: this.subject,
      status,
      message,
      ...(hint === undefined ? {} : { hint }),
      ...(code === undefined ? {} : { code }),
    });
  }
}
