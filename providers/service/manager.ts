/** Services of a host, whatever keeps them: one small port. */

export interface ServiceState {
  readonly running: boolean;
  /** Changes with every start: main process and when it began. Undefined where that cannot be told. */
  readonly identity?: string;
  /** In the manager's words. */
  readonly words: string;
}

export interface ServiceManager {
  readonly kind: 'systemd' | 'pm2' | 'docker' | 'command';
  /** Undefined: it knows no such service. */
  state(signal?: AbortSignal): Promise<ServiceState | undefined>;
  start(signal?: AbortSignal): Promise<void>;
  stop(signal?: AbortSignal): Promise<void>;
  /** Absent: stopped, then started. */
  restart?(signal?: AbortSignal): Promise<void>;
}

export interface ServiceSpec {
  readonly name: string;
  readonly manager: 'auto' | ServiceManager['kind'];
  readonly commands?: { readonly start?: readonly string[] | undefined; readonly stop?: readonly string[] | undefined; readonly status?: readonly string[] | undefined; readonly restart?: readonly string[] | undefined };
  readonly timeoutMs: number;
}
