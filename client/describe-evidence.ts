import type { SignedEvidence } from '../domain/evidence.ts';
import { formatDuration } from '../config/units.ts';
import { label, moment, valueOf } from '../providers/evidence/words.ts';
import type { EvidenceEntry, EvidenceReport } from './evidence.ts';

const marks: Readonly<Record<string, string>> = { passed: '✓', failed: '✗', warning: '!', skipped: '-', completed: '✓', compensated: '↩', unknown: '?' };

/** A document of evidence for a terminal. */
export function describeEvidence({ document, repositories }: Pick<EvidenceEntry, 'document' | 'repositories'>): string {
  const lines = [
    `${document.title}: ${document.status}`,
    `  id            ${document.id} (${document.kind} of ${document.target}), ${moment(document.at)}`,
    ...measuredLines(document),
    ...document.timeline.map((phase) => `  ${marks[phase.outcome] ?? ' '} ${phase.phase}  ${formatDuration(phase.durationMs)}${phase.detail === undefined ? '' : `  ${phase.detail}`}`),
    ...(document.checks.length === 0 ? [] : ['checks', ...document.checks.map((check) => `  ${marks[check.outcome] ?? ' '} ${check.name}: ${check.detail}`)]),
    ...(document.recommendations.length === 0 ? [] : ['recommendations', ...document.recommendations.map((each) => `  • ${each}`)]),
    `kept in ${repositories.map(({ name, sequence }) => `${name} (number ${String(sequence)})`).join(', ')}, signed by ${document.signature.publicKey}`,
    `page: resurgo evidence show ${document.id} --html FILE`,
  ];
  return lines.join('\n');
}

function measuredLines(document: SignedEvidence): string[] {
  return [...new Set([...Object.keys(document.objectives), ...Object.keys(document.measured)])].map((name) => {
    const wanted = document.objectives[name];
    const value = document.measured[name];
    const judged = wanted === undefined ? '' : `, objective ${valueOf(name, wanted)}: ${value === null || value === undefined ? 'not measured' : value <= wanted ? 'met' : 'MISSED'}`;
    return `  ${label(name)}: ${valueOf(name, value)}${judged}`;
  });
}

export function describeEvidenceReport(report: EvidenceReport): string {
  if (report.status === 'empty') return 'there is no evidence yet';
  const head = { verified: 'every signature and every chain is good', broken: 'evidence is BROKEN', incomplete: 'what was read is good, but not everything is everywhere' }[report.status];
  return [
    `${head}: ${String(report.documents)} document(s) in ${String(report.chains.length)} chain(s)`,
    ...(report.signers === 'unknown' ? ['  ! whose signatures these are was not checked: there is no host key and no trusted key here (encryption.trustedHosts)'] : []),
    ...report.problems.map((problem) => `  ✗ ${problem.repository} ${problem.kind}/${problem.target} number ${String(problem.sequence)}: ${problem.problem}: ${problem.message}`),
    ...report.unreachable.map((problem) => `  ? ${problem.repository}: ${problem.message}`),
  ].join('\n');
}
