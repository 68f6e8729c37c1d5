/** How a message looks: plain text and HTML for mail, mrkdwn for Slack. */
import type { Notification } from '../../domain/notification.ts';
import type { Severity } from '../../domain/severity.ts';

const escapeHtml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;').replaceAll("'", '&#39;');

export const colours: Readonly<Record<Severity, string>> = { low: '#3b7dd8', medium: '#c69200', high: '#d9622b', critical: '#c0262d' };

/** One line for a header: no line breaks, no control characters. */
export const oneLine = (text: string, limit = 200): string => {
  const line = text.replaceAll(/[\u0000-\u001f\u007f\u2028\u2029]+/g, ' ').trim();
  return line.length > limit ? `${line.slice(0, limit - 1)}…` : line;
};

export const subjectOf = ({ severity, subject }: Notification): string => oneLine(`[${severity}] ${subject}`);

export function plainText({ text, facts }: Notification): string {
  const width = Math.max(0, ...Object.keys(facts).map((name) => name.length));
  const lines = Object.entries(facts).map(([name, value]) => `${name.padEnd(width)}  ${value}`);
  return `${[text.trim(), lines.join('\n')].filter((part) => part !== '').join('\n\n')}\n`;
}

/** Everything that came from outside is escaped; no script, no remote image, styles inline: what mail programs show. */
export function html(notification: Notification): string {
  if (notification.html !== undefined) return notification.html;
  const { severity, subject, text, facts } = notification;
  const paragraphs = text.trim().split(/\n{2,}/).map((part) => `<p style="margin:0 0 12px">${escapeHtml(part).replaceAll('\n', '<br>')}</p>`);
  const rows = Object.entries(facts).map(
    ([name, value]) => `<tr><th style="text-align:left;padding:4px 16px 4px 0;font-weight:600;vertical-align:top;white-space:nowrap">${escapeHtml(name)}</th><td style="padding:4px 0">${escapeHtml(value).replaceAll('\n', '<br>')}</td></tr>`,
  );
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escapeHtml(oneLine(subject))}</title></head><body style="font:15px/1.5 system-ui,sans-serif;color:#1d1f23;margin:0;padding:24px">
<div style="border-left:4px solid ${colours[severity]};padding-left:16px">
<p style="margin:0 0 4px;color:${colours[severity]};font-weight:600;text-transform:uppercase;font-size:12px">${severity}</p>
<h1 style="font-size:20px;margin:0 0 16px">${escapeHtml(oneLine(subject))}</h1>
${paragraphs.join('\n')}
${rows.length === 0 ? '' : `<table style="border-collapse:collapse;font-size:14px">${rows.join('')}</table>`}
</div></body></html>
`;
}

/** Slack's three control characters; no user or channel can be mentioned by what an alert says. */
const escapeSlack = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

export function slackBody(notification: Notification): string {
  const { severity, text, facts } = notification;
  const fields = Object.entries(facts).slice(0, 20).map(([title, value]) => ({ title: oneLine(title, 60), value: escapeSlack(value).slice(0, 500), short: value.length < 40 }));
  return JSON.stringify({
    text: escapeSlack(subjectOf(notification)),
    attachments: [{ color: colours[severity], fallback: escapeSlack(subjectOf(notification)), text: escapeSlack(text.trim()).slice(0, 3000), fields }],
  });
}
