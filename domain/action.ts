/**
 * What a step of a plan can do: the interface every action implements, Resurgo's own and a user's (docs/guides/actions.md).
 * The plan interpreter knows nothing of any one action; each phase is a durable activity of its own.
 *
 * Order of a step: `check → capture → (compensation is registered) → apply → verify`. When the outcome of `apply` is not known (its worker
 * died, it timed out), `probe` tells whether it took effect; without an answer the step is *unknown* and a person decides.
 */
import type { OnProgress } from './ports.ts';

/**
 * What `apply` leaves behind, and so how it may be repeated. `none`: reads or waits. `converge`: a second time makes no difference, it is tried
 * again until the step's timeout. `irreversible`: attempted once; a lost attempt is probed before anything else happens.
 */
export type ActionEffect = 'none' | 'converge' | 'irreversible';

export type ProbeAnswer = 'applied' | 'notApplied' | 'unknown';

export interface ActionContext<Input> {
  /** Id of the plan run; the same in every attempt. */
  readonly runId: string;
  readonly plan: string;
  readonly stepId: string;
  /** 1 for the first attempt of this phase. */
  readonly attempt: number;
  /** Fencing token: of the newest run that holds this plan's target. What an older run still tries is refused. */
  readonly fence: string;
  readonly input: Input;
  /** `ungraceful`: the primary site is gone or of no use; skip what needs it to answer. */
  readonly mode: 'graceful' | 'ungraceful';
  /** Nothing is changed in a dry run: only `check` and `capture` are called. */
  readonly dryRun: boolean;
  readonly signal: AbortSignal;
  readonly report: OnProgress;
}

/** One line for people, and facts for later steps (`${{ steps.<id>.output.<key> }}`) and the evidence. JSON-safe, small, without secrets. */
export interface ActionOutcome<Output> {
  readonly summary: string;
  readonly output: Output;
}

/** What one use of an action can do, where that depends on its input: `exec` can be undone only when its input says how. */
export interface ActionAbilities {
  readonly effect?: ActionEffect;
  readonly probe?: boolean;
  readonly verify?: boolean;
  readonly compensate?: boolean;
}

/** A run of its own that does the work in place of `apply`: `backup` and `restore` are workflows already. */
export interface ActionChild {
  /** Type of the workflow. */
  readonly workflow: string;
  readonly input: Readonly<Record<string, unknown>>;
  /** Fields of its result that become the step's output. */
  readonly pick: readonly string[];
  /** Undoes it; `{ "$output": "id" }` stands for a field of the output. */
  readonly compensate?: { readonly workflow: string; readonly input: Readonly<Record<string, unknown>> };
  /** Of the workflow `notification`: it is waited for so long, ms, and goes on without the plan. Whatever becomes of it, the step is done. */
  readonly tellMs?: number;
}

/** One field of an action's input, for the reference and for checks before a run. */
export interface ActionField {
  readonly key: string;
  readonly kind: string;
  readonly required: boolean;
  readonly description: string;
}

export interface Action<Input = unknown, Captured = unknown, Output = unknown> {
  /** `area.verb`, for example `dns.switch`; frozen once released. */
  readonly name: string;
  /** Raised when input or meaning change; `name@version` is frozen in the plan snapshot of a run. */
  readonly version: number;
  readonly description: string;
  readonly effect: ActionEffect;
  /** What the action does cannot be undone by anything: the plan only rolls forward after it, and the preview says so. */
  readonly pointOfNoReturn?: boolean;
  /** A step of it never makes a plan fail, whatever `critical` says. */
  readonly neverCritical?: boolean;
  /** Parses `with:`. @throws ResurgoError inputInvalid naming the field, the value and the reason */
  readonly parse: (input: unknown) => Input;
  /** Fields of the input; `inputOf(schema)` of activities/actions/input.ts makes `parse` and these from one zod schema. */
  readonly fields?: readonly ActionField[];
  /** Keys of the output, so that a plan which asks for another one is refused when it is loaded. Left out: not known. */
  readonly outputs?: readonly string[];
  /** What it works on, for the runbook: `api.example.test` in `dns.switch apply: api.example.test`. Without secrets. */
  readonly subject?: (input: Input) => string;
  /** How long a step may take that does not say; default 10 minutes. */
  readonly defaultTimeoutMs?: number;
  /** What is undone, in words, for the preview: `the record set as it was comes back`. */
  readonly undo?: string;
  /** Abilities of this use, where they depend on the input; default: by which phases the action has. */
  readonly abilities?: (input: Input) => ActionAbilities;
  /** Pure waiting, ms: the driver sets a durable timer in place of `apply`. */
  readonly timer?: (input: Input) => number;
  /** See {@link ActionChild}; `apply` is then only called where there is no Temporal. */
  readonly child?: (input: Input, context: { readonly runId: string; readonly stepId: string }) => ActionChild;
  /** Worker host whose queue the phases go to; undefined: any worker. */
  readonly host?: (input: Input) => string | undefined;
  /** Preconditions, without any effect; also used by preview and plan evaluation. Returns remarks for people. @throws ResurgoError when it could not work */
  readonly check?: (context: ActionContext<Input>) => Promise<readonly string[]>;
  /** What compensation and probe need to know of the state before. Effect: none. */
  readonly capture?: (context: ActionContext<Input>) => Promise<Captured>;
  readonly apply: (context: ActionContext<Input>, captured: Captured) => Promise<ActionOutcome<Output>>;
  readonly probe?: (context: ActionContext<Input>, captured: Captured) => Promise<ProbeAnswer>;
  /** Waits until what was applied is true, or throws. Returns one line for people. */
  readonly verify?: (context: ActionContext<Input>, captured: Captured, output: Output | undefined) => Promise<string>;
  /**
   * Brings the captured state back, only where it is still what `apply` made of it: something else there now is a `conflict`, never overwritten.
   * Also called when `apply` may or may not have taken effect (then `output` is undefined). Already undone is success. Returns one line for people.
   */
  readonly compensate?: (context: ActionContext<Input>, captured: Captured, output: Output | undefined) => Promise<string>;
}

/** Keeps the types of one action together where it is defined, and hands it to the registry without them. */
export const defineAction = <Input, Captured, Output>(action: Action<Input, Captured, Output>): Action => action as unknown as Action;
