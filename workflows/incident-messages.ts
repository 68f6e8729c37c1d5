import { condition } from '@temporalio/workflow';
import type { Notification, NotifyEvent } from '../domain/notification.ts';
import { firing, type IncidentRecord } from '../domain/incident.ts';
import { rootMessage } from './progress.ts';
import { tell } from './notification.workflow.ts';

export interface Note {
  readonly event: NotifyEvent;
  readonly text: string;
  /** Channels of an escalation level. */
  readonly to?: readonly string[];
}

/** The event that names a message, when several fall into one moment. */
const weight: readonly NotifyEvent[] = ['handover', 'failed', 'approval', 'escalated', 'resolved', 'completed', 'started', 'detected', 'acknowledged', 'joined', 'ticket', 'monitor', 'test'];

/**
 * Gathers what happens within a moment into one message and hands it to a run of its own. Nothing of the incident waits for it, except the
 * end of its run, which waits until Temporal has taken it.
 */
export class Messenger {
  private readonly notes: Note[] = [];
  private readonly handing: Promise<void>[] = [];
  private readonly onTrouble: (text: string) => void;

  constructor(onTrouble: (text: string) => void) {
    this.onTrouble = onTrouble;
  }

  say(note: Note): void {
    this.notes.push(note);
  }

  /** Until `over`; then what is left is said at once. */
  async run(record: IncidentRecord, gatherMs: number, over: () => boolean): Promise<void> {
    while (!over()) {
      await condition(() => over() || this.notes.length > 0);
      if (!over()) await condition(over, gatherMs);
      this.flush(record);
    }
    this.flush(record);
    await Promise.all(this.handing);
  }

  private flush(record: IncidentRecord): void {
    const notes = this.notes.splice(0);
    if (notes.length === 0) return;
    record.messages++;
    const message = messageOf(record, notes);
    this.handing.push(tell(message).catch((error: unknown) => { this.onTrouble(`a message could not be handed over: ${rootMessage(error)}`); }));
  }
}

function messageOf(record: IncidentRecord, notes: readonly Note[]): Notification {
  const events = [...new Set(notes.map((note) => note.event))].sort((a, b) => weight.indexOf(a) - weight.indexOf(b));
  const [event = 'detected', ...also] = events;
  const to = [...new Set(notes.flatMap((note) => note.to ?? []))];
  const headline = notes.find((note) => note.event === event)?.text ?? '';
  return {
    event,
    ...(also.length === 0 ? {} : { also }),
    severity: record.severity,
    subject: `${record.service}: ${headline}`.slice(0, 300),
    text: notes.map((note) => note.text).join('\n'),
    dedupeKey: `${record.id}/${String(record.messages)}`,
    group: `resurgo/${record.id}`,
    facts: factsOf(record),
    ...(to.length === 0 ? {} : { to }),
  };
}

function factsOf(record: IncidentRecord): Record<string, string> {
  const conditions = record.conditions.slice(0, 10).map(({ metric, value, threshold }) => `${metric}${value === null ? '' : ` = ${String(value)}`}${threshold === null ? '' : ` (threshold ${String(threshold)})`}`);
  const still = firing(record);
  return {
    incident: record.id,
    service: record.service,
    ...(record.target === null || record.target === record.service ? {} : { target: record.target }),
    type: record.type,
    severity: record.severity,
    status: record.status,
    since: record.openedAt,
    ...(conditions.length === 0 ? {} : { conditions: conditions.join('\n') }),
    ...(still.length === 0 ? {} : { firing: [...new Set(still)].slice(0, 10).join(', ') }),
    ...(record.attempts.length === 0 ? {} : { tried: record.attempts.map((attempt) => `${attempt.plan}: ${attempt.status}`).join(', ') }),
    ...(record.damage === null ? {} : { damage: `${record.damage.scenario}: ${record.damage.why}` }),
    look: `resurgo incident show ${record.id}`,
  };
}
