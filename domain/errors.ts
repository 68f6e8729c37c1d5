/**
 * Every way Resurgo can fail, once. Providers throw {@link ResurgoError}; it becomes an `ApplicationFailure` of type `code`
 * at the activity boundary, an exit code in the CLI and `error.code` in `--json`.
 */
export type ErrorKind = 'transient' | 'throttled' | 'pending' | 'precondition' | 'conflict' | 'outcomeUnknown' | 'invalid' | 'cancelled' | 'failed' | 'bug';

export interface ErrorDefinition {
  readonly kind: ErrorKind;
  /** Whether a later attempt of the same activity may succeed by itself. */
  readonly retryable: boolean;
  /** Exit code of a command that ends with this error; see docs/reference/exit-codes.md. */
  readonly exitCode: 1 | 2 | 3 | 4 | 5 | 6 | 7 | 130;
  /** What it means in general; the thrown message says what happened, to what. */
  readonly meaning: string;
  /** What a person does next. */
  readonly hint: string;
}

const define = <const T extends Record<string, ErrorDefinition>>(table: T): T => table;
const invalid = (meaning: string, hint: string) => ({ kind: 'invalid', retryable: false, exitCode: 2, meaning, hint }) as const;
const refused = (meaning: string, hint: string) => ({ kind: 'precondition', retryable: false, exitCode: 3, meaning, hint }) as const;
const conflict = (meaning: string, hint: string) => ({ kind: 'conflict', retryable: false, exitCode: 3, meaning, hint }) as const;
const failed = (meaning: string, hint: string) => ({ kind: 'failed', retryable: false, exitCode: 1, meaning, hint }) as const;
const transient = (meaning: string, hint: string) => ({ kind: 'transient', retryable: true, exitCode: 1, meaning, hint }) as const;

