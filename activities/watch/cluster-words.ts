/** What the watch of a cluster tells incidents and people. */
import { decideAlert, type Alert, type RawAlert } from '../../domain/alert.ts';
import type { Severity } from '../../domain/severity.ts';
import { digest } from '../../providers/alerts/incident-id.ts';

export interface ClusterAlert {
  readonly target: string;
  /** The member it is about; undefined: the cluster. */
  readonly member?: string;
  readonly rule: string;
  readonly status: 'firing' | 'resolved';
  readonly severity: Severity;
  readonly name: string;
  readonly description: string;
  readonly firedAt: number;
  /** False: it is over only when a person says so. Default true. */
  readonly tracks?: boolean;
  readonly handled?: RawAlert['handled'];
  readonly value?: number | string | null;
  readonly threshold?: number | string | null;
}

/** A standby has an incident of its own: what is wrong with it must not look like a dead primary to rules about databases. */
export function clusterAlert(about: ClusterAlert): Alert | undefined {
  const { target, member, rule, status, severity, name, description, handled } = about;
  const identity = digest('cluster', rule).slice(0, 22);
  const startsAt = new Date(about.firedAt).toISOString();
  return decideAlert(
    {
      key: `${identity}|${startsAt}|${status}`, identity, status, name, description, startsAt, severity, tracks: about.tracks ?? true, type: 'database',
      service: member === undefined ? target : `${target}.${member}`,
      labels: { cluster: target, rule, ...(member === undefined ? {} : { member }) },
      conditions: about.value === undefined ? [] : [{ metric: rule, value: about.value, threshold: about.threshold ?? null }],
      ...(handled === undefined ? {} : { handled }),
    },
    `replication/${target}`,
    [{ ...(member === undefined ? { target } : {}) }],
  );
}
