import { Option, type Command } from 'commander';
import { evidenceKinds, type EvidenceKind } from '../../domain/evidence.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { Register } from './index.ts';

interface EvidenceFlags {
  readonly kind?: EvidenceKind;
  readonly target?: string;
  readonly limit?: string;
}

const filters = (command: Command): Command =>
  command.addOption(new Option('--kind <kind>', 'only this kind').choices(evidenceKinds)).option('--target <name>', 'only about this target, plan, cluster or service');

export const registerEvidence: Register = (program, cli) => {
  const evidence = program.command('evidence').description('signed records of drills, plans, failovers and incidents, from the repositories themselves');

  filters(evidence.command('list').description('list what was recorded, newest first').option('--limit <n>', 'at most this many', '50')).action(
    cli.action(async (context, flags: EvidenceFlags) => {
      const limit = Number(flags.limit);
      if (!Number.isSafeInteger(limit) || limit < 1) throw new ResurgoError('usage', `--limit ${JSON.stringify(flags.limit)} is not a number from 1 on`);
      const loaded = await context.loadConfig();
      const [{ gatherEvidence }, { moment }] = await Promise.all([import('../evidence.ts'), import('../../providers/evidence/words.ts')]);
      const listing = await gatherEvidence(loaded, { kind: flags.kind, target: flags.target, limit });
      const { output } = context;
      if (output.json) output.document(listing.evidence.map(({ document: _, ...entry }) => ({ ...entry, repositories: entry.repositories.map(({ name }) => name) })));
      else if (listing.evidence.length === 0) output.print(listing.problems.length > 0 ? 'nothing that can be read and believed' : 'there is no evidence yet');
      else output.table([{ title: 'at' }, { title: 'kind' }, { title: 'about' }, { title: 'status' }, { title: 'id' }, { title: 'title' }, { title: 'repositories' }], listing.evidence.map((entry) => [moment(entry.at), entry.kind, entry.target, entry.status, entry.id, entry.title, entry.repositories.map(({ name }) => name).join(', ')]));
      for (const problem of listing.problems) output.warn(`repository ${problem.repository}: ${problem.message}`);
      return listing.problems.length === 0 ? undefined : listing.evidence.length === 0 ? 1 : 7;
    }),
  );

  evidence
    .command('show')
    .argument('<id>')
    .description('one document, its signature checked; `--html` also writes its page')
    .option('--html <file>', 'write the page for people to this file')
    .action(
      cli.action(async (context, id: string, flags: { readonly html?: string }) => {
        const [{ showEvidence }, { describeEvidence }] = await Promise.all([import('../evidence.ts'), import('../describe-evidence.ts')]);
        const found = await showEvidence(await context.loadConfig(), id, flags.html);
        context.output.result({ ...found.document, repositories: found.repositories }, () => describeEvidence(found));
        if (flags.html !== undefined) context.output.note(`page written to ${flags.html}`);
        return undefined;
      }),
    );

  filters(evidence.command('verify').description('check every signature and every chain; names what is missing, altered or cut off')).action(
    cli.action(async (context, flags: EvidenceFlags) => {
      const [{ verifyAllEvidence }, { describeEvidenceReport }] = await Promise.all([import('../evidence.ts'), import('../describe-evidence.ts')]);
      const report = await verifyAllEvidence(await context.loadConfig(), { kind: flags.kind, target: flags.target });
      context.output.result(report, () => describeEvidenceReport(report));
      return report.status === 'broken' ? 1 : report.status === 'incomplete' ? 7 : undefined;
    }),
  );
};