export const errors = define({
  usage: invalid('The command line is not understood.', 'See `resurgo help`.'),
  configInvalid: invalid('The configuration has errors.', 'Mend the named fields; `resurgo check` lists all of them at once.'),
  configUnsafe: invalid('A file the configuration relies on may be written or read by others.', 'Set the mode the message names.'),
  inputInvalid: invalid('The input of a workflow or activity is not valid.', 'Compare it with docs/reference/workflows.md.'),
  targetUnknown: invalid('The configuration has no such target.', '`resurgo check` lists the targets.'),
  unsupported: invalid('This combination is not supported.', 'The message names what is.'),
  configMismatch: { kind: 'transient', retryable: true, exitCode: 1, meaning: 'This worker runs with another configuration than the run was started with.', hint: 'Restart the workers with the same configuration.' },

  temporalUnreachable: { kind: 'transient', retryable: true, exitCode: 1, meaning: 'No Temporal server answered.', hint: 'Start one with `resurgo up`, or point temporal.toml / TEMPORAL_ADDRESS at one; `resurgo rescue` needs none.' },
  workerMissing: refused('No worker polls the task queue.', 'Start `resurgo up` or `resurgo worker` with the same configuration.'),
  lockBusy: conflict('Another operation holds this target.', 'Wait for it, or see `resurgo status`; the lock dies with its holder.'),
  fenced: conflict('A newer run took over this target; this one must stop.', 'Nothing to do: the newer run goes on.'),

  toolMissing: refused('A program this needs is not installed.', 'Install the named package or set its path.'),
  toolVersion: refused('A program is of the wrong version.', 'Use the tools of the same major version as the server.'),
  toolFailed: { kind: 'failed', retryable: true, exitCode: 1, meaning: 'A program ended with an error.', hint: 'Its last lines are in the message.' },
  hookFailed: failed('A service hook (stop, start, health check) failed.', 'Run the named command by hand.'),

  sourceUnreachable: transient('The database cannot be reached.', 'Check address, credentials and pg_hba.conf; `resurgo check` tries it.'),
  sourceDenied: refused('The database refused the login or the right.', 'Give the role the named right (REPLICATION, pg_read_all_data …).'),
  sourceUnsupported: refused('The database holds something that this kind of backup cannot take.', 'A physical backup takes every byte as it is.'),
  sourceVersion: refused('This server version cannot do what was asked.', 'Take a full backup, or upgrade to PostgreSQL 17 or later.'),
  sourceChanged: refused('The database behind this target is another one than before.', 'Take a full backup to begin a new lineage.'),
  noParent: refused('There is no backup to build this one on.', 'Take a full backup first.'),
  walSummaryMissing: refused('The server has no WAL summaries back to the parent backup.', 'Set summarize_wal = on, check wal_summary_keep_time, and take a full backup.'),
  dumpFailed: { kind: 'failed', retryable: true, exitCode: 1, meaning: 'The dump did not end well.', hint: 'The message has the server\'s words.' },
  dumpEmpty: failed('The dump has no content.', 'Look at the source; nothing was published.'),
  pageChecksum: failed('The source has damaged pages.', 'Restore or repair the named relation; earlier backups are kept.'),

  awsThrottled: { kind: 'throttled', retryable: true, exitCode: 1, meaning: 'AWS asked to slow down.', hint: 'It is tried again by itself.' },
  awsUnavailable: transient('AWS, or its emulator, cannot be reached.', 'Check network, region and endpoint.'),
  awsDenied: refused('AWS refused the credentials or the right.', 'Compare the role with the policy in docs/guides/rds.md.'),
  awsFailed: failed('AWS could not do it.', 'The message has its words.'),
  hostFailed: failed('Something on the host could not be done.', 'The message names it.'),
  validationFailed: { kind: 'failed', retryable: true, exitCode: 1, meaning: 'A validation query did not answer as it should.', hint: 'Ask it by hand; the message has the query.' },
  cacheFailed: { kind: 'failed', retryable: true, exitCode: 1, meaning: 'A cache could not be reached or did not do what was asked.', hint: 'Check its address and login.' },
  awsTimeout: failed('AWS did not get done in time.', 'Look at it in the console; a backup that is started again finds its snapshot.'),

  repositoryUnreachable: transient('A repository cannot be reached.', 'Check path, mount, endpoint and credentials.'),
  repositoryThrottled: { kind: 'throttled', retryable: true, exitCode: 1, meaning: 'A repository asked to slow down.', hint: 'It is tried again by itself.' },
  repositoryDenied: refused('A repository refused access.', 'Check the credentials and the policy of the bucket or the owner of the directory.'),
  repositoryFull: { kind: 'precondition', retryable: true, exitCode: 1, meaning: 'A repository or staging disk is full.', hint: 'Free space or enlarge it; nothing was published.' },
  repositoryMissing: refused('There is no repository at the address given.', 'Is the disk mounted, are bucket and prefix right?'),
  repositoryFormat: refused('The repository has a format or feature this version does not know.', 'Use a newer Resurgo, or `resurgo repository upgrade`.'),
  repositoryLost: failed('A repository acknowledged data that it does not hold.', 'Do not trust this store; look at its logs.'),
  objectExists: conflict('An object that must be new already exists.', 'Another run may be writing; see `resurgo status`.'),
  objectMissing: failed('An object is not in the repository.', 'Restore from another repository; run `resurgo verify`.'),
  unsafePath: refused('A path leads outside its place.', 'The archive or the configuration is hostile or damaged; nothing outside was touched.'),

  backupUnknown: refused('There is no such backup.', '`resurgo backups TARGET` lists them.'),
  parentMissing: failed('A backup this one builds on is gone or damaged.', 'Take a full backup; restore from another repository.'),
  manifestInvalid: failed('The manifest is damaged or was altered.', 'Use another repository or an earlier backup.'),
  manifestSignature: failed('The manifest is not signed by the host that is trusted for this repository.', 'Compare the host key; see docs/runbooks.'),
  partMissing: failed('A part of the backup is missing.', 'Use another repository or an earlier backup.'),
  partCorrupt: failed('A part of the backup is damaged: its size, checksum or authentication tag does not fit.', 'Use another repository or an earlier backup.'),
  contentMismatch: failed('The content is not what the engine said it is.', 'Use another repository or an earlier backup; take a new one now.'),
  wrongKey: refused('None of the keys given opens this backup.', 'Use the identity whose recipient was configured when it was taken.'),
  keyMissing: refused('A key is needed and none is configured.', 'Set encryption.identity or encryption.passphrase, or give --identity.'),

  evidenceUnknown: refused('There is no such evidence.', '`resurgo evidence list` shows what there is.'),
  evidenceInvalid: failed('A document of evidence is damaged or was altered.', 'Look for the same document in another repository; `resurgo evidence verify` names what is wrong.'),
  evidenceUntrusted: failed('A document of evidence is not signed by a trusted host.', 'Compare the key with encryption.trustedHosts.'),
  recoveryTargetUnreachable: refused('The point in time cannot be reached from what is stored.', 'The message names the reachable window; `resurgo wal status TARGET` shows it too.'),
  recoveryTargetAmbiguous: refused('More than one history of the database fits the point in time.', 'Name the one that is meant with --timeline, or give --backup.'),
  walDamaged: failed('An object of the WAL archive is damaged or was altered.', 'Use another repository; take a full backup now.'),
  walGap: failed('WAL that was not stored yet is gone from the server.', 'A full backup is started by itself; until it is done only points before the gap can be reached.'),

  schemaVersion: refused('The schema version of the backup is too far from the destination\'s.', 'Restore beside, bring the destination to a nearer version, or set maxVersionDistance.'),
  outsideReferences: refused('Rows outside what is restored refer to rows the restore would take away.', 'Restore beside and merge by hand, or add the named table to the set.'),
  destinationNotEmpty: refused('The destination exists and is not empty.', 'Choose another, or use --mode in-place.'),
  destinationBusy: refused('The destination is in use.', 'Stop the server or end the sessions the message names.'),
  destinationDenied: refused('The destination cannot be written to.', 'Choose another, or mount it writable and give the user of the worker the right.'),
  extensionMissing: refused('The destination server lacks an extension the backup needs.', 'Install its package on the destination server.'),
  roleMissing: refused('The destination server lacks a role the backup needs.', 'Create it (see globals.sql in the backup), or let missing roles be created.'),
  destinationSpace: refused('There is not enough space at the destination.', 'Free space or choose another destination.'),
  restoreFailed: { kind: 'failed', retryable: true, exitCode: 1, meaning: 'The restore did not end well.', hint: 'The message says at which step; what was changed was undone in reverse.' },
  restoreMismatch: failed('The restored data is not what was backed up.', 'Nothing was swapped in; use another backup and report this.'),
  channelUnreachable: transient('A notification channel did not take a message.', 'It is tried again by itself; `resurgo notify test` tries every channel.'),
  channelThrottled: { kind: 'throttled', retryable: true, exitCode: 1, meaning: 'A notification channel asked to slow down.', hint: 'It is tried again by itself.' },
  channelRefused: failed('A notification channel refused a message for good.', 'Check address and key of the channel; `resurgo notify test` tries it.'),
  incidentUnknown: refused('There is no such incident.', '`resurgo incident list` lists them.'),
  incidentState: conflict('The incident is not in a state in which this can be done.', '`resurgo incident show ID` tells its state.'),
  drillTimeout: failed('The drill did not end in time.', 'Raise `timeout` of the drill, or look what takes so long; what it had built is removed.'),
  disasterFailed: failed('The disaster of a game day could not be made to happen.', 'The message says what was found instead; nothing outside the sandbox was touched.'),
  gamedayTimeout: failed('The game day did not end in time.', 'Raise `timeout` of the game day, or look what takes so long; its sandbox is removed.'),
  compensationFailed: { kind: 'outcomeUnknown', retryable: false, exitCode: 5, meaning: 'A step failed and not everything could be undone.', hint: 'The message lists what is left for a person.' },
  outcomeUnknown: { kind: 'outcomeUnknown', retryable: false, exitCode: 5, meaning: 'It is not known whether the step took effect.', hint: 'Look at the named thing before trying again.' },
  planUnknown: invalid('The configuration has no such plan.', '`resurgo plan list` lists the plans.'),
  planInvalid: invalid('A plan of the configuration is not valid.', 'Mend the named lines; `resurgo plan check` lists all of them at once.'),
  controlRefused: conflict('A running plan cannot do what was asked of it now.', '`resurgo plan show RUN` says where it is.'),
  approvalRefused: refused('A person refused an approval.', 'Talk to them; the plan was stopped as it says.'),
  approvalExpired: refused('Nobody approved in time.', 'Run the plan again, or give the approval more time.'),
  approvalInvalid: refused('An approval is not by whom it says, or for something else.', 'Give the token of that approver; approve what `resurgo plan show RUN` shows now.'),
  serviceFailed: { kind: 'failed', retryable: true, exitCode: 1, meaning: 'A service did not get into the state asked for.', hint: 'The message has the words of the service manager.' },
  httpFailed: { kind: 'failed', retryable: true, exitCode: 1, meaning: 'An HTTP request did not get the answer it should.', hint: 'The message has the status and the first words of the answer.' },
  undoConflict: conflict('What a step set has been changed by somebody else since; it was not overwritten.', 'Look at the named thing and decide by hand.'),
  primaryAlive: refused('The primary is alive: failing over now could make two of them.', 'Use `resurgo switchover`, or stop that server first.'),
  splitBrain: conflict('Two servers of one cluster take writes, or may.', 'Stop the one that should not, compare their timelines, and bring it back with `resurgo rejoin`; nothing was touched.'),
  noStandby: refused('No member can become the primary.', 'Build a standby with `resurgo standby build`, or restore from a backup.'),
  memberUnknown: invalid('The cluster has no such member.', '`resurgo standby status CLUSTER` lists them.'),
  fenceUnproved: { kind: 'outcomeUnknown', retryable: false, exitCode: 5, meaning: 'It is not proved that a server takes no writes any more; nothing was promoted.', hint: 'Make sure by other means that it is off and stays off, then run the failover again with --override-fence "what you did".' },
  promoteFailed: failed('The standby did not become the primary.', 'Look at its log; the old primary is fenced, see docs/guides/clusters.md.'),
  replicationFailed: { kind: 'failed', retryable: true, exitCode: 1, meaning: 'A standby could not be built, or does not follow its primary.', hint: 'The message has the server\'s words.' },
  rewindRefused: refused('The server cannot be rewound onto the new primary.', 'Use --by clone or --by keep.'),
  dnsUnreachable: transient('A DNS server does not answer.', 'Check address and port; updates go over TCP.'),
  dnsRefused: refused('A DNS server refused the update.', 'Check the key, its name and algorithm, the clock, and the update policy of the zone.'),
  dnsConflict: conflict('A DNS record is not what it was expected to be: somebody else changed it.', 'Look at the record; it was left as it is.'),
  dnsUnverified: { kind: 'pending', retryable: true, exitCode: 1, meaning: 'An authoritative server does not show the new record yet.', hint: 'See whether the zone is transferred to that server.' },

  cancelled: { kind: 'cancelled', retryable: false, exitCode: 130, meaning: 'The run was cancelled.', hint: 'Nothing was published.' },
  bug: { kind: 'bug', retryable: false, exitCode: 1, meaning: 'Resurgo itself is wrong here.', hint: 'Please report it with the run id.' },
});

export type ErrorCode = keyof typeof errors;

export interface ErrorDetails {
  /** Program and arguments, without secrets. */
  readonly command?: string;
  readonly exitCode?: number | null;
  readonly stderr?: string;
  readonly durationMs?: number;
  /** Overrides the table's hint. */
  readonly hint?: string;
  /** When a throttled caller may try again. */
  readonly retryAfterMs?: number;
  readonly [key: string]: unknown;
}

/** The one error class of providers and rules. */
export class ResurgoError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; details?: ErrorDetails } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'ResurgoError';
    this.code = code;
    this.details = options.details ?? {};
  }

  get definition(): ErrorDefinition {
    return errors[this.code];
  }

  get hint(): string {
    return this.details.hint ?? this.definition.hint;
  }
}

export const isResurgoError = (error: unknown, code?: ErrorCode): error is ResurgoError =>
  error instanceof ResurgoError && (code === undefined || error.code === code);

export const isErrorCode = (value: unknown): value is ErrorCode => typeof value === 'string' && Object.hasOwn(errors, value);
