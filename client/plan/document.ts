/** The dated recovery plan of a target, for the folder that lies beside the telephone (I8). */
import { writeFile } from 'node:fs/promises';
import type { CliContext } from '../cli-context.ts';
import type { Config } from '../../config/schema.ts';
import { objectivesOf, policiesOf, repositoriesFor, repositoryOf, targetOf } from '../../config/lookup.ts';
import { formatDuration } from '../../config/units.ts';
import { phaseBudgets, planPhases } from '../../domain/plan/model.ts';
import { canonicalJson } from '../../config/canonical.ts';
import { plansOf } from '../../activities/plan/compile.ts';

export async function writeDocument(context: CliContext, target: string, flags: { out?: string }): Promise<undefined> {
  const loaded = await context.loadConfig();
  targetOf(loaded.config, target);
  const text = documentOf(loaded.config, target, { at: new Date(), hash: loaded.hash, path: loaded.path });
  if (flags.out === undefined) {
    context.output.result({ schemaVersion: 1, target, document: text }, () => text.trimEnd());
    return undefined;
  }
  await writeFile(flags.out, text, { mode: 0o600 });
  context.output.result({ schemaVersion: 1, target, file: flags.out }, () => `wrote ${flags.out ?? ''}`);
  return undefined;
}

/** Plans that name the target, in what a step is given or in their parameters. */
function plansAbout(config: Config, target: string): string[] {
  return Object.entries(plansOf(config)).filter(([, plan]) => canonicalJson(plan).includes(JSON.stringify(target))).map(([name]) => name);
}

export function documentOf(config: Config, target: string, facts: { at: Date; hash: string; path: string }): string {
  const objectives = objectivesOf(config, target);
  const about = plansAbout(config, target);
  const names = about.length > 0 ? about : Object.keys(plansOf(config));
  const policies = policiesOf(config, target);
  const lines = [
    `# Recovery plan of ${target}`,
    '',
    `${facts.at.toISOString()}, from \`${facts.path}\` (${facts.hash.slice(0, 12)}). Print it, and keep it where it can be read when everything else is down.`,
    '',
    '## Objectives',
    '',
    `- Recovery time (RTO): ${formatDuration(objectives.rto)}, from the disaster until the service works again`,
    `- Recovery point (RPO): ${formatDuration(objectives.rpo)} of data may be lost at most`,
    '',
    '## Backups',
    '',
    ...(policies.length === 0 ? ['No schedule backs it up: backups are only taken by hand.'] : policies.map((policy) => `- ${policy.kind}: ${policy.schedule === undefined ? 'by hand' : `\`${policy.schedule}\` (${policy.timezone})`}`)),
    '',
    '## Where they are',
    '',
    ...repositoriesFor(config, target).map((name) => {
      const repository = repositoryOf(config, name);
      return `- ${name}: ${repository.type === 'disk' ? `disk, \`${repository.path}\`` : `S3, bucket \`${repository.bucket}\`${repository.prefix === undefined ? '' : `, prefix \`${repository.prefix}\``}${repository.endpoint === undefined ? '' : ` at ${repository.endpoint}`}`}`;
    }),
    '',
    `Keys: ${config.encryption.passphrase === undefined ? `the age identity of ${(config.encryption.recipients ?? []).join(', ')}` : 'the passphrase'}. Without it no backup can be read.`,
    '',
    '## Procedure and time budgets',
    '',
    '| part | time |',
    '| --- | --- |',
    ...planPhases.map((phase) => `| ${phaseWords[phase]} | ${formatDuration(phaseBudgets[phase])} |`),
    `| together | ${formatDuration(Object.values(phaseBudgets).reduce((sum, ms) => sum + ms, 0))} |`,
    '',
    '1. Assess: what is lost (database, files, host, site)? `resurgo status`.',
    `2. Look at what there is: \`resurgo backups ${target}\`.`,
    ...(names.length === 0 ? [] : [`3. Run a plan: ${names.map((name) => `\`resurgo plan preview ${name}\``).join(', ')}, then \`resurgo plan run NAME\`.`]),
    `${names.length === 0 ? '3' : '4'}. Or restore by hand: \`resurgo restore ${target} --preview\`, then without \`--preview\`.`,
    `${names.length === 0 ? '4' : '5'}. Without Temporal: \`resurgo rescue restore ${target}\`${names.length === 0 ? '' : ', `resurgo rescue plan run NAME`'}.`,
    '',
  ];
  for (const name of names) lines.push(...planLines(config, name));
  const approvers = Object.entries(config.approvers ?? {});
  lines.push('## Contacts', '', ...(approvers.length === 0 ? ['None are named: add a section `approvers` with contacts.'] : approvers.map(([name, { contact }]) => `- ${name}${contact === undefined ? '' : `: ${contact}`} (may approve)`)), '');
  return lines.join('\n');
}

const phaseWords = { assess: 'assess the damage', infrastructure: 'bring infrastructure back', data: 'restore data', verify: 'verify', resume: 'resume service' } as const;

function planLines(config: Config, name: string): string[] {
  const plan = plansOf(config)[name];
  if (plan === undefined) return [];
  return [
    `## Plan ${name}`,
    '',
    ...(plan.description === undefined ? [] : [plan.description, '']),
    '| step | what | undone by a rollback | budget |',
    '| --- | --- | --- | --- |',
    ...plan.steps.map((step) => `| ${step.id} | ${step.uses}${step.pointOfNoReturn ? ', **point of no return**' : ''}${step.critical ? '' : ', not critical'}${step.approval === undefined ? '' : `, approved by ${String(step.approval.count)} of ${step.approval.from.join(', ')}`} | ${step.compensate === false ? 'left as it is' : step.compensate === undefined ? 'as its action does' : step.compensate.uses} | ${step.budget === undefined ? '' : formatDuration(step.budget)} |`),
    '',
  ];
}
