/** What the watch of a cluster says, in order and beside the watch, which waits for nobody: what Temporal does not take now is said later. */
import type { Alert } from '../../domain/alert.ts';
import type { Notification } from '../../domain/notification.ts';
import { clusterAlert, type ClusterAlert } from './cluster-words.ts';

export interface VoiceDeps {
  readonly target: string;
  readonly host: string;
  readonly submit: (alert: Alert) => Promise<void>;
  readonly tell: (notification: Notification) => Promise<void>;
}

export type ClusterRule = 'primary' | 'two primaries';

export class ClusterVoice {
  private readonly deps: VoiceDeps;
  private readonly unsaid: (() => Promise<void>)[] = [];
  private readonly firing: Record<string, number>;
  private saying = false;

  /** @param fired what was breached when the watch before was last heard of */
  constructor(deps: VoiceDeps, fired: Readonly<Record<string, number>>) {
    this.deps = deps;
    const own = (['primary', 'two primaries'] as const).map((rule) => this.ruleOf(rule));
    this.firing = Object.fromEntries(Object.entries(fired).filter(([id]) => own.some((rule) => id === rule || id === `${rule}/failed`)));
  }

  ruleOf(rule: ClusterRule): string {
    return `${this.deps.target}/${rule}`;
  }

  /** Rules about the cluster that are breached, and since when. */
  get fired(): Readonly<Record<string, number>> {
    return this.firing;
  }

  fire(rule: ClusterRule, about: Pick<ClusterAlert, 'severity' | 'name' | 'description' | 'handled'>, id = this.ruleOf(rule)): void {
    if (this.firing[id] !== undefined) return;
    const firedAt = (this.firing[id] = Date.now());
    // In the cool-down of an incident before, its successor waits; people must not.
    if (about.handled?.by === 'people') this.say(about.severity, about.name, `${about.description}\n${about.handled.text}`, `${id}-${String(firedAt)}`);
    this.alert({ target: this.deps.target, rule: id, status: 'firing', firedAt, ...about });
  }

  over(rule: ClusterRule, text: string): void {
    for (const id of [this.ruleOf(rule), `${this.ruleOf(rule)}/failed`]) {
      const firedAt = this.firing[id];
      if (firedAt === undefined) continue;
      Reflect.deleteProperty(this.firing, id);
      this.alert({ target: this.deps.target, rule: id, status: 'resolved', severity: 'critical', name: `${this.deps.target}: ${rule}`, description: text, firedAt });
    }
  }

  alert(about: ClusterAlert): void {
    const alert = clusterAlert(about);
    if (alert !== undefined) this.later(() => this.deps.submit(alert));
  }

  say(severity: Notification['severity'], subject: string, text: string, key: string): void {
    const { target, host } = this.deps;
    this.later(() => this.deps.tell({ event: 'replication', severity, subject: subject.slice(0, 200), text, dedupeKey: `replication/${key}`.slice(0, 250), group: `resurgo/replication/${target}`, facts: { cluster: target, host } }));
  }

  private later(what: () => Promise<void>): void {
    this.unsaid.push(what);
    if (this.unsaid.length > 100) this.unsaid.splice(1, this.unsaid.length - 100);
    this.sayAll();
  }

  sayAll(): void {
    if (this.saying) return;
    this.saying = true;
    void (async () => {
      try {
        while (this.unsaid.length > 0) {
          await this.unsaid[0]?.();
          this.unsaid.shift();
        }
      } catch {
        // At the next look.
      } finally {
        this.saying = false;
      }
    })();
  }
}
