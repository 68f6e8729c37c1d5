/** How bad an incident is, the least bad first. */
export const severities = ['low', 'medium', 'high', 'critical'] as const;
export type Severity = (typeof severities)[number];

export const isSeverity = (value: unknown): value is Severity => severities.includes(value as Severity);

export const atLeast = (severity: Severity, minimum: Severity): boolean => severities.indexOf(severity) >= severities.indexOf(minimum);

export const worst = (a: Severity, b: Severity): Severity => (atLeast(a, b) ? a : b);
