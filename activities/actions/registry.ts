import type { Action } from '../../domain/action.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { didYouMean } from '../../config/suggest.ts';

/** The actions a worker has, by name. */
export class ActionRegistry {
  private readonly actions = new Map<string, Action>();

  constructor(actions: readonly Action[]) {
    for (const action of actions) {
      if (this.actions.has(action.name)) throw new ResurgoError('configInvalid', `there are two actions named ${action.name}`);
      this.actions.set(action.name, action);
    }
  }

  names(): string[] {
    return [...this.actions.keys()].sort();
  }

  all(): Action[] {
    return this.names().map((name) => this.actions.get(name) as Action);
  }

  find(name: string): Action | undefined {
    return this.actions.get(name);
  }

  /** @throws planInvalid when there is none of that name; configMismatch when it is of another version than the run was started with */
  get(name: string, version?: number): Action {
    const action = this.actions.get(name);
    if (action === undefined) throw new ResurgoError('planInvalid', `there is no action ${JSON.stringify(name)}${didYouMean(name, this.names())}`);
    if (version !== undefined && action.version !== version) {
      throw new ResurgoError('configMismatch', `this worker has ${name}@${String(action.version)}, the run was started with ${name}@${String(version)}`);
    }
    return action;
  }
}
