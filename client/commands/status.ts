import type { Register } from './index.ts';

export const registerStatus: Register = (program, cli) => {
  program
    .command('status')
    .argument('[target...]', 'only these')
    .description('readiness of every target; exit code 6 when an objective is missed')
    .action(
      cli.action(async (context, targets: readonly string[]) => {
        const loaded = await context.loadConfig();
        const { assertTarget } = await import('../targets.ts');
        for (const target of targets) assertTarget(loaded, target);
        const [{ statusReport, statusExitCode }, { statusColumns, statusRow }] = await Promise.all([import('../status/report.ts'), import('../status/describe.ts')]);
        const report = await statusReport(loaded, targets.length === 0 ? undefined : [...new Set(targets)]);
        const { output } = context;
        if (output.json) output.document(report);
        else output.table(statusColumns, report.targets.map(statusRow));
        for (const one of report.repositories) if (one.error !== undefined) output.note(`repository ${one.name}: ${one.error.message}`);
        for (const incident of report.incidents) output.note(`incident ${incident.service}: ${incident.description} (${incident.severity}, ${incident.status}); resurgo incident show ${incident.service}`);
        for (const { name, at, status, error } of report.pings) if (status === 'failed') output.note(`dead-man ping ${name} failed at ${at}: ${error ?? ''}`);
        if (report.temporal.error !== undefined) output.note(`schedules are not shown: ${report.temporal.error}`);
        return statusExitCode(report);
      }),
    );
};
