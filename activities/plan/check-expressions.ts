/** Expressions of one plan, looked at when it is loaded: are they well formed, and is everything they ask for there by then? */
import type { ConfigPath } from '../../config/yaml-source.ts';
import type { PlanConfig, PlanStepConfig } from '../../config/schema-plan.ts';
import { didYouMean } from '../../config/suggest.ts';
import type { ActionRegistry } from '../actions/registry.ts';
import { checkExpression, evaluate, splitTemplate, type ExpressionContext, type Reference } from './expressions.ts';
import { ancestors } from './graph.ts';

type Step = PlanStepConfig & { readonly needs: readonly string[]; readonly at: ConfigPath };
type Report = (path: ConfigPath, message: string, part?: 'key' | 'value') => void;

export interface ExpressionScope {
  readonly plan: PlanConfig;
  readonly steps: readonly Step[];
  readonly registry: ActionRegistry;
  readonly report: Report;
}

export class Expressions {
  private readonly scope: ExpressionScope;

  constructor(scope: ExpressionScope) {
    this.scope = scope;
  }

  step(step: Step): void {
    const before = ancestors(this.scope.steps, step.id);
    if (step.if !== undefined) this.condition(step, before);
    this.templates(step.with, [...step.at, 'with'], before);
    if (step.fallback !== undefined) this.templates(step.fallback.with, [...step.at, 'fallback', 'with'], before);
    // These run when the step itself has been applied.
    const withSelf = new Set([...before, step.id]);
    if (step.verify !== undefined) this.templates(step.verify.with, [...step.at, 'verify', 'with'], withSelf);
    if (step.compensate !== undefined && step.compensate !== false) this.templates(step.compensate.with, [...step.at, 'compensate', 'with'], withSelf);
  }

  private condition(step: Step, before: ReadonlySet<string>): void {
    const text = step.if ?? '';
    const at = [...step.at, 'if'];
    if (text.includes('${{')) {
      this.scope.report(at, 'is an expression already; write it without ${{ }}');
      return;
    }
    const checked = checkExpression(text);
    if ('problem' in checked) {
      this.scope.report(at, checked.problem);
      return;
    }
    if (checked.type !== 'bool' && checked.type !== 'dyn') this.scope.report(at, `is ${checked.type}, neither true nor false`);
    this.references(checked.references, at, before);
    let always: unknown;
    try {
      always = checked.references.length === 0 && checked.type === 'bool' ? evaluate(text, nothing) : undefined;
    } catch (error) {
      this.scope.report(at, error instanceof Error ? error.message : String(error));
    }
    if (always === false) this.scope.report(at, `is always false: step ${step.id} is never reached; remove the step`);
  }

  private templates(value: unknown, at: ConfigPath, before: ReadonlySet<string>): void {
    if (typeof value === 'string') {
      if (!value.includes('${{')) return;
      const parts = splitTemplate(value);
      if (parts.some(({ text }) => text?.includes('${{') === true)) this.scope.report(at, 'has ${{ without }}');
      for (const { expression } of parts) {
        if (expression === undefined) continue;
        const checked = checkExpression(expression);
        if ('problem' in checked) this.scope.report(at, `\${{${expression}}}: ${checked.problem}`);
        else this.references(checked.references, at, before);
      }
    } else if (Array.isArray(value)) for (const [index, inner] of value.entries()) this.templates(inner, [...at, index], before);
    else if (typeof value === 'object' && value !== null) for (const [key, inner] of Object.entries(value)) this.templates(inner, [...at, key], before);
  }

  private references(references: readonly Reference[], at: ConfigPath, before: ReadonlySet<string>): void {
    for (const { root, path } of references) {
      if (root === 'params') this.parameter(path, at);
      else if (root === 'steps') this.output(path, at, before);
    }
  }

  private parameter([name]: readonly string[], at: ConfigPath): void {
    const names = Object.keys(this.scope.plan.params ?? {});
    if (name !== undefined && !names.includes(name)) this.scope.report(at, `params.${name}: the plan has no such parameter${didYouMean(name, names) || (names.length === 0 ? '; it has none' : `; it has ${names.join(', ')}`)}`);
  }

  private output([id, field, key]: readonly string[], at: ConfigPath, before: ReadonlySet<string>): void {
    const { steps, registry, report } = this.scope;
    if (id === undefined) return;
    const step = steps.find((each) => each.id === id);
    if (step === undefined) {
      report(at, `steps.${id}: there is no such step${didYouMean(id, steps.map((each) => each.id))}`);
      return;
    }
    if (!before.has(id)) {
      report(at, `steps.${id} has not certainly ended by then; name it under needs`);
      return;
    }
    if (field !== undefined && field !== 'output' && field !== 'status') report(at, `steps.${id}.${field}: a step has output and status${didYouMean(field, ['output', 'status'])}`);
    const outputs = step.uses === 'plan' ? undefined : registry.find(step.uses)?.outputs;
    if (field === 'output' && key !== undefined && outputs !== undefined && !outputs.includes(key)) {
      report(at, `steps.${id}.output.${key}: ${step.uses} has no such output${didYouMean(key, outputs) || (outputs.length === 0 ? '; it has none' : `; it has ${outputs.join(', ')}`)}`);
    }
  }
}

const nothing: ExpressionContext = { steps: {}, params: {}, incident: null, mode: 'graceful', target: '', plan: '', run: '' };
